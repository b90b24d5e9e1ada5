"""timm's networks by name, each with its own preprocessing and its own way to pool."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgetl.errors import ExportError
from edgetl.types import ImageSpec
from edgetl_exporters.backbones import torchvision_import
from edgetl_exporters.backbones.backbone import Backbone

PREFIX = "timm/"

_FILTERS = ("bicubic", "bilinear")


class Features(nn.Module):  # type: ignore[misc]  # torch is untyped to mypy
    """The input of a network's classifier: pooled by its own head, which may convolve or normalise after the pooling.

    Networks with parallel branches in training (RepVGG, MobileOne, FastViT) are first merged into plain convolutions.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        from timm.utils.model import reparameterize_model

        self.network = reparameterize_model(network, inplace=True)

    def forward(self, image: torch.Tensor) -> Any:
        """Normalised float32 [n, 3, h, w] -> float32 [n, d]."""
        return self.network.forward_head(self.network.forward_features(image), pre_logits=True)


def backbone(name: str) -> Backbone:
    """The row of the table for `timm/NAME`; NAME may carry a tag, `resnet10t.c3_in1k`.

    Raises:
        ExportError: `library-missing`, `unknown-backbone`, or `backbone-not-supported` with the reason.
    """
    timm = library()
    short = name.removeprefix(PREFIX)
    if not timm.is_model(short):
        near = difflib.get_close_matches(short.partition(".")[0], timm.list_models(), 5, cutoff=0.5)
        listed = f"similar: {', '.join(PREFIX + other for other in near)}" if near else "timm.list_models() lists them"
        raise ExportError(
            f"timm {timm.__version__} has no network {short!r}; {listed}",
            code="unknown-backbone", backbone=name, near=[PREFIX + other for other in near],
        )  # fmt: skip
    try:
        stated = timm.models.get_pretrained_cfg(short).to_dict()
    except RuntimeError as error:
        raise ExportError(
            f"{name}: {error}; timm.list_pretrained('{short.partition('.')[0]}*') lists them", code="unknown-backbone", backbone=name
        ) from error
    image = _image(name, stated)
    return Backbone(
        name=name,
        source=f"timm {timm.__version__}",
        image=image,
        mean=_pixels(stated["mean"]),
        std=_pixels(stated["std"]),
        dim=_dim(name, timm.create_model, image),
        # A guess without measurements on trained weights, the same as for torchvision's networks.
        int8_bound=0.95,
        build=functools.partial(timm.create_model, short),
        features=lambda network: nn.Sequential(Features(network)),
        stages=(),
        classifier=_classifier,
        weights_name=f"Hugging Face {stated['hf_hub_id']} model.safetensors" if stated.get("hf_hub_id") else f"timm {short}",
        file_name=lambda: _file_name(stated),
        fetch=lambda: _fetch(stated),
    )


def library() -> Any:
    """Imports timm, after torchvision: timm's own import of it fails if torchvision's operators do not fit this torch.

    Raises:
        ExportError: `library-missing`.
    """
    torchvision_import.models()
    try:
        import timm
    except ImportError as error:
        raise ExportError(f"timm is not installed ({error}); pip install 'edgetl[timm]'", code="library-missing", library="timm") from error
    return timm


def _dim(name: str, create: Any, image: ImageSpec) -> int:
    """The embedding's length, from a network that has shapes and no values."""
    try:
        with torch.device("meta"), torch.no_grad():
            network = create(name.removeprefix(PREFIX)).eval()
            shape = tuple(
                network.forward_head(network.forward_features(torch.zeros(1, 3, image.height, image.width)), pre_logits=True).shape
            )
    except Exception as error:  # a thousand networks, each with its own exceptions
        raise _unsupported(
            name,
            f"its embedding cannot be separated from its classifier ({type(error).__name__}: {error}); supported are networks with "
            "forward_features and forward_head(pre_logits=True)",
        ) from error
    if len(shape) != 2:
        raise _unsupported(name, f"its classifier reads {list(shape)} for one photo; supported is one pooled vector [1, d]")
    return int(shape[1])


def _image(name: str, stated: Mapping[str, Any]) -> ImageSpec:
    """timm's evaluation transform (`timm.data.transforms_factory.transforms_imagenet_eval`) as an image spec."""
    channels, height, width = stated["input_size"]
    if channels != 3 or height != width:
        raise _unsupported(name, f"it takes images of {channels} channels, {height}x{width}; supported are square RGB images")
    if stated["crop_mode"] != "center":
        raise _unsupported(name, f"its photos are prepared by {stated['crop_mode']!r}; supported is a centre crop")
    if stated["interpolation"] not in _FILTERS:
        raise _unsupported(name, f"its photos are scaled by {stated['interpolation']!r}; supported are {' and '.join(_FILTERS)}")
    return ImageSpec(width, height, math.floor(height / stated["crop_pct"]), filter=stated["interpolation"])


def _unsupported(name: str, reason: str) -> ExportError:
    return ExportError(f"{name}: {reason}", code="backbone-not-supported", backbone=name, reason=reason)


def _pixels(values: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = (255 * value for value in values)
    return red, green, blue


def _classifier(network: Any) -> nn.Module | None:
    last = network.get_classifier()
    return last if isinstance(last, nn.Linear) else None


def _file_name(stated: Mapping[str, Any]) -> str:
    """A name that identifies the weights; on the Hub every file is called model.safetensors."""
    return f"{stated['architecture']}.{stated['tag']}.safetensors" if stated.get("tag") else f"{stated['architecture']}.safetensors"


def _fetch(stated: Mapping[str, Any]) -> Path:
    if not stated.get("hf_hub_id"):
        raise OSError("timm publishes no weights for it")
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(stated["hf_hub_id"], "model.safetensors"))
