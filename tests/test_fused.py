"""Fused classifier files: other programs get the probabilities of backbone and head, and wrong ones are an error."""

from __future__ import annotations

import ast
import dataclasses
import functools
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from click.testing import CliRunner, Result
from edgetl_exporters import fused
from edgetl_exporters.convert import to_openvino
from edgetl_exporters.fused import onnx_head, openvino_head, tflite_head
from pictures import encoded, picture

from edgetl import Bundle, Classifier, ImageSpec
from edgetl.bundle import writer
from edgetl.bundle.proofs import Parity
from edgetl.cli.deploy import classifier
from edgetl.errors import BundleMissing, EdgetlError, ExportError, FingerprintMismatch, NotTrained, ParityError, PhotoError
from edgetl.heads import Head
from edgetl.inputs.photo.folders import labelled_photos_in
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import PhotoSource, load
from edgetl.runtimes import open_runtime
from edgetl.runtimes.openvino import saturates
from edgetl.stats import Proportion
from edgetl.store import NewSample, Store
from edgetl.types import Array, Pixels

DIM = tiny_models.DIM
BATCH = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
LABELS = ("comma, semicolon; and tab-less", "Glühwürmchen 蛍 🌷", 'quote "\'" <&> {0}', "none", "no break\u3000space")
FORMATS = {"onnx": "onnx.onnx", "tflite": "tflite.tflite", "openvino": "openvino.xml"}


def head(rooted: int, labels: tuple[str, ...] = LABELS, seed: int = 0) -> Head:
    random = np.random.default_rng(seed)
    weight, bias = random.normal(0, 3, (len(labels), DIM)), random.normal(0, 1, len(labels))
    return Head("lda", labels, weight.astype(np.float32), bias.astype(np.float32), 0.7, rooted)


def crowded(classes: int) -> Head:
    """A head with a class in every direction: the more classes, the more answers change with a step of int8."""
    even = head(DIM, tuple(str(number) for number in range(classes)))
    weight = 20 * even.weight / np.linalg.norm(even.weight, axis=1, keepdims=True)
    return dataclasses.replace(even, weight=weight, bias=np.zeros_like(even.bias))


def classes(trained: Head, **changes: Any) -> fused.Classes:
    arrays = (trained.labels, trained.weight, trained.bias, trained.temperature, trained.rooted)
    return dataclasses.replace(fused.Classes(*arrays, trained.probabilities, "head 1 (lda) of parts.db"), **changes)


def defined(trained: Head, embeddings: Array) -> Array:
    """Head and softmax by their definition, float64."""
    z = embeddings.astype(np.float64)
    last = z[:, DIM - trained.rooted :]
    roots = np.sign(last) * np.abs(last) ** 0.5
    if trained.rooted < DIM:
        share = np.linalg.norm(roots, axis=1, keepdims=True)
        roots = np.divide(roots, share, out=np.zeros_like(roots), where=share > 0) * np.linalg.norm(last, axis=1, keepdims=True)
    z = np.concatenate([z[:, : DIM - trained.rooted], roots], axis=1)
    length = np.linalg.norm(z, axis=1, keepdims=True)
    x = np.divide(z, length, out=np.zeros_like(z), where=length > 0)
    logits = (x @ trained.weight.astype(np.float64).T + trained.bias) / trained.temperature
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)  # type: ignore[no-any-return]


