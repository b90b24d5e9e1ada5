"""Targets: devices on whose arithmetic variants are proved, by an emulator or compiler if the device is not here.

Other distributions add targets through the entry point group `edgetl.exporters` (:mod:`edgetl_exporters.plugins`).
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
"""Target and variant of a row, e.g. ("ethos-u65-256", "tflite-int8")."""


class ProofTarget(Protocol):
    """One family of devices."""

    def cells(self, bundle: Bundle) -> Sequence[Cell]:
        """The rows of this target for a bundle, including those that cannot be proved on this machine."""
        ...

    def prove(self, job: ProofJob, target: str, variant: str) -> Proof:
        """Proves one of its cells.

        Raises:
            RuntimeUnavailable: not possible here; the message becomes the reason of an absent row.
            Exception: any other becomes the reason of a failed row: the target is here, but the variant does not work on it.
        """
        ...


def known() -> Mapping[str, ProofTarget]:
    """Name -> target: edgetl's own, and those of other distributions.

    Raises:
        ExportError: `plugin-unusable`, or `target-name-taken`: a distribution's target has the name of another.
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
        names = sorted(taken)
        raise ExportError(
            f"two targets have the name {', '.join(names)}; uninstall the distribution that adds the second",
            code="target-name-taken", names=names,
        )  # fmt: skip
    return {**own, **foreign}


def chosen(names: Sequence[str] | None = None) -> tuple[ProofTarget, ...]:
    """The targets of these names; None is all.

    Raises:
        ExportError: `unknown-target`, with the known ones, or see :func:`known`.
    """
    there = known()
    if unknown := [name for name in names or () if name not in there]:
        raise ExportError(
            f"unknown target {unknown[0]!r}; expected {', '.join(there)}", code="unknown-target", given=unknown[0], known=list(there)
        )
    return tuple(there[name] for name in dict.fromkeys(there if names is None else names))
