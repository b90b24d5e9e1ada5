"""Providers: what computes within a runtime. The variable EDGETL_PROVIDER chooses one: an accelerator is a property of the machine."""

from __future__ import annotations

import os
from collections.abc import Mapping

from edgetl.errors import RuntimeUnavailable

VARIABLE = "EDGETL_PROVIDER"
PROVIDERS: Mapping[str, tuple[str, ...]] = {
    "litert": ("xnnpack", "builtin"),
    "onnxruntime": ("cpu", "cuda", "tensorrt", "coreml", "nnapi", "openvino", "qnn", "xnnpack"),
    "openvino": ("cpu", "gpu", "npu"),
    "fake": ("cpu",),
}
"""Family -> the providers that EDGETL_PROVIDER may name for it; the first is the default."""
ALL = "all of the model"
"""The placement of a model of which the provider computes every operator."""


def requested(family: str) -> str | None:
    """The provider that the environment requests of this family; None leaves it the default.

    Raises:
        RuntimeUnavailable: the family has no such provider (`provider-unknown`).
    """
    name = os.environ.get(VARIABLE)
    if name and name not in PROVIDERS[family]:
        raise _unknown(name, f"{family} has no such provider, only {', '.join(PROVIDERS[family])}; ", runtime=family)
    return name or None


def family_of(name: str) -> str:
    """The family that a provider's name chooses: the first one of the table that has it.

    Raises:
        RuntimeUnavailable: no family has it (`provider-unknown`).
    """
    for family, names in PROVIDERS.items():
        if name in names:
            return family
    raise _unknown(name)


def _unknown(name: str, reason: str = "", **values: str) -> RuntimeUnavailable:
    families = [family for family, names in PROVIDERS.items() if name in names and family != "fake"]
    message = f"{VARIABLE}={name!r}: {reason}{where(name)}"
    return RuntimeUnavailable(message, code="provider-unknown", provider=name, families=families, **values)


def where(name: str) -> str:
    """Which runtimes have a provider of this name, in a sentence; all providers if none has it."""
    real = {family: names for family, names in PROVIDERS.items() if family != "fake"}
    if families := [family for family, names in real.items() if name in names]:
        return f"{name} belongs to {' and '.join(families)}. Choose a variant for that, or another provider."
    return "no runtime has it. Known providers: " + "; ".join(f"{family}: {', '.join(names)}" for family, names in real.items())


def missing(name: str, library: str, reason: str) -> RuntimeUnavailable:
    """The error for a provider that a library knows and cannot use here (`provider-missing`)."""
    return RuntimeUnavailable(f"provider {name}: {library} {reason}", code="provider-missing", provider=name, library=library)
