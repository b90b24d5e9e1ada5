"""Records on disk: what is written comes back, and what is not a record, or no longer one, is refused in words."""

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
    kind, unit = draw(st.sampled_from(["measured", "emulated", "estimated"])), draw(st.sampled_from(["ns", "B", "uJ", "cycles"]))
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


def one() -> Record:
    subject = Subject("lite0", "onnx-int8", "int8", "onnxruntime", "ort 1.23", "cpu", "all of the model", 4, "ab" * 32, 10, "cd" * 32)
    row = Row.of("embed", None, [[5, 7, 6], [9, 3]], METHOD, facts={"asked": 5.0})
    accuracy = Accuracy(Proportion(9, 10), "1111111110", "photos", "ef", "asked once")
    return Record("2026-01-01T00:00:00Z", "", "0.1", {"cores": 4}, {"dim": 8}, {}, METHOD, row.summary,
                  (Result(subject, accuracy, (row,)),), (), (), ())  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(record=records)
def test_what_is_written_is_what_is_read(record: Record, tmp_path: Path) -> None:
    files.write(record, tmp_path / "bench.json")
    assert files.read(tmp_path / "bench.json") == record


def edited(change: Callable[[dict[str, Any]], object], *, honest: bool = True) -> bytes:
    """The record with a change; `honest` makes its digest anew, as who forges one would."""
    said = files.encode(one())
    change(said)
    if honest:
        said["digest"] = digest({name: value for name, value in said.items() if name != "digest"})
    return json.dumps(said).encode()


def row(said: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = said["results"][0]["rows"][0]
    return found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no JSON .* cut short"),
        (b"\xff\xfe\x00", "is no JSON"),
        (json.dumps(files.encode(one())).encode()[:-40], "is no JSON .* cut short"),
        (b"[" * 100_000, "is no JSON"),
        (b"9" * 5000, "is no JSON"),
        (b"[]", "is not a bench record: its format is None"),
        (b'{"format": "coco"}', "its format is 'coco', not 'edgetl-bench'"),
        (edited(lambda said: said.update(version=4)), r"version 4; this edgetl reads up to 3: pip install --upgrade edgetl"),
        (edited(lambda said: said.update(version=1)), "version 1, which keeps no rounds apart and cannot be compared; measure again"),
        (edited(lambda said: said.update(version="2")), "version '2', expected 2 to 3"),
        (edited(lambda said: row(said)["samples"][0].append(-1), honest=False), "was changed after it was written: its digest is"),
        (edited(lambda said: said.pop("digest"), honest=False), "was changed after it was written: its digest is None"),
        (edited(lambda said: said.pop("method")), "method is missing"),
        (edited(lambda said: said.update(extra=1)), "extra is unknown"),
        (edited(lambda said: said.update(warnings="none")), r"warnings is 'none', expected tuple\[str, \.\.\.\]"),
        (edited(lambda said: said["method"].update(rounds="ten")), "method.rounds is 'ten', expected int"),
        (edited(lambda said: row(said).update(unit="minutes")), r"results\[0\]\.rows\[0\]\.unit is 'minutes', expected Literal"),
        (edited(lambda said: row(said).update(samples=[[1, 2.5]])), r"samples\[0\] holds something else than whole numbers"),
        (edited(lambda said: row(said).update(samples=[[1 << 62, 1 << 62]])), "whole numbers of 64 bits"),
        (edited(lambda said: row(said).update(samples=[])), "another number of samples"),
        (edited(lambda said: row(said).update(samples=7)), "does not hold what a record of version 3 holds"),
        (edited(lambda said: said["results"][0]["accuracy"]["top1"].update(hits=11)), "top1 is no proportion"),
        (edited(lambda said: said.update(results=None)), "does not hold what a record of version 3 holds"),
    ],
)  # fmt: skip
def test_what_is_no_record_or_no_longer_one_is_refused_in_words(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=rf"bench\.json: .*{words}"):
        files.read(path)


def test_a_record_of_version_2_is_read_and_keeps_no_interval_of_two_processes(tmp_path: Path) -> None:
    def older(said: dict[str, Any]) -> None:
        said["version"] = 2
        row(said)["summary"]["p50"].update(low=0, high=42)

    content = edited(older)
    (tmp_path / "bench.json").write_bytes(content)
    made = files.read(tmp_path / "bench.json")
    assert made.results[0].rows[0].p50.interval is None
    assert made.digest == json.loads(content)["digest"]
    three = Row.of("embed", None, [[5, 7, 6], [9, 3], [4]], METHOD)
    low = dataclasses.replace(three, summary=dataclasses.replace(three.summary, p50=dataclasses.replace(three.p50, low=-9)))
    files.write(dataclasses.replace(one(), results=(dataclasses.replace(one().results[0], rows=(low,)),)), tmp_path / "low.json")
    assert files.read(tmp_path / "low.json").results[0].rows[0].p50.low == 3


def test_a_file_that_is_missing_or_far_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"none\.json: cannot be read \(No such file or directory\); edgetl bench BUNDLE -o"):
        files.read(tmp_path / "none.json")
    with (tmp_path / "huge.json").open("wb") as sparse:
        sparse.truncate(files.LARGEST + 1)
    with pytest.raises(RecordError, match=r"huge\.json: has 1\.1 GB"):
        files.read(tmp_path / "huge.json")


def test_a_record_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "new folder").mkdir()
    target = tmp_path / "new folder" / "bench.json"
    files.write(one(), target)
    before = target.read_bytes()
    with pytest.raises(TypeError):
        files.write(dataclasses.replace(one(), machine={"object": object()}), target)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


def test_where_no_record_could_be_written_is_known_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    files.check(tmp_path / "new" / "bench.json")
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(RecordError, match=r"no folder there/bench\.json: there is no folder .*no folder there; make it first: mkdir -p '"):
        files.check(tmp_path / "no folder there" / "bench.json")
    assert not (tmp_path / "no folder there").exists()
    with pytest.raises(RecordError, match="is no file that a record could replace; give -o a file's name"):
        files.check(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match=r"cannot be written \(Not a directory\); give -o a folder"):
        files.check(tmp_path / "file" / "bench.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into every folder")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RecordError, match=r"cannot be written \(Permission denied\)"):
        files.check(tmp_path / "bench.json")


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
for work in (lambda: files.write(record, target), lambda: files.rescue(record)):
    try:
        work()
    except RecordError as error:
        print(error)
assert not list(target.parent.glob("*new*")) and not list(Path(tempfile.gettempdir()).glob("*.json*"))
"""


def test_a_full_disk_leaves_no_torn_file(tmp_path: Path) -> None:
    files.write(one(), tmp_path / "small.json")
    (tmp_path / "tmp").mkdir()
    variables = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "small.json")], capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 2
    assert all("the record cannot be written (File too large); give -o a folder with room that is yours" in line for line in said)
