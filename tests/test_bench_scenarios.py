"""Every scenario on the fake bundle, mostly against a clock that only the planted work moves: then each sample is known exactly."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import coloured

from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.scenarios import (
    SCENARIOS,
    Scenario,
    camera,
    learning,
    lessons,
    litert_events,
    operators,
    resources,
    sustained,
    throughput,
    usual,
)
from edgetl.bench.measuring.stand import Options, Stand
from edgetl.bench.method import Method
from edgetl.classifier import Classifier
from edgetl.errors import BenchError, PhotoError
from edgetl.inputs.photo.preprocess import cropped, decoded, tensor
from edgetl.inputs.photo.source import PhotoSource, load
from edgetl.runtimes import fake
from edgetl.types import Embeddings, ImageSpec, Pixels, Prediction

MS = 1_000_000
TINY = Method("tiny", queries=4, seconds=0.0, rounds=1, lessons=2, window=2, warm_up_seconds=0.0)


class Planted:
    """A clock that stands still until something moves it."""

    def __init__(self) -> None:
        self.now = 10**15

    def __call__(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


class Slow:
    """A runtime that moves a clock by what each photo is said to cost."""

    def __init__(self, runtime: Any, clock: Planted, cost: Callable[[], int]) -> None:
        self._runtime, self._clock, self._cost = runtime, clock, cost

    def embed(self, batch: Pixels) -> Embeddings:
        self._clock.now += sum(self._cost() for _ in batch)
        made: Embeddings = self._runtime.embed(batch)
        return made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)


def photos(folder: Path, label: str, count: int, first: int = 0) -> list[Path]:
    paths = [folder / label / f"{number:03}.jpg" for number in range(first, first + count)]
    for number, path in enumerate(paths, first):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(coloured(label, number))
    return paths


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("stand")
    taught = {label: photos(folder, label, 8) for label in ("red", "green", "blue")}
    fake.write_bundle(str(folder / "fake.edgetl"), taught["red"][0].read_bytes())
    (folder / "work").mkdir()
    with Classifier.open(folder / "fake.edgetl", folder / "work" / "bench.db", threads=1) as shop:
        shop.add_many([(path, label) for label, paths in taught.items() for path in paths])
        shop.train()
        asked, known = taught["green"], photos(folder, "blue", 4, first=100)
        lesson = photos(folder, "yellow", 21, first=20)
        frames = [tensor(load(path), ImageSpec(64, 64, 64)) for path in asked]
        tensors = [tensor(load(path), shop.embedder.bundle.input) for path in asked]
        yield Stand(shop, asked, frames, tensors, lesson, known, folder / "work", Options(fps=100.0, minutes=0.0001), None)


@pytest.fixture
def clock(stand: Stand) -> Iterator[Planted]:
    """A planted clock; each photo costs the runtime 5 ms of it and nothing else takes any."""
    moved, runtime = Planted(), stand.embedder.runtime
    stand.embedder.runtime = Slow(runtime, moved, lambda: 5 * MS)
    yield moved
    stand.embedder.runtime = runtime


def state(stand: Stand) -> tuple[dict[str, int], int, list[Prediction]]:
    """Everything that a scenario has to leave as it was."""
    active = stand.shop.store.active()
    assert active is not None
    return stand.shop.counts, active.id, [stand.shop.predict(path) for path in (*stand.photos, *stand.lessons[:3])]


@pytest.mark.parametrize("name", [name for name, one in SCENARIOS.items() if not one.labelled and name != "operators"])
def test_a_scenario_times_something_and_leaves_the_shop_as_it_was(stand: Stand, name: str) -> None:
    before = state(stand)
    measured = SCENARIOS[name].run(stand, Loop(dataclasses.replace(TINY, warm_up_seconds=5.0)))
    assert state(stand) == before
    assert len(measured.samples[None]) >= 1
    assert all(type(one) is int and one >= 0 for taken in measured.samples.values() for one in taken)
    assert set(measured.units) <= set(measured.samples)
    assert all(stage in SCENARIOS[name].sentence for stage in measured.samples if stage)


@pytest.mark.parametrize(("name", "first"), [("predict-file", "decode"), ("predict-array", "copy")])
def test_the_stages_of_a_prediction_are_its_pixels_resize_backbone_and_head(stand: Stand, clock: Planted, name: str, first: str) -> None:
    measured = SCENARIOS[name].run(stand, Loop(dataclasses.replace(TINY, warm_up_seconds=5.0), clock))
    backbone = {None: 5 * MS, first: 0, "resize": 0, "backbone": 5 * MS, "head": 0}
    assert {stage: list(taken) for stage, taken in measured.samples.items()} == {stage: [one] * 4 for stage, one in backbone.items()}


def test_whole_queries_and_their_stages_both_go_through_every_photo(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, staged = [], []
    predict = stand.shop.predict
    monkeypatch.setattr(stand.shop, "predict", lambda photo: (whole.append(photo), predict(photo))[1])
    monkeypatch.setattr("edgetl.bench.measuring.scenarios.inference.load", lambda photo: (staged.append(photo), load(photo))[1])
    SCENARIOS["predict-file"].run(stand, Loop(dataclasses.replace(TINY, queries=len(stand.photos))))
    assert sorted(whole) == sorted(staged) == sorted(stand.photos)


def test_the_first_half_of_a_tensor_decodes_and_the_second_does_not(stand: Stand) -> None:
    spec, photo = stand.embedder.bundle.input, stand.photos[0].read_bytes()
    with pytest.raises(PhotoError, match=r"cut\.jpg: corrupt or truncated"):
        decoded(PhotoSource("cut.jpg", photo[:700]), spec)
    pixels = np.zeros((spec.height, spec.width, 3), np.uint8)
    assert np.shares_memory(cropped(decoded(load(pixels), spec), spec), pixels)


def test_learning_one_photo_is_timed_whole_and_in_its_steps(stand: Stand, clock: Planted) -> None:
    measured = learning.learn_one(stand, Loop(TINY, clock))
    steps = ["decode", "resize", "measure", "backbone", "examine", "store commit", "train"]
    assert set(measured.samples) == {None, *steps}
    assert {stage: list(taken) for stage, taken in measured.samples.items()} == {
        stage: [5 * MS if stage in (None, "backbone") else 0] * TINY.lessons for stage in (None, *steps)
    }
    assert measured.facts == {"taught": 2, "active": 2}


def test_the_steps_of_a_lesson_leave_what_the_verbs_leave(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    undone = lessons.undone

    @contextlib.contextmanager
    def watched(stand: Stand, photos: list[Path]) -> Iterator[None]:
        with undone(stand, photos):
            yield
            (batch,) = stand.shop.store.batches()
            rows.append((batch.labels[-1], batch.embeddings[-1].tobytes(), batch.captures[-1]))

    monkeypatch.setattr(lessons, "undone", watched)
    one_photo = dataclasses.replace(stand, known=stand.known[:1])
    learning.learn_one(one_photo, Loop(TINY))
    assert len(rows) == 1 + 2 * TINY.lessons
    assert len({(label, embedding, capture) for label, embedding, capture in rows}) == 1


def test_a_lesson_that_fails_is_undone_too(stand: Stand) -> None:
    before = state(stand)

    def lesson(number: int) -> dict[str | None, int]:
        stand.shop.add(stand.lessons[0], "half taught")
        stand.shop.train()
        raise BenchError("planted")

    with pytest.raises(BenchError, match="planted"):
        lessons.lessons(stand, Loop(TINY), lesson, stand.lessons[:1])
    assert state(stand) == before


def test_adding_a_class_is_its_parts_and_asks_for_the_new_class(stand: Stand, clock: Planted) -> None:
    measured = learning.add_a_class(stand, Loop(TINY, clock))
    nanoseconds = {stage: list(taken) for stage, taken in measured.samples.items() if stage not in measured.units}
    assert nanoseconds == {None: [105 * MS] * 2, "add": [100 * MS] * 2, "train": [0, 0], "predict": [5 * MS] * 2}
    assert measured.facts == {"right": 2, "asked": 2}
    assert measured.samples["file growth"][0] > 20 * stand.embedder.fingerprint.dim  # 20 rows of a byte per value, at least
    assert set(measured.units.values()) == {"B"}


def test_a_wrong_first_prediction_is_counted_and_said(stand: Stand) -> None:
    measured = learning.add_a_class(dataclasses.replace(stand, lessons=[*stand.lessons[:20], stand.photos[0]]), Loop(TINY))
    assert measured.facts == {"right": 0, "asked": 2}
    assert "not every first prediction was right" in measured.note


def test_a_swap_of_heads_leads_to_the_other_head(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    activated: list[int] = []
    activate = stand.shop.activate
    monkeypatch.setattr(stand.shop, "activate", lambda head: (activated.append(head), activate(head))[1])
    _, mine, _ = state(stand)
    measured = learning.head_swap(stand, Loop(TINY))
    other = max(head.id for head in stand.shop.heads())
    assert activated == [mine, *[other, mine] * (1 + TINY.queries)]
    assert len(measured.samples[None]) == TINY.queries


def test_commits_are_of_rows_that_are_there_afterwards(stand: Stand) -> None:
    from edgetl.store import Store

    (stand.folder / "commits.db").unlink(missing_ok=True)
    measured = learning.durable_commit(stand, Loop(dataclasses.replace(TINY, queries=7)))
    assert len(measured.samples[None]) == 7
    with Store.open(stand.folder / "commits.db", None) as store:
        assert store.counts() == {"class": 8}
        assert store.preview(1)


def test_throughput_is_the_time_of_a_block_divided_by_its_photos(stand: Stand, clock: Planted) -> None:
    method = dataclasses.replace(TINY, queries=70)
    measured = throughput.batch_throughput(stand, Loop(method, clock))
    assert list(measured.samples[None]) == [5 * MS] * 3  # 64 photos are too few for 70
    longer = dataclasses.replace(method, seconds=0.8)  # 5 blocks of 0.16 s
    assert len(throughput.batch_throughput(stand, Loop(longer, clock)).samples[None]) == 5
    assert len(throughput.batch_throughput(stand, Loop(dataclasses.replace(longer, most=2), clock)).samples[None]) == 2


def test_a_photo_that_cannot_be_read_ends_the_throughput(stand: Stand) -> None:
    with pytest.raises(PhotoError, match="nowhere"):
        throughput.batch_throughput(dataclasses.replace(stand, photos=[Path("nowhere.jpg")]), Loop(TINY))


def filmed(
    stand: Stand, fps: float, costs: list[int], oversleep: int = 0, method: Method = TINY, scenario: Callable[..., Measured] | None = None
) -> Measured:
    """predict-camera, or another scenario, with an answer that takes `costs` ns, one after the other, by a planted clock and sleep."""
    moved, runtime, costly = Planted(), stand.embedder.runtime, iter(costs * 200)

    def sleep(seconds: float) -> None:
        moved.now += round(seconds * 1e9) + oversleep

    stand.embedder.runtime = Slow(runtime, moved, lambda: next(costly))
    try:
        asked = dataclasses.replace(stand, options=Options(fps=fps))
        return (scenario or camera.predict_camera)(asked, Loop(method, moved), sleep)
    finally:
        stand.embedder.runtime = runtime


def test_a_camera_that_is_slower_than_the_answers_waits_without_drift(stand: Stand) -> None:
    measured = filmed(stand, 100.0, [4 * MS], oversleep=MS)
    assert measured.facts == {"arrived": 4, "answered": 4, "dropped": 0, "missed": 0}
    assert {stage: list(taken) for stage, taken in measured.samples.items()} == {
        None: [5 * MS] * 4,
        "wait": [MS] * 4,
        "answer": [4 * MS] * 4,
    }
    assert measured.note == "100 frames/s: one every 10 ms"


def test_a_camera_that_is_too_fast_loses_most_frames_and_says_so(stand: Stand) -> None:
    measured = filmed(stand, 1000.0, [5 * MS], method=dataclasses.replace(TINY, seconds=0.1, rounds=2))
    # 50 frames of 1 ms: 0, 5, 10, ..., 45, and 49, which waits until 45 is answered.
    assert measured.facts == {"arrived": 50, "answered": 11, "dropped": 39, "missed": 11}
    assert "most were dropped or answered late" in measured.note


def test_two_cameras_at_once_are_answered_in_turns_and_the_second_one_waits(stand: Stand) -> None:
    measured = filmed(stand, 100.0, [4 * MS], scenario=camera.two_cameras)
    assert measured.facts == {"arrived": 8, "answered": 8, "dropped": 0, "missed": 0}
    assert {stage: list(taken) for stage, taken in measured.samples.items()} == {
        None: [4 * MS, 8 * MS] * 4, "wait": [0, 4 * MS] * 4, "answer": [4 * MS] * 8,
        "camera 1": [4 * MS] * 4, "camera 2": [8 * MS] * 4,
    }  # fmt: skip
    assert measured.note == "100 frames/s of each camera: one every 10 ms"


def test_two_cameras_that_are_too_fast_together_both_lose_frames(stand: Stand) -> None:
    method = dataclasses.replace(TINY, seconds=0.5)
    alone, both = (filmed(stand, 100.0, [8 * MS], method=method, scenario=one) for one in (camera.predict_camera, camera.two_cameras))
    assert (alone.facts["dropped"], alone.facts["missed"]) == (0, 0)
    assert both.facts["arrived"] == 2 * alone.facts["arrived"] == both.facts["answered"] + both.facts["dropped"]
    assert both.facts["answered"] == pytest.approx(0.5 / 0.008, abs=3), "the process is never idle"
    counts = [len(both.samples[f"camera {number}"]) for number in (1, 2)]
    assert abs(counts[0] - counts[1]) <= 1, "neither starves"


def trace(*runs: list[tuple[str, int, str]]) -> list[dict[str, Any]]:
    """What ONNX Runtime writes: per run its node's (operator, microseconds, provider)."""
    events, now = [{"cat": "Session", "name": "model_loading_array", "ts": 1, "dur": 5}], 100
    for run in runs:
        begun = now
        for number, (kind, taken, provider) in enumerate(run):
            told = {"op_name": kind, "provider": f"{provider}ExecutionProvider"}
            events.append({"cat": "Node", "name": f"n{number}_fence_before", "ts": now, "dur": 0, "args": told})
            events.append({"cat": "Node", "name": f"n{number}_kernel_time", "ts": now, "dur": taken, "args": told})
            now += taken + 1
        events.append({"cat": "Session", "name": "model_run", "ts": begun, "dur": now - begun})
        now += 10
    return events


