"""The table of backbones: what it says, and that a folded graph computes what the network computed."""

import numpy as np
import pytest
import torch
from edgetl_exporters import backbones, graph, weights
from edgetl_exporters.pictures import scenes

from edgetl.errors import ExportError

SMALL = "mobilenet_v3_small"


def test_an_unknown_backbone_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ExportError, match=r"efficientnet_lite0, .*, mobilenet_v2"):
        backbones.backbone("resnet9000")


def test_the_torchvision_rows_of_the_table_are_what_torchvision_says() -> None:
    models = backbones.torchvision_import.models()
    for row in [row for row in backbones.BACKBONES.values() if row.source == "torchvision"]:
        published = models.get_weight(row.weights_name.removeprefix("torchvision ")).transforms()
        assert published.crop_size == [row.image.width] == [row.image.height]
        assert published.resize_size == [row.image.resize]
        assert published.interpolation.value == row.image.filter
        np.testing.assert_allclose(row.mean, np.multiply(published.mean, 255))
        np.testing.assert_allclose(row.std, np.multiply(published.std, 255))


@pytest.mark.parametrize("name", [name if name == SMALL else pytest.param(name, marks=pytest.mark.slow) for name in backbones.BACKBONES])
def test_the_folded_graph_computes_what_the_unfolded_network_computes(name: str) -> None:
    row = backbones.BACKBONES[name]
    network, _ = weights.load(row, random=True)
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # untrained ones are nearly the identity: give them something to fold
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
    pixels = scenes(2, row.image.width, row.image.height, seed=5)
    normalised = (torch.from_numpy(pixels).permute(0, 3, 1, 2) - torch.tensor(row.mean).view(1, 3, 1, 1)) / torch.tensor(row.std).view(
        1, 3, 1, 1
    )
    with torch.inference_mode():
        expected = row.features(network)(normalised).mean((2, 3)).numpy()
    made = graph.embed(graph.build(row, network), pixels)
    assert made.shape == (2, row.dim)
    np.testing.assert_allclose(made, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    if (classifier := row.classifier(network)) is not None:
        with torch.inference_mode():
            assert classifier(torch.from_numpy(made)).shape == (2, 1000)
