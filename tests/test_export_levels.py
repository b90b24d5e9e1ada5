"""The levels of an embedding, against the network's own stages."""

from pathlib import Path

import edgetl_exporters
import numpy as np
import pytest
from edgetl_exporters import parity
from edgetl_exporters.backbones import graph, table, weights
from edgetl_exporters.pictures import scenes
from edgetl_exporters.quantise import calibration, rounding

from edgetl.bundle.bundle import Bundle
from edgetl.errors import ExportError, ParityError
from edgetl.runtimes import open_runtime

graph.use_half_the_cores()  # as an export does

LITE0 = "efficientnet_lite0"
SMALL = "mobilenet_v3_small"
LENGTHS = {LITE0: (112, 192, 320, 1280), SMALL: (48, 96, 576)}


def split(rows, lengths):
    return np.split(rows, np.cumsum(lengths)[:-1], axis=1)


def test_levels_are_balanced_on_other_pictures_than_those_that_balanced() -> None:
    row = table.BACKBONES[SMALL]
    built = graph.build(row, weights.load(row, random=True, seed=2)[0], row.stages)
    lengths = graph.balance(built, scenes(24, 224, 224, seed=3))
    energies = [level.var(0).sum() for level in split(graph.embed(built, scenes(24, 224, 224, seed=5)), lengths)]
    assert max(energies) < 1.5 * min(energies)
    again = dict(built.scales)
    assert graph.balance(built, scenes(24, 224, 224, seed=3)) == lengths
    assert built.scales == pytest.approx(again, rel=1e-5)
    assert rounding.rounded(built, scenes(2, 224, 224, seed=6), 127).scales == built.scales


@pytest.mark.slow
def test_a_bundle_states_its_levels_and_the_parity_of_each(tmp_path: Path) -> None:
    options = {"backbone": SMALL, "formats": ("onnx",), "precisions": ("fp32",), "levels": "multi", "random_weights": True}
    result = edgetl_exporters.export(output=tmp_path / "multi.edgetl", **options)
    bundle = Bundle.open(tmp_path / "multi.edgetl")
    (variant,) = bundle.variants.values()
    assert result.levels == bundle.levels == bundle.fingerprint(variant).levels == LENGTHS[SMALL]
    assert bundle.dim == sum(LENGTHS[SMALL])
    assert tuple(level["length"] for level in variant.recipe["levels"]) == LENGTHS[SMALL]
    assert all(level["cosine_min"] > 0.9999 for level in variant.recipe["levels"])
    assert variant.recipe["levels"][-1]["scale"] == 1
    with pytest.raises(ExportError) as error:
        edgetl_exporters.export(output=tmp_path / "x", **{**options, "levels": "all"})
    assert (error.value.code, error.value.values) == ("unknown-levels", {"levels": "all"})


def test_a_wrong_small_level_is_an_error_although_the_whole_is_close() -> None:
    expected = np.random.default_rng(0).normal(size=(30, 100)).astype(np.float32)
    wrong = expected.copy()
    wrong[:, :4] += np.random.default_rng(1).normal(size=(30, 4))
    parity.check("onnx-int8", parity.measure(expected, wrong, 0.98), "try it")
    with pytest.raises(ParityError) as error:
        parity.levels("onnx-int8", expected, wrong, (4, 96), 0.98, "try it")
    assert error.value.values["variant"] == "onnx-int8, level 1 of 2"
    assert [level.cosine_min for level in parity.levels("onnx-int8", expected, expected, (4, 96), 0.98, "")] == pytest.approx([1, 1])


@pytest.mark.slow
def test_levels_are_correct_in_every_format_and_precision(data: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for photo in sorted((data / "imagenet-sample").glob("*.jp*g"))[::8]:
        (photos / photo.name).symlink_to(photo)
    edgetl_exporters.export(output=tmp_path / "multi.edgetl", levels="multi", photos=photos)
    bundle = Bundle.open(tmp_path / "multi.edgetl")
    assert (bundle.levels, bundle.dim) == (LENGTHS[LITE0], 1904)
    row = table.BACKBONES[LITE0]
    network, _ = weights.load(row)
    held_back = calibration.collect(photos, row.image).held_back
    assert len(held_back) >= 20
    expected = split(graph.embed(graph.build(row, network, row.stages), held_back), bundle.levels)
    for variant in bundle.variants.values():
        proved = variant.recipe["levels"]
        assert min(level["cosine_mean"] for level in proved) >= (0.9999 if variant.precision == "fp32" else 0.99), (variant.name, proved)
        runtime = open_runtime(variant.family, bundle.model(variant), 1)
        levels = split(np.concatenate([runtime.embed(image[None]) for image in held_back]), bundle.levels)
        runtime.close()
        energies = [level.var(0).sum() for level in levels]
        assert max(energies) < 1.25 * min(energies), (variant.name, energies)
        for embeddings, stage, level in zip(levels, expected, proved, strict=True):
            error = np.sqrt(((embeddings - level["scale"] * stage) ** 2).sum() / (level["scale"] * stage).var(0).sum() / len(embeddings))
            assert error < (1e-4 if variant.precision == "fp32" else 0.12), (variant.name, level, error)
