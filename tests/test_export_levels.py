"""Which layers transfer: the levels of an embedding, against the network's own stages."""

from pathlib import Path

import edgetl_exporters
import numpy as np
import pytest
import torch
from edgetl_exporters import backbones, calibration, graph, parity, rounding, weights
from edgetl_exporters.pictures import scenes

from edgetl.bundle import Bundle
from edgetl.errors import ExportError, ParityError
from edgetl.runtimes import open_runtime

LITE0 = "efficientnet_lite0"
SMALL = "mobilenet_v3_small"
LENGTHS = {
    LITE0: (112, 192, 320, 1280),
    "efficientnet_lite1": (112, 192, 320, 1280),
    "efficientnet_lite2": (120, 208, 352, 1280),
    "mobilenet_v2": (96, 160, 320, 1280),
    SMALL: (48, 96, 576),
    "mobilenet_v3_large": (112, 160, 960),
    "efficientnet_b0": (112, 192, 320, 1280),
    "resnet50": (1024, 2048),
    "vgg16": (512, 512),
}
# Where these stages are in the network itself, and not in the table under test.
BLOCKS = {
    LITE0: lambda network: [network._blocks[i] for i in (10, 14, 15)],
    "efficientnet_lite1": lambda network: [network._blocks[i] for i in (14, 19, 20)],
    "efficientnet_lite2": lambda network: [network._blocks[i] for i in (14, 19, 20)],
    "mobilenet_v2": lambda network: [network.features[i] for i in (13, 16, 17)],
    SMALL: lambda network: [network.features[i] for i in (8, 11)],
    "mobilenet_v3_large": lambda network: [network.features[i] for i in (12, 15)],
    "efficientnet_b0": lambda network: [network.features[i] for i in (5, 6, 7)],
    "resnet50": lambda network: [network.layer3],
    "vgg16": lambda network: [network.features[23]],
}


def split(rows, lengths):
    return np.split(rows, np.cumsum(lengths)[:-1], axis=1)


def pooled_stages(network, name: str, pixels):
    """The pooled outputs of the original network's blocks, seen while it classifies."""
    row, seen = backbones.BACKBONES[name], []
    hooks = [block.register_forward_hook(lambda _, __, maps: seen.append(maps.mean((2, 3)).numpy())) for block in BLOCKS[name](network)]
    mean, std = (torch.tensor(values)[:, None, None] for values in (row.mean, row.std))
    with torch.inference_mode():
        network((torch.from_numpy(pixels).permute(0, 3, 1, 2) - mean) / std)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("name", [name if name == SMALL else pytest.param(name, marks=pytest.mark.slow) for name in backbones.BACKBONES])
def test_every_level_is_the_networks_own_pooled_stage_times_its_scale_and_the_last_is_what_it_is_alone(name: str) -> None:
    row = backbones.BACKBONES[name]
    network, _ = weights.load(row, random=True, seed=2)
    built = graph.build(row, network, row.stages)
    lengths = graph.balance(built, scenes(4, row.image.width, row.image.height, seed=3))
    assert lengths == LENGTHS[name]
    pixels = scenes(2, row.image.width, row.image.height, seed=4)
    *middle, last = split(graph.embed(built, pixels), lengths)
    for made, stage, scale in zip(middle, pooled_stages(network, name, pixels), built.scales.values(), strict=True):
        np.testing.assert_allclose(made, scale * stage, rtol=1e-3, atol=1e-4 * np.abs(made).max())
    np.testing.assert_array_equal(last, graph.embed(graph.build(row, network), pixels))


def test_no_level_drowns_another_on_pictures_that_balanced_nothing() -> None:
    row = backbones.BACKBONES[SMALL]
    built = graph.build(row, weights.load(row, random=True, seed=2)[0], row.stages)
    lengths = graph.balance(built, scenes(24, 224, 224, seed=3))
    energies = [level.var(0).sum() for level in split(graph.embed(built, scenes(24, 224, 224, seed=5)), lengths)]
    assert max(energies) < 1.5 * min(energies)
    again = dict(built.scales)
    assert graph.balance(built, scenes(24, 224, 224, seed=3)) == lengths
    assert built.scales == pytest.approx(again, rel=1e-5)
    assert rounding.rounded(built, scenes(2, 224, 224, seed=6), 127).scales == built.scales


@pytest.mark.slow
def test_a_bundle_states_its_levels_and_each_ones_parity(tmp_path: Path) -> None:
    asked = {"backbone": SMALL, "formats": ("onnx",), "precisions": ("fp32",), "levels": "multi", "random_weights": True}
    result = edgetl_exporters.export(output=tmp_path / "multi.edgetl", **asked)
    bundle = Bundle.open(tmp_path / "multi.edgetl")
    (variant,) = bundle.variants.values()
    assert result.levels == bundle.levels == bundle.fingerprint(variant).levels == LENGTHS[SMALL]
    assert bundle.dim == sum(LENGTHS[SMALL])
    assert tuple(level["length"] for level in variant.recipe["levels"]) == LENGTHS[SMALL]
    assert all(level["cosine_min"] > 0.9999 for level in variant.recipe["levels"])
    assert variant.recipe["levels"][-1]["scale"] == 1
    with pytest.raises(ExportError, match="unknown levels 'all'; known are last, multi"):
        edgetl_exporters.export(output=tmp_path / "x", **{**asked, "levels": "all"})


def test_a_small_level_that_went_wrong_is_refused_though_the_whole_is_near() -> None:
    expected = np.random.default_rng(0).normal(size=(30, 100)).astype(np.float32)
    made = expected.copy()
    made[:, :4] += np.random.default_rng(1).normal(size=(30, 4))
    parity.check("onnx-int8", parity.measure(expected, made, 0.98), "try it")
    with pytest.raises(ParityError, match=r"onnx-int8, level 1 of 2: .*try it"):
        parity.levels("onnx-int8", expected, made, (4, 96), 0.98, "try it")
    assert [level.cosine_min for level in parity.levels("onnx-int8", expected, expected, (4, 96), 0.98, "")] == pytest.approx([1, 1])


@pytest.mark.slow
def test_the_default_backbones_levels_are_right_in_every_format_and_precision(data: Path, tmp_path: Path) -> None:
    edgetl_exporters.export(output=tmp_path / "multi.edgetl", levels="multi", photos=data / "imagenet-sample")
    bundle = Bundle.open(tmp_path / "multi.edgetl")
    assert (bundle.levels, bundle.dim) == (LENGTHS[LITE0], 1904)
    row = backbones.BACKBONES[LITE0]
    network, _ = weights.load(row)
    held_back = calibration.collect(data / "imagenet-sample", row.image).held_back
    expected = [*pooled_stages(network, LITE0, held_back), graph.embed(graph.build(row, network), held_back)]
    for variant in bundle.variants.values():
        proved = variant.recipe["levels"]
        assert min(level["cosine_mean"] for level in proved) >= (0.9999 if variant.precision == "fp32" else 0.99), (variant.name, proved)
        runtime = open_runtime(variant.family, bundle.model(variant), 1)
        levels = split(np.concatenate([runtime.embed(image[None]) for image in held_back]), bundle.levels)
        runtime.close()
        energies = [level.var(0).sum() for level in levels]
        assert max(energies) < 1.25 * min(energies), (variant.name, energies)
        for made, stage, level in zip(levels, expected, proved, strict=True):
            error = np.sqrt(((made - level["scale"] * stage) ** 2).sum() / (level["scale"] * stage).var(0).sum() / len(made))
            assert error < (1e-4 if variant.precision == "fp32" else 0.12), (variant.name, level, error)
