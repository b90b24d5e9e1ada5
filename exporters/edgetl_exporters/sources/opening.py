"""Which source a name means: a backbone of the table, `timm/...`, `keras/...`, or somebody's own file."""

from __future__ import annotations

import os
from pathlib import Path

from edgetl.errors import ExportError
from edgetl_exporters.sources.base import Source
from edgetl_exporters.sources.given import Given

_NOTHING = Given()

FILES = (".onnx", ".tflite", ".keras")


def open_source(
    name: str,
    *,
    levels: str = "last",
    weights: str | os.PathLike[str] | None = None,
    random_weights: bool = False,
    seed: int = 0,
    given: Given = _NOTHING,
) -> Source:
    """Opens what is to be exported.

    Args:
        name: a backbone of the table, `timm/NAME`, `keras/NAME`, or the path of an `.onnx`, `.tflite` or `.keras` file.
        levels: `last` or `multi`.
        weights: a local file instead of the published weights; not for own files, which hold theirs.
        random_weights: untrained weights.
        seed: of random weights.
        given: what a person says of an own file.

    Raises:
        ExportError: nothing is known by this name, or what was given does not fit it.
        WeightsMissing: the weights are not on this machine and could not be downloaded.
    """
    suffix = Path(name).suffix.lower()
    file, keras = suffix in FILES, name.startswith("keras/")
    options = given.options()
    if options and not file and not keras:
        raise ExportError(f"{', '.join(options)}: {name} states that itself; these options are for your own {', '.join(FILES)} files")
    if (file or keras) and levels != "last":
        raise ExportError(
            f"--levels {levels}: {name} is one network whose stages are not known; only the backbones of the table have levels"
        )
    if suffix in (".onnx", ".tflite"):
        if weights is not None or random_weights:
            raise ExportError(f"{name}: holds its weights; --weights and --random-weights belong to a named backbone")
        from edgetl_exporters.sources.file_source import FileSource

        return FileSource(name, given)
    if file or keras:
        from edgetl_exporters.sources.keras_source import KerasSource

        return KerasSource(name, file=weights, random=random_weights, seed=seed, given=given)
    from edgetl_exporters.sources.torch_source import TorchSource

    return TorchSource(name, multi=levels == "multi", file=weights, random=random_weights, seed=seed)
