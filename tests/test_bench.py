"""The bench, on the fake bundle that ships, through the whole pipeline."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetl import bench, bundle
from edgetl.bench import charts
from edgetl.bench.scenarios import QUICK, SCENARIOS
from edgetl.errors import BundleMissing, PhotoError
from edgetl.runtimes import fake
from edgetl.tables import render

WHOLE = {"cold-load", "first-inference", *SCENARIOS}


def photo() -> bytes:
    encoded = io.BytesIO()
    charts.draw(7, 7).save(encoded, "JPEG")
    return encoded.getvalue()


def with_broken_variants(path: Path) -> bundle.Bundle:
    """The fake bundle, a variant whose runtime works and refuses its model, and one for a runtime that can be hidden."""
    made = fake.write_bundle(str(path / "good"), photo())
    good = made.variant("fake-fp32")
    golden = made.golden(good)
    new = [
        bundle.NewVariant(name, kind, "fp32", files, {"name": "fake"}, None, golden.embeddings)
        for name, kind, files in (
            ("fake-fp32", "fake", made.model(good)),
            ("broken-fp32", "fake", {"model.json": b"no JSON"}),
            ("openvino-fp32", "openvino", {"model.xml": b"", "model.bin": b""}),
        )
    ]
    return bundle.write(
        path / "three.edgetl",
        backbone=made.backbone,
        image=made.image,
        dim=made.dim,
        calibration=None,
        golden_photos=golden.photos,
        golden_tensors=golden.tensors,
        variants=new,
    )


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    return with_broken_variants(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def progress() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def record(opened: bundle.Bundle, progress: list[tuple[int, int]]) -> bench.Record:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "openvino", None)  # as where it is not installed
        return bench.run(opened.path, quick=True, threads=1, progress=lambda done, total: progress.append((done, total)))


def test_every_scenario_is_measured_and_every_sample_is_kept(record: bench.Record) -> None:
    wholes = {row.scenario: row for row in record.rows if row.stage is None}
    assert set(wholes) == WHOLE
    assert {name: row.n for name, row in wholes.items()} == {
        "cold-load": QUICK.cold,
        "first-inference": QUICK.cold,
        **dict.fromkeys(("embed", "predict-file", "predict-array"), QUICK.queries),
        "learn-one": QUICK.learns,
        "add-a-class": QUICK.classes,
        "store-insert": QUICK.inserts,
    }
    for row in record.rows:
        assert len(row.samples) == row.n
        assert all(type(sample) is int and sample > 0 for sample in row.samples)
        assert (row.kind, row.unit, row.variant, row.library, row.threads) == ("measured", "ns", "fake-fp32", "fake 1", 1)


def test_stages_are_apart_and_fit_into_the_whole_where_they_are_parts_of_the_same_query(record: bench.Record) -> None:
    stages = {name: [row for row in record.rows if row.scenario == name and row.stage] for name in WHOLE}
    for name in ("predict-file", "predict-array"):
        assert [row.stage for row in stages[name]] == ["preprocess", "backbone", "head"]
    for name in ("cold-load", "learn-one", "add-a-class"):
        (whole,) = (row for row in record.rows if row.scenario == name and row.stage is None)
        assert np.array_equal(np.sum([row.samples for row in stages[name]], axis=0), whole.samples)


def test_a_class_is_learnt_and_asked_for(record: bench.Record) -> None:
    (row,) = (row for row in record.rows if row.scenario == "add-a-class" and row.stage is None)
    assert row.note == f"{QUICK.classes} of {QUICK.classes} predictions were right"


def test_rows_name_the_model_and_the_record_the_machine(record: bench.Record, opened: bundle.Bundle) -> None:
    variant = opened.variant("fake-fp32")
    assert {(row.model, row.fingerprint) for row in record.rows} == {(variant.sha256, opened.fingerprint(variant).digest)}
    assert record.machine["cores"] >= 1
    assert "numpy" in record.machine["libraries"]
    assert record.settings["quick"] is True
    assert record.bundle["name"] == "three.edgetl"


def test_variants_that_do_not_work_here_are_listed_with_their_reasons(record: bench.Record) -> None:
    reasons = {skipped.variant: skipped.reason for skipped in record.skipped}
    assert set(reasons) == {"broken-fp32", "openvino-fp32"}
    assert "cannot open the model here" in reasons["broken-fp32"]
    assert "pip install 'edgetl[openvino]'" in reasons["openvino-fp32"]
    shown = bench.table(record).splitlines()
    assert all(f"not measured: {variant}: {reason}" in shown for variant, reason in reasons.items())


def test_progress_counts_every_scenario_and_the_variants_passed_over(record: bench.Record, progress: list[tuple[int, int]]) -> None:
    steps = len(SCENARIOS) + 1
    assert progress == [(done, 3 * steps) for done in (*range(1, steps + 1), 2 * steps, 3 * steps)]


def test_only_the_variants_asked_for_are_measured(opened: bundle.Bundle) -> None:
    assert [skipped.variant for skipped in bench.run(opened.path, variants=["broken-fp32"], quick=True).skipped] == ["broken-fp32"]
    with pytest.raises(BundleMissing, match="no variant 'onnx-int8'"):
        bench.run(opened.path, variants=["onnx-int8"])


def test_photos_of_the_person_are_rotated_over(opened: bundle.Bundle, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no such folder"):
        bench.run(opened.path, photos=tmp_path / "none", quick=True)
    charts.write(tmp_path, kind=3, count=40)
    made = bench.run(opened.path, photos=tmp_path, variants=["broken-fp32"], quick=True)
    assert made.settings["photos"] == f"20 of {tmp_path}"


def test_a_record_is_written_whole_or_not_at_all(record: bench.Record, tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "bench.json"
    bench.write(record, target)
    told = json.loads(target.read_text())
    assert (told["format"], told["version"]) == ("edgetl-bench", 1)
    assert [row["samples"] for row in told["rows"]] == [list(row.samples) for row in record.rows]
    before = target.read_bytes()
    unwritable = bench.Record(**{**vars(record), "machine": {"object": object()}})
    with pytest.raises(TypeError):
        bench.write(unwritable, target)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=250), st.sampled_from([50, 90, 99]))
def test_percentiles_are_those_of_numpy_and_none_where_n_is_too_small(samples: list[int], q: int) -> None:
    enough = {50: 2, 90: 10, 99: 100}[q]
    expected = int(np.percentile(samples, q, method="inverted_cdf")) if len(samples) >= enough else None
    assert bench.percentile(samples, q) == expected


def test_charts_are_the_same_every_time_and_no_two_are_alike(tmp_path: Path) -> None:
    again = [[path.read_bytes() for kind in range(3) for path in charts.write(tmp_path / name, kind, 4)] for name in ("a", "b")]
    assert again[0] == again[1]
    assert len(set(again[0])) == 12


def test_a_table_puts_numbers_to_the_right_and_knows_how_wide_characters_are() -> None:
    assert render(("class", "ms", "note"), [("茶壺", "1.50", "a b"), ("mug", None, ""), ("x", "12.25", "-")]).splitlines() == [
        "class     ms  note",
        "-----  -----  ----",
        "茶壺    1.50  a b",
        "mug        -",
        "x      12.25  -",
    ]
