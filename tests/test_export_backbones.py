"""The table of backbones, and that a folded graph computes what the network computed."""

import numpy as np
import pytest
import torch
from edgetl_exporters.backbones import graph, table, timm_import
from edgetl_exporters.pictures import scenes
from edgetl_exporters.sources.torch_source import TorchSource
from PIL import Image

from edgetl.errors import ExportError
from edgetl.inputs.photo import preprocess, source

graph.use_half_the_cores()  # as an export does

SMALL = "mobilenet_v3_small"


def unsettle(network) -> None:
    """Untrained batch normalisations are nearly the identity: these have something to fold."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                module.weight.data.uniform_(0.5, 2)
                module.bias.data.normal_(0, 0.1)


def test_an_unknown_backbone_is_an_error_with_the_known_ones() -> None:
    with pytest.raises(ExportError) as error:
        table.backbone("resnet9000")
    values = {"backbone": "resnet9000", "known": list(table.BACKBONES)}
    assert (error.value.code, error.value.values) == ("unknown-backbone", values)


def test_the_torchvision_rows_equal_torchvisions_own_metadata() -> None:
    models = table.torchvision_import.models()
    for row in [row for row in table.BACKBONES.values() if row.source == "torchvision"]:
        published = models.get_weight(row.weights_name.removeprefix("torchvision ")).transforms()
        assert published.crop_size == [row.image.width] == [row.image.height]
        assert published.resize_size == [row.image.resize]
        assert published.interpolation.value == row.image.filter
        np.testing.assert_allclose(row.mean, np.multiply(published.mean, 255))
        np.testing.assert_allclose(row.std, np.multiply(published.std, 255))


# The lengths of the levels, and where their stages are in the network itself: not in the table under test.
LEVELS = {
    "efficientnet_lite0": ((112, 192, 320, 1280), lambda network: [network._blocks[i] for i in (10, 14, 15)]),
    "efficientnet_lite1": ((112, 192, 320, 1280), lambda network: [network._blocks[i] for i in (14, 19, 20)]),
    "efficientnet_lite2": ((120, 208, 352, 1280), lambda network: [network._blocks[i] for i in (14, 19, 20)]),
    "mobilenet_v2": ((96, 160, 320, 1280), lambda network: [network.features[i] for i in (13, 16, 17)]),
    SMALL: ((48, 96, 576), lambda network: [network.features[i] for i in (8, 11)]),
    "mobilenet_v3_large": ((112, 160, 960), lambda network: [network.features[i] for i in (12, 15)]),
    "efficientnet_b0": ((112, 192, 320, 1280), lambda network: [network.features[i] for i in (5, 6, 7)]),
    "resnet50": ((1024, 2048), lambda network: [network.layer3]),
    "vgg16": ((512, 512), lambda network: [network.features[23]]),
}


@pytest.mark.parametrize("name", [name if name == SMALL else pytest.param(name, marks=pytest.mark.slow) for name in table.BACKBONES])
def test_the_folded_graph_and_its_levels_equal_the_unfolded_network(name: str) -> None:
    row = table.BACKBONES[name]
    lengths, blocks = LEVELS[name]
    network = row.build().eval()
    unsettle(network)
    pixels = scenes(2, row.image.width, row.image.height, seed=5)
    mean, std = (torch.tensor(values)[:, None, None] for values in (row.mean, row.std))
    expected: list[np.ndarray] = []
    hooks = [block.register_forward_hook(lambda _, __, maps: expected.append(maps.mean((2, 3)).numpy())) for block in blocks(network)]
    with torch.inference_mode():
        expected.append(row.features(network)((torch.from_numpy(pixels).permute(0, 3, 1, 2) - mean) / std).mean((2, 3)).numpy())
    for hook in hooks:
        hook.remove()
    built = graph.build(row, network, row.stages)
    assert built.std is None
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in built.modules())
    embeddings = np.split(graph.embed(built, pixels), np.cumsum(lengths)[:-1], axis=1)
    for level, stage in zip(embeddings, expected, strict=True):
        np.testing.assert_allclose(level, stage, rtol=1e-3, atol=1e-4 * np.abs(stage).max())
    assert graph.balance(built, pixels) == lengths
    balanced = np.split(graph.embed(built, pixels), np.cumsum(lengths)[:-1], axis=1)
    for level, before, scale in zip(balanced, embeddings, (*built.scales.values(), 1), strict=True):
        np.testing.assert_allclose(level, scale * before, rtol=1e-5)
    alone = graph.embed(graph.build(row, network), pixels)
    np.testing.assert_array_equal(alone, embeddings[-1])
    assert alone.shape == (2, row.dim)
    if (classifier := row.classifier(network)) is not None:
        with torch.inference_mode():
            assert classifier(torch.from_numpy(alone)).shape == (2, 1000)


TIMM = {  # name -> (d, batch normalisations that stay), one per way to build a network
    "timm/resnet10t": (512, 0),
    "timm/mobilenetv3_small_050": (1024, 0),  # convolves behind the pooling
    "timm/mobileone_s0": (1024, 0),  # branches side by side
    "timm/mobilenetv4_conv_small": (1280, 0),
    "timm/densenet121": (1024, 58 + 3 + 1),  # normalises before it convolves: in its layers, between its stages and at the end
    "timm/eca_nfnet_l0": (2304, 0),  # standardises its weights
    "timm/convnext_atto": (320, 0),
    "timm/vit_tiny_patch16_224": (192, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_a_timm_network_embeds_the_input_of_its_own_classifier(name: str) -> None:
    timm = timm_import.library()
    row = table.backbone(name)
    network = row.build().eval()
    unsettle(network)
    pixels = scenes(2, row.image.width, row.image.height, seed=5)
    config = timm.data.resolve_data_config(model=network)
    mean, std = (255 * torch.tensor(config[what]).view(1, 3, 1, 1) for what in ("mean", "std"))
    with torch.inference_mode():
        maps = network.forward_features((torch.from_numpy(pixels).permute(0, 3, 1, 2) - mean) / std)
        expected = network.forward_head(maps, pre_logits=True).numpy()
    built = graph.build(row, network)
    embeddings = graph.embed(built, pixels)
    left = sum(isinstance(module, torch.nn.BatchNorm2d) for module in built.modules())
    assert (row.dim, left) == TIMM[name]
    assert embeddings.shape == (2, row.dim)
    np.testing.assert_allclose(embeddings, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_a_timm_network_gets_photos_as_timm_prepares_them() -> None:
    """Against timm's own evaluation transform: the same crop, filter and normalisation."""
    timm = timm_import.library()
    # Noise, so that filters differ; sizes with an even margin, because halves of a pixel are rounded differently.
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8))
    for name in ("mobileone_s0", "vit_tiny_patch16_224"):
        row = table.backbone(f"timm/{name}")
        transform = timm.data.create_transform(**timm.data.resolve_data_config(model=timm.create_model(name)))
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (row.mean, row.std))
        embeddings = (torch.from_numpy(preprocess.tensor(source.load(photo), row.image)).permute(2, 0, 1) - mean) / std
        assert (embeddings - transform(photo)).abs().mean() < 0.01, name  # 0.6 gray levels: two roundings may differ


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("timm/resnet10", "unknown-backbone"),
        ("timm/zzzzzzzz", "unknown-backbone"),
        ("timm/resnet10t.none", "unknown-backbone"),
        ("timm/vit_base_patch16_clip_384", "backbone-not-supported"),  # squashed, not cropped
    ],
)
def test_a_timm_network_that_cannot_be_exported_is_an_error(name: str, code: str) -> None:
    with pytest.raises(ExportError) as error:
        table.backbone(name)
    assert (error.value.code, error.value.values["backbone"]) == (code, name)
    if name == "timm/resnet10":
        assert "timm/resnet10t" in error.value.values["near"]


@pytest.mark.slow
def test_levels_of_a_timm_network_are_an_error_with_the_backbones_that_have_them() -> None:
    with pytest.raises(ExportError) as error:
        TorchSource("timm/resnet10t", multi=True, random=True)
    assert error.value.code == "levels-not-offered"
    assert "efficientnet_lite0" in error.value.values["offered"]
