"""Providers: what computes within a runtime. One is chosen by the variable EDGETL_PROVIDER: an accelerator is a property of the machine."""

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
"""Family -> the names that EDGETL_PROVIDER may say to it; the first is its own where none is said."""
ALL = "all of the model"
"""The placement of a model of which the provider computes every operator."""


def asked(family: str) -> str | None:
    """The provider that the environment asks this family for; None leaves it its own.

    Raises:
        RuntimeUnavailable: the family has no such provider.
    """
    name = os.environ.get(VARIABLE)
    if name and name not in PROVIDERS[family]:
        raise RuntimeUnavailable(f"{VARIABLE}={name!r}: {family} has no such provider, only {', '.join(PROVIDERS[family])}; {where(name)}")
    return name or None


def family_of(name: str) -> str:
    """The family that a provider's name chooses: the first one of the table that has it.

    Raises:
        RuntimeUnavailable: no family has it.
    """
    for family, names in PROVIDERS.items():
        if name in names:
            return family
    raise RuntimeUnavailable(f"{VARIABLE}={name!r}: {where(name)}")


def where(name: str) -> str:
    """Which families have a provider of this name, and what to do; all that there are where none has it."""
    real = {family: names for family, names in PROVIDERS.items() if family != "fake"}
    if having := [family for family, names in real.items() if name in names]:
        return f"{name} is one of {' and '.join(having)}: choose a variant for that, or another provider"
    return "no runtime has it; known are " + "; ".join(f"{family}: {', '.join(names)}" for family, names in real.items())
