"""Emulated boards: the device package on their own Python, under user-mode QEMU (`tools/emulate` builds it)."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgetl.bundle.bundle import Bundle
from edgetl.bundle.proofs import Proof
from edgetl.errors import RuntimeUnavailable
from edgetl_exporters.targets import child
from edgetl_exporters.targets.job import ProofJob


def cache() -> Path:
    """The folder of the environments that tools/emulate builds: $EDGETL_CACHE, else $XDG_CACHE_HOME/edgetl, else ~/.cache/edgetl."""
    named = os.environ.get("EDGETL_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgetl"


@dataclasses.dataclass(frozen=True)
class Emulated:
    """One environment of tools/emulate on some CPUs (see :class:`edgetl_exporters.targets.ProofTarget`).

    Attributes:
        environment: its name, e.g. `aarch64`.
        cpus: as QEMU names them.
        families: the runtimes that have wheels for it.
    """

    environment: str
    cpus: tuple[str, ...]
    families: tuple[str, ...]

    def cells(self, bundle: Bundle) -> Sequence[tuple[str, str]]:
        """The integer variants: their arithmetic differs between CPUs, and in float QEMU takes 5 to 10 s per photo."""
        variants = [v.name for v in bundle.variants.values() if v.precision == "int8" and v.family in self.families]
        return [(f"{self.environment} {cpu}", variant) for cpu in self.cpus for variant in variants]

    def prove(self, job: ProofJob, target: str, variant: str) -> Proof:
        """Embeds a few photos in the environment.

        Raises:
            RuntimeUnavailable: the environment is not built, or lacks the runtime.
            ExportError: the process fails.
        """
        ready = self._ready()
        cpu = target.removeprefix(f"{self.environment} ")
        chosen, few = job.bundle.variant(variant), job.sample()
        files = job.bundle.model(chosen)
        embeddings, report = child.embed(
            Path(__file__).with_name("device_child.py"),
            files,
            few.tensors,
            {"family": chosen.family, "files": list(files)},
            command=ready["command"],
            environment={name: value.replace("{cpu}", cpu) for name, value in ready["env"].items()},
        )
        under = f"{report['library']} under qemu {ready['qemu']}"
        return few.proof(target, variant, under, "emulated", embeddings["embeddings"], {"python": ready["python"]})

    def _ready(self) -> Mapping[str, Any]:
        described = cache() / self.environment / "ready.json"
        try:
            ready: Mapping[str, Any] = json.loads(described.read_text())
        except (OSError, ValueError) as error:
            raise RuntimeUnavailable(
                f"{self.environment} is not built here; build it once with tools/emulate {self.environment} (in edgetl's source)",
                code="environment-missing", environment=self.environment,
            ) from error  # fmt: skip
        return ready
