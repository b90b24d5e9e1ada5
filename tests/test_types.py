"""The values that cross borders: their arithmetic against scipy, and their JSON."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from edgetl.decoding import decode
from edgetl.stats import Proportion
from edgetl.types import Fingerprint, HeadInfo, ImageSpec, digest, to_json


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(counts: tuple[int, int]) -> None:
    hits, n = counts
    expected = binomtest(hits, n).proportion_ci(0.95, "wilson")
    assert Proportion(hits, n).interval == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert Proportion(hits, n).value == hits / n


def test_no_trial_is_no_number() -> None:
    none = Proportion(0, 0)
    assert math.isnan(none.value)
    assert none.interval == (0.0, 1.0)
    assert str(none) == "no sample"
    assert to_json(none)["value"] is None


def test_a_proportion_reads_as_people_write_it() -> None:
    assert str(Proportion(86, 100)) == "86.0 % [77.9, 91.5] n=100"


def test_every_value_becomes_json_and_its_digest_does_not_depend_on_order() -> None:
    info = HeadInfo(1, "lda", ("a", "ü"), 9, Proportion(8, 9), 0.5, 100, True)
    parsed = json.loads(json.dumps(to_json({"head": info, "array": np.arange(3), "number": np.float32(0.5), 5: (None,)})))
    assert parsed["head"]["accuracy"]["hits"] == 8
    assert (parsed["array"], parsed["number"], parsed["5"]) == ([0, 1, 2], 0.5, [None])
    assert digest({"a": 1, "b": [1.5, "ü"]}) == digest({"b": (1.5, "ü"), "a": 1}) == digest(json.loads('{"b":[1.5,"\\u00fc"],"a":1}'))
    assert digest({"a": 1}) != digest({"a": "1"})


def test_a_fingerprint_names_every_field_that_differs() -> None:
    mine = Fingerprint("ab", ImageSpec(224, 224, 256), "litert", "int8", 1280)
    theirs = Fingerprint("cd", ImageSpec(224, 224, 224), "openvino", "fp16", 1279, (279, 1000))
    assert mine.differences(mine) == []
    assert [line.split(":")[0] for line in mine.differences(theirs)] == [field.name for field in dataclasses.fields(Fingerprint)]
    assert decode(Fingerprint, json.loads(json.dumps(to_json(mine)))) == mine
