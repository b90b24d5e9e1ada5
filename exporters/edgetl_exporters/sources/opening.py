"""Opens a source by its name: a backbone of the table, `timm/...`, `keras/...`, or your own file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edgetl.errors import ExportError
from edgetl_exporters.sources.base import NetworkSource
from edgetl_exporters.sources.options import FileOptions

_NOTHING = FileOptions()

FILES = (".onnx", ".tflite", ".keras")


def open_source(
    name: str,
    *,
    levels: str = "last",
    weights: str | os.PathLike[str] | None = None,
    random_weights: bool = False,
    seed: int = 0,
    options: FileOptions = _NOTHING,
) -> NetworkSource:
    """Opens the network to export.

    Args:
        name: a backbone of the table, `timm/NAME`, `keras/NAME`, or the path of an `.onnx`, `.tflite` or `.keras` file.
        levels: `last` or `multi`.
        weights: a local file instead of the published weights; not for your own file, which contains its weights.
        random_weights: untrained weights.
        seed: of random weights.
        options: for your own file.

    Raises:
        ExportError: the name is unknown, or an option does not apply to it (`option-not-for-backbone`).
        WeightsMissing: the weights are not on this machine and could not be downloaded.
    """
    suffix = Path(name).suffix.lower()
    file, keras = suffix in FILES, name.startswith("keras/")
    named = options.names()
    if named and not file and not keras:
        raise _not_for(name, named, f"the backbone states it itself; these options are for your own {', '.join(FILES)} files")
    if (file or keras) and levels != "last":
        raise _not_for(name, [f"--levels {levels}"], "its stages are not known; only backbones of the table have levels")
    if suffix in (".onnx", ".tflite"):
        if weights is not None or random_weights:
            raise _not_for(name, ["--weights", "--random-weights"], "the file contains its weights")
        from edgetl_exporters.sources.file_source import FileSource

        return FileSource(name, options)
    if file or keras:
        from edgetl_exporters.sources.keras_source import KerasSource

        return KerasSource(name, file=weights, random=random_weights, seed=seed, options=options)
    from edgetl_exporters.sources.torch_source import TorchSource

    return TorchSource(name, multi=levels == "multi", file=weights, random=random_weights, seed=seed)


def _not_for(name: str, options: Sequence[str], reason: str) -> ExportError:
    return ExportError(f"{name}: {', '.join(options)} cannot be used: {reason}", code="option-not-for-backbone", options=list(options))