def test_onnx_runtimes_trace_is_summed_per_query_and_operator_and_names_another_provider() -> None:
    first = [("Conv", 30, "CPU"), ("Conv", 12, "CPU"), ("Add", 3, "CPU")]
    second = [("Conv", 31, "CPU"), ("Conv", 11, "CPU"), ("Add", 4, "CPU"), ("Resize", 9, "XNNPACK")]
    assert operators.read_trace(trace(first, second), "CPUExecutionProvider") == [
        {"Conv": 42_000, "Add": 3_000}, {"Conv": 42_000, "Add": 4_000, "Resize on XNNPACK": 9_000},
    ]  # fmt: skip


def test_litert_events_are_summed_by_operator_without_what_encloses_them() -> None:
    told = [("Invoke", 1, 99), ("Conv", 8, 7), ("Conv", 8, 5), ("Delegate", 4, 12), ("SOFTMAX", 2, 3), ("Invoke", 32, 1 << 32)]
    events = [SimpleNamespace(tag=tag.encode(), kind=kind, elapsed_us=taken) for tag, kind, taken in told]
    assert litert_events.summed(events) == {"Conv": 12_000, "SOFTMAX": 3_000}


def test_a_litert_without_its_profiler_says_which_version_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(BenchError, match=r"LiteRT's profiler cannot be used here: .*; pip install 'ai-edge-litert>=2.3' has it"):
        litert_events.Profiled(tmp_path / "model.tflite", 1)


