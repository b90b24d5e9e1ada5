"""NVIDIA (Jetson and others): the CUDA and TensorRT providers of onnxruntime-gpu, if this machine has them."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from edgetl.bundle.bundle import Bundle
from edgetl.bundle.proofs import Proof
from edgetl.errors import RuntimeUnavailable
from edgetl.runtimes import onnxruntime
from edgetl_exporters.quiet import quiet
from edgetl_exporters.targets.job import ProofJob

_PROVIDERS = {"nvidia cuda": "cuda", "nvidia tensorrt": "tensorrt"}


class Nvidia:
    """See :class:`edgetl_exporters.targets.ProofTarget`."""

    def cells(self, bundle: Bundle) -> Sequence[tuple[str, str]]:
        """The ONNX variants on both providers."""
        variants = [v.name for v in bundle.variants.values() if v.format == "onnx"]
        return [(target, variant) for target in _PROVIDERS for variant in variants]

    def prove(self, job: ProofJob, target: str, variant: str) -> Proof:
        """Embeds one photo at a time, as on a device.

        Raises:
            RuntimeUnavailable: no such provider or device here.
            Exception: onnxruntime's own, if the provider is there but cannot run the whole model.
        """
        files = job.bundle.model(job.bundle.variant(variant))
        try:
            with quiet():
                model = onnxruntime.Model(files, 1, _PROVIDERS[target])
                model.embed(job.tensors[:1])  # TensorRT builds its engine in the first run
                start = perf_counter()
                embeddings = np.concatenate([model.embed(tensor[None]) for tensor in job.tensors])
                seconds = (perf_counter() - start) / len(embeddings)
                model.close()
        except OSError as error:
            raise RuntimeUnavailable(str(error)) from error
        return job.proof(target, variant, model.library, "measured", embeddings, {"seconds_per_photo": seconds})
