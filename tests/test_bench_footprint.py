"""Peak memory: what the kernel says, read from outside the process."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import COLOURS, coloured, encoded, picture

from edgetl.bench.measuring import footprint
from edgetl.bench.measuring.job import Job
from edgetl.bench.measuring.stand import Options
from edgetl.bench.method import QUICK
from edgetl.errors import BenchError
from edgetl.runtimes import fake

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


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("footprint")
    classes = []
    for label in COLOURS:
        (folder / label).mkdir()
        paths = [folder / label / f"{seed}.jpg" for seed in range(21 if label == "yellow" else 4)]
        for seed, path in enumerate(paths):
            path.write_bytes(coloured(label, seed))
        classes.append(tuple(map(str, paths)))
    bundle = fake.write_bundle(str(folder / "fake.edgetl"), encoded(picture(seed=9))).path
    return Job(
        task="memory", bundle=str(bundle), variant="fake-fp32", threads=1, provider=None, scenarios=(), photos=classes[0],
        classes=tuple(classes), labelled=None, method=QUICK, options=Options(), folder=str(folder),
    )  # fmt: skip


def test_lines_of_the_kernel_are_read_and_others_are_nothing(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython3\nVmPeak:\t  300000 kB\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n")
    assert footprint.kilobytes(status, "VmHWM") == 20480
    assert footprint.kilobytes(status, "HWM") is None
    for broken in ("", "VmHWM:\n", "VmHWM:\tmany kB\n", "VmHWM:\t-1 kB\n"):
        status.write_text(broken)
        assert footprint.kilobytes(status, "VmHWM") is None
    assert footprint.kilobytes(tmp_path / "none", "VmHWM") is None


def test_peaks_are_bytes_by_step_and_a_missing_pss_is_said(tmp_path: Path) -> None:
    watch = footprint.Watch(tmp_path)
    for step, peak in (("baseline", 100), ("import", 300)):
        (tmp_path / "status").write_text(f"VmHWM:\t {peak} kB\n")
        watch.end(step)
    made = watch.measured()
    assert made.samples == {None: [300 * 1024], "baseline": [100 * 1024], "import": [300 * 1024]}
    assert set(made.units.values()) == {"B"}
    assert "no PSS" in made.note
    for pss in (50, 90, 70):
        (tmp_path / "smaps_rollup").write_text(f"00400000-7ffd [rollup]\nRss: 200 kB\nPss:   {pss} kB\nPss_Anon: 10 kB\n")
        watch.look()
    made = watch.measured()
    assert made.samples["pss"] == [90 * 1024]
    assert made.facts == {"pss looks": 3}


@pytest.mark.slow
def test_a_peak_that_was_planted_is_seen_although_it_was_given_back(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = footprint.memory(job).measured["memory"].samples
    (tmp_path / "sitecustomize.py").write_text(PLANTED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "scratch").mkdir()
    answer = footprint.memory(Job(**{**vars(job), "folder": str(tmp_path / "scratch")}))
    planted = answer.measured["memory"].samples
    assert answer.subject is not None
    assert answer.subject.variant == "fake-fp32"
    for samples in (plain, planted):
        steps = [samples[step][0] for step in footprint.STEPS]
        assert steps == sorted(steps)
        assert samples[None] == samples["learn"]
        assert 0 < samples["pss"][0] <= samples[None][0]
    assert planted["baseline"][0] < plain["baseline"][0] + 32_000_000
    assert planted["import"][0] > plain["baseline"][0] + 56_000_000


@pytest.mark.slow
def test_a_machine_that_does_not_say_is_skipped_with_the_reason(job: Job, tmp_path: Path) -> None:
    answer = footprint.memory(Job(**{**vars(job), "folder": str(tmp_path)}), root=tmp_path)
    assert not answer.measured
    ((what, reason),) = answer.skipped
    assert what == "memory"
    assert "does not say how much memory a process has" in reason


def test_a_process_that_fails_says_its_last_words(job: Job, tmp_path: Path) -> None:
    broken = Job(**{**vars(job), "folder": str(tmp_path), "photos": (str(tmp_path / "none.jpg"),)})
    with pytest.raises(BenchError, match=r"fake-fp32 failed while its memory was measured: .*none\.jpg"):
        footprint.memory(broken)
