"""Which source a name means."""

from __future__ import annotations

import os

from edgetl_exporters.source import Source


def open_source(
    name: str,
    *,
    levels: str = "last",
    weights: str | os.PathLike[str] | None = None,
    random_weights: bool = False,
    seed: int = 0,
) -> Source:
    """Opens what is to be exported.

    Args:
        name: a backbone of the table.
        levels: `last` or `multi`.
        weights: a local file instead of the published weights.
        random_weights: untrained weights.
        seed: of random weights.

    Raises:
        ExportError: nothing is known by this name, or the weights do not fit.
        WeightsMissing: the weights are not on this machine and could not be downloaded.
    """
    from edgetl_exporters.torch_source import TorchSource

    return TorchSource(name, multi=levels == "multi", file=weights, random=random_weights, seed=seed)
