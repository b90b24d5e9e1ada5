"""The file that learns on a phone, run by LiteRT alone: state and predictions equal the definition, in any order of photos."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import safetensors.numpy
import tiny_models
from click.testing import CliRunner, Result
from edgetl_exporters.files import tflite
from edgetl_exporters.trainer import export_trainer, rule
from pictures import coloured, encoded, picture
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from edgetl import Classifier, ImageSpec
from edgetl.bundle import bundle as bundles
from edgetl.bundle import writer
from edgetl.bundle.bundle import Bundle
from edgetl.bundle.writer import NewVariant
from edgetl.cli import deploy
from edgetl.cli.head import import_head
from edgetl.errors import BundleMissing, EdgetlError, ExportError, FingerprintMismatch
from edgetl.heads import Learner
from edgetl.inputs.photo.preprocess import tensor
from edgetl.inputs.photo.source import load
from edgetl.runtimes import open_runtime
from edgetl.types import Array, to_json

DIM, SLOTS, ALPHA = 48, 7, 0.03


class App:
    """A phone's program: it begins with zeros and calls `train` for every photo; it knows only names and shapes."""

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=model, num_threads=1)
        self.run = {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}
        self.inputs = self.run["predict"].get_input_details()
        self.state = self.fresh()

    def fresh(self, classes: int | None = None) -> dict[str, Array]:
        shapes = {name: tuple(details["shape"]) for name, details in self.inputs.items() if name != "embedding"}
        if classes is not None:
            shapes |= {"counts": (classes,), "squares": (classes,), "sums": (classes, *shapes["sums"][1:])}
        return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}

    def learn(self, embeddings: Array, classes: Sequence[int], sign: float = 1) -> None:
        for embedding, number in zip(embeddings, classes):
            target = np.zeros(len(self.state["counts"]), np.float32)
            target[number] = sign
            self.state = self.run["train"](embedding=embedding[None], target=target, **self.state)

    def predict(self, embeddings: Array) -> Array:
        return np.array([self.run["predict"](embedding=row[None], **self.state)["probabilities"] for row in embeddings])


def head_alone(dim: int = DIM, rooted: int = DIM, slots: int = SLOTS, alpha: float = ALPHA, temperature: float = rule.TEMPERATURE) -> bytes:
    model = tflite.new()
    rule.add_train(model, dim, rooted, slots, alpha)
    rule.add_predict(model, dim, rooted, slots, alpha, temperature)
    return tflite.pack(model)


