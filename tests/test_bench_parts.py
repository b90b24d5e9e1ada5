"""The parts of the bench: its loop on planted clocks, its plan, what it says of a machine, its table."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgetl import bench
from edgetl.bench.measuring import child
from edgetl.bench.measuring import photos as charts
from edgetl.bench.measuring.child import BenchJob, JobAnswer, Stop
from edgetl.bench.measuring.gathering import Gathering, warnings
from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.plan import PHASES, Configuration, Turn, plan, requested, spend
from edgetl.bench.measuring.runner import _Watch, duration
from edgetl.bench.measuring.stand import Options
from edgetl.bench.record import Accuracy, Minute, Round
from edgetl.errors import BenchError
from edgetl.machine import sensors
from edgetl.stats import Proportion
from edgetl.tables import render

TINY = bench.Method("tiny", queries=40, seconds=0.2, rounds=2, trainings=1, window=8, warm_up_seconds=0.5, photos=16, resamples=50)
A, B, C = (Configuration(name, 2, None) for name in ("a", "b", "c"))


class Clock:
    """A clock that stands still but for what queries take."""

    def __init__(self, takes: Callable[[int], int]) -> None:
        self.now, self._takes = 0, takes

    def __call__(self) -> int:
        return self.now

    def query(self, number: int) -> None:
        self.now += self._takes(number)


def streamed(takes: Callable[[int], int], **method: Any) -> Measured:
    clock = Clock(takes)
    return Loop(dataclasses.replace(TINY, **{"seconds": 0.0, **method}), clock).stream(clock.query)


def test_the_warm_up_ends_with_a_median_within_3_percent_of_the_one_before() -> None:
    medians = [1000, 600, 500, 516, 513, 100]
    measured = streamed(lambda number: medians[min(number // 8, 5)])
    assert (measured.warm_up, measured.steady) == (5 * 8, True)  # 516 is 3.2 % above 500, 513 is 0.6 % below 516
    assert list(measured.samples[None]) == [100] * 20


def test_a_warm_up_that_never_gets_steady_ends_at_its_bound_and_says_so() -> None:
    measured = streamed(lambda number: int(1000 * 1.01**number), warm_up_seconds=1e-3)
    assert measured.steady is False
    assert sum(int(1000 * 1.01**number) for number in range(measured.warm_up)) >= 1e6
    assert sum(int(1000 * 1.01**number) for number in range(measured.warm_up - 1)) < 1e6


def test_a_clock_too_coarse_to_see_a_query_is_steady() -> None:
    assert streamed(lambda number: 0).steady is True


@pytest.mark.parametrize(("takes", "n"), [(1_000_000, 20), (1_000, 10_000)])
def test_a_round_takes_its_share_of_the_queries_and_of_the_seconds_whichever_is_more(takes: int, n: int) -> None:
    assert len(streamed(lambda number: takes, seconds=0.02).samples[None]) == n


def test_a_round_keeps_at_most_so_many_samples_with_a_note() -> None:
    measured = streamed(lambda number: 1_000, seconds=0.02, most=500)
    assert len(measured.samples[None]) == 500
    assert "500" in measured.note


def test_stages_are_timed_in_queries_of_their_own() -> None:
    clock = Clock(lambda number: 100 + number % 2)

    def staged(number: int) -> dict[str, int]:
        clock.query(number)
        return {"first": 60, "second": 40}

    measured = Loop(dataclasses.replace(TINY, seconds=0.0), clock).stream(clock.query, staged)
    assert {stage: list(taken) for stage, taken in measured.samples.items()} == {None: [100] * 20, "first": [60] * 20, "second": [40] * 20}


def test_no_time_of_a_clock_that_goes_back_is_kept() -> None:
    with pytest.raises(BenchError) as caught:
        streamed(lambda number: -7 if number == 30 else 100)
    assert caught.value.code == "clock-went-back"


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_the_harness_is_timed_from_start_to_start_with_and_without_a_warm_up(seconds: float) -> None:
    ticks = iter(range(0, 1 << 40, 10))
    taken = Loop(dataclasses.replace(TINY, warm_up_seconds=seconds), lambda: next(ticks)).overhead(5)
    assert len(taken) == 5
    # The clock is read five times in between: before, within and after a query, for the end, and for the machine's speed.
    assert all(item == 50 for item in taken)


def test_the_machines_speed_is_taken_between_queries_twenty_times_a_second() -> None:
    now, asked = [0], []

    def query(number: int) -> None:
        asked.append(now[0])
        now[0] += 30_000_000

    result = Loop(dataclasses.replace(TINY, queries=20, seconds=0.0, rounds=1, warm_up_seconds=0.0), lambda: now[0]).stream(query)
    assert list(result.samples[None]) == [30_000_000] * 20  # nothing of it is in a query
    assert len(result.machine_speed) == 10  # at 0, 60, 120, ... ms of 600


def test_each_round_runs_every_configuration_once_in_a_seeded_order() -> None:
    turns = plan([A, B, C], ("backbone", "cold", "memory", "energy"), dataclasses.replace(TINY, rounds=10), ["accuracy"])
    latencies = [turn for turn in turns if turn.task == "latency"]
    orders = [tuple(turn.configuration for turn in latencies if turn.number == number) for number in range(10)]
    assert [turn.number for turn in latencies] == [number for number in range(10) for _ in range(3)]
    assert all(set(order) == {A, B, C} for order in orders)
    assert len(set(orders)) > 3
    assert [sum(turn.task == task for turn in turns) for task in ("cold", "memory", "accuracy", "energy")] == [30, 12, 3, 3]
    again = plan([A, B, C], ("backbone",), dataclasses.replace(TINY, rounds=10, seed=1))
    assert [turn.configuration for turn in again] != [turn.configuration for turn in latencies]
    assert plan([A, B, C], ("backbone",), TINY) == plan([A, B, C], ("backbone",), TINY)


class Answering:
    """Medians of a scenario, and a clock on which every process takes a second."""

    def __init__(self, medians: dict[Configuration, int]) -> None:
        self.now, self.gathering = 0.0, Gathering(TINY)
        self._medians = medians

    def spend(self, seconds: float, *names: str, also: Sequence[str] = ()) -> list[Turn]:
        turns = []
        method = dataclasses.replace(TINY, budget=seconds)
        for turn in spend(list(self._medians), names, method, self.gathering.median, also, lambda: self.now):
            self.now += 1
            turns.append(turn)
            measured = {name: Measured({None: [self._medians[turn.configuration]] * 6}) for name in turn.scenarios}
            self.gathering.take(turn, JobAnswer(SUBJECT, measured))
        return turns


def test_a_budget_screens_all_and_spends_the_rest_on_those_near_the_fastest() -> None:
    turns = Answering({A: 100, B: 124, C: 126}).spend(11.5, "backbone", "embed", "memory", also=["accuracy"])
    first = turns[:6]
    assert {(turn.configuration, turn.task, turn.scenarios) for turn in first} == {
        (configuration, *what) for configuration in (A, B, C) for what in (("latency", ("embed",)), ("accuracy", ()))
    }  # fmt: skip
    assert {turn.configuration for turn in turns[6:]} == {A, B}
    assert [(turn.number, turn.task) for turn in turns[6:]] == [(1, "latency"), (1, "memory")] * 2, "a second round would not fit"
    assert {turn.scenarios for turn in turns[6:] if turn.task == "latency"} == {("backbone", "embed")}
    longer = Answering({A: 100, B: 124, C: 126}).spend(60, "embed")
    assert [sum(turn.configuration == configuration for turn in longer) for configuration in (A, B, C)] == [29, 29, 1]
    assert len(longer) <= 60


def test_a_budget_without_time_or_results_after_the_screening_ends() -> None:
    assert [turn.number for turn in Answering({A: 100, B: 100}).spend(1.5, "embed")] == [0, 0]
    failed = Answering({A: 100})
    failed.gathering.take = lambda turn, answer: None  # type: ignore[method-assign]
    assert len(failed.spend(60, "embed")) == 1


def test_a_budget_needs_a_scenario_to_rank_by() -> None:
    with pytest.raises(BenchError) as caught:
        Answering({A: 100}).spend(60, "memory")
    assert caught.value.code == "budget-without-scenario"


@pytest.mark.parametrize(("seconds", "words"), [(0, "1 s"), (59, "59 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")])
def test_durations_are_short_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_line_per_round_has_the_time_passed_and_left(caplog: pytest.LogCaptureFixture) -> None:
    turns, now = plan([A, B], ("backbone", "memory"), TINY), [0.0]
    steps: list[tuple[int, int]] = []
    watch = _Watch(lambda done, total: steps.append((done, total)), turns, clock=lambda: now[0])
    with caplog.at_level("INFO", "edgetl"):
        for turn in turns:
            now[0] += 10
            watch.step("backbone")
            watch.end(turn)
    lines = [
        re.findall(r"(round|memory) (\d+) .*?(\d+ s|\d min \d\d s);.*?(\d+ s|\d min \d\d s)", item.getMessage()) for item in caplog.records
    ]
    assert [line[0] for line in lines] == [
        ("round", "1", "10 s", "1 min 50 s"), ("round", "2", "30 s", "1 min 30 s"), ("memory", "1", "50 s", "1 min 10 s"),
        ("memory", "2", "1 min 10 s", "50 s"), ("memory", "3", "1 min 30 s", "30 s"), ("memory", "4", "1 min 50 s", "10 s"),
    ]  # fmt: skip
    assert steps[-1] == (12, 12)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


@pytest.mark.parametrize(
    ("placement", "share"), [("all of the model", "100 %"), ("mixed 60/64 operators", "94 % (60/64)"), ("who knows", "")]
)
def test_the_share_of_operators_on_the_provider_is_read_from_the_placement(placement: str, share: str) -> None:
    assert dataclasses.replace(SUBJECT, placement=placement).share == share


def test_what_is_measured_only_once_is_in_the_first_round() -> None:
    once = {name for name, item in bench.SCENARIOS.items() if item.once}
    turns = plan([A], tuple(bench.SCENARIOS), TINY)
    assert [once & set(turn.scenarios) for turn in turns] == [once, set()]


def test_a_scenario_that_does_not_exist_is_an_error_with_those_that_do() -> None:
    with pytest.raises(BenchError) as caught:
        requested(["backbone", "predict-fle"])
    assert (caught.value.code, caught.value.values["unknown"]) == ("scenario-unknown", ["predict-fle"])
    assert caught.value.values["available"] == [*bench.SCENARIOS, *PHASES]
    assert set(PHASES) < set(requested(None))


SUBJECT = bench.Subject("fake", "a", "fp32", "fake", "fake 1", "cpu", "all of the model", 2, "ab", 1_500_000, "cd")


def answer(*samples: int, **more: Any) -> JobAnswer:
    return JobAnswer(SUBJECT, {"embed": Measured({None: samples}, warm_up=8, steady=True, facts={"tested": 2.0, "missed": 0.0})}, **more)


def test_samples_stay_apart_by_process_and_counts_add_up() -> None:
    gathering = Gathering(TINY)
    for number, item in enumerate((answer(5, 6), answer(7))):
        gathering.take(Turn(number, A, "latency"), item)
    (result,) = gathering.results()
    (row,) = result.rows
    assert (row.samples, row.n, row.facts, row.warm_up, row.steady) == (((5, 6), (7,)), 3, {"tested": 4.0, "missed": 0.0}, 16, 2)


def test_a_row_that_is_slower_at_the_end_of_every_round_has_a_note() -> None:
    def ratios(*rounds: list[int]) -> list[str]:
        gathering = Gathering(TINY)
        for number, samples in enumerate(rounds):
            gathering.take(Turn(number, A, "latency"), answer(*samples))
        return re.findall(r"\d\.\d\d", gathering.results()[0].rows[0].note)

    heats, cools, steady = [100] * 20 + [140] * 10, [150] * 10 + [100] * 20, [100, 102] * 15
    assert ratios(heats, heats) == ["1.40", "1.40"]
    assert ratios(cools, cools) == ["0.67", "0.67"]
    assert ratios(heats, steady) == ratios(heats, cools) == ratios(steady, steady) == ratios(heats) == []


def test_what_a_process_measured_before_it_died_counts_and_is_not_tried_again() -> None:
    gathering = Gathering(TINY)
    gathering.take(Turn(0, A, "latency"), answer(5, failed="killed", complete=False))
    gathering.take(Turn(0, B, "latency"), JobAnswer(failed="broken"))
    assert [gathering.failed(Turn(1, *item)) for item in ((A, "latency"), (A, "cold"), (B, "cold"), (C, "cold"))] == [
        True,
        False,
        True,
        False,
    ]
    assert [(item.what, item.reason) for item in gathering.skipped()] == [("a 2 threads: latency", "killed"), ("b 2 threads", "broken")]
    assert gathering.results()[0].row("embed") is not None


def reading(seconds: float, *, busy: int = 0, steal: int = 0, wall: float = 0.0, asleep: float = 0.0, bits: int = 0) -> dict[str, Any]:
    """A sensor reading with one idle core behind it, at so many seconds."""
    now = int(seconds * 1e9)
    total = int(seconds * 100)
    cpu = {"user": busy, "system": 0, "idle": total - busy - steal, "iowait": 0, "steal": steal}
    return {
        **sensors.reading(Path("/nowhere")), "monotonic_ns": now, "boottime_ns": now + int(asleep * 1e9), "cpu": cpu, "own_seconds": 0.0,
        "wall_ns": now + int((asleep + wall) * 1e9),
    }  # fmt: skip


def rounds(*edges: dict[str, Any]) -> list[Round]:
    return [Round(number, "a cpu 2 threads", 0.0, edges[2 * number], edges[2 * number + 1]) for number in range(len(edges) // 2)]


def test_a_quiet_machine_has_no_warnings() -> None:
    assert warnings([], rounds(reading(1), reading(2), reading(3), reading(4)), 4) == ()


def test_load_and_clocks_are_warnings_with_numbers() -> None:
    early, late = {"busy": 30, "steal": 5, "wall": 3600}, {"busy": 40, "steal": 5, "wall": 3600}
    edges = reading(1), reading(2, **early), reading(3, **late), reading(4, **late, asleep=9)
    numbers = [re.findall(r"\d+(?:\.\d+)?", warning.replace("a cpu 2 threads", "")) for warning in warnings([], rounds(*edges), 4)]
    assert numbers == [["0", "3600.0"], ["1", "9.0"], ["15.0", "30.0", "0", "2"], ["2.5", "5.0", "0", "2"]]


def test_more_threads_than_cores_are_a_warning() -> None:
    (text,) = warnings([bench.Result(SUBJECT, None, ())], [], 1)
    assert re.findall(r"\d", text) == ["2", "1"]


def test_a_table_shows_n_and_no_percentile_that_n_cannot_carry() -> None:
    row = bench.Row.of(
        "predict-file", None, [[1_000_000 + 1000 * k for k in range(40)]], TINY, steady=0, facts={"dropped": 3.0, "missed": 4.0}
    )
    minutes = tuple(Minute(number, 10, (number + 1) * 1_000_000, None, None, None, None) for number in range(3))
    more = bench.Row.of("sustained", None, [[5_000_000]], TINY, kind="emulated", minutes=minutes, note="long " * 20)
    memory = bench.Row.of("memory", "peak RSS", [[81_000_000], [82_000_000]], TINY, unit="B")
    accuracy = Accuracy(Proportion(87, 100), "1" * 100, "photos", "", "")
    result = bench.Result(SUBJECT, accuracy, (row, more, memory))
    other = dataclasses.replace(result, subject=dataclasses.replace(SUBJECT, variant="b"))
    skipped = (bench.Skipped("c 2 threads", "it is broken"),)
    result = bench.Record("", "interrupted", "", {}, {}, {}, TINY, row.summary, (result, other), (), skipped, ("it was hot",))
    lines = bench.table(result).splitlines()
    assert [line.split()[:5] for line in lines[2:4]] == [["1", "a", "cpu", "2", "threads"], ["2", "≈", "b", "cpu", "2"]]
    assert "≈: tied with the line above" in lines
    assert not any("p99" in line for line in lines if line.startswith(("rank", "scenario"))), "no row here has samples enough"
    assert "a cpu 2 threads, fake 1, all of the model on cpu, 1.5 MB, top-1 87.0 % [79.0, 92.2] n=100" in lines
    (shown,) = {line for line in lines if line.startswith("predict-file")}
    assert shown.split("  ")[-1] == "steady in 0 of 1 rounds; dropped 3, missed 4"
    assert "1.019  " in shown, "one process has no interval"
    assert " 40 " in shown
    assert any(line.startswith("[1] EMULATED; minute 0: p50 1.000 ms (n=10), minute 2: p50 3.000 ms (n=10); long long") for line in lines)
    assert "  peak RSS" in lines[lines.index(shown) + 2]
    assert lines[-4:] == [
        "the harness adds 1019.0 µs to a query (p50; n=40)",
        "not measured: c 2 threads: it is broken",
        "warning: it was hot",
        "partial: interrupted",
    ]
    assert max(map(len, lines)) <= 140


def job(folder: Path, *scenarios: str) -> BenchJob:
    return BenchJob("latency", "none", "a", 1, None, scenarios, (), (), None, TINY, Options(), str(folder))


@pytest.mark.parametrize(
    ("program", "names"),
    [
        ("kill -KILL $$", ("SIGKILL", "embed")),
        ("echo embed; kill -ILL $$", ("SIGILL", "predict-file")),
        ("kill -TERM $$", ("SIGTERM", "embed")),
        ("echo no such module >&2; exit 3", ("3", "no such module", "embed")),
    ],
)
def test_a_process_that_dies_leaves_how_and_where(
    program: str, names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(child.PYTHON, f"sh -c '{program}'")
    outcome = child.run(job(tmp_path, "embed", "predict-file"), tmp_path / "0", lambda step: None, Stop())
    assert not outcome.complete
    assert all(name in outcome.failed for name in names), outcome.failed


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
