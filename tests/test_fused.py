"""Fused classifier files: what other programs make of them is what backbone and head say, and what cannot be right is refused."""

from __future__ import annotations

import ast
import dataclasses
import functools
import io
import json
import re
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
from safetensors.numpy import save

from edgetl import Bundle, Classifier, ImageSpec
from edgetl.bundle import writer
from edgetl.bundle.proofs import Parity
from edgetl.cli.deploy import classifier
from edgetl.errors import BundleMissing, ExportError, FingerprintMismatch, NotTrained, ParityError, PhotoError
from edgetl.heads import Head
from edgetl.inputs.photo.folders import labelled_photos_in
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import Source, load
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
    """A head with a class in every direction: the more there are, the more answers does a step of int8 change."""
    made = head(DIM, tuple(str(number) for number in range(classes)))
    weight = 20 * made.weight / np.linalg.norm(made.weight, axis=1, keepdims=True)
    return dataclasses.replace(made, weight=weight, bias=np.zeros_like(made.bias))


def classes(trained: Head, **changes: Any) -> fused.Classes:
    arrays = (trained.labels, trained.weight, trained.bias, trained.temperature, trained.rooted)
    return dataclasses.replace(fused.Classes(*arrays, trained.probabilities, "head 1 (lda) of shop.db"), **changes)


