"""Loads in fresh processes, and a page cache that is let go of and asked whether it did."""

from __future__ import annotations

import mmap
import os
import resource
import sys
from pathlib import Path

import pytest
from pictures import encoded, picture

from edgetl.bench.measuring import pagecache, phases
from edgetl.bench.measuring.job import Answer, Job, write
from edgetl.bench.measuring.stand import Options
from edgetl.bench.method import QUICK
from edgetl.errors import BenchError
from edgetl.runtimes import fake

MEMORY = Path("/dev/shm")
STAGES = ["start", "import", "read", "library", "open", "prove"][0 if sys.platform.startswith("linux") else 1 :]

# Imported by every Python that finds it on its path: sleeps in what it is told, and notes what was there when the bench came.
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


def job(bundle: Path, folder: Path, **changed: object) -> Job:
    given = {
        "task": "cold", "bundle": str(bundle), "variant": "fake-fp32", "threads": 1, "provider": None, "scenarios": (), "photos": (),
        "classes": (), "labelled": None, "method": QUICK, "options": Options(), "folder": str(folder),
    }  # fmt: skip
    return Job(**{**given, **changed})  # type: ignore[arg-type]  # by their names


def on_disk(path: Path) -> bool:
    """Whether the file system that a path lies on keeps its files on a disk, by the table of mounts."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    under = [(mount[1], mount[2]) for mount in mounts if path.resolve().is_relative_to(mount[1])]
    return max(under, key=lambda one: len(one[0]))[1] not in ("tmpfs", "ramfs", "rootfs")


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A file of 8 MiB, just written."""
    if not on_disk(tmp_path):
        pytest.skip(f"{tmp_path} is kept in memory: nothing there leaves it")
    (tmp_path / "big").write_bytes(os.urandom(8 << 20))
    return tmp_path / "big"


def test_a_file_that_was_let_go_comes_from_the_disk_again(big: Path) -> None:
    assert pagecache.resident(big) == 8 << 20
    assert pagecache.evict([big, big]) == pagecache.Evicted(8 << 20, 0)
    assert pagecache.resident(big) == 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
    big.read_bytes()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_inblock - before) * 512 >= 8 << 20
    assert pagecache.resident(big) == 8 << 20


def test_what_a_program_has_mapped_stays_and_is_counted(big: Path) -> None:
    with big.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        sum(mapped[:: mmap.PAGESIZE])
        left = pagecache.evict([big])
    assert left.after == 8 << 20
    assert left.share == 0.0


def test_files_that_are_empty_or_gone_are_nothing_to_let_go_of(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert pagecache.evict([tmp_path / "empty", tmp_path / "gone", tmp_path]) == pagecache.Evicted(0, 0)
    assert pagecache.Evicted(0, 0).share == 1.0


def test_a_load_that_cannot_be_cold_is_not_called_cold(tmp_path: Path) -> None:
    if not MEMORY.is_dir():
        pytest.skip("no /dev/shm, whose files never leave memory")
    target = MEMORY / f"edgetl-{os.getpid()}-{tmp_path.name}.edgetl"
    try:
        fake.write_bundle(str(target), encoded(picture(seed=9)))
        with pytest.raises(
            BenchError, match=r"too much stays in memory for a load to be called cold: at least 0 % of the bundle .*, needed are 90 %"
        ):
            phases._evict(target, [])
    finally:
        target.unlink(missing_ok=True)


def test_each_stage_holds_what_was_planted_in_it_and_the_bench_comes_after(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"SEEN = {str(tmp_path / 'seen')!r}\n{HOOK}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    load = phases.run(job(bundle, tmp_path))
    assert list(load.stages) == STAGES
    for stage, seconds in {"start": 0.1, "import": 0.2, "library": 0.3}.items():
        assert load.stages[stage] >= seconds * 1e9 or stage not in load.stages
    assert load.first > 0
    assert min(load.stages.values()) > 0
    there = (tmp_path / "seen").read_text("utf-8").split()
    assert {"edgetl.embedding.embedder", "edgetl.runtimes.fake"} <= set(there)
    assert Path(sys.modules["edgetl.bundle.bundle"].__file__ or "").parent in {path.parent.parent for path in load.files}


def test_a_load_that_fails_says_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"none.edgetl: fake-fp32 could not be loaded in a fresh process: .*BundleMissing"):
        phases.run(job(tmp_path / "none.edgetl", tmp_path))


@pytest.mark.slow
def test_a_round_gives_every_phase_or_its_reason_and_crosses_as_json(bundle: Path, tmp_path: Path) -> None:
    answer = phases.cold(job(bundle, tmp_path))
    write(answer, tmp_path / "answer.json")
    write(Answer.read(tmp_path / "answer.json"), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "answer.json").read_bytes()
    assert answer.subject is not None
    assert answer.subject.name == "fake-fp32 cpu 1 thread"
    loads = [name for name in answer.measured if name.endswith("load")]
    skipped = dict(answer.skipped)
    assert loads == (["warm-load"] if "cold-load" in skipped else ["cold-load", "warm-load"])
    for name in loads:
        units = answer.measured[name].units
        assert dict(units) == dict.fromkeys(["cached", "evicted", "disk"] if name == "cold-load" else ["disk"], "B")
        stages = {stage: taken for stage, taken in answer.measured[name].samples.items() if stage not in units}
        whole = stages.pop(None)
        assert list(stages) == STAGES
        assert whole == [sum(taken[0] for taken in stages.values())]
    if "cold-load" in loads:
        (cached,), (evicted,) = (answer.measured["cold-load"].samples[stage] for stage in ("cached", "evicted"))
        assert 0.5 * cached <= evicted <= cached
    assert set(answer.measured["first-inference"].samples) == ({None, "cold"} if "cold-load" in loads else {None})
