"""The export from end to end on small untrained networks, with torch as the oracle."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import edgetl_exporters
import numpy as np
import pytest
import tiny_onnx
import torch
from edgetl_exporters.backbones import graph, table, weights
from edgetl_exporters.backbones.backbone import Backbone
from edgetl_exporters.convert import to_onnx
from edgetl_exporters.pictures import scenes
from edgetl_exporters.quantise import calibration, recipes
from edgetl_exporters.sources import torch_source
from pictures import encoded, picture

from edgetl import machine
from edgetl.bundle.bundle import Bundle
from edgetl.errors import BundleError, CalibrationError, EdgetlError, ExportError, ParityError
from edgetl.machine import facts
from edgetl.runtimes import open_runtime
from edgetl.types import ImageSpec

SMALL = "mobilenet_v3_small"
V2 = "mobilenet_v2"


def _layer(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> torch.nn.Sequential:
    convolution = torch.nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return torch.nn.Sequential(convolution, torch.nn.BatchNorm2d(outputs), torch.nn.Hardswish())


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(_layer(8, 8, 3, groups=8), _layer(8, 8, 1))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = maps + self.layers(maps)
        return result


class Tiny(torch.nn.Module):
    """A stem, a separable block with a shortcut and a head: the operators of a MobileNet, in 4 layers instead of 52."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Sequential(_layer(3, 8, 3, stride=4), Block(), _layer(8, 12, 1))
        self.classifier = torch.nn.Linear(12, 1000)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.classifier(self.features(maps).mean((2, 3)))
        return result


TINY = dataclasses.replace(table.BACKBONES[V2], name="tiny", image=ImageSpec(width=64, height=64, resize=73), dim=12, build=Tiny, stages=())


