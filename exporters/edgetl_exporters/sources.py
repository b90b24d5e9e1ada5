"""Which source a name means: a backbone of the table, `timm/...`, `keras/...`, or somebody's own file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edgetl.errors import ExportError
from edgetl.types import ColorOrder
from edgetl_exporters.source import Source

FILES = (".onnx", ".tflite", ".keras")


def open_source(
    name: str,
    *,
    levels: str = "last",
    weights: str | os.PathLike[str] | None = None,
    random_weights: bool = False,
    seed: int = 0,
    cut: str = "none",
    size: tuple[int, int] | None = None,
    resize: int | None = None,
    filter_: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    order: ColorOrder | None = None,
) -> Source:
    """Opens what is to be exported.

    Args:
        name: a backbone of the table, `timm/NAME`, `keras/NAME`, or the path of an `.onnx`, `.tflite` or `.keras` file.
        levels: `last` or `multi`.
        weights: a local file instead of the published weights; not for own files, which hold theirs.
        random_weights: untrained weights.
        seed: of random weights.
        cut: where an own file becomes an embedding: `none`, `auto` or a tensor's name.
        size: an own file's input, (width, height), pixels, where it leaves them free.
        resize: the short side that photos are scaled to before an own file's crop, pixels.
        filter_: `bilinear` or `bicubic`, for an own file.
        mean: what an own file's network has subtracted from its pixels, in pixel values.
        std: what it has them divided by.
        order: of the channels it takes.

    Raises:
        ExportError: nothing is known by this name, or what was given does not fit it.
        WeightsMissing: the weights are not on this machine and could not be downloaded.
    """
    suffix = Path(name).suffix.lower()
    file, keras = suffix in FILES, name.startswith("keras/")
    said = {"--cut": cut != "none", "--size": size, "--resize": resize, "--filter": filter_, "--mean": mean, "--std": std, "--order": order}
    options = [option for option, value in said.items() if value]
    if options and not file and not keras:
        raise ExportError(f"{', '.join(options)}: {name} states that itself; these options are for your own {', '.join(FILES)} files")
    if (file or keras) and levels != "last":
        raise ExportError(
            f"--levels {levels}: {name} is one network whose stages are not known; only the backbones of the table have levels"
        )
    if suffix in (".onnx", ".tflite"):
        if weights is not None or random_weights:
            raise ExportError(f"{name}: holds its weights; --weights and --random-weights belong to a named backbone")
        from edgetl_exporters.file_source import FileSource

        return FileSource(name, cut=cut, size=size, resize=resize, filter_=filter_, mean=mean, std=std, order=order)
    if file or keras:
        from edgetl_exporters.keras_source import KerasSource

        return KerasSource(
            name, file=weights, random=random_weights, seed=seed,
            cut=cut, size=size, resize=resize, filter_=filter_, mean=mean, std=std, order=order,
        )  # fmt: skip
    from edgetl_exporters.torch_source import TorchSource

    return TorchSource(name, multi=levels == "multi", file=weights, random=random_weights, seed=seed)