def test_a_runtime_without_a_profiler_is_skipped_with_those_that_have_one(stand: Stand) -> None:
    with pytest.raises(BenchError, match="fake has no profiler; onnxruntime, openvino, litert have one"):
        operators.operators(stand, Loop(TINY))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["onnx-int8", "openvino-int8", "tflite-int8", "tflite-fp32"])
def test_real_profilers_find_the_convolutions_of_the_real_model(lite0: Path, stand: Stand, tmp_path: Path, variant: str) -> None:
    with Classifier.open(lite0, tmp_path / "bench.db", variant=variant, threads=1) as shop:
        assert shop.embedder is not None
        tensors = [tensor(load(path), shop.embedder.bundle.input) for path in stand.photos[:2]]
        asked = dataclasses.replace(stand, shop=shop, tensors=tensors, folder=tmp_path)
        measured = operators.operators(asked, Loop(dataclasses.replace(TINY, queries=6)))
    assert list(tmp_path.glob("profile*")) == [], "the trace is read and removed"
    whole, kinds = measured.samples[None], {stage: list(taken) for stage, taken in measured.samples.items() if stage}
    assert list(whole) == [sum(taken) for taken in zip(*kinds.values())]
    assert (len(whole), min(whole) > 0) == (6, True)
    # XNNPACK computes convolutions of 1x1 as matrix products and calls them so.
    convolutions = [sum(taken) for stage, taken in kinds.items() if "conv" in stage.lower() or "gemm" in stage.lower()]
    assert sum(convolutions) > 0.5 * sum(whole), kinds


