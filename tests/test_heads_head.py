"""The head as a value and as a file: fast on one row, exact after a round trip, and an error for hostile bytes."""

import dataclasses
import json
import struct
import timeit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raising import raises
from safetensors.numpy import save as safetensors

from edgetl.errors import EdgetlError, HeadError
from edgetl.heads import Head
from edgetl.heads.confidence.conformal import Conformal
from edgetl.heads.confidence.rejection import Rejected, Rejection
from edgetl.heads.head import FORMAT, _crc

RNG = np.random.default_rng(0)


def head(c: int = 3, d: int = 8) -> Head:
    labels = ("ant", "Bär 🐻", "cat", *(f"class {i}" for i in range(3, c)))[:c]
    weight, bias = RNG.standard_normal((c, d)).astype(np.float32), RNG.standard_normal(c).astype(np.float32)
    return Head("lda", labels, weight, bias, 0.25, d, tuple(range(1, c + 1)), "f" * 64)


def whole(c: int = 3, d: int = 8) -> Head:
    """A head with everything that one may hold."""
    b = 2  # photos of the background
    form = RNG.standard_normal((c + b, c + b)).astype(np.float32)
    weight, bias = RNG.standard_normal((2 * c + b, d)).astype(np.float32), RNG.standard_normal(2 * c + b).astype(np.float32)
    rejection = Rejection("mahalanobis", weight, bias, bias[: c + b], form @ form.T, -1.5, -3.0, (0.5, -1.5, -9.0))
    scores = np.tile(np.linspace(0.1, 0.9, 20), c).astype(np.float32)
    return dataclasses.replace(head(c, d), rejection=rejection, conformal=Conformal(scores, (20,) * c))


