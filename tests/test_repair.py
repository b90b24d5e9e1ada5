"""The search for repairs, on a network of four layers with planted pathologies whose cure is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx
import pytest
import tiny_onnx
import torch
from edgetl_exporters import parity
from edgetl_exporters.backbones.backbone import Weights
from edgetl_exporters.backbones.graph import Graph, embed
from edgetl_exporters.convert import to_onnx
from edgetl_exporters.pictures import scenes
from edgetl_exporters.quantise import equalisation, ranges, recipes, rounding
from edgetl_exporters.quantise.recipes import Recipe
from edgetl_exporters.sources.base import Source
from edgetl_exporters.variants import noise, repair
from torch import nn

from edgetl.errors import ExportError
from edgetl.runtimes import open_runtime
from edgetl.types import Embeddings, ImageSpec, Pixels

BASE = recipes.recipe("onnx", "int8", "onnx-u8s8")
CALIBRATING, CHOOSING = (scenes(count, tiny_onnx.SIDE, tiny_onnx.SIDE, seed=count) for count in (40, 20))
HUGE = 60.0


class Tiny(Source):
    """One ONNX file as a source; it remembers what it was asked for, and with which photos."""

    def __init__(self, model: bytes, *, closed: bool = False) -> None:
        self.name, self.package, self.weights = "tiny", "tests", Weights("made by hand", None, True)
        self.image = ImageSpec(tiny_onnx.SIDE, tiny_onnx.SIDE, tiny_onnx.SIDE + 2)
        self.mean, self.std, self.dim, self.int8_bound = (127.0,) * 3, (1.0,) * 3, tiny_onnx.DIM, 0.98
        self.model, self.closed, self.asked = model, closed, []

    def embed(self, tensors: Pixels) -> Embeddings:
        return run(self.model, tensors)

    def libraries(self, format_: str) -> tuple[str, ...]:
        return ("onnxruntime",)

    def network(self, recipe: Recipe, photos: Pixels | None = None) -> bytes | None:
        return None if self.closed else equalisation.network_for(recipe, self.model, photos)

    def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
        self.asked.append((recipe, photos))
        return {"model.onnx": to_onnx.quantise(equalisation.network_for(recipe, self.model, photos), photos, recipe)}


def run(model: bytes, tensors: Pixels) -> Embeddings:
    runtime = open_runtime("onnxruntime", {"model.onnx": model}, 1)
    made = np.concatenate([runtime.embed(tensor[None]) for tensor in tensors])
    runtime.close()
    return made


def search(source: Source, bound: float, calibrating: Pixels = CALIBRATING) -> tuple[Recipe, Mapping[str, bytes], repair.Search]:
    searcher = repair.Searcher(source, calibrating, CHOOSING, lambda _, files, tensors: (run(next(iter(files.values())), tensors), 1.0))
    return searcher.search(BASE, bound)


def test_a_healthy_network_is_searched_no_further_than_its_base_recipe() -> None:
    source = Tiny(tiny_onnx.model(tiny_onnx.weights()))
    recipe, _, found = search(source, 0.98)
    assert (recipe, found.met, found.layers, len(source.asked)) == (BASE, True, (), 1)
    (step,) = found.steps
    assert (step.repair, step.gained, step.count) == ("base recipe", 0.0, 20)
    assert step.cosine_mean > step.cosine_low > 0.999


def test_one_huge_channel_is_healed_by_scaling_it_and_no_layer_leaves_the_integers() -> None:
    source = Tiny(tiny_onnx.model(tiny_onnx.weights(huge=HUGE)))
    recipe, files, found = search(source, 0.999)
    assert found.met
    assert [step.repair for step in found.steps] == ["base recipe", "mse ranges", "equalised channels"]
    assert (found.floats, recipe.equalised, recipe.floats) == ((), True, ())
    base, healed = found.steps[0], found.steps[-1]
    assert base.cosine_mean < 0.99 < 0.999 < healed.cosine_low
    best = -np.inf
    for number, step in enumerate(found.steps):
        if number:
            assert step.gained == pytest.approx(step.cosine_mean - best)
        best = max(best, step.cosine_mean)
    # What is stated is what the taken files give, and no calibrating photo chose anything.
    assert parity.cosines(source.embed(CHOOSING), run(files["model.onnx"], CHOOSING)).mean() == pytest.approx(healed.cosine_mean)
    assert all(photos is CALIBRATING for _, photos in source.asked)
    assert recipe.stated()["equalised"] is True


def test_what_cannot_be_scaled_stays_in_float_and_the_layer_that_costs_most_is_named_first() -> None:
    source = Tiny(sigmoid_behind("depthwise", tiny_onnx.model(tiny_onnx.weights(huge=HUGE))))
    recipe, _, found = search(source, 1.1)
    assert not found.met
    worst = [layer.lost for layer in found.layers]
    assert worst == sorted(worst, reverse=True)
    assert worst[0] > 0
    names = [layer.name for layer in found.layers]
    assert found.floats == tuple(names[: len(recipe.floats)])
    assert [step.repair for step in found.steps][-2:] == ["worst 1 of 4 layers in float", "worst 2 of 4 layers in float"]


def sigmoid_behind(layer: str, model: bytes) -> bytes:
    """The network with a sigmoid, through which no scale passes, in place of the Relu behind a layer."""
    made = onnx.load_from_string(model)
    next(node for node in made.graph.node if node.name == f"{layer} relu").op_type = "Sigmoid"
    return bytes(made.SerializeToString())


def test_one_photo_that_stretches_every_range_is_healed_by_cutting_them() -> None:
    given = tiny_onnx.weights()
    stretched = CALIBRATING.copy()
    stretched[7] = 127
    given["stem"][0, :, 1, 1] = 0.9  # a channel that only a burnt-out spot drives
    stretched[7, 8:10, 8:10] = 255
    source = Tiny(tiny_onnx.model(given))
    _, _, found = search(source, 0.9999, stretched)
    assert found.steps[1].repair == "mse ranges"
    assert found.steps[1].gained > 0


def test_a_bound_that_nothing_reaches_is_not_met_and_the_best_recipe_is_told() -> None:
    recipe, files, found = search(Tiny(tiny_onnx.model(tiny_onnx.weights(huge=HUGE))), 1.1)
    assert not found.met
    assert files
    best = max(found.steps, key=lambda step: step.cosine_mean)
    assert ("float" in best.repair, "equalised" in best.repair) == (len(recipe.floats) > 0, recipe.equalised and not recipe.floats)
    said = found.table()
    assert all(step.repair in said for step in found.steps)
    assert f"{found.layers[0].name} {found.layers[0].snr:.1f} dB" in said


def test_a_converter_of_its_own_is_tried_once_and_a_repair_it_refuses_is_passed_over() -> None:
    source = Tiny(tiny_onnx.model(tiny_onnx.weights(huge=HUGE)), closed=True)
    assert len(search(source, 0.999)[2].steps) == 1

    class NoLayers(Tiny):
        def files(self, recipe: Recipe, photos: Pixels | None) -> Mapping[str, bytes]:
            if recipe.floats:
                raise ExportError("no layer can be kept in float")
            return super().files(recipe, photos)

    found = search(NoLayers(source.model), 1.1)[2]
    assert [step.repair for step in found.steps] == ["base recipe", "mse ranges", "equalised channels", "equalised channels, mse ranges"]


def test_a_layer_in_float_is_no_integer_convolution_and_the_others_are() -> None:
    model = tiny_onnx.model(tiny_onnx.weights())
    made = onnx.load_from_string(to_onnx.quantise(model, CALIBRATING, dataclasses.replace(BASE, floats=(1,))))
    read = {node.name: node.input[1] for node in made.graph.node if node.op_type == "Conv"}
    assert {name: weight.endswith("DequantizeLinear_Output") for name, weight in read.items()} == {
        "stem": True,
        "depthwise": False,
        "pointwise": True,
        "head": True,
    }


def test_a_layer_in_float_reads_the_float_tensor_of_another_one_although_a_sum_reads_it_rounded() -> None:
    model = onnx.load_from_string(tiny_onnx.model(tiny_onnx.weights()))
    relu = next(node for node in model.graph.node if node.name == "depthwise relu")
    summed = onnx.helper.make_node("Add", ["depthwise in", relu.output[0]], ["sum"], "sum")
    model.graph.node.insert(list(model.graph.node).index(relu) + 1, summed)
    next(node for node in model.graph.node if node.name == "pointwise").input[0] = "sum"
    names = [layer.nodes for layer in ranges.read(model.SerializeToString()).layers]
    assert "sum" in names[1], "the sum belongs to the depthwise layer"
    made = onnx.load_from_string(to_onnx.quantise(model.SerializeToString(), CALIBRATING, dataclasses.replace(BASE, floats=(0, 1))))
    assert next(node for node in made.graph.node if node.name == "depthwise").input[0] == "depthwise in"


def test_weights_that_lie_on_a_grid_already_stay_on_it_to_the_bit() -> None:
    random = np.random.default_rng(5)
    given = tiny_onnx.weights()
    grids = {}
    for name, weight in given.items():
        integers = random.integers(-127, 128, weight.shape).astype(np.int8)
        integers.reshape(len(weight), -1)[:, 0] = 127
        scales = random.uniform(0.001, 0.02, (len(weight), 1, 1, 1)).astype(np.float32)
        given[name], grids[name] = integers * scales, integers
    made = onnx.load_from_string(to_onnx.quantise(tiny_onnx.model(given), CALIBRATING, BASE))
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    for name, integers in grids.items():
        np.testing.assert_array_equal(stored[f"{name}.weight_quantized"], integers)


def test_the_ratio_is_the_textbooks_and_of_one_layer_the_noise_is_what_the_whole_network_has() -> None:
    random = np.random.default_rng(0)
    signal = random.normal(0, 3, 1000)
    error = random.normal(0, 0.03, 1000)
    assert noise.ratio((signal**2).sum(), (error**2).sum()) == pytest.approx(20 * np.log10(np.linalg.norm(signal) / np.linalg.norm(error)))
    assert noise.ratio(np.array([1.0, 1.0]), np.array([0.0, 1.0])).tolist() == [120.0, 0.0]

    model = tiny_onnx.model({"stem": tiny_onnx.weights()["stem"]})
    quantised = to_onnx.quantise(model, CALIBRATING, BASE)
    (layer,) = noise.measure(model, quantised, CALIBRATING)
    expected, made = (outputs(each, "embedding") for each in (model, quantised))
    alone = parity.cosines(*(each[:6, 0] for each in (expected, made)))
    assert layer.lost == pytest.approx(1 - alone.mean(), abs=1e-6)
    assert layer.snr == pytest.approx(20 * np.log10(np.linalg.norm(expected) / np.linalg.norm(made - expected)), abs=0.01)


def outputs(model: bytes, tensor: str) -> np.ndarray:
    """A tensor inside of a network on the photos that noise is measured on."""
    made = onnx.load_from_string(model)
    del made.graph.output[:]
    made.graph.output.append(onnx.helper.make_empty_tensor_value_info(tensor))
    session = ranges.session(made.SerializeToString())
    return np.stack([session.run([tensor], {"image": photo[None]})[0] for photo in CALIBRATING[: noise.PHOTOS]])


def test_ranges_are_what_numpy_finds() -> None:
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
    """A convolution that makes its weights anew at every pass."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(maps, weight / weight.std((1, 2, 3), keepdim=True), self.bias, padding=1)