def photos(n: int, classes: int, dim: int = DIM, seed: int = 0, apart: float = 1.0) -> tuple[Array, Array]:
    """Embeddings of both signs, with the length of a network's own."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return (apart * rng.normal(size=(classes, dim))[y] + rng.normal(size=(n, dim))).astype(np.float32) * 7, y


def normalised(x: Array, rooted: int) -> Array:
    """The definition, in float64: roots of the last values, scaled to their length if there are values before them."""
    x = x.astype(np.float64)
    before, last = x[:, :-rooted], x[:, -rooted:]
    roots = np.sign(last) * np.sqrt(np.abs(last))
    if before.size:
        roots *= np.linalg.norm(last, axis=1, keepdims=True) / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-300)
    whole = np.concatenate([before, roots], 1)
    return whole / np.maximum(np.linalg.norm(whole, axis=1, keepdims=True), 1e-300)


def batch(x: Array, y: Array, rooted: int, slots: int, alpha: float) -> dict[str, Array]:
    """The state by its definition, float64, from all photos at once."""
    x = normalised(x, rooted)
    counts, sums = np.bincount(y, minlength=slots).astype(np.float64), np.eye(slots)[y].T @ x
    means = sums / np.maximum(counts, 1)[:, None]
    scatter = (x - means[y]).T @ (x - means[y])
    shrunk = alpha * np.linalg.inv(scatter + alpha * np.eye(x.shape[1]))
    return {
        "counts": counts,
        "sums": sums,
        "squares": np.einsum("cd,de,ce->c", means, shrunk, means),
        "within": scatter @ shrunk / alpha,
    }


def assert_same(state: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    for name, array in expected.items():
        np.testing.assert_allclose(state[name], array, atol=1e-4, rtol=0, err_msg=name)


@pytest.mark.parametrize("rooted", [DIM, 20])
def test_500_steps_with_new_classes_and_forgotten_photos_give_the_batch_state(rooted: int) -> None:
    x, y = photos(430, 6)
    old = np.flatnonzero(y < 4)
    order = np.random.default_rng(rooted).permutation(len(y))
    # Two classes are added when the first four have half of their photos; 35 photos of all classes are forgotten.
    first = [i for i in order if y[i] < 4][: len(old) // 2]
    rest = [i for i in order if i not in set(first)]
    app = App(head_alone(rooted=rooted))
    app.learn(x[first], y[first])
    app.learn(x[rest], y[rest])
    gone, kept = order[::12], np.setdiff1d(order, order[::12])
    app.learn(x[gone], y[gone], sign=-1)
    again = gone[: 500 - len(order) - len(gone)]
    app.learn(x[again], y[again])
    assert len(order) + len(gone) + len(again) == 500
    there = np.concatenate([kept, again])
    assert_same(app.state, batch(x[there], y[there], rooted, SLOTS, ALPHA))
    assert app.state["counts"][6] == 0
    assert app.predict(x[:5])[:, 6].max() == 0


def test_predictions_equal_scikit_learns_lda() -> None:
    """Balanced classes, because edgetl's LDA has equal priors; each class brings its share of the scatter and of alpha."""
    x, y = photos(60, 3, dim=8, apart=0.3)
    app = App(head_alone(dim=8, rooted=8, alpha=1.0, temperature=1.0))
    app.learn(x, y)

    class Scatter:
        def fit(self, rows: Array) -> Any:
            apart = rows - rows.mean(0)
            self.covariance_ = apart.T @ apart / len(rows) + np.eye(8) / len(y)
            return self

    oracle = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Scatter()).fit(normalised(x, 8), y)
    test = photos(50, 3, dim=8, seed=1, apart=0.3)[0]
    expected = oracle.predict_proba(normalised(test, 8))
    assert 0.5 < np.median(expected.max(1)) < 0.95
    np.testing.assert_allclose(app.predict(test)[:, :3], expected, atol=1e-4)


def test_an_edgetl_head_of_the_same_photos_gives_the_same_probabilities() -> None:
    x, y = photos(90, 5)
    learner = Learner(DIM)
    learner.add(np.arange(len(y)), x, [f"class {i}" for i in y])
    fit = learner.fit("lda")
    app = App(head_alone(alpha=fit.alpha, temperature=fit.head.temperature * len(y)))
    app.learn(x, y)
    test = photos(40, 5, seed=2)[0]
    np.testing.assert_allclose(app.predict(test)[:, :5], fit.head.probabilities(test), atol=1e-3)


def test_fewer_slots_are_resized_and_more_are_an_error_of_the_interpreter() -> None:
    x, y = photos(30, 3)
    small, whole, large = App(head_alone()), App(head_alone()), App(head_alone())
    small.state, large.state = small.fresh(classes=3), large.fresh(classes=SLOTS + 1)
    small.learn(x, y)
    whole.learn(x, y)
    np.testing.assert_allclose(small.predict(x), whole.predict(x)[:, :3], atol=1e-6)
    with pytest.raises(RuntimeError, match="Invalid begin and size"):
        large.learn(x, y)
    with pytest.raises(RuntimeError, match="Invalid begin and size"):
        large.predict(x)


def test_forgetting_an_unknown_photo_changes_nothing_and_the_state_stays_finite() -> None:
    x, y = photos(20, 4)
    app = App(head_alone())
    app.learn(x[:2], [0, 6], sign=-1)
    assert_same(app.state, app.fresh())
    assert not app.predict(x).any()
    app.learn(x, y)
    before = dict(app.state)
    app.learn(x, y, sign=0)
    app.learn(photos(20, 4, seed=1)[0], y, sign=-1)
    assert_same(app.state, before)
    app.learn(np.zeros((2, DIM), np.float32), [0, 6])
    for _ in range(50):
        app.learn(x, y, sign=-1)
    assert all(np.isfinite(array).all() for array in app.state.values())
    assert np.isfinite(app.predict(x)).all()


