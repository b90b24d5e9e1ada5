"""The head as a value and as a file: fast on one row, exact after a round trip, and clear about hostile bytes."""

import dataclasses
import json
import struct
import timeit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as safetensors

from edgetl.errors import EdgetlError, HeadError
from edgetl.heads import Head
from edgetl.heads.confidence.conformal import Conformal
from edgetl.heads.confidence.rejection import Rejection
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


@pytest.mark.parametrize("rooted", [8, 3, 0])
def test_logits_are_those_of_the_normalised_embedding_for_one_row_and_for_many(rooted: int) -> None:
    """The last level is rooted and keeps its length beside the others."""
    made, x = dataclasses.replace(head(), rooted=rooted), RNG.standard_normal((5, 8)).astype(np.float32)
    first, last = np.split(x, [8 - rooted], axis=1)
    roots = np.sign(last) * np.sqrt(np.abs(last))
    roots *= np.linalg.norm(last, axis=1, keepdims=True) / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-9)
    read = np.concatenate([first, roots], axis=1)
    expected = (read / np.linalg.norm(read, axis=1, keepdims=True)) @ made.weight.T + made.bias
    np.testing.assert_allclose(made.logits(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.stack([made.logits(row) for row in x]), expected, rtol=1e-5, atol=1e-6)
    odds = np.exp(expected / 0.25)
    np.testing.assert_allclose(made.probabilities(x), odds / odds.sum(1, keepdims=True), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(made.probabilities(x[0]), (odds / odds.sum(1, keepdims=True))[0], rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(made.logits(np.zeros(8, np.float32)), made.bias)


@pytest.mark.parametrize("bad", [np.zeros(7), np.zeros((2, 9)), np.zeros((1, 1, 8)), np.float32(1)])
def test_embeddings_of_another_length_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(HeadError, match="embeddings of 8 values, not an array of shape"):
        head().logits(bad)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_embeddings_with_a_nan_or_an_infinity_are_refused(value: float) -> None:
    x = np.ones((2, 8), np.float32)
    x[1, 3] = value
    for bad in (x, x[1]):
        with pytest.raises(HeadError, match="NaN or an infinity"):
            head().probabilities(bad)


def test_one_row_costs_little_more_than_its_product() -> None:
    made, x = head(10, 1280), RNG.standard_normal(1280).astype(np.float32)
    bare = min(timeit.repeat(lambda: made.weight @ x + made.bias, number=300, repeat=9)) / 300
    whole = min(timeit.repeat(lambda: made.probabilities(x), number=300, repeat=9)) / 300
    assert whole - bare < 30e-6


def test_a_round_trip_keeps_everything() -> None:
    made = head()
    again = Head.from_bytes(made.to_bytes())
    assert (again.kind, again.labels, again.temperature) == (made.kind, made.labels, made.temperature)
    assert (again.counts, again.fingerprint, again.rooted) == (made.counts, made.fingerprint, 8)
    np.testing.assert_array_equal(again.weight, made.weight)
    np.testing.assert_array_equal(again.bias, made.bias)
    assert len(head(600, 1280).to_bytes()) < 3.5e6


def test_a_round_trip_keeps_rejection_and_sets_and_eighty_one_classes_fit_into_the_limit() -> None:
    made = whole(81, 1280)
    data = made.to_bytes()
    assert len(data) < 3.5e6
    again, x = Head.from_bytes(data), RNG.standard_normal((20, 1280)).astype(np.float32)
    assert [again.decide(row)[1] for row in x] == [made.decide(row)[1] for row in x]
    assert [again.candidates(row) for row in x] == [made.candidates(row) for row in x]


@pytest.mark.parametrize("version", ["edgetl-head-1", "edgetl-head-2"])
def test_heads_of_before_power_normalisation_still_give_their_answers_and_keep_them_when_they_are_written_again(version: str) -> None:
    weight = RNG.standard_normal((2, 4)).astype(np.float32)
    old = Head.from_bytes(save(arrays() | {"weight": weight}, stated() | {"format": version}))
    x = RNG.standard_normal((5, 4)).astype(np.float32)
    expected = x / np.linalg.norm(x, axis=1, keepdims=True) @ weight.T + 1
    for made in (old, Head.from_bytes(old.to_bytes())):
        np.testing.assert_allclose(made.logits(x), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.log(made.decide(x[0])[0]), expected[0] - np.logaddexp.reduce(expected[0]), rtol=1e-4, atol=1e-5)


def test_a_head_of_the_first_format_still_reads_and_rejects_nothing() -> None:
    old = Head.from_bytes(save(arrays(), stated()))
    assert old.rejection is None
    assert old.decide(np.ones(4, np.float32))[1] == ""
    with pytest.raises(HeadError, match="train again"):
        old.candidates(np.ones(4, np.float32))


@pytest.mark.parametrize("label", ["none", "Background", "UNKNOWN"])
def test_what_looks_like_a_reject_class_gets_no_label(label: str) -> None:
    made = dataclasses.replace(head(), labels=("ant", label, "cat"), weight=np.eye(3, 8, dtype=np.float32), bias=np.zeros(3, np.float32))
    probabilities, reason = made.decide(np.eye(8, dtype=np.float32)[1])
    assert probabilities.argmax() == 1
    assert repr(label) in reason
    assert made.decide(np.eye(8, dtype=np.float32)[2])[1] == ""


def test_a_decision_costs_little_more_than_probabilities() -> None:
    made, x = whole(10, 1280), RNG.standard_normal(1280).astype(np.float32)
    bare = min(timeit.repeat(lambda: made.probabilities(x), number=300, repeat=9)) / 300
    assert min(timeit.repeat(lambda: made.decide(x), number=300, repeat=9)) / 300 - bare < 100e-6


def arrays() -> dict[str, np.ndarray]:
    return {"weight": np.ones((2, 4), np.float32), "bias": np.ones(2, np.float32), "temperature": np.ones(1)}


def stated() -> dict[str, str]:
    return {"format": "edgetl-head-1", "kind": "lda", "labels": '["a", "b"]', "counts": "[1, 2]", "fingerprint": "00"}


def save(arrays: dict[str, np.ndarray], stated: dict[str, str] | None = None) -> bytes:
    """A file whose checksum, where its format has one, is right: what else is wrong must be seen without it."""
    stated = stated or {}
    crc = _crc(stated, {name: array.tobytes() for name, array in arrays.items()})
    return safetensors(arrays, stated | ({"crc": str(crc)} if stated.get("format") in ("edgetl-head-3", FORMAT) else {}))


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
    "no number of roots": save(arrays(), stated() | {"format": "edgetl-head-3"}),
    **{
        f"{roots} roots": save(arrays(), stated() | {"format": "edgetl-head-3", "rooted": roots})
        for roots in ("5", "-1", "2.5", "true", "all")
    },
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


def told() -> dict[str, str]:
    return stated() | {"format": "edgetl-head-2", "rejection": "margin", "conformal": "[2, 1]"}


HOSTILE |= {
    **{
        f"no {name}": save(arrays() | {k: v for k, v in extras().items() if k != name}, told())
        for name in extras()
        if name != "rejection.limits"  # heads of before had none
    },
    "the margin of one class": save(
        {**arrays(), **extras(), "weight": np.ones((1, 4), np.float32), "bias": np.ones(1, np.float32)}, told() | {"labels": '["a"]'}
    ),
    **{f"{name} of another shape": save(arrays() | extras() | {name: np.ones((5, 5), np.float32)}, told()) for name in extras()},
    **{f"a NaN in {name}": save(arrays() | extras() | {name: np.full_like(array, np.nan)}, told()) for name, array in extras().items()},
    "an unknown score": save(arrays() | extras(), told() | {"rejection": "luck"}),
    "a float64 form": save(arrays() | extras() | {"rejection.form": np.eye(2)}, told()),
    "sizes of another sum": save(arrays() | extras(), told() | {"conformal": "[2, 2]"}),
    "a size that is negative": save(arrays() | extras(), told() | {"conformal": "[4, -1]"}),
    "sizes of three classes": save(arrays() | extras(), told() | {"conformal": "[1, 1, 1]"}),
    "sizes that are a number": save(arrays() | extras(), told() | {"conformal": "3"}),
    "scores that fall": save(arrays() | extras(), told() | {"conformal": "[1, 2]"}),
    "scores above one": save(arrays() | extras() | {"conformal.scores": np.array([1, 2, 1], np.float32)}, told()),
}


def test_the_base_of_the_hostile_heads_is_a_good_one() -> None:
    assert Head.from_bytes(save(arrays(), stated())).labels == ("a", "b")
    assert Head.from_bytes(save(arrays(), stated() | {"format": "edgetl-head-3", "rooted": "3"})).rooted == 3
    assert Head.from_bytes(save(arrays() | extras(), told())).rejection is not None


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused_with_the_files_name(name: str) -> None:
    with pytest.raises(HeadError, match=r"^shop\.head"):
        Head.from_bytes(HOSTILE[name], "shop.head")


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_gives_a_head_or_a_clear_error(draw: st.DataObject) -> None:
    data = bytearray(save(arrays() | extras(), told()))
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.sampled_from([len(data), len(data) - 1, len(data) // 2, 9]))
    try:
        made = Head.from_bytes(bytes(data[:cut]))
    except EdgetlError:
        return
    x = np.ones(made.weight.shape[1], np.float32)
    assert np.isfinite(made.decide(x)[0]).all()
    if made.conformal is not None and min(made.conformal.sizes):
        assert made.candidates(x, 0.5)
    json.dumps([made.kind, made.labels, made.counts, made.fingerprint])


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_of_a_head_as_it_is_written_now_is_harmless_or_noticed(draw: st.DataObject) -> None:
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