@pytest.fixture(scope="module", params=[TINY, pytest.param(table.BACKBONES[SMALL], marks=pytest.mark.slow)], ids=lambda row: row.name)
def row(request: pytest.FixtureRequest) -> Iterator[Backbone]:
    """A network of the table; the tiny one is put into it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(table.BACKBONES, request.param.name, request.param)
        yield request.param


@pytest.fixture(scope="module")
def exported(row: Backbone, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, edgetl_exporters.ExportResult, list[tuple[int, int]]]:
    path = tmp_path_factory.mktemp("export") / "small.edgetl"
    steps: list[tuple[int, int]] = []
    result = edgetl_exporters.export(
        output=path,
        backbone=row.name,
        formats=("onnx", "openvino"),
        precisions=("fp32",),
        random_weights=True,
        seed=7,
        progress=lambda *at: steps.append(at),
    )
    return path, result, steps


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(120):
        (folder / f"{seed}.jpg").write_bytes(encoded(picture(260, 240, seed=seed)))
    return folder


def test_every_variant_equals_torch_and_takes_any_batch(exported, row) -> None:
    bundle = Bundle.open(exported[0])
    assert list(bundle.variants) == ["onnx-fp32", "openvino-fp32"]
    network, _ = weights.load(row, random=True, seed=7)
    pixels = scenes(3, row.image.width, row.image.height, seed=1)
    expected = graph.embed(graph.build(row, network), pixels)
    for variant in bundle.variants.values():
        runtime = open_runtime(variant.family, bundle.model(variant), 1)
        for batch in (1, 3):
            np.testing.assert_allclose(runtime.embed(pixels[:batch]), expected[:batch], atol=1e-4 * np.abs(expected).max())
        runtime.close()


def test_a_bundle_carries_its_calibration_photos_or_others_as_background_or_none(row, photos, tmp_path) -> None:
    settings = {"backbone": row.name, "formats": ("onnx",), "precisions": ("fp32",), "random_weights": True}
    edgetl_exporters.export(output=tmp_path / "own.edgetl", photos=photos, **settings)
    opened = Bundle.open(tmp_path / "own.edgetl")
    kept = opened.background(opened.variants["onnx-fp32"])
    assert kept.shape == (120, row.dim)
    used = calibration.collect(photos, row.image)
    network, _ = weights.load(row, random=True, seed=0)
    expected = graph.embed(graph.build(row, network), np.concatenate([used.held_back, used.choosing, used.tensors]))
    np.testing.assert_allclose(kept, expected, atol=np.abs(expected).max() / 200)
    edgetl_exporters.export(output=tmp_path / "given.edgetl", background=photos, **settings)
    assert len(Bundle.open(tmp_path / "given.edgetl").background(Bundle.open(tmp_path / "given.edgetl").variants["onnx-fp32"])) == 120
    edgetl_exporters.export(output=tmp_path / "none.edgetl", photos=photos, background=False, **settings)
    assert Bundle.open(tmp_path / "none.edgetl").variants["onnx-fp32"].background is None
    few = tmp_path / "few"
    few.mkdir()
    (few / "0.jpg").write_bytes(encoded(picture()))
    with pytest.raises(CalibrationError) as error:
        edgetl_exporters.export(output=tmp_path / "few.edgetl", background=few, **settings)
    assert (error.value.code, error.value.values["usable"], error.value.values["minimum"]) == ("too-few-photos", 1, 60)


def test_the_manifest_states_random_weights_and_the_photos_of_parity(exported, row) -> None:
    bundle = Bundle.open(exported[0])
    assert bundle.backbone == {
        "name": row.name,
        "source": "torchvision",
        "weights": {"source": "random, seed 7", "sha256": None, "random": True},
    }
    assert bundle.calibration is None
    assert bundle.dim == row.dim
    assert bundle.input == row.image
    for variant in bundle.variants.values():
        assert variant.recipe["proved_on"] == {"photos": "drawn-scenes", "count": 24}
        assert "torch" in variant.recipe["libraries"]
        assert variant.parity is not None
        assert variant.parity.cosine_mean >= 0.9999
        assert variant.parity.machine == machine.instruction_set()
    assert bundle.verify() == 6


def test_the_self_test_embeddings_are_the_variants_own(exported) -> None:
    bundle = Bundle.open(exported[0])
    for variant in bundle.variants.values():
        golden = bundle.self_test(variant)
        runtime = open_runtime(variant.family, bundle.model(variant), 1)
        np.testing.assert_allclose(runtime.embed(golden.tensors[:1]), golden.embeddings[:1], rtol=1e-4, atol=1e-5)
        runtime.close()


def test_the_result_counts_bytes_seconds_and_memory_and_progress_is_complete(exported) -> None:
    path, result, steps = exported
    assert [variant.size for variant in result.variants] == [variant.size for variant in Bundle.open(path).variants.values()]
    assert result.seconds > 0
    assert all(variant.seconds > 0 for variant in result.variants)
    assert result.peak_memory > 100 * 2**20
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]


def test_an_onnx_model_is_one_file_with_pixels_in_and_a_free_batch(exported, row) -> None:
    import onnx

    bundle = Bundle.open(exported[0])
    (content,) = bundle.model(bundle.variant("onnx-fp32")).values()
    model = onnx.load_from_string(content)
    (image,), (embedding,) = model.graph.input, model.graph.output
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert embedding.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    dims = image.type.tensor_type.shape.dim
    assert dims[0].dim_param
    assert [dim.dim_value for dim in dims[1:]] == [row.image.height, row.image.width, 3]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [node.op_type for node in model.graph.node].count("Transpose") == 1


@pytest.mark.slow
def test_onnx_int8_is_integer_in_every_convolution(photos: Path, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    edgetl_exporters.export(
        output=tmp_path / "v2", backbone=V2, formats=("onnx",), precisions=("int8",), photos=photos, random_weights=True
    )
    bundle = Bundle.open(tmp_path / "v2")
    assert bundle.calibration is not None
    assert sum(bundle.calibration[part] for part in ("photos", "choosing", "held_back")) == 120
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 4
    onnxruntime.InferenceSession(next(iter(bundle.model(bundle.variant("onnx-int8")).values())), options)
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("QLinearConv") == 52
    assert "Conv" not in kinds
    assert "FusedConv" not in kinds


@pytest.mark.slow
def test_a_broken_variant_is_an_error_and_leaves_no_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Swapped(graph.Graph):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return super().forward(image.flip(-1))  # the classic: BGR

    def export_swapped(built: graph.Graph, image: object) -> bytes:
        broken = Swapped(built.features, (1.0, 2.0, 3.0), 224).eval()
        broken.mean = built.mean
        return original(broken, image)

    original = to_onnx.export
    monkeypatch.setattr(to_onnx, "export", export_swapped)
    with pytest.raises(ParityError) as error:
        edgetl_exporters.export(output=tmp_path / "x.edgetl", backbone=SMALL, formats=("onnx",), precisions=("fp32",), random_weights=True)
    assert (error.value.values["variant"], error.value.values["bound"]) == ("onnx-fp32", 0.9999)
    assert not list(tmp_path.iterdir())


UNKNOWN = (
    ({"formats": ("coreml",)}, "unknown-format", ("onnx", "tflite", "openvino")),
    ({"precisions": ("int4",)}, "unknown-precision", ("fp32", "fp16", "int8")),
    ({"formats": ("tflite",), "precisions": ("fp16",)}, "not-offered", ("fp32", "int8")),
    ({"onnx_recipe": "magic"}, "unknown-recipe", ("auto", "onnx-u8s8", "onnx-u8u8")),
    ({"formats": ()}, "nothing-to-export", ()),
    ({"backbone": "alexnet"}, "unknown-backbone", ("efficientnet_lite0", "efficientnet_lite1")),
)


@pytest.mark.parametrize(("options", "code", "known"), UNKNOWN)
def test_unknown_names_are_an_error_before_any_work(tmp_path: Path, options: dict[str, object], code: str, known: tuple[str, ...]) -> None:
    with pytest.raises(ExportError) as error:
        edgetl_exporters.export(output=tmp_path / "x", **{"backbone": SMALL, "precisions": ("fp32",), "random_weights": True, **options})
    values = error.value.values
    assert (error.value.code, tuple(values.get("known", values.get("offered", ())))[: len(known)]) == (code, known)


def test_int8_without_photos_is_an_error_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError) as error:
        edgetl_exporters.export(output=tmp_path / "x", backbone=SMALL, random_weights=True)
    assert (error.value.code, error.value.values) == ("photos-missing", {"minimum": 120})


def test_a_place_that_cannot_be_written_is_an_error_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "report.edgetl").write_text("somebody's own")
    for output, code in ((tmp_path / "report.edgetl", "target-exists"), (Path("/proc/x.edgetl"), "target-not-writable")):
        with pytest.raises(BundleError) as caught:
            edgetl_exporters.export(output=output, backbone="alexnet", precisions=("fp32",))
        assert (caught.value.code, caught.value.values["path"]) == (code, str(output))


@pytest.mark.parametrize(("targets", "code"), [((), "targets-missing"), (("native",), "table-unusable")])
def test_labelled_photos_without_a_target_or_a_table_are_an_error(tmp_path: Path, targets: tuple[str, ...], code: str) -> None:
    (tmp_path / "labels.csv").write_text("photo,class\na.jpg,3\n")
    settings = {"backbone": SMALL, "formats": ("onnx",), "precisions": ("fp32",), "random_weights": True}
    with pytest.raises(EdgetlError) as error:
        edgetl_exporters.export(output=tmp_path / "x", targets=targets, labelled=tmp_path, **settings)
    assert error.value.code == code


def test_a_missing_library_is_an_error_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_source, "_LIBRARIES", {"onnx": ("torch", "no-such-converter")})
    with pytest.raises(ExportError) as error:
        edgetl_exporters.export(output=tmp_path / "x", backbone=SMALL, formats=("onnx",), precisions=("fp32",), random_weights=True)
    assert (error.value.code, error.value.values) == ("library-missing", {"library": "no-such-converter"})


def test_the_integer_files_do_not_depend_on_the_processor_that_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    model, photos = tiny_onnx.model(tiny_onnx.weights()), scenes(8, tiny_onnx.SIDE, tiny_onnx.SIDE, seed=1)
    results = []
    for flags in (frozenset({"avx2"}), frozenset({"avx2", "avx512_vnni"}), frozenset({"asimd"})):
        monkeypatch.setattr(facts, "features", lambda *_, flags=flags: flags)
        to_onnx._quantised.cache_clear()
        chosen = [recipes.recipe(format_, "int8") for format_ in recipes.FORMATS]
        results.append((chosen, [to_onnx.quantise(model, photos, recipe) for recipe in chosen]))
    assert [recipe.name for recipe in results[0][0]] == ["onnx-u8s8", "tflite-full-integer", "openvino-u8s8"]
    assert results[0] == results[1] == results[2]
    named = [*recipes.int8_recipes("onnx")[1:], *recipes.int8_recipes("openvino")[1:]]
    chosen_by_name = {name: recipes.recipe(name.partition("-")[0], "int8", name) for name in named}
    signed = {name for name, recipe in chosen_by_name.items() if recipes.signed({"settings": recipe.stated()})}
    assert signed == {"onnx-u8s8", "openvino-u8s8"} == chosen_by_name.keys() - {"onnx-u8u8", "openvino-u8u8"}


def test_unsigned_weights_are_the_same_numbers_on_a_grid_around_128() -> None:
    import onnx

    model, photos = tiny_onnx.model(tiny_onnx.weights()), scenes(8, tiny_onnx.SIDE, tiny_onnx.SIDE, seed=1)
    files = [to_onnx.quantise(model, photos, recipes.recipe("onnx", "int8", f"onnx-{name}")) for name in ("u8s8", "u8u8")]
    tensors = [onnx.load_from_string(content).graph.initializer for content in files]
    signed, unsigned = ({tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in each} for each in tensors)
    weights = [name for name, values in signed.items() if values.dtype == np.int8]
    assert len(weights) == 2 * 4  # of each layer the weights and their zero points
    for name, values in signed.items():
        expected = (values.astype(int) + 128).astype(np.uint8) if name in weights else values
        np.testing.assert_array_equal(unsigned[name], expected)
        assert unsigned[name].dtype == expected.dtype
    embedded = [open_runtime("onnxruntime", {"model.onnx": content}, 1).embed(photos) for content in files]
    np.testing.assert_array_equal(*embedded)


def test_the_result_is_json(exported) -> None:
    from edgetl.types import to_json

    assert json.loads(json.dumps(to_json(exported[1])))["variants"][0]["parity"]["count"] == 24


@pytest.mark.slow
def test_an_export_prints_nothing_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edgetl_exporters.export(output=tmp_path / "x", backbone=SMALL, formats=("tflite",), precisions=("fp32",), random_weights=True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_openvino_has_no_telemetry(tmp_path: Path) -> None:
    code = (
        "import sys, edgetl_exporters\n"
        f"edgetl_exporters.export(output={str(tmp_path / 'x')!r}, backbone={SMALL!r}, formats=('openvino',), "
        "precisions=('fp32',), random_weights=True)\n"
        "print(sys.modules['openvino_telemetry'])\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(home)})
    assert done.stdout.split() == ["None"]
    assert not (home / "intel").exists()
