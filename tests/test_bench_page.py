"""The method page's Python runs as it stands there, on a reference record; and the reference records are what they say."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pictures import coloured

from edgetl import Classifier, bench
from edgetl.bench.judging.compare import compare
from edgetl.bench.judging.pick import Budget, pick
from edgetl.bench.measuring.loop import Loop
from edgetl.bench.measuring.stand import Options, Stand
from edgetl.errors import RecordError

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "edgetl" / "bench" / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
REFERENCES = sorted((ROOT / "device_tests" / "reference").glob("bench-*.json"))
LARGEST = 400_000
"""Bytes of a reference record."""


def ran(*codes: str) -> dict[str, Any]:
    """The names that blocks leave behind."""
    names: dict[str, Any] = {}
    for code in codes:
        exec(compile(code, "edgetl/bench/README.md", "exec"), names)
    return names


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
def test_the_page_decodes_a_record_without_edgetl(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    decode, check = BLOCKS[:2]
    assert "edgetl" not in decode + check
    shutil.copy(path, tmp_path / "bench.json")
    monkeypatch.chdir(tmp_path)
    assert ran(decode, check)["record"]["results"]


def test_the_page_adds_a_scenario_that_can_be_measured(open_classifier: Callable[..., Classifier], tmp_path: Path):
    added = ran(BLOCKS[2])["thumbnail"]
    classifier = open_classifier()
    photos = [tmp_path / f"{seed}.jpg" for seed in range(20)]
    for seed, path in enumerate(photos):
        path.write_bytes(coloured("red", seed))
    classifier.add_many([(path, "red") for path in photos])
    stand = Stand.make(classifier, photos, photos[:2], tmp_path, Options())
    measured = added(stand, Loop(bench.Method("test", queries=40, seconds=0.0, rounds=1, window=8)))
    assert len(measured.samples[None]) == 40


def test_what_the_page_links_to_is_there():
    links = re.findall(r"\]\(([^)]+)\)", PAGE)
    assert links
    assert all((ROOT / "edgetl" / "bench" / link).exists() for link in links)


def test_there_are_reference_records_of_every_kind():
    assert {row.kind for path in REFERENCES for _, row in bench.read(path).rows()} == {"measured", "emulated"}


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
def test_a_reference_record_has_one_kind_and_is_ranked_only_if_it_was_measured(path: Path):
    record = bench.read(path)
    (kind,) = {row.kind for _, row in record.rows()}
    assert (kind == "emulated") == bool(record.machine.get("emulated"))
    assert not record.ended
    quick = dataclasses.replace(record, method=dataclasses.replace(record.method, resamples=20))
    if kind == "measured":
        assert any(change.headline for change in compare(quick, quick).changes)
    else:
        with pytest.raises(RecordError) as caught:
            compare(quick, quick)
        assert caught.value.code == "nothing-in-common"
    (machine,) = pick([(path.name, record)], Budget("backbone")).machines
    assert bool(machine.chosen) == (kind == "measured")


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
def test_a_reference_record_is_small_and_names_nobody(path: Path):
    text = path.read_text("utf-8")
    assert len(text) <= LARGEST
    record = json.loads(text)
    assert not re.search(r'"[^"]*(/home/|/root/|/tmp/|/Users/)', text), "a folder of the machine that made it"
    assert not {"host", "hostname", "node", "user"} & set(record["machine"])


@pytest.mark.slow
def test_an_emulated_record_does_not_replace_a_measured_one(bundle: Path, tmp_path: Path):
    shutil.copytree(ROOT / "device_tests", tmp_path / "device_tests", ignore=shutil.ignore_patterns("bench-*.json"))

    def started(bundle: str | Path) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, str(tmp_path / "device_tests" / "bench.py"), str(bundle)]
        return subprocess.run(program, capture_output=True, text=True, env={**os.environ, "EDGETL_EMULATED": "a test"})

    done = started(bundle)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.splitlines()[-1].partition(": ")[0])
    record = bench.read(path)
    assert {row.kind for _, row in record.rows()} == {"emulated"}
    (result,) = record.results
    measured = dataclasses.replace(result, rows=tuple(dataclasses.replace(row, kind="measured") for row in result.rows))
    bench.write(dataclasses.replace(record, results=(measured,)), path)
    before, done = path.read_bytes(), started(bundle)
    assert (done.returncode, path.read_bytes()) == (1, before)
    assert started(tmp_path / "missing.edgetl").stderr.startswith(f"error: {tmp_path / 'missing.edgetl'}: ")


def trust(*arguments: str) -> str:
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "bench_trust"), *arguments], capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_harness_is_timed_and_a_full_process_stays_small():
    text = trust("overhead", "--processes", "1", "--seconds", "2")
    assert "ok: memory grows by " in text, text
    assert "the harness adds " in text, "what it adds is the machine's affair, and its load's"


@pytest.mark.slow
def test_a_backbone_that_takes_twice_as_long_is_slower(bundle: Path):
    method = ("--rounds", "3", "--seconds", "0.6", "--queries", "150")
    text = trust("verdicts", "--bundle", str(bundle), "--variant", "fake-fp32", "--alike", "0", "--slowed", "1", "--by", "1.0", *method)
    assert "ok: 100% slower: found in 1 of 1 pairs" in text, text