def test_rounded_weights_lie_on_their_grid_keep_the_mean_output_and_leave_alone_what_is_made_at_every_pass() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(Standardised(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 5, 1, bias=False))
    made = rounding.rounded(float_ := Graph(layers, (127.0,) * 3, tiny_onnx.SIDE).eval(), CALIBRATING, 15)
    torch.testing.assert_close(made.features[0].weight, float_.features[0].weight)
    steps = made.features[2].weight.detach().flatten(1)
    steps = steps / steps.abs().amax(1, keepdim=True) * 15
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    assert not torch.equal(made.features[2].weight, float_.features[2].weight)
    expected, rounded = (embed(each, CALIBRATING) for each in (float_, made))
    shift = np.abs((rounded - expected).mean(0))
    assert shift.max() < 0.05 * np.abs(rounded - expected).std()


def test_of_several_levels_the_worst_one_counts() -> None:
    random = np.random.default_rng(1)
    expected = random.normal(size=(30, 9)).astype(np.float32)
    made = expected.copy()
    made[:, :2] += random.normal(0, 0.3, (30, 2))
    cosines = parity.cosines(expected[:, :2], made[:, :2])
    mean, low = repair.worst_level(expected, made, (2, 7))
    assert mean == pytest.approx(cosines.mean())
    assert low == pytest.approx(cosines.mean() - 1.645 * cosines.std(ddof=1) / 30**0.5)
    assert repair.worst_level(expected, made, ())[0] > mean