def tiny_bundle(folder: Path, *kinds: str, levels: Sequence[int] = ()) -> Path:
    """A bundle of the tiny network; kinds as :func:`tiny_models.tflite`, or `onnx`."""
    photo, image = encoded(picture(seed=9)), ImageSpec(8, 8, 8)
    tensors = tensor(load(photo), image)[None]
    variants = []
    for kind in kinds:
        files = tiny_models.onnx() if kind == "onnx" else tiny_models.tflite(kind)
        form, precision = ("onnx", "fp32") if kind == "onnx" else ("tflite", "fp32" if kind == "float" else "int8")
        expected = open_runtime(bundles.FAMILIES[form], files).embed(tensors)
        variants.append(NewVariant(f"{form}-{kind}", form, precision, files, {}, None, expected))
    writer.write(
        folder / "tiny.edgetl",
        backbone={"name": "tiny"},
        input=image,
        dim=tiny_models.DIM,
        calibration=None,
        self_test_inputs=[photo],
        self_test_tensors=tensors,
        variants=variants,
        levels=levels,
    )
    return folder / "tiny.edgetl"


@pytest.mark.parametrize(("kind", "levels"), [("float", ()), ("int8", ()), ("uint8", (1, 4))])
def test_a_bundles_model_embeds_in_the_file_as_on_the_device(kind: str, levels: tuple[int, ...], tmp_path: Path) -> None:
    bundle, output = tiny_bundle(tmp_path, kind, levels=levels), tmp_path / "trainer.tflite"
    export_trainer(bundle, output, slots=4)
    app = App(output.read_bytes())
    pixels = np.random.default_rng(3).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    expected = open_runtime("litert", tiny_models.tflite(kind)).embed(pixels)
    embeddings = np.stack([app.run["embed"](image=photo[None])["embedding"][0] for photo in pixels])
    np.testing.assert_array_equal(embeddings, expected)
    app.learn(embeddings, [0, 1, 2, 0, 1, 2])
    assert_same(app.state, batch(expected, np.array([0, 1, 2, 0, 1, 2]), levels[-1] if levels else tiny_models.DIM, 4, ALPHA))


def test_the_file_describes_itself_and_has_builtin_operators_only(tmp_path: Path) -> None:
    bundle, output = tiny_bundle(tmp_path, "float", "int8"), tmp_path / "trainer.tflite"
    trainer = export_trainer(bundle, output, slots=4)
    opened = Bundle.open(bundle)
    variant = opened.variant("tflite-int8")
    assert (trainer.variant, trainer.model, trainer.fingerprint) == ("tflite-int8", variant.sha256, opened.fingerprint(variant).digest)
    assert trainer.size == output.stat().st_size
    model = tflite.read(output.read_bytes(), "trainer.tflite")
    (stated,) = [model.buffers[entry.buffer].data for entry in model.metadata if entry.name == b"edgetl-trainer"]
    assert {**json.loads(bytes(stated)), "size": trainer.size} == {"format": "edgetl-trainer-1", **to_json(trainer)}
    graphs = [tflite.TfliteGraph(model, number) for number in range(len(model.subgraphs))]
    used = {graph.opcode(operator) for graph in graphs for operator in graph.raw.operators}
    assert used == set(trainer.operators)
    assert not [name for name in used if "CUSTOM" in name.upper() or name.startswith("Flex")]
    assert all(code.customCode is None for code in model.operatorCodes)