def defined(trained: Head, embeddings: Array) -> Array:
    """Head and softmax by their definition, float64."""
    z = embeddings.astype(np.float64)
    if trained.rooted:
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
    """What a program gets that knows the library and not edgetl."""
    (name, content), *weights = files.items()
    if name.endswith(".onnx"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.x64quantprecision", "1")  # as `expects` says; it does nothing where there is VNNI
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        assert [made.name for made in session.get_outputs()] == ["probabilities"]
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
    ((given, details),) = run.get_input_details().items()
    assert details["dtype"] == np.uint8
    return np.concatenate([run(**{given: image[None]})["probabilities"] for image in batch])


def written(folder: Path) -> dict[str, bytes]:
    """The files of a model, its graph before its weights."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir(), key=lambda path: path.suffix == ".bin")}


APPEND = {"onnxruntime": onnx_head.append, "litert": tflite_head.append, "openvino": openvino_head.append}


@pytest.mark.parametrize("rooted", [0, 3, DIM], ids=["before roots", "roots of the last level", "roots of all"])
@pytest.mark.parametrize("case", tiny_models.ALL)
def test_other_programs_get_the_probabilities_of_the_definition(case: str, rooted: int) -> None:
    family, make, _ = tiny_models.ALL[case]
    files = make()
    embeddings = open_runtime(family, files, 1).embed(BATCH)
    assert not embeddings.any(axis=1).all()  # one is zero, and stays a classifier's input
    trained = head(rooted)
    made = by_its_library(APPEND[family](files, classes(trained)), BATCH)
    assert np.abs(made - defined(trained, embeddings)).max() < 1e-6


def test_onnx_models_of_newer_opsets_and_with_float16_embeddings_become_classifiers() -> None:
    import onnx

    model = onnx.load_from_string(tiny_models.onnx()["model.onnx"])
    model.opset_import[0].version = 20
    model.graph.node.append(onnx.helper.make_node("Cast", ["y"], ["half"], to=onnx.TensorProto.FLOAT16))
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("half", onnx.TensorProto.FLOAT16, ["n", DIM]))
    files, trained = {"model.onnx": model.SerializeToString()}, head(3)
    made = by_its_library(onnx_head.append(files, classes(trained)), BATCH)
    assert np.abs(made - defined(trained, open_runtime("onnxruntime", files, 1).embed(BATCH))).max() < 1e-6


def test_weights_that_are_float16_stay_so_and_the_heads_are_not(tmp_path: Path) -> None:
    half = to_openvino.export(tiny_models.onnx()["model.onnx"], compress=True)
    trained = head(DIM)
    made = openvino_head.append(half, classes(trained))
    assert len(made["model.bin"]) - len(half["model.bin"]) < 4 * (trained.weight.size + 64) < 2 * tiny_models.WEIGHTS.size
    embeddings = open_runtime("openvino", half, 1).embed(BATCH)
    assert np.abs(by_its_library(made, BATCH) - defined(trained, embeddings)).max() < 1e-6


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny network in all formats; the float ones are proved equal."""
    return tiny_bundle(tmp_path_factory.mktemp("tiny") / "tiny.edgetl")


def tiny_bundle(path: Path, seed: int = 9) -> Bundle:
    photo, image = encoded(picture(seed=seed)), ImageSpec(8, 8, 8 + seed % 2)
    tensors = tensor(Source("golden", photo), image)[None]
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
        golden = open_runtime(family, files(), 1).embed(tensors)
        variants.append(writer.NewVariant(name, format_, precision, files(), {"name": "tiny"}, parity, golden))
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


def exported(*arguments: object) -> Result:
    # click keeps a verb's help option once it was asked for, and the group's verbs have -h too.
    return CliRunner().invoke(classifier, [str(argument) for argument in arguments], help_option_names=["-h", "--help"])


@pytest.mark.parametrize("format_", FORMATS)
def test_labels_come_through_as_each_ecosystem_reads_them(format_: str, tiny: Bundle, shops: Path, tmp_path: Path) -> None:
    output = tmp_path / FORMATS[format_]
    done = exported("-s", shops / "right.db", "-m", tiny.path, "--format", format_, "-o", output, "--json")
    assert done.exception is None, done.output
    assert json.loads(done.stdout)["labels"] == list(LABELS)
    if format_ == "onnx":
        import onnx

        said = {entry.key: entry.value for entry in onnx.load(output).metadata_props}
        assert ast.literal_eval(said["names"]) == dict(enumerate(LABELS))
        assert said["task"] == "classify"
    elif format_ == "openvino":
        import openvino

        model = openvino.Core().read_model(output)
        assert json.loads(model.get_rt_info(["edgetl", "labels"]).astype(str)) == list(LABELS)
        assert model.get_rt_info(["model_info", "model_type"]).astype(str) == "Classification"
        assert len(model.get_rt_info(["model_info", "labels"]).astype(str).split(" ")) == len(LABELS)
    else:
        packed = zipfile.ZipFile(io.BytesIO(output.read_bytes()))
        assert packed.read("labels.txt").decode().split("\n") == [*LABELS, ""]


def test_the_report_says_what_was_proved_what_the_file_expects_and_what_it_cannot(tiny: Bundle, shops: Path, tmp_path: Path) -> None:
    done = exported("-s", shops / "right.db", "-m", tiny.path, "--variant", "tflite-fp32", "-o", tmp_path / "new" / "shop.tflite")
    assert done.exception is None, done.output
    assert "100.0 % [86.7, 100.0] n=25 pictures" in done.stdout  # the store's own variant is another, proved equal to it
    assert "uint8 RGB [n, 8, 8, 3]" in done.stderr
    assert "Ordinary classes here, for which edgetl gives no label: none." in done.stderr
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["shop.tflite"]


def test_a_head_from_before_there_were_roots_is_fused_too(tiny: Bundle, tmp_path: Path) -> None:
    old = head(0)
    stated = {"format": "edgetl-head-1", "kind": "lda", "labels": json.dumps(LABELS), "counts": "[]", "fingerprint": ""}
    arrays = {"weight": old.weight, "bias": old.bias, "temperature": np.array([old.temperature])}
    shop = store_of(tmp_path / "old.db", tiny, "tflite-int8", old, bytes(save(arrays, stated)))
    done = exported("-s", shop, "-m", tiny.path, "--format", "tflite", "-o", tmp_path / "old.tflite")
    assert done.exception is None, done.output
    content = {"model.tflite": (tmp_path / "old.tflite").read_bytes()}
    embeddings = open_runtime("litert", tiny.model(tiny.variant("tflite-int8")), 1).embed(BATCH)
    assert np.abs(by_its_library(content, BATCH) - defined(old, embeddings)).max() < 1e-6


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 photos, one of which is taught and one there twice, and two files that are none."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(60):
        (folder / f"{seed % 3}").mkdir(exist_ok=True)
        (folder / f"{seed % 3}" / f"{seed}.jpg").write_bytes(encoded(picture(seed=seed)))
    (folder / "again.jpg").write_bytes((folder / "0" / "0.jpg").read_bytes())
    (folder / "broken.jpg").write_bytes(b"")
    (folder / "labels.txt").write_text("none")
    return folder


def checked(store: Path, bundle: Bundle, photos: Path, output: Path, *options: str) -> dict[str, Any]:
    done = exported("-s", store, "-m", bundle.path, "--check", photos, *options, "-o", output, "--json")
    assert done.exception is None, done.output
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("options", [("--format", "onnx"), ("--variant", "openvino-fp32")], ids=["by format", "by variant"])
def test_another_variant_is_written_with_how_often_it_names_the_class_of_edgetl(
    options: tuple[str, str], tiny: Bundle, shops: Path, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / f"a.{'onnx' if 'onnx' in options else 'xml'}"
    report = checked(shops / "int8.db", tiny, photos, output, *options)
    assert report["variant"] == ("onnx-int8" if "onnx" in options else "openvino-fp32")  # the store's precision, where nothing is asked
    counted = [path for path in photos.glob("?/*.jpg") if path.name != "1.jpg"]
    tensors = np.stack([tensor(load(path), tiny.input) for path in counted])
    own = defined(crowded(10), open_runtime("litert", tiny.model(tiny.variant("tflite-int8")), 1).embed(tensors))
    made = by_its_library(written(tmp_path), tensors)
    same = int((own.argmax(1) == made.argmax(1)).sum())
    assert (report["check"]["top1"]["hits"], report["check"]["top1"]["n"]) == (same, 59)
    assert 0.95 * 59 <= same < 59  # the case says something
    assert report["check"]["max_abs"] == pytest.approx(np.abs(own - made).max(), abs=1e-5)
    assert (report["check"]["variant"], report["check"]["known"]) == ("tflite-int8", 2)
    assert [Path(source).name for source, _ in report["check"]["failed"]] == ["labels.txt", "broken.jpg"]


def test_the_own_variant_names_the_class_of_edgetl_always(tiny: Bundle, shops: Path, photos: Path, tmp_path: Path) -> None:
    check = checked(shops / "int8.db", tiny, photos, tmp_path / "a.tflite", "--format", "tflite")["check"]
    assert (check["top1"]["hits"], check["top1"]["n"]) == (59, 59)
    assert check["max_abs"] < 1e-6
    done = exported("-s", shops / "int8.db", "-m", tiny.path, "--format", "tflite", "--check", photos, "-o", tmp_path / "b.tflite")
    assert "same class as edgetl with tflite-int8 on 100.0 % [93.9, 100.0] n=59 photos" in done.stdout
    assert "broken.jpg: an empty file" in done.stderr


def test_another_variant_that_too_often_names_another_class_is_not_written(tiny: Bundle, photos: Path, tmp_path: Path) -> None:
    shop = store_of(tmp_path / "crowded.db", tiny, "tflite-int8", crowded(1000))
    done = exported("-s", shop, "-m", tiny.path, "--format", "onnx", "--check", photos, "-o", tmp_path / "out" / "a.onnx")
    assert isinstance(done.exception, ParityError)
    assert re.search(
        r"fused onnx-int8 .* with tflite-int8 on [5-8]\d\.\d % .* n=60 .* 95 % or more; export tflite-int8, or teach", str(done.exception)
    )
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def shops(tiny: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores of several kinds."""
    folder = tmp_path_factory.mktemp("shops")
    store_of(folder / "right.db", tiny, "onnx-fp32", head(DIM))
    with Store.open(store_of(folder / "int8.db", tiny, "tflite-int8", crowded(10)), None) as taught:
        taught.add([NewSample(load(encoded(picture(seed=1))).digest, "none", np.ones(DIM, np.float32), "1.jpg")])
    store_of(folder / "empty.db", tiny, "onnx-fp32", None)
    store_of(folder / "foreign.db", tiny_bundle(folder / "other.edgetl", seed=8), "onnx-fp32", head(DIM))
    return folder


REFUSED: dict[str, tuple[str, str, type[Exception], str]] = {
    "a store of an int8 model asked for another format": (
        "int8.db --format onnx", "a.onnx", FingerprintMismatch, "trained with tflite-int8.*--variant onnx-int8.*--check"),
    "a bundle that the store was not taught with": ("foreign.db --format onnx", "a.onnx", FingerprintMismatch, "input: "),
    "a store without a head": ("empty.db --format onnx", "a.onnx", NotTrained, "edgetl train -s"),
    "a variant that is not there": ("right.db --variant onnx-fp16", "a.onnx", BundleMissing, "onnx-fp32"),
    "a variant of another format": ("right.db --variant onnx-fp32 --format tflite", "a.tflite", ExportError, "has the format tflite"),
    "another variant and too few photos to check it": (
        "int8.db --format onnx --check {photos}/0", "a.onnx", ExportError, "20 different photos .* 50 or more; passed over: 0 that were"),
    "another variant and no photos": ("int8.db --format onnx --check {photos}/none", "a.onnx", PhotoError, "no such folder"),
    "a bundle that it was not taught with, photos or none": (
        "foreign.db --format onnx --check {photos}", "a.onnx", FingerprintMismatch, "Give the store's own bundle"),
    "a name that ends otherwise": ("right.db --format onnx", "a.tflite", ExportError, r"ends in \.onnx"),
    "a file that is there": ("right.db --format onnx", "taken.onnx", ExportError, "taken.onnx is there already"),
    "weights that are there": ("right.db --format openvino", "taken.xml", ExportError, "taken.bin is there already"),
    "a folder that cannot be made": ("right.db --format onnx", "taken.onnx/a.onnx", ExportError, "cannot be written"),
    "Frigate and another size": ("right.db --program frigate", "folder", ExportError, "224x224 pixels, and tflite-fp32 takes 8x8"),
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_right_is_refused_with_a_sentence_and_writes_nothing(
    reason: str, tiny: Bundle, shops: Path, photos: Path, tmp_path: Path
) -> None:
    for name in ("taken.onnx", "taken.bin"):
        (tmp_path / name).write_text("precious")
    arguments, output, kind, sentence = REFUSED[reason]
    store, *options = arguments.format(photos=photos).split()
    done = exported("-s", shops / store, "-m", tiny.path, *options, "-o", tmp_path / output)
    assert type(done.exception) is kind
    with pytest.raises(kind, match=sentence):
        raise done.exception
    assert {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()} == {"taken.onnx": "precious", "taken.bin": "precious"}


@pytest.mark.parametrize("options", [[], ["--format", "coreml"], ["--program", "frigate", "--format", "onnx"], ["--program", "mynpu"]])
def test_options_that_say_nothing_or_two_things_are_misuse(options: list[str], tiny: Bundle, shops: Path, tmp_path: Path) -> None:
    assert exported("-s", shops / "right.db", "-m", tiny.path, *options, "-o", tmp_path / "a.onnx").exit_code == 2


def test_a_file_that_says_something_else_than_its_head_is_not_handed_over(tiny: Bundle, tmp_path: Path) -> None:
    wrong = classes(head(DIM), probabilities=head(DIM, seed=1).probabilities)
    with pytest.raises(ParityError, match=r"onnx-fp32 on onnxruntime .* probabilities up to .* n=25 pictures"):
        fused.fuse(tiny, tiny.variant("onnx-fp32"), wrong, tmp_path / "a.onnx")
    other = dataclasses.replace(head(DIM), weight=np.zeros((3, DIM + 1), np.float32))
    with pytest.raises(ExportError, match="of 5 values, the head reads 6"):
        fused.fuse(tiny, tiny.variant("onnx-fp32"), classes(other), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


# With the real backbone


class Frigate:
    """What Frigate does with a custom classification model, in its own words.

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
    """50 photos to teach, 10 per class, and 200 others."""
    photos, _ = labelled_photos_in(data / "flowers")
    per_class = [[pair for pair in photos if pair[1] == label] for label in sorted({label for _, label in photos})]
    return [pair for some in per_class for pair in some[:10]], [path for some in per_class for path, _ in some[10:50]]


@dataclasses.dataclass(frozen=True)
class Taught:
    """A store taught with one variant, what it says of 200 photos, and those as the model sees them."""

    store: Path
    said: list[tuple[str, float]]
    tensors: Pixels


@pytest.fixture(scope="module")
def taught(lite0: Path, flowers, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Taught]:
    folder, image = tmp_path_factory.mktemp("taught"), Bundle.open(lite0).input
    tensors = np.stack([tensor(load(path), image) for path in flowers[1]])

    @functools.lru_cache(None)
    def teach(variant: str) -> Taught:
        with Classifier.open(lite0, folder / f"{variant}.db", variant=variant, threads=2) as shop:
            shop.add_many(flowers[0])
            shop.train()
            said = [shop.predict(path, top=1).top[0] for path in flowers[1]]
        return Taught(folder / f"{variant}.db", said, tensors)

    return teach


def fuse(lite0: Path, known: Taught, output: Path, *options: str) -> dict[str, Any]:
    done = exported("-s", known.store, "-m", lite0, *options, "-o", output, "--json")
    assert done.exception is None, done.output
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["tflite-fp32", "tflite-int8", "onnx-int8", "openvino-int8"])
def test_on_200_flowers_the_file_says_what_the_classifier_says(variant: str, lite0: Path, taught, tmp_path: Path) -> None:
    known, format_ = taught(variant), variant.partition("-")[0]
    report = fuse(lite0, known, tmp_path / FORMATS[format_], "--format", format_)
    assert (report["variant"], report["agreement"]["max_abs"] < 1e-5, report["added"] < 60_000) == (variant, True, True)
    assert any("x86 without VNNI" in sentence for sentence in report["expects"]) == (variant in ("onnx-int8", "openvino-int8"))
    made = by_its_library(written(tmp_path), known.tensors)
    assert [report["labels"][row.argmax()] for row in made] == [label for label, _ in known.said]
    assert np.abs(made.max(1) - [score for _, score in known.said]).max() < 1e-5
    assert len(made) == 200


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["onnx", "openvino"])
def test_a_float_variant_proved_equal_says_what_the_classifier_says_of_100_flowers(
    format_: str, lite0: Path, taught, tmp_path: Path
) -> None:
    known = taught("tflite-fp32")
    report = fuse(lite0, known, tmp_path / FORMATS[format_], "--format", format_)
    assert (report["variant"], report["agreement"]["max_abs"] < 1e-5) == (f"{format_}-fp32", True)
    made = by_its_library(written(tmp_path), known.tensors[::2])
    assert [report["labels"][row.argmax()] for row in made] == [label for label, _ in known.said[::2]]
    assert np.abs(made.max(1) - [score for _, score in known.said[::2]]).max() < 1e-4
    assert len(made) == 100


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["onnx", "openvino"])
def test_a_store_of_tflite_becomes_the_other_formats_where_photos_show_that_it_may(
    format_: str, lite0: Path, taught, flowers, tmp_path: Path
) -> None:
    known, photos, output = taught("tflite-int8"), tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    surest = np.argsort([-score for _, score in known.said])[:70]  # so that no machine's own rounding decides whether there is a file
    for number, path in enumerate([*(path for path, _ in flowers[0]), *(flowers[1][index] for index in surest)]):
        (photos / f"{number}.jpg").symlink_to(path)
    report = fuse(lite0, known, output / FORMATS[format_], "--format", format_, "--check", str(photos))
    assert (report["variant"], report["check"]["known"]) == (f"{format_}-int8", 50)
    made = by_its_library(written(output), known.tensors[surest])
    same = [report["labels"][row.argmax()] == known.said[index][0] for row, index in zip(made, surest)]
    assert (report["check"]["top1"]["hits"], report["check"]["top1"]["n"]) == (sum(same), 70)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_mediapipe_reads_labels_and_input_and_says_the_same_of_200_flowers(precision: str, lite0: Path, taught, tmp_path: Path) -> None:
    mediapipe = pytest.importorskip(
        "mediapipe", reason="MediaPipe, an independent reader of the file, is not installed: pip install mediapipe"
    )
    from mediapipe.tasks.python import BaseOptions, vision

    known, output = taught(f"tflite-{precision}"), tmp_path / "flowers.tflite"
    fuse(lite0, known, output, "--format", "tflite")
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(output)), max_results=1)
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for pixels, (label, score) in zip(known.tensors, known.said):
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
            (best,) = classifier.classify(image).classifications[0].categories
            assert (best.category_name, best.score) == (label, pytest.approx(score, abs=1e-5))


