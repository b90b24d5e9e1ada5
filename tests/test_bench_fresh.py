"""Loads and peak memory in fresh processes, and a page cache that is emptied and checked."""

from __future__ import annotations

import dataclasses
import os
import resource
import sys
from pathlib import Path

import pytest
from pictures import COLOURS, coloured, encoded, picture

from edgetl.bench.measuring import fresh
from edgetl.bench.measuring.child import BenchJob, read_answer, write
from edgetl.bench.measuring.stand import Options
from edgetl.bench.method import QUICK
from edgetl.errors import BenchError
from edgetl.runtimes import fake

STAGES = ["start", "import", "read", "library", "open", "prove"][0 if sys.platform.startswith("linux") else 1 :]
STEPS = ["baseline", "import", "open", "predict", "learn"]
# Imported by every Python that finds it on its path: sleeps in some imports, and notes what was there when the bench came.
HOOK = """
import sys, time
class Hook:
    def find_spec(self, name, path=None, target=None):
        time.sleep({"edgetl.embedding.embedder": 0.2, "edgetl.runtimes.fake": 0.3}.get(name, 0))
        if name == "edgetl.bench":
            open(SEEN, "w").write(" ".join(sys.modules))
sys.meta_path.insert(0, Hook())
time.sleep(0.1)
"""
# Takes 64 MB, writes on every page of it, and gives it back, while edgetl is imported.
PLANTED = """
import sys
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == "edgetl.embedding.embedder":
            taken = bytearray(64_000_000)
            taken[::1024] = b"x" * len(taken[::1024])
sys.meta_path.insert(0, Hook())
"""


def job(bundle: Path, folder: Path, task: str = "cold") -> BenchJob:
    return BenchJob(
        task=task, bundle=str(bundle), variant="fake-fp32", threads=1, provider=None, scenarios=(), photos=(), classes=(), labelled=None,
        method=QUICK, options=Options(), folder=str(folder),
    )  # fmt: skip


def on_disk(path: Path) -> bool:
    """Whether the file system that a path lies on keeps its files on a disk, by the table of mounts."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    under = [(mount[1], mount[2]) for mount in mounts if path.resolve().is_relative_to(mount[1])]
    return max(under, key=lambda mount: len(mount[0]))[1] not in ("tmpfs", "ramfs", "rootfs")


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A file of 8 MiB, just written."""
    if not on_disk(tmp_path):
        pytest.skip(f"{tmp_path} is kept in memory: nothing there leaves it")
    (tmp_path / "big").write_bytes(os.urandom(8 << 20))
    return tmp_path / "big"


def disk() -> int:
    """Bytes that this process has read from the disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_inblock * 512


def test_an_evicted_file_comes_from_the_disk_again(big: Path) -> None:
    before = disk()
    big.read_bytes()
    assert disk() - before < 1 << 20, "it is in the page cache"
    fresh.evict([big, big, big.parent, big.parent / "gone"])
    big.read_bytes()
    assert disk() - before >= 8 << 20


def test_a_load_that_reads_little_from_the_disk_is_not_called_cold(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "evict", lambda paths: None)
    fresh.run_load(job(bundle, tmp_path))
    monkeypatch.setattr(fresh, "_COLDEST", 1e6)
    answer = fresh.cold(job(bundle, tmp_path))
    assert [name for name, _ in answer.skipped] == ["cold-load"]
    assert set(answer.measured) == {"warm-load", "first-inference"}


def test_each_stage_holds_what_was_planted_in_it(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"SEEN = {str(tmp_path / 'seen')!r}\n{HOOK}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    load = fresh.run_load(job(bundle, tmp_path))
    stages = {stage: taken for stage, taken in load["stages"].items() if taken is not None}
    assert list(stages) == STAGES
    for stage, seconds in {"start": 0.1, "import": 0.2, "library": 0.3}.items():
        assert stages.get(stage, 1e9) >= seconds * 1e9
    assert load["first"] > 0
    assert min(stages.values()) > 0
    before_the_bench = (tmp_path / "seen").read_text("utf-8").split()
    assert {"edgetl.embedding.embedder", "edgetl.runtimes.fake"} <= set(before_the_bench)
    assert Path(sys.modules["edgetl.bundle.bundle"].__file__ or "").parent in {Path(path).parent.parent for path in load["files"]}


def test_a_process_that_fails_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        fresh.run_load(job(tmp_path / "none.edgetl", tmp_path))
    assert caught.value.code == "process-failed"
    assert "BundleMissing" in caught.value.values["words"]


@pytest.mark.slow
def test_a_round_has_every_load_or_its_reason_and_crosses_as_json(bundle: Path, tmp_path: Path) -> None:
    answer = fresh.cold(job(bundle, tmp_path))
    write(answer, tmp_path / "answer.json")
    write(read_answer(tmp_path / "answer.json"), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "answer.json").read_bytes()
    assert answer.subject is not None
    assert answer.subject.name == "fake-fp32 cpu 1 thread"
    loads = [name for name in answer.measured if name.endswith("load")]
    assert loads == (["warm-load"] if dict(answer.skipped) else ["cold-load", "warm-load"])
    for name in loads:
        assert dict(answer.measured[name].units) == {"disk": "B"}
        stages = {stage: taken for stage, taken in answer.measured[name].samples.items() if stage != "disk"}
        whole = stages.pop(None)
        assert list(stages) == STAGES
        assert whole == [sum(taken[0] for taken in stages.values())]
    assert set(answer.measured["first-inference"].samples) == ({None, "cold"} if "cold-load" in loads else {None})


@pytest.mark.slow
def test_a_planted_peak_is_seen_although_it_was_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = []
    for label in COLOURS:
        (tmp_path / label).mkdir()
        paths = [tmp_path / label / f"{seed}.jpg" for seed in range(21 if label == "yellow" else 4)]
        for seed, path in enumerate(paths):
            path.write_bytes(coloured(label, seed))
        classes.append(tuple(map(str, paths)))
    bundle = fake.write_bundle(str(tmp_path / "fake.edgetl"), encoded(picture(seed=9))).path
    plain_job = dataclasses.replace(job(bundle, tmp_path, "memory"), photos=classes[0], classes=tuple(classes))
    plain = fresh.memory(plain_job).measured["memory"].samples
    (tmp_path / "sitecustomize.py").write_text(PLANTED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "scratch").mkdir()
    answer = fresh.memory(dataclasses.replace(plain_job, folder=str(tmp_path / "scratch")))
    planted = answer.measured["memory"].samples
    assert answer.subject is not None
    assert answer.subject.variant == "fake-fp32"
    assert set(answer.measured["memory"].units.values()) == {"B"}
    for samples in (plain, planted):
        steps = [samples[step][0] for step in STEPS]
        assert steps == sorted(steps)
        assert samples[None] == samples["learn"]
    assert planted["baseline"][0] < plain["baseline"][0] + 32_000_000
    assert planted["import"][0] > plain["baseline"][0] + 56_000_000