def test_an_answer_after_one_period_is_a_missed_deadline(stand: Stand) -> None:
    measured = filmed(stand, 100.0, [10 * MS, 11 * MS, 2 * MS, 3 * MS])
    assert list(measured.samples[None]) == [10 * MS, 11 * MS, 3 * MS, 3 * MS]
    assert measured.facts["missed"] == 1


def test_a_slow_camera_is_not_waited_for_without_an_end(stand: Stand) -> None:
    measured = filmed(stand, 0.5, [MS], method=dataclasses.replace(TINY, queries=1024))
    assert measured.facts["arrived"] == 10  # 20 s


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 35), min_size=1, max_size=12), st.integers(1, 25))
def test_the_newest_waiting_frame_is_answered_as_in_a_mailbox_of_one(stand: Stand, costs: list[int], frames: int) -> None:
    costs = [cost * MS for cost in costs]
    measured = filmed(stand, 100.0, costs, method=dataclasses.replace(TINY, queries=frames))
    assert list(measured.samples[None]) == mailbox(costs * 200, frames, 10 * MS)
    assert measured.facts["arrived"] == frames == measured.facts["answered"] + measured.facts["dropped"]
    assert measured.facts["missed"] == sum(one > 10 * MS for one in measured.samples[None])


def mailbox(costs: list[int], frames: int, period: int) -> list[int]:
    """An event at a time: a frame that comes replaces the one that waits; who is free takes what waits."""
    latencies: list[int] = []
    free, slot = 0, None

    def take(frame: int, moment: int) -> None:
        nonlocal free, slot
        free, slot = moment + costs[len(latencies)], None
        latencies.append(free - frame * period)

    for frame in range(frames):
        while slot is not None and free < frame * period:
            take(slot, free)
        slot = frame
        if free <= frame * period:
            take(slot, frame * period)
    if slot is not None:
        take(slot, free)
    return latencies


