"""Targets: where a variant will run, each proving variants on its own arithmetic without being at hand where that can be done.

A third party adds one through the entry point group `edgetl.exporters`: the name of the entry point is what `--target` calls it, and
it points to an object with the two methods of :class:`ProofTarget`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from edgetl.bundle.bundle import Bundle
from edgetl.bundle.proofs import Proof
from edgetl.errors import ExportError
from edgetl_exporters import plugins
from edgetl_exporters.targets.emulated import Emulated
from edgetl_exporters.targets.ethos import Ethos
from edgetl_exporters.targets.job import ProofJob
from edgetl_exporters.targets.native import Native
from edgetl_exporters.targets.nvidia import Nvidia
from edgetl_exporters.targets.qnn import Qnn

Cell = tuple[str, str]
"""A row's target and variant, e.g. ("ethos-u65-256", "tflite-int8")."""


class ProofTarget(Protocol):
    """One family of devices."""

    def cells(self, bundle: Bundle) -> Sequence[Cell]:
        """The rows that this target has for a bundle, whether or not they can be proved on this machine."""
        ...

    def prove(self, job: ProofJob, target: str, variant: str) -> Proof:
        """Proves one of its cells.

        Raises:
            RuntimeUnavailable: it cannot be done here; the message becomes the reason of an absent row.
            Exception: whatever else it raises becomes the reason of a failed row: the target is here, and the variant does not work on it.
        """
        ...


def known() -> Mapping[str, ProofTarget]:
    """Name -> target: edgetl's own, and those of other distributions.

    Raises:
        ExportError: a distribution's entry point is no target and no format, or takes a name that is taken.
    """
    own: dict[str, ProofTarget] = {
        "native": Native(),
        "aarch64": Emulated("aarch64", ("cortex-a72", "cortex-a76"), ("litert", "onnxruntime", "openvino")),
        "armv7": Emulated("armv7", ("cortex-a7",), ("litert",)),
        "avx2": Emulated("avx2", ("Haswell",), ("litert", "onnxruntime", "openvino")),
        "qnn": Qnn(),
        "ethos": Ethos(),
        "nvidia": Nvidia(),
    }
    foreign: Mapping[str, ProofTarget] = plugins.load()
    if taken := own.keys() & foreign.keys():
        raise ExportError(f"two targets are called {', '.join(sorted(taken))}; uninstall the distribution that adds the second")
    return {**own, **foreign}


def chosen(names: Sequence[str] | None = None) -> tuple[ProofTarget, ...]:
    """The targets of these names; None is all.

    Raises:
        ExportError: an unknown one, with those there are, or see :func:`known`.
    """
    there = known()
    if unknown := [name for name in names or () if name not in there]:
        raise ExportError(f"unknown target {unknown[0]!r}; known are {', '.join(there)}")
    return tuple(there[name] for name in dict.fromkeys(there if names is None else names))
