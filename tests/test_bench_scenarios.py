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
from raising import raises

from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.scenarios import SCENARIOS, Scenario, camera, inference, litert_profiler, operators, training, usual
from edgetl.bench.measuring.stand import Options, Stand
from edgetl.bench.method import Method
from edgetl.classifier import Classifier
from edgetl.errors import BenchError, PhotoError
from edgetl.inputs.photo.preprocess import cropped, decoded, tensor
from edgetl.inputs.photo.source import PhotoSource, load
from edgetl.runtimes import fake
from edgetl.types import Embeddings, ImageSpec, Pixels, Prediction

MS = 1_000_000
TINY = Method("tiny", queries=4, seconds=0.0, rounds=1, trainings=2, window=2, warm_up_seconds=0.0)


class Planted:
    """A clock that stands still until something moves it."""

    def __init__(self) -> None:
        self.now = 10**15

    def __call__(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


class Slow:
    """A runtime that moves a clock by the cost of each photo."""

    def __init__(self, runtime: Any, clock: Planted, cost: Callable[[], int]) -> None:
        self._runtime, self._clock, self._cost = runtime, clock, cost

    def embed(self, batch: Pixels) -> Embeddings:
        self._clock.now += sum(self._cost() for _ in batch)
        result: Embeddings = self._runtime.embed(batch)
        return result

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
    training = {label: photos(folder, label, 8) for label in ("red", "green", "blue")}
    fake.write_bundle(str(folder / "fake.edgetl"), training["red"][0].read_bytes())
    (folder / "work").mkdir()
    with Classifier.open(folder / "fake.edgetl", folder / "work" / "bench.db", threads=1) as classifier:
        classifier.add_many([(path, label) for label, paths in training.items() for path in paths])
        classifier.train()
        queries, known = training["green"], photos(folder, "blue", 4, first=100)
        work = photos(folder, "yellow", 21, first=20)
        frames = [tensor(load(path), ImageSpec(64, 64, 64)) for path in queries]
        tensors = [tensor(load(path), classifier.embedder.bundle.input) for path in queries]
        yield Stand(classifier, queries, frames, tensors, work, known, folder / "work", Options(fps=100.0, minutes=0.0001))


@pytest.fixture
def clock(stand: Stand) -> Iterator[Planted]:
    """A planted clock; each photo costs the runtime 5 ms of it and nothing else takes any."""
    moved, runtime = Planted(), stand.embedder.runtime
    stand.embedder.runtime = Slow(runtime, moved, lambda: 5 * MS)
    yield moved
    stand.embedder.runtime = runtime


def state(stand: Stand) -> tuple[dict[str, int], int, list[Prediction]]:
    """Everything that a scenario has to leave as it was."""
    active = stand.classifier.store.active()
    assert active is not None
    return stand.classifier.counts, active.id, [stand.classifier.predict(path) for path in (*stand.photos, *stand.new[:3])]


@pytest.mark.parametrize("name", [name for name, item in SCENARIOS.items() if name != "operators"])
def test_a_scenario_leaves_the_classifier_as_it_was(stand: Stand, name: str) -> None:
    before = state(stand)
    measured = SCENARIOS[name].run(stand, Loop(dataclasses.replace(TINY, warm_up_seconds=5.0)))
    assert state(stand) == before
    assert len(measured.samples[None]) >= 1
    assert all(type(item) is int and item >= 0 for taken in measured.samples.values() for item in taken)
    assert set(measured.units) <= set(measured.samples)
    assert all(stage in SCENARIOS[name].sentence for stage in measured.samples if stage)


@pytest.mark.parametrize(("name", "first"), [("predict-file", "decode"), ("predict-array", "copy")])
def test_the_stages_of_a_prediction_are_its_pixels_resize_backbone_and_head(stand: Stand, clock: Planted, name: str, first: str) -> None:
    measured = SCENARIOS[name].run(stand, Loop(dataclasses.replace(TINY, warm_up_seconds=5.0), clock))
    backbone = {None: 5 * MS, first: 0, "resize": 0, "backbone": 5 * MS, "head": 0}
    assert {stage: list(taken) for stage, taken in measured.samples.items()} == {stage: [item] * 4 for stage, item in backbone.items()}


def test_whole_queries_and_their_stages_both_go_through_every_photo(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, staged = [], []
    predict = stand.classifier.predict
    monkeypatch.setattr(stand.classifier, "predict", lambda photo: (whole.append(photo), predict(photo))[1])
    monkeypatch.setattr("edgetl.bench.measuring.scenarios.inference.load", lambda photo: (staged.append(photo), load(photo))[1])
    SCENARIOS["predict-file"].run(stand, Loop(dataclasses.replace(TINY, queries=len(stand.photos))))
    assert sorted(whole) == sorted(staged) == sorted(stand.photos)


def test_the_first_half_of_a_tensor_decodes_and_the_second_does_not(stand: Stand) -> None:
    spec, photo = stand.embedder.bundle.input, stand.photos[0].read_bytes()
    with raises(PhotoError, "photo-corrupt", photo="cut.jpg"):
        decoded(PhotoSource("cut.jpg", photo[:700]), spec)
    pixels = np.zeros((spec.height, spec.width, 3), np.uint8)
    assert np.shares_memory(cropped(decoded(load(pixels), spec), spec), pixels)


def test_learning_one_photo_is_timed_whole_and_in_its_steps(stand: Stand, clock: Planted) -> None:
    measured = training.learn_one(stand, Loop(TINY, clock))
    steps = ["decode", "resize", "measure", "backbone", "examine", "store commit", "train"]
    assert set(measured.samples) == {None, *steps}
    assert {stage: list(taken) for stage, taken in measured.samples.items()} == {
        stage: [5 * MS if stage in (None, "backbone") else 0] * TINY.trainings for stage in (None, *steps)
    }
    assert measured.facts == {"trained": 2, "active": 2}


def test_the_steps_of_a_training_leave_what_the_verbs_leave(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    undone = Stand.undone

    @contextlib.contextmanager
    def watched(stand: Stand, photos: list[Path]) -> Iterator[None]:
        with undone(stand, photos):
            yield
            (batch,) = stand.classifier.store.batches()
            rows.append((batch.labels[-1], batch.embeddings[-1].tobytes(), batch.captures[-1]))

    monkeypatch.setattr(Stand, "undone", watched)
    training.learn_one(dataclasses.replace(stand, known=stand.known[:1]), Loop(TINY))
    assert len(rows) == 1 + 2 * TINY.trainings
    assert len({(label, embedding, capture) for label, embedding, capture in rows}) == 1


def test_a_training_that_fails_is_undone_too(stand: Stand) -> None:
    before = state(stand)

    def work(number: int) -> dict[str | None, int]:
        stand.classifier.add(stand.new[0], "half done")
        stand.classifier.train()
        raise BenchError("planted", code="planted")

    with pytest.raises(BenchError) as caught:
        training.repeated(stand, work, stand.new[:1], 2)
    assert caught.value.code == "planted"
    assert state(stand) == before


def test_adding_a_class_is_the_sum_of_its_parts(stand: Stand, clock: Planted) -> None:
    measured = training.add_a_class(stand, Loop(TINY, clock))
    nanoseconds = {stage: list(taken) for stage, taken in measured.samples.items()}
    assert nanoseconds == {None: [105 * MS] * 2, "add": [100 * MS] * 2, "train": [0, 0], "predict": [5 * MS] * 2}
    assert measured.facts == {"correct": 2, "tested": 2}


def test_a_wrong_first_prediction_is_counted_with_a_note(stand: Stand) -> None:
    measured = training.add_a_class(dataclasses.replace(stand, new=[*stand.new[:20], stand.photos[0]]), Loop(TINY))
    assert measured.facts == {"correct": 0, "tested": 2}
    assert measured.note


def test_throughput_is_the_time_of_a_block_divided_by_its_photos(stand: Stand, clock: Planted) -> None:
    method = dataclasses.replace(TINY, queries=70)
    measured = inference.batch_throughput(stand, Loop(method, clock))
    assert list(measured.samples[None]) == [5 * MS] * 3  # 64 photos are too few for 70
    longer = dataclasses.replace(method, seconds=0.8)  # 5 blocks of 0.16 s
    assert len(inference.batch_throughput(stand, Loop(longer, clock)).samples[None]) == 5
    assert len(inference.batch_throughput(stand, Loop(dataclasses.replace(longer, most=2), clock)).samples[None]) == 2


def test_a_photo_that_cannot_be_read_ends_the_throughput(stand: Stand) -> None:
    with pytest.raises(PhotoError, match="nowhere"):
        inference.batch_throughput(dataclasses.replace(stand, photos=[Path("nowhere.jpg")]), Loop(TINY))


def filmed(
    stand: Stand, fps: float, costs: list[int], oversleep: int = 0, method: Method = TINY, scenario: Callable[..., Measured] | None = None
) -> Measured:
    """predict-camera, or another scenario, with an answer that takes `costs` ns, one after the other, by a planted clock and sleep."""
    moved, runtime, costly = Planted(), stand.embedder.runtime, iter(costs * 200)

    def sleep(seconds: float) -> None:
        moved.now += round(seconds * 1e9) + oversleep

    stand.embedder.runtime = Slow(runtime, moved, lambda: next(costly))
    try:
        queries = dataclasses.replace(stand, options=Options(fps=fps))
        return (scenario or camera.predict_camera)(queries, Loop(method, moved), sleep)
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


def test_a_camera_that_is_too_fast_loses_most_frames(stand: Stand) -> None:
    measured = filmed(stand, 1000.0, [5 * MS], method=dataclasses.replace(TINY, seconds=0.1, rounds=2))
    # 50 frames of 1 ms: 0, 5, 10, ..., 45, and 49, which waits until 45 is answered.
    assert measured.facts == {"arrived": 50, "answered": 11, "dropped": 39, "missed": 11}
    assert ";" in measured.note


def test_two_cameras_are_answered_in_turns_and_the_second_waits(stand: Stand) -> None:
    measured = filmed(stand, 100.0, [4 * MS], scenario=camera.two_cameras)
    assert measured.facts == {"arrived": 8, "answered": 8, "dropped": 0, "missed": 0}
    assert {stage: list(taken) for stage, taken in measured.samples.items()} == {
        None: [4 * MS, 8 * MS] * 4, "wait": [0, 4 * MS] * 4, "answer": [4 * MS] * 8,
        "camera 1": [4 * MS] * 4, "camera 2": [8 * MS] * 4,
    }  # fmt: skip
    assert measured.note == "100 frames/s of each camera: one every 10 ms"


def test_two_cameras_that_are_too_fast_together_both_lose_frames(stand: Stand) -> None:
    method = dataclasses.replace(TINY, seconds=0.5)
    alone, both = (filmed(stand, 100.0, [8 * MS], method=method, scenario=item) for item in (camera.predict_camera, camera.two_cameras))
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
            arguments = {"op_name": kind, "provider": f"{provider}ExecutionProvider"}
            events.append({"cat": "Node", "name": f"n{number}_fence_before", "ts": now, "dur": 0, "args": arguments})
            events.append({"cat": "Node", "name": f"n{number}_kernel_time", "ts": now, "dur": taken, "args": arguments})
            now += taken + 1
        events.append({"cat": "Session", "name": "model_run", "ts": begun, "dur": now - begun})
        now += 10
    return events


def test_a_trace_is_summed_per_query_and_operator_with_other_providers() -> None:
    first = [("Conv", 30, "CPU"), ("Conv", 12, "CPU"), ("Add", 3, "CPU")]
    second = [("Conv", 31, "CPU"), ("Conv", 11, "CPU"), ("Add", 4, "CPU"), ("Resize", 9, "XNNPACK")]
    assert operators.read_trace(trace(first, second), "CPUExecutionProvider") == [
        {"Conv": 42_000, "Add": 3_000}, {"Conv": 42_000, "Add": 4_000, "Resize on XNNPACK": 9_000},
    ]  # fmt: skip


def test_litert_events_are_summed_by_operator_without_those_that_enclose_them() -> None:
    rows = [("Invoke", 1, 99), ("Conv", 8, 7), ("Conv", 8, 5), ("Delegate", 4, 12), ("SOFTMAX", 2, 3), ("Invoke", 32, 1 << 32)]
    events = [SimpleNamespace(tag=tag.encode(), kind=kind, elapsed_us=taken) for tag, kind, taken in rows]
    assert litert_profiler.summed(events) == {"Conv": 12_000, "SOFTMAX": 3_000}


def test_a_litert_without_its_profiler_is_an_error_with_a_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with raises(BenchError, "no-profiler"):
        litert_profiler.Profiled(tmp_path / "model.tflite", 1)


def test_a_runtime_without_a_profiler_is_an_error_that_lists_the_others(stand: Stand) -> None:
    with pytest.raises(BenchError) as caught:
        operators.operators(stand, Loop(TINY))
    assert (caught.value.code, caught.value.values["available"]) == ("no-profiler", ["onnxruntime", "openvino", "litert"])


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["onnx-int8", "openvino-int8", "tflite-int8", "tflite-fp32"])
def test_real_profilers_find_the_convolutions_of_the_real_model(lite0: Path, stand: Stand, tmp_path: Path, variant: str) -> None:
    with Classifier.open(lite0, tmp_path / "bench.db", variant=variant, threads=1) as classifier:
        assert classifier.embedder is not None
        tensors = [tensor(load(path), classifier.embedder.bundle.input) for path in stand.photos[:2]]
        queries = dataclasses.replace(stand, classifier=classifier, tensors=tensors, folder=tmp_path)
        measured = operators.operators(queries, Loop(dataclasses.replace(TINY, queries=6)))
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
    assert measured.facts["missed"] == sum(item > 10 * MS for item in measured.samples[None])


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
        queries = dataclasses.replace(stand, options=Options(minutes=number))
        return inference.sustained(queries, Loop(method, moved, keep), iter(readings).__next__)
    finally:
        stand.embedder.runtime = runtime


def test_a_run_that_keeps_its_speed_has_no_note_on_speed(stand: Stand) -> None:
    measured = minutes(stand, 2.5, lambda _: 1000 * MS, [COOL] * 4)
    assert [(item.number, item.n, item.p50, item.p90) for item in measured.minutes] == [
        (0, 60, 1000 * MS, 1000 * MS), (1, 60, 1000 * MS, 1000 * MS), (2, 30, 1000 * MS, None),
    ]  # fmt: skip
    assert (measured.note.count(";"), measured.facts, len(measured.samples[None])) == (1, {"queries": 150}, 150)
    assert {(item.temperature_c, item.frequency_khz, item.throttled) for item in measured.minutes} == {(50.0, 1_800_000, False)}


def test_minutes_that_are_over_are_kept_should_the_run_be_ended_before_its_last(stand: Stand) -> None:
    kept: list[tuple[int, int]] = []
    minutes(stand, 2.5, lambda _: 1000 * MS, [COOL] * 4, keep=lambda item: kept.append((len(item.minutes), len(item.samples[None]))))
    assert kept == [(1, 60), (2, 120), (3, 150)]


def test_a_run_that_throttled_and_slowed_has_notes_with_numbers(stand: Stand) -> None:
    start = Planted().now
    measured = minutes(
        stand, 3, lambda clock: 1500 * MS if clock.now - start >= 120e9 else 1000 * MS, [COOL, COOL, COOL, HOT],
        dataclasses.replace(TINY, most=100),
    )  # fmt: skip
    assert [item.throttled for item in measured.minutes] == [False, False, True]
    notes = measured.note.split("; ")[2:]
    assert [re.findall(r"\d+", note) for note in notes] == [["1", "3", "3"], ["50", "1500", "1000", "50"], ["100", "160"]]
    assert len(measured.samples[None]) == 100


def test_what_is_slow_or_special_is_measured_on_request_only() -> None:
    assert set(SCENARIOS) - set(usual()) == {"two-cameras", "operators", "sustained"}


def test_a_scenario_is_added_in_a_few_lines(stand: Stand) -> None:
    def thumbnail(stand: Stand, loop: Loop) -> Measured:
        """The number of a stored photo -> its thumbnail."""
        return loop.stream(lambda number: stand.classifier.store.preview(1 + number % 20))

    added = Scenario("thumbnail", "the number of a stored photo -> its thumbnail", thumbnail, always=False)
    assert len(added.run(stand, Loop(TINY)).samples[None]) == TINY.queries


def test_scenarios_are_named_like_words_and_say_from_where_to_where_they_time() -> None:
    for name, item in SCENARIOS.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert " -> " in item.sentence


def test_a_stand_is_drawn_from_files(stand: Stand, tmp_path: Path) -> None:
    result = Stand.make(stand.classifier, stand.photos[:2], stand.new, tmp_path, Options())
    assert [frame.shape for frame in result.frames] == [(480, 480, 3)] * 2
    assert [item.shape for item in result.tensors] == [(32, 32, 3)] * 2
    assert len({path.read_bytes() for path in result.known}) == 4
    assert result.head().labels == ("blue", "green", "red")