COOL = {"temperature_c": 50.0, "frequency_khz": 1_800_000, "throttle": {"thermal_events": 0}}
HOT = {"temperature_c": 85.0, "frequency_khz": 600_000, "throttle": {"thermal_events": 3}}


def minutes(
    stand: Stand, number: float, cost: Callable[[Planted], int], readings: list[Any], method: Method = TINY,
    keep: Callable[[Measured], object] = lambda measured: None,
) -> Measured:  # fmt: skip
    moved, runtime = Planted(), stand.embedder.runtime
    stand.embedder.runtime = Slow(runtime, moved, lambda: cost(moved))
    try:
        asked = dataclasses.replace(stand, options=Options(minutes=number))
        return sustained.sustained(asked, Loop(method, moved, keep), iter(readings).__next__)
    finally:
        stand.embedder.runtime = runtime


def test_a_run_that_keeps_its_speed_says_nothing(stand: Stand) -> None:
    measured = minutes(stand, 2.5, lambda _: 1000 * MS, [COOL] * 4)
    assert [(one.number, one.n, one.p50, one.p90) for one in measured.minutes] == [
        (0, 60, 1000 * MS, 1000 * MS), (1, 60, 1000 * MS, 1000 * MS), (2, 30, 1000 * MS, None),
    ]  # fmt: skip
    what = "whole predictions, as predict-array; not the backbone alone"
    assert (measured.note, measured.facts, len(measured.samples[None])) == (what, {"asked": 150}, 150)
    assert {(one.temperature_c, one.frequency_khz, one.throttled) for one in measured.minutes} == {(50.0, 1_800_000, False)}


