"""The search for repairs, on a network of four layers with planted defects whose repair is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx
import pytest
import tiny_onnx
import torch
from edgetl_exporters import parity, report
from edgetl_exporters.backbones.backbone import Weights
from edgetl_exporters.backbones.graph import Graph, embed
from edgetl_exporters.convert import to_onnx
from edgetl_exporters.pictures import scenes
from edgetl_exporters.quantise import equalisation, ranges, recipes, rounding
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.sources.base import NetworkSource
from edgetl_exporters.variants import noise, repair
from torch import nn

from edgetl.errors import ExportError
from edgetl.runtimes import open_runtime
from edgetl.types import Embeddings, ImageSpec, Pixels

BASE = recipes.recipe("onnx", "int8", "onnx-u8s8")
CALIBRATING, CHOOSING = (scenes(count, tiny_onnx.SIDE, tiny_onnx.SIDE, seed=count) for count in (40, 20))
HUGE = 60.0


class Tiny(NetworkSource):
    """One ONNX file as a source; it keeps the recipes and photos of every call."""

    def __init__(self, model: bytes, *, closed: bool = False) -> None:
        self.name, self.package, self.weights = "tiny", "tests", Weights("made by hand", None, True)
        self.image = ImageSpec(tiny_onnx.SIDE, tiny_onnx.SIDE, tiny_onnx.SIDE + 2)
        self.mean, self.std, self.dim, self.int8_bound = (127.0,) * 3, (1.0,) * 3, tiny_onnx.DIM, 0.98
        self.model, self.closed, self.calls = model, closed, []

    def embed(self, tensors: Pixels) -> Embeddings:
        return run(self.model, tensors)

    def libraries(self, format_: str) -> tuple[str, ...]:
        return ("onnxruntime",)

    def network(self, recipe: Recipe, photos: Pixels | None = None) -> bytes | None:
        return None if self.closed else equalisation.network_for(recipe, self.model, photos)

    def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
        self.calls.append((recipe, photos))
        return {"model.onnx": to_onnx.quantise(equalisation.network_for(recipe, self.model, photos), photos, recipe)}


def run(model: bytes, tensors: Pixels) -> Embeddings:
    runtime = open_runtime("onnxruntime", {"model.onnx": model}, 1)
    embeddings = np.concatenate([runtime.embed(tensor[None]) for tensor in tensors])
    runtime.close()
    return embeddings


def search(source: NetworkSource, bound: float, calibrating: Pixels = CALIBRATING) -> tuple[Recipe, Mapping[str, bytes], repair.Search]:
    searcher = repair.Searcher(source, calibrating, CHOOSING, lambda _, files, tensors: (run(next(iter(files.values())), tensors), 1.0))
    return searcher.search(BASE, bound)


def test_a_healthy_network_is_searched_no_further_than_its_base_recipe() -> None:
    source = Tiny(tiny_onnx.model(tiny_onnx.weights()))
    recipe, _, result = search(source, 0.98)
    assert (recipe, result.met, result.layers, len(source.calls)) == (BASE, True, (), 1)
    (step,) = result.steps
    assert (step.repair, step.gained, step.count) == ("base", 0.0, 20)
    assert step.cosine_mean > step.cosine_low > 0.999


def test_scaling_repairs_one_huge_channel_without_float_layers() -> None:
    source = Tiny(tiny_onnx.model(tiny_onnx.weights(huge=HUGE)))
    recipe, files, result = search(source, 0.999)
    assert result.met
    assert [step.repair for step in result.steps] == ["base", "mse-ranges", "equalised"]
    assert (result.floats, recipe.equalised, recipe.floats) == ((), True, ())
    base, healed = result.steps[0], result.steps[-1]
    assert base.cosine_mean < 0.99 < 0.999 < healed.cosine_low
    best = -np.inf
    for number, step in enumerate(result.steps):
        if number:
            assert step.gained == pytest.approx(step.cosine_mean - best)
        best = max(best, step.cosine_mean)
    # What is stated is what the taken files give, and no calibrating photo chose anything.
    assert parity.cosines(source.embed(CHOOSING), run(files["model.onnx"], CHOOSING)).mean() == pytest.approx(healed.cosine_mean)
    assert all(photos is CALIBRATING for _, photos in source.calls)
    assert recipe.stated()["equalised"] is True


def test_layers_that_cannot_be_scaled_stay_in_float_the_costliest_first() -> None:
    source = Tiny(sigmoid_behind("depthwise", tiny_onnx.model(tiny_onnx.weights(huge=HUGE))))
    recipe, _, result = search(source, 1.1)
    assert not result.met
    worst = [layer.lost for layer in result.layers]
    assert worst == sorted(worst, reverse=True)
    assert worst[0] > 0
    names = [layer.name for layer in result.layers]
    assert result.floats == tuple(names[: len(recipe.floats)])
    assert [(step.repair, step.floats, step.layers) for step in result.steps][-2:] == [("float-layers", 1, 4), ("float-layers", 2, 4)]


def sigmoid_behind(layer: str, model: bytes) -> bytes:
    """The network with a sigmoid, through which no scale passes, in place of the Relu behind a layer."""
    network = onnx.load_from_string(model)
    next(node for node in network.graph.node if node.name == f"{layer} relu").op_type = "Sigmoid"
    return bytes(network.SerializeToString())


def test_cut_ranges_repair_one_photo_that_stretches_every_range() -> None:
    weights = tiny_onnx.weights()
    stretched = CALIBRATING.copy()
    stretched[7] = 127
    weights["stem"][0, :, 1, 1] = 0.9  # a channel that only a burnt-out spot drives
    stretched[7, 8:10, 8:10] = 255
    source = Tiny(tiny_onnx.model(weights))
    _, _, result = search(source, 0.9999, stretched)
    assert result.steps[1].repair == "mse-ranges"
    assert result.steps[1].gained > 0


def test_an_unreachable_bound_is_not_met_and_the_best_recipe_is_returned() -> None:
    recipe, files, result = search(Tiny(tiny_onnx.model(tiny_onnx.weights(huge=HUGE))), 1.1)
    assert not result.met
    assert files
    best = max(result.steps, key=lambda step: step.cosine_mean)
    assert (best.floats, "equalised" in best.repair) == (len(recipe.floats), recipe.equalised and not recipe.floats)
    table = report.search_table(result)
    assert all(report.repair(step) in table for step in result.steps)
    assert f"{result.layers[0].name} {result.layers[0].snr:.1f}" in table


def test_a_converter_of_its_own_is_tried_once_and_unsupported_repairs_are_skipped() -> None:
    source = Tiny(tiny_onnx.model(tiny_onnx.weights(huge=HUGE)), closed=True)
    assert len(search(source, 0.999)[2].steps) == 1

    class NoLayers(Tiny):
        def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
            if recipe.floats:
                raise ExportError("no layer can be kept in float")
            return super().files(recipe, photos)

    result = search(NoLayers(source.model), 1.1)[2]
    assert [step.repair for step in result.steps] == ["base", "mse-ranges", "equalised", "equalised-mse-ranges"]


def test_only_a_layer_in_float_is_not_an_integer_convolution() -> None:
    model = tiny_onnx.model(tiny_onnx.weights())
    network = onnx.load_from_string(to_onnx.quantise(model, CALIBRATING, dataclasses.replace(BASE, floats=(1,))))
    read = {node.name: node.input[1] for node in network.graph.node if node.op_type == "Conv"}
    assert {name: weight.endswith("DequantizeLinear_Output") for name, weight in read.items()} == {
        "stem": True,
        "depthwise": False,
        "pointwise": True,
        "head": True,
    }


def test_a_float_layer_reads_the_float_tensor_of_another_float_layer() -> None:
    model = onnx.load_from_string(tiny_onnx.model(tiny_onnx.weights()))
    relu = next(node for node in model.graph.node if node.name == "depthwise relu")
    summed = onnx.helper.make_node("Add", ["depthwise in", relu.output[0]], ["sum"], "sum")
    model.graph.node.insert(list(model.graph.node).index(relu) + 1, summed)
    next(node for node in model.graph.node if node.name == "pointwise").input[0] = "sum"
    names = [layer.nodes for layer in ranges.read(model.SerializeToString()).layers]
    assert "sum" in names[1], "the sum belongs to the depthwise layer"
    network = onnx.load_from_string(to_onnx.quantise(model.SerializeToString(), CALIBRATING, dataclasses.replace(BASE, floats=(0, 1))))
    assert next(node for node in network.graph.node if node.name == "depthwise").input[0] == "depthwise in"


def test_weights_that_lie_on_a_grid_already_stay_on_it_to_the_bit() -> None:
    random = np.random.default_rng(5)
    weights = tiny_onnx.weights()
    grids = {}
    for name, weight in weights.items():
        integers = random.integers(-127, 128, weight.shape).astype(np.int8)
        integers.reshape(len(weight), -1)[:, 0] = 127
        scales = random.uniform(0.001, 0.02, (len(weight), 1, 1, 1)).astype(np.float32)
        weights[name], grids[name] = integers * scales, integers
    network = onnx.load_from_string(to_onnx.quantise(tiny_onnx.model(weights), CALIBRATING, BASE))
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in network.graph.initializer}
    for name, integers in grids.items():
        np.testing.assert_array_equal(stored[f"{name}.weight_quantized"], integers)


def test_noise_of_one_layer_equals_that_of_the_whole_network() -> None:
    random = np.random.default_rng(0)
    signal = random.normal(0, 3, 1000)
    error = random.normal(0, 0.03, 1000)
    assert noise.ratio((signal**2).sum(), (error**2).sum()) == pytest.approx(20 * np.log10(np.linalg.norm(signal) / np.linalg.norm(error)))
    assert noise.ratio(np.array([1.0, 1.0]), np.array([0.0, 1.0])).tolist() == [120.0, 0.0]

    model = tiny_onnx.model({"stem": tiny_onnx.weights()["stem"]})
    quantised = to_onnx.quantise(model, CALIBRATING, BASE)
    (layer,) = noise.measure(model, quantised, CALIBRATING)
    expected, embeddings = (outputs(each, "embedding") for each in (model, quantised))
    alone = parity.cosines(*(each[:6, 0] for each in (expected, embeddings)))
    assert layer.lost == pytest.approx(1 - alone.mean(), abs=1e-6)
    assert layer.snr == pytest.approx(20 * np.log10(np.linalg.norm(expected) / np.linalg.norm(embeddings - expected)), abs=0.01)


def outputs(model: bytes, tensor: str) -> np.ndarray:
    """A tensor inside of a network on the photos that noise is measured on."""
    network = onnx.load_from_string(model)
    del network.graph.output[:]
    network.graph.output.append(onnx.helper.make_empty_tensor_value_info(tensor))
    session = ranges.session(network.SerializeToString())
    return np.stack([session.run([tensor], {"image": photo[None]})[0] for photo in CALIBRATING[: noise.PHOTOS]])


def test_ranges_equal_numpys() -> None:
    float_ = ranges.read(tiny_onnx.model(tiny_onnx.weights()))
    values = np.stack([outputs(float_.model, "depthwise out")[i] for i in range(noise.PHOTOS)])
    photos = CALIBRATING[: noise.PHOTOS]
    low, high = float_.ranges(photos, "minmax")["depthwise out"]
    assert (low, high) == pytest.approx((values.min(), values.max()))
    # The best of the ranges that were tried, by brute force.
    errors = [rounding_error(values, low * clip, high * clip) for clip in np.linspace(0.2, 1, 81)]
    assert rounding_error(values, *float_.ranges(photos, "mse")["depthwise out"]) <= 1.02 * min(errors)


def rounding_error(values: np.ndarray, low: float, high: float) -> float:
    scale = (high - low) / 255
    return float((((np.clip(values, low, high) - low) / scale).round() * scale + low - values).var())


class Standardised(nn.Conv2d):
    """A convolution that computes its weights in every pass."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(maps, weight / weight.std((1, 2, 3), keepdim=True), self.bias, padding=1)


