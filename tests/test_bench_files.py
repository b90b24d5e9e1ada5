"""Records on disk: what is written comes back, and what is not a record, or no longer one, is an error with a code."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgetl.bench import Method, Record, Result, Row, Skipped, Subject, files
from edgetl.bench.record import Accuracy, Minute, Round
from edgetl.errors import RecordError
from edgetl.stats import Proportion
from edgetl.types import digest

texts = st.text(max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 1 << 40)
jsons = st.dictionaries(texts, st.recursive(st.none() | st.booleans() | counts | numbers | texts, st.lists, max_leaves=4), max_size=3)
METHOD = Method("tiny", resamples=10, rounds=2)
subjects = st.builds(Subject, *[texts] * 7, st.integers(1, 64), texts, counts, texts)
tops = counts.flatmap(lambda n: st.integers(0, n).map(lambda hits: Proportion(hits, n)))
accuracies = st.builds(Accuracy, tops, texts, texts, texts, texts)
minutes = st.builds(Minute, counts, counts, counts, st.none() | counts, st.none() | numbers, st.none() | counts, st.none() | st.booleans())
samples = st.lists(st.lists(st.integers(-(1 << 62), 1 << 62), min_size=1, max_size=8), min_size=1, max_size=3)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    more = {"facts": draw(st.dictionaries(texts, numbers, max_size=2)), "minutes": tuple(draw(st.lists(minutes, max_size=2)))}
    more |= {"steady": draw(st.none() | counts), "warm_up": draw(counts), "note": draw(texts)}
    kind, unit = draw(st.sampled_from(["measured", "emulated"])), draw(st.sampled_from(["ns", "B", "uJ"]))
    return Row.of(draw(texts), draw(st.none() | texts), draw(samples), METHOD, kind=kind, unit=unit, **more)


results = st.builds(Result, subjects, st.none() | accuracies, st.lists(rows(), max_size=2).map(tuple))
records = st.builds(
    Record,
    created=texts,
    ended=texts,
    edgetl=texts,
    machine=jsons,
    bundle=jsons,
    photos=jsons,
    method=st.just(METHOD),
    overhead=st.none() | rows().map(lambda row: row.summary),
    results=st.lists(results, max_size=2).map(tuple),
    rounds=st.lists(st.builds(Round, counts, texts, numbers, jsons, jsons, texts), max_size=2).map(tuple),
    skipped=st.lists(st.builds(Skipped, texts, texts), max_size=2).map(tuple),
    warnings=st.lists(texts, max_size=2).map(tuple),
)


def example() -> Record:
    subject = Subject("lite0", "onnx-int8", "int8", "onnxruntime", "ort 1.23", "cpu", "all of the model", 4, "ab" * 32, 10, "cd" * 32)
    row = Row.of("embed", None, [[5, 7, 6], [9, 3]], METHOD, facts={"tested": 5.0})
    accuracy = Accuracy(Proportion(9, 10), "1111111110", "photos", "ef", "tested once")
    return Record("2026-01-01T00:00:00Z", "", "0.1", {"cores": 4}, {"dim": 8}, {}, METHOD, row.summary,
                  (Result(subject, accuracy, (row,)),), (), (), ())  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(record=records)
def test_what_is_written_is_what_is_read(record: Record, tmp_path: Path) -> None:
    files.write(record, tmp_path / "bench.json")
    assert files.read(tmp_path / "bench.json") == record


def edited(change: Callable[[dict[str, Any]], object], *, honest: bool = True) -> bytes:
    """The record with a change; `honest` makes a new digest, as a forger would."""
    content = files.encode(example())
    change(content)
    if honest:
        content["digest"] = digest({name: value for name, value in content.items() if name != "digest"})
    return json.dumps(content).encode()


def row(content: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = content["results"][0]["rows"][0]
    return first


@pytest.mark.parametrize(
    ("content", "code", "field"),
    [
        (b"", "record-malformed", ""),
        (b"\xff\xfe\x00", "record-malformed", ""),
        (json.dumps(files.encode(example())).encode()[:-40], "record-malformed", ""),
        (b"[" * 100_000, "record-malformed", ""),
        (b"9" * 5000, "record-malformed", ""),
        (b"[]", "record-malformed", "edgetl-bench"),
        (b'{"format": "coco"}', "record-malformed", "edgetl-bench"),
        (edited(lambda content: content.update(version=4)), "record-version", "4"),
        (edited(lambda content: content.update(version="2")), "record-version", "2"),
        (edited(lambda content: row(content)["samples"][0].append(-1), honest=False), "record-changed", ""),
        (edited(lambda content: content.pop("digest"), honest=False), "record-changed", ""),
        (edited(lambda content: content.pop("method")), "record-malformed", "method"),
        (edited(lambda content: content.update(extra=1)), "record-malformed", "extra"),
        (edited(lambda content: content.update(warnings="none")), "record-malformed", "warnings"),
        (edited(lambda content: content["method"].update(rounds="ten")), "record-malformed", "method.rounds"),
        (edited(lambda content: row(content).update(unit="minutes")), "record-malformed", "results[0].rows[0].unit"),
        (edited(lambda content: row(content).update(samples=[[1, 2.5]])), "record-malformed", "samples[0]"),
        (edited(lambda content: row(content).update(samples=[[1 << 62, 1 << 62]])), "record-malformed", "samples[0]"),
        (edited(lambda content: row(content).update(samples=[])), "record-malformed", "samples"),
        (edited(lambda content: row(content).update(samples=7)), "record-malformed", ""),
        (edited(lambda content: content["results"][0]["accuracy"]["top1"].update(hits=11)), "record-malformed", "accuracy.top1"),
        (edited(lambda content: content.update(results=None)), "record-malformed", ""),
    ],
)  # fmt: skip
def test_what_is_not_a_record_is_an_error_with_code_and_field(content: bytes, code: str, field: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_bytes(content)
    with pytest.raises(RecordError) as caught:
        files.read(path)
    assert (caught.value.code, caught.value.values["path"]) == (code, str(path))
    assert field in str(caught.value)


def test_a_file_that_is_missing_or_far_too_large_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        files.read(tmp_path / "none.json")
    assert caught.value.code == "record-missing"
    with (tmp_path / "huge.json").open("wb") as sparse:
        sparse.truncate(files.LARGEST + 1)
    with pytest.raises(RecordError) as caught:
        files.read(tmp_path / "huge.json")
    assert (caught.value.code, caught.value.values["size"]) == ("record-too-large", files.LARGEST + 1)


def test_a_record_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "new folder").mkdir()
    target = tmp_path / "new folder" / "bench.json"
    files.write(example(), target)
    before = target.read_bytes()
    with pytest.raises(TypeError):
        files.write(dataclasses.replace(example(), machine={"object": object()}), target)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


def code_of(path: Path) -> str:
    with pytest.raises(RecordError) as caught:
        files.check(path)
    return caught.value.code


def test_a_place_where_no_record_can_be_written_is_known_before_measuring(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    files.check(tmp_path / "new" / "bench.json")
    assert list((tmp_path / "new").iterdir()) == []
    assert code_of(tmp_path / "no folder there" / "bench.json") == "folder-missing"
    assert not (tmp_path / "no folder there").exists()
    assert code_of(tmp_path) == "not-a-file"
    (tmp_path / "file").touch()
    assert code_of(tmp_path / "file" / "bench.json") == "not-writable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into every folder")
def test_a_folder_of_somebody_else_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert code_of(tmp_path / "bench.json") == "not-writable"


FULL = """
import resource, sys, tempfile
from pathlib import Path
from edgetl.bench import Method, Record, Result, Row, files
from edgetl.errors import RecordError

method = Method(resamples=10)
row = Row.of("embed", None, [[k * k for k in range(20_000)]], method)
subject = files.read(sys.argv[1]).results[0].subject
record = Record("", "", "", {}, {}, {}, method, None, (Result(subject, None, (row,)),), (), (), ())
target = Path(sys.argv[1]).with_name("new.json")
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    files.write(record, target)
except RecordError as error:
    print(error.code)
assert not list(target.parent.glob("*new*")) and not list(Path(tempfile.gettempdir()).glob("*.json*"))
"""


def test_a_full_disk_leaves_no_torn_file(tmp_path: Path) -> None:
    files.write(example(), tmp_path / "small.json")
    (tmp_path / "tmp").mkdir()
    variables = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "small.json")], capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["not-writable"]