@pytest.mark.parametrize(
    ("options", "kind", "code", "values"),
    [
        ({"variant": "onnx-onnx"}, ExportError, "format-differs", {"format": "onnx", "names": ["tflite-float"]}),
        ({"variant": "tflite-int4"}, BundleMissing, "variant-missing", {}),
        ({"output": "trainer.safetensors"}, ExportError, "wrong-suffix", {"path": "trainer.safetensors", "expected": ".tflite"}),
        ({"slots": 1}, ExportError, "slots-out-of-range", {"slots": 1, "maximum": 4096}),
        ({"slots": 5000}, ExportError, "slots-out-of-range", {"slots": 5000, "maximum": 4096}),
    ],
)
def test_an_export_that_is_not_possible_is_an_error_and_writes_nothing(
    options: dict[str, Any], kind: type[EdgetlError], code: str, values: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(kind) as error:
        export_trainer(tiny_bundle(tmp_path, "float", "onnx"), **{"output": tmp_path / "trainer.tflite", **options})
    assert error.value.code == code
    assert error.value.values | values == error.value.values
    assert not (tmp_path / "trainer.tflite").exists()


def test_a_bundle_without_a_tflite_variant_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleMissing) as error:
        export_trainer(tiny_bundle(tmp_path, "onnx"), tmp_path / "trainer.tflite")
    assert (error.value.code, error.value.values["names"]) == ("format-missing", ["onnx-onnx"])


def run(verb: click.Command, *arguments: object) -> Result:
    # click keeps a verb's help option once it was asked for, and the group's verbs have -h too.
    names = ["-h", "--help"]
    done = CliRunner().invoke(verb, [str(argument) for argument in arguments], catch_exceptions=False, help_option_names=names)
    assert done.exit_code == 0, done.output
    return done


def test_the_verb_prints_the_signatures(tmp_path: Path) -> None:
    arguments = ["-m", str(tiny_bundle(tmp_path, "int8")), "-o", str(tmp_path / "trainer.tflite"), "--slots", "4"]
    shown = run(deploy.trainer, *arguments, "-v")
    assert [line.split()[:5] for line in shown.stdout.splitlines() if line.startswith("predict  ")] == [
        ["predict", "in", "embedding", "float32", "1x5"],
        ["predict", "in", "counts", "float32", "4"],
        ["predict", "in", "sums", "float32", "4x5"],
        ["predict", "in", "squares", "float32", "4"],
        ["predict", "in", "within", "float32", "5x5"],
        ["predict", "out", "logits", "float32", "4"],
        ["predict", "out", "probabilities", "float32", "4"],
    ]
    assert json.loads(run(deploy.trainer, *arguments, "--json").stdout)["state_size"] == 4 * (4 + 4 * 5 + 4 + 5 * 5)


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path]:
    """A bundle, and a store with photos of three classes, embedded with its TFLite model."""
    bundle, store = tiny_bundle(tmp_path, "int8", "onnx"), tmp_path / "parts.db"
    with Classifier.open(bundle, store, variant="tflite-int8") as classifier:
        for seed in range(6):
            for label in ("red", "green", "blue"):
                classifier.add(coloured(label, seed), label)
    return bundle, store