def by_its_library(files: Mapping[str, bytes], batch: Pixels) -> Array:
    """The output that a program gets which uses the library without edgetl."""
    (name, content), *weights = files.items()
    if name.endswith(".onnx"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.x64quantprecision", "1")  # as `expects` says; it does nothing on a processor with VNNI
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        assert [output.name for output in session.get_outputs()] == ["probabilities"]
        return session.run(["probabilities"], {session.get_inputs()[0].name: batch})[0]  # type: ignore[no-any-return]
    if name.endswith(".xml"):
        import openvino

        core = openvino.Core()
        settings = {"INFERENCE_PRECISION_HINT": "f32", **({"LP_TRANSFORMS_MODE": "NO"} if saturates() else {})}  # as `expects` says
        model = core.compile_model(core.read_model(content, weights[0][1]), "CPU", settings)
        return np.array(model([batch])["probabilities"])
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    run = interpreter.get_signature_runner()
    ((image_name, details),) = run.get_input_details().items()
    assert details["dtype"] == np.uint8
    return np.concatenate([run(**{image_name: image[None]})["probabilities"] for image in batch])


def written(folder: Path) -> dict[str, bytes]:
    """The files of a model, its graph before its weights."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir(), key=lambda path: path.suffix == ".bin")}


APPEND = {"onnxruntime": onnx_head.append, "litert": tflite_head.append, "openvino": openvino_head.append}


@pytest.mark.parametrize("rooted", [3, DIM], ids=["roots of the last level", "roots of all"])
@pytest.mark.parametrize("case", tiny_models.ALL)
def test_other_programs_get_the_probabilities_of_the_definition(case: str, rooted: int) -> None:
    family, make, _ = tiny_models.ALL[case]
    files = make()
    embeddings = open_runtime(family, files, 1).embed(BATCH)
    assert not embeddings.any(axis=1).all()  # one embedding is zero
    trained = head(rooted)
    probabilities = by_its_library(APPEND[family](files, classes(trained)), BATCH)
    assert np.abs(probabilities - defined(trained, embeddings)).max() < 1e-6


def test_onnx_models_of_new_opsets_and_float16_embeddings_become_classifiers() -> None:
    import onnx

    model = onnx.load_from_string(tiny_models.onnx()["model.onnx"])
    model.opset_import[0].version = 20
    model.graph.node.append(onnx.helper.make_node("Cast", ["y"], ["half"], to=onnx.TensorProto.FLOAT16))
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("half", onnx.TensorProto.FLOAT16, ["n", DIM]))
    files, trained = {"model.onnx": model.SerializeToString()}, head(3)
    probabilities = by_its_library(onnx_head.append(files, classes(trained)), BATCH)
    assert np.abs(probabilities - defined(trained, open_runtime("onnxruntime", files, 1).embed(BATCH))).max() < 1e-6


def test_float16_weights_stay_float16_and_the_heads_are_float32(tmp_path: Path) -> None:
    half = to_openvino.export(tiny_models.onnx()["model.onnx"], compress=True)
    trained = head(DIM)
    probabilities = openvino_head.append(half, classes(trained))
    assert len(probabilities["model.bin"]) - len(half["model.bin"]) < 4 * (trained.weight.size + 64) < 2 * tiny_models.WEIGHTS.size
    embeddings = open_runtime("openvino", half, 1).embed(BATCH)
    assert np.abs(by_its_library(probabilities, BATCH) - defined(trained, embeddings)).max() < 1e-6


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny network in all formats; the float ones are proved equal."""
    return tiny_bundle(tmp_path_factory.mktemp("tiny") / "tiny.edgetl")


def tiny_bundle(path: Path, seed: int = 9) -> Bundle:
    photo, image = encoded(picture(seed=seed)), ImageSpec(8, 8, 8 + seed % 2)
    tensors = tensor(PhotoSource("test", photo), image)[None]
    variants = []
    for name, case in {
        "onnx-fp32": "onnxruntime",
        "openvino-fp32": "openvino",
        "tflite-fp32": "litert float",
        "tflite-int8": "litert int8",
        "onnx-int8": "onnxruntime",
    }.items():
        family, files, _ = tiny_models.ALL[case]
        format_, precision = name.split("-")
        parity = Parity(1.0, 1.0 if precision == "fp32" else 0.99, 0.0, 1.0, 10, 0.98, "x86_64 avx2")
        expected = open_runtime(family, files(), 1).embed(tensors)
        variants.append(writer.NewVariant(name, format_, precision, files(), {"name": "tiny"}, parity, expected))
    return writer.write(
        path, backbone={"name": "tiny"}, input=image, dim=DIM, calibration=None, self_test_inputs=[photo], self_test_tensors=tensors,
        variants=variants,
    )  # fmt: skip


def store_of(path: Path, bundle: Bundle, variant: str, trained: Head | None, weights: bytes | None = None) -> Path:
    with Store.open(path, bundle.fingerprint(bundle.variant(variant))) as store:
        if trained is not None:
            store.add_head(
                kind=trained.kind, labels=trained.labels, samples=10, accuracy=Proportion(9, 10), weights=weights or trained.to_bytes(),
                report={"asked": "auto"},
            )  # fmt: skip
    return path


def deployed(*arguments: object) -> Result:
    # click keeps the help option of a verb after its first use, and the group's verbs also have -h.
    return CliRunner().invoke(classifier, [str(argument) for argument in arguments], help_option_names=["-h", "--help"])


@pytest.mark.parametrize("format_", FORMATS)
def test_labels_are_stored_as_each_ecosystem_reads_them(format_: str, tiny: Bundle, shops: Path, tmp_path: Path) -> None:
    output = tmp_path / FORMATS[format_]
    done = deployed("-s", shops / "right.db", "-m", tiny.path, "--format", format_, "-o", output, "--json")
    assert done.exception is None, done.output
    assert json.loads(done.stdout)["labels"] == list(LABELS)
    if format_ == "onnx":
        import onnx

        props = {entry.key: entry.value for entry in onnx.load(output).metadata_props}
        assert ast.literal_eval(props["names"]) == dict(enumerate(LABELS))
        assert props["task"] == "classify"
    elif format_ == "openvino":
        import openvino

        model = openvino.Core().read_model(output)
        assert json.loads(model.get_rt_info(["edgetl", "labels"]).astype(str)) == list(LABELS)
        assert model.get_rt_info(["model_info", "model_type"]).astype(str) == "Classification"
        assert len(model.get_rt_info(["model_info", "labels"]).astype(str).split(" ")) == len(LABELS)
    else:
        packed = zipfile.ZipFile(io.BytesIO(output.read_bytes()))
        assert packed.read("labels.txt").decode().split("\n") == [*LABELS, ""]


def test_the_report_states_the_proof_the_input_and_what_is_left_out(tiny: Bundle, shops: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "parts.tflite"
    done = deployed("-s", shops / "right.db", "-m", tiny.path, "--variant", "tflite-fp32", "-o", output, "--json")
    assert done.exception is None, done.output
    report = json.loads(done.stdout)
    # The store's own variant is another, proved equal to it.
    assert (report["agreement"]["top1"]["hits"], report["agreement"]["count"]) == (25, 25)
    assert any("[n, 8, 8, 3]" in sentence for sentence in report["expects"])
    assert report["left_out"][0].endswith("none.")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["parts.tflite"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 photos, one of them in training and one there twice, and two files that are not photos."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(60):
        (folder / f"{seed % 3}").mkdir(exist_ok=True)
        (folder / f"{seed % 3}" / f"{seed}.jpg").write_bytes(encoded(picture(seed=seed)))
    (folder / "again.jpg").write_bytes((folder / "0" / "0.jpg").read_bytes())
    (folder / "broken.jpg").write_bytes(b"")
    (folder / "labels.txt").write_text("none")
    return folder


def checked(store: Path, bundle: Bundle, photos: Path, output: Path, *options: str) -> dict[str, Any]:
    done = deployed("-s", store, "-m", bundle.path, "--check", photos, *options, "-o", output, "--json")
    assert done.exception is None, done.output
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("options", [("--format", "onnx"), ("--variant", "openvino-fp32")], ids=["by format", "by variant"])
def test_another_variant_is_written_with_its_share_of_the_same_class(
    options: tuple[str, str], tiny: Bundle, shops: Path, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / f"a.{'onnx' if 'onnx' in options else 'xml'}"
    report = checked(shops / "int8.db", tiny, photos, output, *options)
    assert report["variant"] == ("onnx-int8" if "onnx" in options else "openvino-fp32")  # by default the store's precision
    counted = [path for path in photos.glob("?/*.jpg") if path.name != "1.jpg"]
    tensors = np.stack([tensor(load(path), tiny.input) for path in counted])
    own = defined(crowded(10), open_runtime("litert", tiny.model(tiny.variant("tflite-int8")), 1).embed(tensors))
    probabilities = by_its_library(written(tmp_path), tensors)
    same = int((own.argmax(1) == probabilities.argmax(1)).sum())
    assert (report["check"]["top1"]["hits"], report["check"]["top1"]["n"]) == (same, 59)
    assert 0.95 * 59 <= same < 59  # some answers differ
    assert report["check"]["max_abs"] == pytest.approx(np.abs(own - probabilities).max(), abs=1e-5)
    assert (report["check"]["variant"], report["check"]["known"]) == ("tflite-int8", 2)
    assert [Path(source).name for source, _ in report["check"]["failed"]] == ["labels.txt", "broken.jpg"]


def test_the_own_variant_always_names_the_class_of_edgetl(tiny: Bundle, shops: Path, photos: Path, tmp_path: Path) -> None:
    check = checked(shops / "int8.db", tiny, photos, tmp_path / "a.tflite", "--format", "tflite")["check"]
    assert (check["top1"]["hits"], check["top1"]["n"]) == (59, 59)
    assert check["max_abs"] < 1e-6
    assert [Path(source).name for source, _ in check["failed"]] == ["labels.txt", "broken.jpg"]


def test_a_variant_that_too_often_names_another_class_is_not_written(tiny: Bundle, photos: Path, tmp_path: Path) -> None:
    store = store_of(tmp_path / "crowded.db", tiny, "tflite-int8", crowded(1000))
    done = deployed("-s", store, "-m", tiny.path, "--format", "onnx", "--check", photos, "-o", tmp_path / "out" / "a.onnx")
    assert isinstance(done.exception, ParityError)
    values = done.exception.values
    assert (done.exception.code, values["variant"], values["own"], values["n"]) == ("answers-differ", "onnx-int8", "tflite-int8", 60)
    assert 0.5 < values["hits"] / values["n"] < values["bound"] == 0.95
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def shops(tiny: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores of several kinds."""
    folder = tmp_path_factory.mktemp("shops")
    store_of(folder / "right.db", tiny, "onnx-fp32", head(DIM))
    with Store.open(store_of(folder / "int8.db", tiny, "tflite-int8", crowded(10)), None) as store:
        store.add([NewSample(load(encoded(picture(seed=1))).digest, "none", np.ones(DIM, np.float32), "1.jpg")])
    store_of(folder / "empty.db", tiny, "onnx-fp32", None)
    store_of(folder / "foreign.db", tiny_bundle(folder / "other.edgetl", seed=8), "onnx-fp32", head(DIM))
    return folder


WRONG: dict[str, tuple[str, str, type[EdgetlError], str]] = {
    "a store of an int8 model and another format": ("int8.db --format onnx", "a.onnx", FingerprintMismatch, "other-variant"),
    "a bundle that the store was not trained with": ("foreign.db --format onnx", "a.onnx", FingerprintMismatch, "other-bundle"),
    "a store without a head": ("empty.db --format onnx", "a.onnx", NotTrained, "not-trained"),
    "a missing variant": ("right.db --variant onnx-fp16", "a.onnx", BundleMissing, "variant-missing"),
    "a variant of another format": ("right.db --variant onnx-fp32 --format tflite", "a.tflite", ExportError, "format-missing"),
    "another variant and too few photos to check it": (
        "int8.db --format onnx --check {photos}/0", "a.onnx", ExportError, "too-few-photos"),
    "another variant and no photos": ("int8.db --format onnx --check {photos}/none", "a.onnx", PhotoError, "folder-missing"),
    "a bundle that it was not trained with, with photos": (
        "foreign.db --format onnx --check {photos}", "a.onnx", FingerprintMismatch, "other-bundle"),
    "another suffix": ("right.db --format onnx", "a.tflite", ExportError, "wrong-suffix"),
    "an existing file": ("right.db --format onnx", "taken.onnx", ExportError, "target-exists"),
    "existing weights": ("right.db --format openvino", "taken.xml", ExportError, "target-exists"),
    "a folder that cannot be made": ("right.db --format onnx", "taken.onnx/a.onnx", ExportError, "not-writable"),
    "Frigate and another size": ("right.db --program frigate", "folder", ExportError, "program-unsupported"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_deployment_is_an_error_and_writes_nothing(case: str, tiny: Bundle, shops: Path, photos: Path, tmp_path: Path) -> None:
    for name in ("taken.onnx", "taken.bin"):
        (tmp_path / name).write_text("precious")
    arguments, output, kind, code = WRONG[case]
    store, *options = arguments.format(photos=photos).split()
    done = deployed("-s", shops / store, "-m", tiny.path, *options, "-o", tmp_path / output)
    assert type(done.exception) is kind
    assert done.exception.code == code
    assert {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()} == {"taken.onnx": "precious", "taken.bin": "precious"}


@pytest.mark.parametrize("options", [[], ["--format", "coreml"], ["--program", "frigate", "--format", "onnx"], ["--program", "mynpu"]])
def test_missing_or_contradicting_options_are_misuse(options: list[str], tiny: Bundle, shops: Path, tmp_path: Path) -> None:
    assert deployed("-s", shops / "right.db", "-m", tiny.path, *options, "-o", tmp_path / "a.onnx").exit_code == 2


def test_a_file_with_other_probabilities_than_its_head_is_not_written(tiny: Bundle, tmp_path: Path) -> None:
    wrong = classes(head(DIM), probabilities=head(DIM, seed=1).probabilities)
    with pytest.raises(ParityError) as error:
        fused.fuse(tiny, tiny.variant("onnx-fp32"), wrong, tmp_path / "a.onnx")
    assert (error.value.code, error.value.values["variant"], error.value.values["count"]) == ("probabilities-differ", "onnx-fp32", 25)
    assert error.value.values["max_abs"] > error.value.values["bound"]
    other = dataclasses.replace(head(DIM), weight=np.zeros((3, DIM + 1), np.float32))
    with pytest.raises(ExportError) as error:
        fused.fuse(tiny, tiny.variant("onnx-fp32"), classes(other), tmp_path / "a.onnx")
    assert (error.value.code, error.value.values["dim"], error.value.values["head_dim"]) == ("dim-differs", DIM, DIM + 1)
    assert not list(tmp_path.iterdir())


# With the real backbone


class Frigate:
    """Frigate's own code for a custom classification model.

    blakeblackshear/frigate, commit 03d0139497caf081e3d45177d3ba148f5de5eba8, frigate/data_processing/real_time/custom_classification.py,
    and load_labels of frigate/util/builtin.py, commit 5a395b469934823f19ef1cb61b157f578070c6b4.
    """

    def __init__(self, model_dir: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model_path=str(model_dir / "model.tflite"), num_threads=2)
        self.interpreter.allocate_tensors()
        self.tensor_input_details = self.interpreter.get_input_details()
        self.tensor_output_details = self.interpreter.get_output_details()
        with (model_dir / "labelmap.txt").open(encoding="utf-8") as f:
            self.labelmap = {index: line.strip() for index, line in enumerate(f.readlines())}

    def classify(self, resized: Pixels) -> tuple[str, float]:
        self.interpreter.set_tensor(self.tensor_input_details[0]["index"], np.expand_dims(resized, axis=0))
        self.interpreter.invoke()
        res = self.interpreter.get_tensor(self.tensor_output_details[0]["index"])[0]
        assert not res.min() < 0
        probs = res / res.sum(axis=0)
        best_id = int(np.argmax(probs))
        score = round(probs[best_id], 2)
        json.dumps({"score": sum([score]) / 1})  # it is published so
        return self.labelmap[best_id], score


@pytest.fixture(scope="module")
def flowers(data: Path) -> tuple[list[tuple[Path, str]], list[Path]]:
    """50 training photos, 10 per class, and 200 others."""
    photos, _ = labelled_photos_in(data / "flowers")
    per_class = [[pair for pair in photos if pair[1] == label] for label in sorted({label for _, label in photos})]
    return [pair for some in per_class for pair in some[:10]], [path for some in per_class for path, _ in some[10:50]]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A store trained with one variant, its answers for 200 photos, and those photos as tensors."""

    store: Path
    answers: list[tuple[str, float]]
    tensors: Pixels


@pytest.fixture(scope="module")
def trained(lite0: Path, flowers, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    folder, image = tmp_path_factory.mktemp("trained"), Bundle.open(lite0).input
    tensors = np.stack([tensor(load(path), image) for path in flowers[1]])

    @functools.lru_cache(None)
    def train(variant: str) -> Trained:
        with Classifier.open(lite0, folder / f"{variant}.db", variant=variant, threads=2) as classifier:
            classifier.add_many(flowers[0])
            classifier.train()
            answers = [classifier.predict(path, top=1).top[0] for path in flowers[1]]
        return Trained(folder / f"{variant}.db", answers, tensors)

    return train


def fuse(lite0: Path, known: Trained, output: Path, *options: str) -> dict[str, Any]:
    done = deployed("-s", known.store, "-m", lite0, *options, "-o", output, "--json")
    assert done.exception is None, done.output
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["tflite-fp32", "tflite-int8", "onnx-int8", "openvino-int8"])
def test_the_file_gives_the_classifiers_answers_on_200_flowers(variant: str, lite0: Path, trained, tmp_path: Path) -> None:
    known, format_ = trained(variant), variant.partition("-")[0]
    report = fuse(lite0, known, tmp_path / FORMATS[format_], "--format", format_)
    assert (report["variant"], report["agreement"]["max_abs"] < 1e-5, report["added"] < 60_000) == (variant, True, True)
    assert any("VNNI" in sentence for sentence in report["expects"]) == (variant in ("onnx-int8", "openvino-int8"))
    probabilities = by_its_library(written(tmp_path), known.tensors)
    assert [report["labels"][row.argmax()] for row in probabilities] == [label for label, _ in known.answers]
    assert np.abs(probabilities.max(1) - [score for _, score in known.answers]).max() < 1e-5
    assert len(probabilities) == 200


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["onnx", "openvino"])
def test_an_equal_float_variant_gives_the_classifiers_answers_on_100_flowers(format_: str, lite0: Path, trained, tmp_path: Path) -> None:
    known = trained("tflite-fp32")
    report = fuse(lite0, known, tmp_path / FORMATS[format_], "--format", format_)
    assert (report["variant"], report["agreement"]["max_abs"] < 1e-5) == (f"{format_}-fp32", True)
    probabilities = by_its_library(written(tmp_path), known.tensors[::2])
    assert [report["labels"][row.argmax()] for row in probabilities] == [label for label, _ in known.answers[::2]]
    assert np.abs(probabilities.max(1) - [score for _, score in known.answers[::2]]).max() < 1e-4
    assert len(probabilities) == 100


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["onnx", "openvino"])
def test_a_tflite_store_becomes_other_formats_if_photos_confirm_it(format_: str, lite0: Path, trained, flowers, tmp_path: Path) -> None:
    known, photos, output = trained("tflite-int8"), tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    surest = np.argsort([-score for _, score in known.answers])[:70]  # so that the file does not depend on a machine's rounding
    for number, path in enumerate([*(path for path, _ in flowers[0]), *(flowers[1][index] for index in surest)]):
        (photos / f"{number}.jpg").symlink_to(path)
    report = fuse(lite0, known, output / FORMATS[format_], "--format", format_, "--check", str(photos))
    assert (report["variant"], report["check"]["known"]) == (f"{format_}-int8", 50)
    probabilities = by_its_library(written(output), known.tensors[surest])
    same = [report["labels"][row.argmax()] == known.answers[index][0] for row, index in zip(probabilities, surest)]
    assert (report["check"]["top1"]["hits"], report["check"]["top1"]["n"]) == (sum(same), 70)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_mediapipe_reads_the_file_and_gives_the_same_answers(precision: str, lite0: Path, trained, tmp_path: Path) -> None:
    mediapipe = pytest.importorskip(
        "mediapipe", reason="MediaPipe, an independent reader of the file, is not installed: pip install mediapipe"
    )
    from mediapipe.tasks.python import BaseOptions, vision

    known, output = trained(f"tflite-{precision}"), tmp_path / "flowers.tflite"
    fuse(lite0, known, output, "--format", "tflite")
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(output)), max_results=1)
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for pixels, (label, score) in zip(known.tensors, known.answers):
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
            (best,) = classifier.classify(image).classifications[0].categories
            assert (best.category_name, best.score) == (label, pytest.approx(score, abs=1e-5))


@pytest.mark.slow
def test_the_model_api_reads_the_file_and_gives_the_same_answers(lite0: Path, trained, tmp_path: Path) -> None:
    adapters = pytest.importorskip(
        "model_api.adapters", reason="OpenVINO's Model API, an independent reader, is not installed: pip install openvino-model-api"
    )
    from model_api.models import Model

    known, output = trained("tflite-fp32"), tmp_path / "flowers.xml"
    fuse(lite0, known, output, "--format", "openvino")
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    model = Model.create_model(adapters.OpenvinoAdapter(adapters.create_core(), str(output), device="CPU", plugin_config=settings))
    for pixels, (label, _) in zip(known.tensors, known.answers):
        assert model(np.ascontiguousarray(pixels[..., ::-1])).top_labels[0].name == label  # it takes frames as OpenCV has them, BGR


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_frigate_reads_its_folder_and_gives_the_same_answers(precision: str, lite0: Path, trained, tmp_path: Path) -> None:
    known = trained(f"tflite-{precision}")
    report = fuse(lite0, known, tmp_path / "flowers", "--program", "frigate")
    assert "Frigate" in report["expects"][-1]
    frigate = Frigate(tmp_path / "flowers")
    answers = [frigate.classify(pixels) for pixels in known.tensors]
    assert answers == [(label, pytest.approx(score, abs=0.0051)) for label, score in known.answers]
    assert len(answers) == 200