def test_rounded_weights_lie_on_their_grid_and_keep_the_mean_output() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(Standardised(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 5, 1, bias=False))
    coarse = rounding.rounded(float_ := Graph(layers, (127.0,) * 3, tiny_onnx.SIDE).eval(), CALIBRATING, 15)
    torch.testing.assert_close(coarse.features[0].weight, float_.features[0].weight)
    steps = coarse.features[2].weight.detach().flatten(1)
    steps = steps / steps.abs().amax(1, keepdim=True) * 15
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    assert not torch.equal(coarse.features[2].weight, float_.features[2].weight)
    expected, rounded = (embed(each, CALIBRATING) for each in (float_, coarse))
    shift = np.abs((rounded - expected).mean(0))
    assert shift.max() < 0.05 * np.abs(rounded - expected).std()


def test_of_several_levels_the_worst_one_counts() -> None:
    random = np.random.default_rng(1)
    expected = random.normal(size=(30, 9)).astype(np.float32)
    embeddings = expected.copy()
    embeddings[:, :2] += random.normal(0, 0.3, (30, 2))
    cosines = parity.cosines(expected[:, :2], embeddings[:, :2])
    mean, low = repair.worst_level(expected, embeddings, (2, 7))
    assert mean == pytest.approx(cosines.mean())
    assert low == pytest.approx(cosines.mean() - 1.645 * cosines.std(ddof=1) / 30**0.5)
    assert repair.worst_level(expected, embeddings, ())[0] > mean