def test_minutes_that_are_over_are_kept_should_the_run_be_ended_before_its_last(stand: Stand) -> None:
    kept: list[tuple[int, int]] = []
    minutes(stand, 2.5, lambda _: 1000 * MS, [COOL] * 4, keep=lambda one: kept.append((len(one.minutes), len(one.samples[None]))))
    assert kept == [(1, 60), (2, 120), (3, 150)]


def test_a_run_that_throttled_and_slowed_says_so_with_numbers(stand: Stand) -> None:
    start = Planted().now
    measured = minutes(
        stand, 3, lambda clock: 1500 * MS if clock.now - start >= 120e9 else 1000 * MS, [COOL, COOL, COOL, HOT],
        dataclasses.replace(TINY, most=100),
    )  # fmt: skip
    assert [one.throttled for one in measured.minutes] == [False, False, True]
    assert measured.note.split("; ")[2:] == [
        "the machine throttled in 1 of 3 minutes, first in minute 3",
        "it slowed down: p50 1500 ms (n=40) in the last minute, 1000 ms (n=60) in the second, 50 % more",
        "the first 100 of 160 samples are kept",
        "the minutes are of all",
    ]
    assert len(measured.samples[None]) == 100


def test_resources_are_read_from_the_kernels_files(tmp_path: Path) -> None:
    own, folder = tmp_path / "proc/self", tmp_path / "store"
    own.mkdir(parents=True)
    folder.mkdir()
    (own / "clear_refs").write_text("")
    (own / "status").write_text("VmHWM:\t    3000 kB\nVmRSS:\t    1000 kB\n")
    (own / "io").write_text("wchar: 7\nwrite_bytes: 4096\ncancelled_write_bytes: 0\n")
    begun = resources.Resources(folder, tmp_path)
    (folder / "shop.db").write_bytes(b"x" * 5000)
    assert begun.taken() == {"memory growth": 2000 * 1024, "file growth": 5000}  # in memory: the kernel counts no bytes
    (own / "io").write_text("wchar: 7\nwrite_bytes: 12288\ncancelled_write_bytes: 0\n")
    assert begun.taken() == {"memory growth": 2000 * 1024, "written": 8192, "file growth": 5000}
    assert (own / "clear_refs").read_text("utf-8") == "5"
    assert resources.Resources(folder, tmp_path / "elsewhere").taken() == {"file growth": 0}


def test_memory_that_is_taken_and_given_back_is_seen(tmp_path: Path) -> None:
    begun = resources.Resources(tmp_path)
    np.ones(4 << 20).sum()
    taken = begun.taken()
    if "memory growth" not in taken:
        pytest.skip("this kernel does not let a process reset its peak of resident memory")
    assert (32 << 20) * 0.9 < taken["memory growth"] < (32 << 20) * 2


def test_shots_need_labelled_photos(stand: Stand) -> None:
    with pytest.raises(BenchError, match="--labelled"):
        SCENARIOS["n-shot"].run(stand, Loop(TINY))
    assert "n-shot" in usual(labelled=True)
    assert set(usual(labelled=True)) - set(usual()) == {"n-shot"}
    assert "sustained" not in usual(labelled=True)


def test_a_scenario_is_added_in_a_few_lines(stand: Stand) -> None:
    def thumbnail(stand: Stand, loop: Loop) -> Measured:
        """The number of a taught photo -> its thumbnail."""
        return loop.stream(lambda number: stand.shop.store.preview(1 + number % 20))

    added = Scenario("thumbnail", "the number of a taught photo -> its thumbnail", thumbnail, always=False)
    assert len(added.run(stand, Loop(TINY)).samples[None]) == TINY.queries


def test_scenarios_are_named_like_words_and_say_from_where_to_where_they_time() -> None:
    for name, one in SCENARIOS.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert " -> " in one.sentence


def test_a_stand_is_drawn_from_files(stand: Stand, tmp_path: Path) -> None:
    made = Stand.of(stand.shop, stand.photos[:2], stand.lessons, tmp_path, Options(), "labelled")
    assert [frame.shape for frame in made.frames] == [(480, 480, 3)] * 2
    assert [one.shape for one in made.tensors] == [(32, 32, 3)] * 2
    assert len({path.read_bytes() for path in made.known}) == 4
    assert made.labelled == Path("labelled")
    assert made.head().labels == ("blue", "green", "red")