def test_an_app_begins_with_a_store_and_its_learning_returns_as_a_head(trained: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, store = trained
    output, learned, file = tmp_path / "trainer.tflite", tmp_path / "learned.safetensors", tmp_path / "head.safetensors"
    deployed = json.loads(run(deploy.trainer, "-m", bundle, "-s", store, "-o", output, "--slots", 6, "--json").stdout)
    app, image = App(output.read_bytes()), ImageSpec(8, 8, 8)

    def embed(photo: bytes) -> Array:
        return app.run["embed"](image=tensor(load(photo), image)[None])["embedding"]

    app.state = safetensors.numpy.load_file(deployed["state"])
    assert (deployed["variant"], deployed["labels"], app.state["counts"].tolist()) == (
        "tflite-int8",
        ["blue", "green", "red"],
        [6, 6, 6, 0, 0, 0],
    )
    test = [coloured(label, seed) for label in ("red", "green", "blue") for seed in range(6, 10)]
    with Classifier.open(bundle, store) as classifier:
        classifier.train("lda", allow_loss=1)
        for photo in test:
            np.testing.assert_allclose(
                [dict(classifier.predict(photo).top)[label] for label in deployed["labels"]], app.predict(embed(photo))[0, :3], atol=1e-4
            )
        for seed in range(5):
            app.learn(embed(coloured("yellow", seed)), [3])
        safetensors.numpy.save_file(app.state, learned, {"labels": json.dumps([*deployed["labels"], "yellow"])})
        run(import_head, learned, "--trainer", output, "-o", file)
        assert classifier.import_head(file).labels == ("blue", "green", "red", "yellow")
        for photo in [*test, coloured("yellow", 8)]:
            prediction = classifier.predict(photo)
            probabilities = dict(zip([*deployed["labels"], "yellow"], app.predict(embed(photo))[0]))
            assert prediction.label == max(probabilities, key=lambda label: probabilities[label])
            np.testing.assert_allclose([probabilities[label] for label, _ in prediction.top], [p for _, p in prediction.top], atol=1e-4)


def test_a_store_of_another_model_or_of_too_many_classes_is_an_error(trained: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, store = trained
    output, other = tmp_path / "trainer.tflite", tmp_path / "other.db"
    with pytest.raises(ExportError) as error:
        run(deploy.trainer, "-m", bundle, "-s", store, "-o", output, "--slots", 2)
    assert (error.value.code, error.value.values["classes"], error.value.values["slots"]) == ("too-many-classes", 3, 2)
    with Classifier.open(bundle, other, variant="onnx-onnx") as classifier:
        classifier.add(coloured("red", 0), "red")
    with pytest.raises(FingerprintMismatch) as error:
        run(deploy.trainer, "-m", bundle, "-s", other, "-o", output)
    assert (error.value.code, error.value.values["names"], error.value.values["family"]) == (
        "model-mismatch",
        ["tflite-int8"],
        "onnxruntime",
    )
    assert not output.exists()


@pytest.mark.parametrize(
    ("change", "labels", "code"),
    [
        ({}, ["a"], "state-unusable"),
        ({}, ["a", "b", "c"], "state-unusable"),
        ({"counts": np.array([1, 0], np.float32)}, ["a", "b"], "state-unusable"),
        ({"sums": np.zeros((2, 4), np.float32)}, ["a", "b"], "state-unusable"),
        ({"within": np.full((5, 5), np.nan, np.float32)}, ["a", "b"], "state-unusable"),
        ({"counts": np.array([1.0, 2.0])}, ["a", "b"], "state-unusable"),
        ({"more": np.zeros(1, np.float32)}, ["a", "b"], "state-unusable"),
        ({}, ["a", "b/c"], "head-unusable"),
    ],
)
def test_a_state_that_no_app_can_have_learned_is_an_error(change: dict[str, Array], labels: list[str], code: str, tmp_path: Path) -> None:
    output, state = tmp_path / "trainer.tflite", tmp_path / "state.safetensors"
    export_trainer(tiny_bundle(tmp_path, "int8"), output, slots=2)
    fine = {"counts": np.ones(2), "sums": np.ones((2, 5)), "squares": np.ones(2), "within": np.zeros((5, 5))}
    arrays = {name: array.astype(np.float32) for name, array in fine.items()} | change
    safetensors.numpy.save_file(arrays, state, {"labels": json.dumps(labels)})
    with pytest.raises(EdgetlError) as error:
        run(import_head, state, "--trainer", output, "-o", tmp_path / "head.safetensors")
    assert error.value.code == code
    for wrong in (b"", b"\xff" * 40, output.read_bytes()):
        state.write_bytes(wrong)
        with pytest.raises(ExportError) as error:
            run(import_head, state, "--trainer", output, "-o", tmp_path / "head.safetensors")
        assert error.value.code == "state-unusable"
    output.write_bytes(tiny_models.tflite("int8")["model.tflite"])
    with pytest.raises(ExportError) as error:
        run(import_head, state, "--trainer", output, "-o", tmp_path / "head.safetensors")
    assert error.value.code == "not-a-trainer"


PHONE = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

trainer = Interpreter(model_path=sys.argv[1])
embed, train, predict = (trainer.get_signature_runner(name) for name in ("embed", "train", "predict"))
state = {name: np.zeros(d["shape"], d["dtype"]) for name, d in train.get_input_details().items() if name not in ("embedding", "target")}
rng = np.random.default_rng(0)
scenes = rng.integers(60, 196, (4, 8, 8, 3))

def photo(scene):
    return np.clip(scenes[scene] + rng.integers(-30, 30, (8, 8, 3)), 0, 255).astype(np.uint8)[None]

correct = 0
for n in range(120):
    embedding = embed(image=photo(n % 4))["embedding"]
    if n < 80:
        state = train(embedding=embedding, target=np.eye(len(state["counts"]), dtype=np.float32)[n % 4], **state)
    else:
        correct += predict(embedding=embedding, **state)["probabilities"].argmax() == n % 4
assert not [name for name in sys.modules if name.startswith(("edgetl", "torch", "tensorflow"))]
print(correct)
"""


def test_a_program_with_numpy_and_litert_alone_learns(tmp_path: Path) -> None:
    export_trainer(tiny_bundle(tmp_path, "int8"), tmp_path / "trainer.tflite", slots=4)
    done = subprocess.run(
        [sys.executable, "-c", PHONE, str(tmp_path / "trainer.tflite")], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert int(done.stdout) >= 32  # of 40; guessing gives 10


@pytest.mark.slow
def test_the_compiled_model_api_gives_the_same_state(tmp_path: Path) -> None:
    """LiteRT's newer interface, which apps for Android are advised to use; it takes buffers and reports no error of shape."""
    from ai_edge_litert.compiled_model import CompiledModel

    app = App(head_alone())
    (tmp_path / "trainer.tflite").write_bytes(head_alone())
    model = CompiledModel.from_file(str(tmp_path / "trainer.tflite"))
    x, y = photos(1, 1)
    app.learn(x, y)
    arguments = {**app.fresh(), "embedding": x, "target": np.eye(SLOTS, dtype=np.float32)[0]}
    inputs = {name: model.create_input_buffer_by_name("train", name) for name in arguments}
    outputs = {name: model.create_output_buffer_by_name("train", name) for name in app.state}
    for name, array in arguments.items():
        inputs[name].write(array)
    model.run_by_name("train", inputs, outputs)
    results = {name: outputs[name].read(array.size, np.float32).reshape(array.shape) for name, array in app.state.items()}
    assert_same(results, app.state)


@pytest.mark.slow
def test_500_steps_on_real_photos_give_the_batch_state_and_edgetls_accuracy(lite0: Path, data: Path, tmp_path: Path) -> None:
    trainer = export_trainer(lite0, tmp_path / "trainer.tflite")
    app = App((tmp_path / "trainer.tflite").read_bytes())
    opened = Bundle.open(lite0)
    folders = sorted(path for path in (data / "sign-digits").iterdir() if path.is_dir())
    paths = [(path, number) for number, folder in enumerate(folders) for path in sorted(folder.iterdir())[:25]]
    tensors = np.stack([tensor(load(path), opened.input) for path, _ in paths])
    y = np.array([number for _, number in paths])
    x = np.stack([app.run["embed"](image=photo[None])["embedding"][0] for photo in tensors])
    self_test = opened.self_test(opened.variant(trainer.variant))
    np.testing.assert_array_equal(app.run["embed"](image=self_test.tensors[:1])["embedding"], self_test.embeddings[:1])
    order = np.random.default_rng(0).permutation(len(y))
    trained, test, passing = order[:150], order[150:], order[150:]
    app.learn(x[trained], y[trained])
    for _ in range(2):
        app.learn(x[passing], y[passing])
        app.learn(x[passing[::-1]], y[passing[::-1]], sign=-1)
        passing = passing[: (500 - 150 - 2 * len(passing)) // 2]
    assert_same(app.state, batch(x[trained], y[trained], trainer.rooted, trainer.slots, trainer.alpha))
    learner = Learner(opened.dim)
    learner.add(trained, x[trained], [str(number) for number in y[trained]])
    head = learner.fit("auto").head
    correct = (app.predict(x[test]).argmax(1) == y[test]).mean()
    auto = np.mean([head.labels[row.argmax()] == str(number) for row, number in zip(head.logits(x[test]), y[test])])
    assert correct >= auto - 0.05
