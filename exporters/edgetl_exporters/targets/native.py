"""This machine: every variant on the runtime installed here."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from edgetl import machine
from edgetl.bundle.bundle import Bundle
from edgetl.bundle.proofs import Proof
from edgetl.runtimes import open_runtime
from edgetl_exporters.quiet import quiet
from edgetl_exporters.targets.job import ProofJob


class Native:
    """See :class:`edgetl_exporters.targets.ProofTarget`."""

    def cells(self, bundle: Bundle) -> Sequence[tuple[str, str]]:
        """Every variant; the target is this machine's instruction set."""
        return [(machine.instruction_set(), variant) for variant in bundle.variants]

    def prove(self, job: ProofJob, target: str, variant: str) -> Proof:
        """Embeds one photo at a time, as on a device.

        Raises:
            RuntimeUnavailable: the variant's runtime is not installed.
        """
        chosen = job.bundle.variant(variant)
        with quiet():
            runtime = open_runtime(chosen.family, job.bundle.model(chosen))
            start = perf_counter()
            embeddings = np.concatenate([runtime.embed(tensor[None]) for tensor in job.tensors])
            seconds = (perf_counter() - start) / len(embeddings)
            runtime.close()
        return job.proof(target, variant, runtime.library, "measured", embeddings, {"seconds_per_photo": seconds})