@pytest.mark.slow
def test_the_model_api_reads_labels_and_colours_and_says_the_same_of_200_flowers(lite0: Path, taught, tmp_path: Path) -> None:
    adapters = pytest.importorskip(
        "model_api.adapters", reason="OpenVINO's Model API, an independent reader, is not installed: pip install openvino-model-api"
    )
    from model_api.models import Model

    known, output = taught("tflite-fp32"), tmp_path / "flowers.xml"
    fuse(lite0, known, output, "--format", "openvino")
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    model = Model.create_model(adapters.OpenvinoAdapter(adapters.create_core(), str(output), device="CPU", plugin_config=settings))
    for pixels, (label, _) in zip(known.tensors, known.said):
        assert model(np.ascontiguousarray(pixels[..., ::-1])).top_labels[0].name == label  # it takes frames as OpenCV has them, BGR


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_frigate_reads_its_folder_and_says_the_same_of_200_flowers(precision: str, lite0: Path, taught, tmp_path: Path) -> None:
    known = taught(f"tflite-{precision}")
    report = fuse(lite0, known, tmp_path / "flowers", "--program", "frigate")
    assert "Frigate squashes" in report["expects"][-1]
    frigate = Frigate(tmp_path / "flowers")
    answers = [frigate.classify(pixels) for pixels in known.tensors]
    assert answers == [(label, pytest.approx(score, abs=0.0051)) for label, score in known.said]
    assert len(answers) == 200