@pytest.mark.parametrize("rooted", [8, 3, 1])
def test_logits_are_those_of_the_normalised_embedding_for_one_row_and_for_many(rooted: int) -> None:
    """The last level is rooted and keeps its length beside the others."""
    trained, x = dataclasses.replace(head(), rooted=rooted), RNG.standard_normal((5, 8)).astype(np.float32)
    first, last = np.split(x, [8 - rooted], axis=1)
    roots = np.sign(last) * np.sqrt(np.abs(last))
    roots *= np.linalg.norm(last, axis=1, keepdims=True) / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-9)
    read = np.concatenate([first, roots], axis=1)
    expected = (read / np.linalg.norm(read, axis=1, keepdims=True)) @ trained.weight.T + trained.bias
    np.testing.assert_allclose(trained.logits(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.stack([trained.logits(row) for row in x]), expected, rtol=1e-5, atol=1e-6)
    odds = np.exp(expected / 0.25)
    np.testing.assert_allclose(trained.probabilities(x), odds / odds.sum(1, keepdims=True), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(trained.probabilities(x[0]), (odds / odds.sum(1, keepdims=True))[0], rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(trained.logits(np.zeros(8, np.float32)), trained.bias)


@pytest.mark.parametrize("bad", [np.zeros(7), np.zeros((2, 9)), np.zeros((1, 1, 8)), np.float32(1)])
def test_embeddings_of_another_length_are_an_error(bad: np.ndarray) -> None:
    with raises(HeadError, "embedding-shape", shape=list(np.shape(bad)), expected=8):
        head().logits(bad)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_embeddings_with_a_nan_or_an_infinity_are_an_error(value: float) -> None:
    x = np.ones((2, 8), np.float32)
    x[1, 3] = value
    for bad in (x, x[1]):
        with raises(HeadError, "embedding-not-finite"):
            head().probabilities(bad)


def test_one_row_costs_little_more_than_its_product() -> None:
    trained, x = head(10, 1280), RNG.standard_normal(1280).astype(np.float32)
    bare = min(timeit.repeat(lambda: trained.weight @ x + trained.bias, number=300, repeat=9)) / 300
    whole = min(timeit.repeat(lambda: trained.probabilities(x), number=300, repeat=9)) / 300
    assert whole - bare < 30e-6


def test_a_round_trip_keeps_everything() -> None:
    trained = head()
    again = Head.from_bytes(trained.to_bytes())
    assert (again.kind, again.labels, again.temperature) == (trained.kind, trained.labels, trained.temperature)
    assert (again.counts, again.fingerprint, again.rooted) == (trained.counts, trained.fingerprint, 8)
    np.testing.assert_array_equal(again.weight, trained.weight)
    np.testing.assert_array_equal(again.bias, trained.bias)
    assert len(head(600, 1280).to_bytes()) < 3.5e6


def test_a_round_trip_of_81_classes_keeps_rejection_and_prediction_sets() -> None:
    trained = whole(81, 1280)
    data = trained.to_bytes()
    assert len(data) < 3.5e6
    again, x = Head.from_bytes(data), RNG.standard_normal((20, 1280)).astype(np.float32)
    assert [again.decide(row)[1] for row in x] == [trained.decide(row)[1] for row in x]
    assert [again.candidates(row) for row in x] == [trained.candidates(row) for row in x]


@pytest.mark.parametrize("label", ["none", "Background", "UNKNOWN"])
def test_what_looks_like_a_reject_class_gets_no_label(label: str) -> None:
    trained = dataclasses.replace(head(), labels=("ant", label, "cat"), weight=np.eye(3, 8, dtype=np.float32), bias=np.zeros(3, np.float32))
    probabilities, rejected = trained.decide(np.eye(8, dtype=np.float32)[1])
    assert probabilities.argmax() == 1
    assert rejected == Rejected("reject-class")
    assert trained.decide(np.eye(8, dtype=np.float32)[2])[1] is None


def test_a_decision_costs_little_more_than_probabilities() -> None:
    trained, x = whole(10, 1280), RNG.standard_normal(1280).astype(np.float32)
    bare = min(timeit.repeat(lambda: trained.probabilities(x), number=300, repeat=9)) / 300
    assert min(timeit.repeat(lambda: trained.decide(x), number=300, repeat=9)) / 300 - bare < 100e-6


def arrays() -> dict[str, np.ndarray]:
    return {"weight": np.ones((2, 4), np.float32), "bias": np.ones(2, np.float32), "temperature": np.ones(1)}


def stated() -> dict[str, str]:
    return {"format": FORMAT, "rooted": "3", "kind": "lda", "labels": '["a", "b"]', "counts": "[1, 2]", "fingerprint": "00"}


def save(arrays: dict[str, np.ndarray], stated: dict[str, str] | None = None) -> bytes:
    """A file with a correct checksum: what else is wrong must be detected without it."""
    stated = stated or {}
    crc = _crc(stated, {name: array.tobytes() for name, array in arrays.items()})
    return safetensors(arrays, stated | {"crc": str(crc)})


HOSTILE = {
    "not safetensors": b"PK\x03\x04 a zip",
    "empty": b"",
    "a header longer than the file": struct.pack("<Q", 2**62) + b"{}",
    "a header that is not JSON": struct.pack("<Q", 4) + b"{{{{",
    "no metadata": save(arrays()),
    "no weight": save({k: v for k, v in arrays().items() if k != "weight"}, stated()),
    "no bias": save({k: v for k, v in arrays().items() if k != "bias"}, stated()),
    "no temperature": save({k: v for k, v in arrays().items() if k != "temperature"}, stated()),
    "another format": save(arrays(), stated() | {"format": "edgetl-head-9"}),
    "no checksum": safetensors(arrays(), stated()),
    "another checksum": safetensors(arrays(), stated() | {"crc": "7"}),
    "no number of roots": save(arrays(), {name: value for name, value in stated().items() if name != "rooted"}),
    **{f"{roots} roots": save(arrays(), stated() | {"rooted": roots}) for roots in ("5", "0", "-1", "2.5", "true", "all")},
    "an unknown kind": save(arrays(), stated() | {"kind": "forest"}),
    "three labels for two rows": save(arrays(), stated() | {"labels": '["a", "b", "c"]'}),
    "the same label twice": save(arrays(), stated() | {"labels": '["a", "a"]'}),
    "a label that is a path": save(arrays(), stated() | {"labels": '["a", "../b"]'}),
    "a label that is a number": save(arrays(), stated() | {"labels": '["a", 1]'}),
    "labels that are a number": save(arrays(), stated() | {"labels": "7"}),
    "labels that are not JSON": save(arrays(), stated() | {"labels": "a, b"}),
    "labels nested deeply": save(arrays(), stated() | {"labels": "[" * 100_000}),
    "no label": save(arrays() | {"weight": np.ones((0, 4), np.float32), "bias": np.ones(0, np.float32)}, stated() | {"labels": "[]"}),
    "counts of another length": save(arrays(), stated() | {"counts": "[1]"}),
    "a count that is negative": save(arrays(), stated() | {"counts": "[1, -2]"}),
    "a weight with one axis": save(arrays() | {"weight": np.ones(8, np.float32)}, stated()),
    "a weight without columns": save(arrays() | {"weight": np.ones((2, 0), np.float32)}, stated()),
    "a bias of another length": save(arrays() | {"bias": np.ones(3, np.float32)}, stated()),
    "a NaN in the weight": save(arrays() | {"weight": np.full((2, 4), np.nan, np.float32)}, stated()),
    "an infinity in the bias": save(arrays() | {"bias": np.full(2, np.inf, np.float32)}, stated()),
    "a float64 weight": save(arrays() | {"weight": np.ones((2, 4))}, stated()),
    "an integer weight": save(arrays() | {"weight": np.ones((2, 4), np.int32)}, stated()),
    "temperature zero": save(arrays() | {"temperature": np.zeros(1)}, stated()),
    "a NaN temperature": save(arrays() | {"temperature": np.full(1, np.nan)}, stated()),
    "two temperatures": save(arrays() | {"temperature": np.ones(2)}, stated()),
}


def extras() -> dict[str, np.ndarray]:
    square = np.eye(2, dtype=np.float32)
    rejection = {"weight": np.ones((4, 4), np.float32), "bias": np.ones(4, np.float32), "offset": square[0], "form": square}
    rejection |= {"threshold": np.zeros(1), "reach": np.zeros(1), "limits": np.zeros(3)}
    return {f"rejection.{k}": v for k, v in rejection.items()} | {"conformal.scores": np.array([0.1, 0.5, 0.2], np.float32)}


def complete() -> dict[str, str]:
    return stated() | {"rejection": "margin", "conformal": "[2, 1]"}


HOSTILE |= {
    **{f"no {name}": save(arrays() | {k: v for k, v in extras().items() if k != name}, complete()) for name in extras()},
    "the margin of one class": save(
        {**arrays(), **extras(), "weight": np.ones((1, 4), np.float32), "bias": np.ones(1, np.float32)}, complete() | {"labels": '["a"]'}
    ),
    **{f"{name} of another shape": save(arrays() | extras() | {name: np.ones((5, 5), np.float32)}, complete()) for name in extras()},
    **{f"a NaN in {name}": save(arrays() | extras() | {name: np.full_like(array, np.nan)}, complete()) for name, array in extras().items()},
    "an unknown score": save(arrays() | extras(), complete() | {"rejection": "luck"}),
    "a float64 form": save(arrays() | extras() | {"rejection.form": np.eye(2)}, complete()),
    "sizes of another sum": save(arrays() | extras(), complete() | {"conformal": "[2, 2]"}),
    "a size that is negative": save(arrays() | extras(), complete() | {"conformal": "[4, -1]"}),
    "sizes of three classes": save(arrays() | extras(), complete() | {"conformal": "[1, 1, 1]"}),
    "sizes that are a number": save(arrays() | extras(), complete() | {"conformal": "3"}),
    "scores that fall": save(arrays() | extras(), complete() | {"conformal": "[1, 2]"}),
    "scores above one": save(arrays() | extras() | {"conformal.scores": np.array([1, 2, 1], np.float32)}, complete()),
}


def test_the_base_of_the_hostile_heads_is_a_good_one() -> None:
    plain = Head.from_bytes(save(arrays(), stated()))
    assert (plain.labels, plain.rooted, plain.rejection) == (("a", "b"), 3, None)
    with raises(HeadError, "no-prediction-sets"):
        plain.candidates(np.ones(4, np.float32))
    assert Head.from_bytes(save(arrays() | extras(), complete())).rejection is not None


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_an_error_with_the_files_name(name: str) -> None:
    with pytest.raises(HeadError) as caught:
        Head.from_bytes(HOSTILE[name], "parts.head")
    assert caught.value.values["name"] == "parts.head"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (HOSTILE["not safetensors"], "not-a-head"),
        (HOSTILE["another format"], "head-format-unknown"),
        (HOSTILE["another checksum"], "head-damaged"),
        (HOSTILE["a NaN in the weight"], "head-unusable"),
    ],
)
def test_each_kind_of_damage_has_its_code(content: bytes, code: str) -> None:
    with raises(HeadError, code, name="parts.head"):
        Head.from_bytes(content, "parts.head")


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_gives_a_head_or_a_clear_error(draw: st.DataObject) -> None:
    data = bytearray(save(arrays() | extras(), complete()))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.sampled_from([len(data), len(data) - 1, len(data) // 2, 9]))
    try:
        trained = Head.from_bytes(bytes(data[:cut]))
    except EdgetlError:
        return
    x = np.ones(trained.weight.shape[1], np.float32)
    assert np.isfinite(trained.decide(x)[0]).all()
    if trained.conformal is not None and min(trained.conformal.sizes):
        assert trained.candidates(x, 0.5)
    json.dumps([trained.kind, trained.labels, trained.counts, trained.fingerprint])


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_of_a_head_is_harmless_or_detected(draw: st.DataObject) -> None:
    data = whole().to_bytes()
    before = Head.from_bytes(data)
    place, value = draw.draw(st.integers(0, len(data) - 1)), draw.draw(st.integers(1, 255))
    changed = bytearray(data)
    changed[place] ^= value
    try:
        after = Head.from_bytes(bytes(changed))
    except HeadError:
        return
    x = RNG.standard_normal(8).astype(np.float32)
    assert (after.labels, after.rooted, after.temperature) == (before.labels, before.rooted, before.temperature)
    assert (after.logits(x) == before.logits(x)).all()
    assert after.decide(x)[1] == before.decide(x)[1]
