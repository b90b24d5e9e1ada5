"""The parts of the bench: its loop on planted clocks, its plan, what it says of a machine, its table."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgetl import bench
from edgetl.bench.measuring import charts, child, programs
from edgetl.bench.measuring.caveats import caveats
from edgetl.bench.measuring.configurations import Configuration
from edgetl.bench.measuring.forecast import Forecast, duration
from edgetl.bench.measuring.gathering import Gathering
from edgetl.bench.measuring.job import Answer, Job
from edgetl.bench.measuring.loop import Loop, Measured
from edgetl.bench.measuring.plan import PHASES, Turn, asked, plan
from edgetl.bench.measuring.runner import _screened, _Walked
from edgetl.bench.measuring.spending import spend
from edgetl.bench.measuring.stand import Options
from edgetl.bench.measuring.stop import Stop
from edgetl.bench.record import Accuracy, Minute, Round
from edgetl.errors import BenchError
from edgetl.machine import sensors
from edgetl.stats import Proportion
from edgetl.tables import render

TINY = bench.Method("tiny", queries=40, seconds=0.2, rounds=2, lessons=1, window=8, warm_up_seconds=0.5, photos=16, resamples=50)
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


def test_the_warm_up_ends_with_the_first_window_whose_median_is_within_three_percent_of_the_one_before() -> None:
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


def test_a_round_keeps_at_most_so_many_samples_and_says_that_it_ended_early() -> None:
    measured = streamed(lambda number: 1_000, seconds=0.02, most=500)
    assert len(measured.samples[None]) == 500
    assert measured.note == "a round keeps at most 500 samples: it ended before its time"


def test_stages_are_timed_in_queries_of_their_own() -> None:
    clock = Clock(lambda number: 100 + number % 2)

    def staged(number: int) -> dict[str, int]:
        clock.query(number)
        return {"first": 60, "second": 40}

    measured = Loop(dataclasses.replace(TINY, seconds=0.0), clock).stream(clock.query, staged)
    assert {stage: list(taken) for stage, taken in measured.samples.items()} == {None: [100] * 20, "first": [60] * 20, "second": [40] * 20}


def test_a_monotonic_clock_that_goes_back_is_believed_in_nothing() -> None:
    with pytest.raises(BenchError, match="the monotonic clock went back by 7 ns within a query: nothing that was timed can be believed"):
        streamed(lambda number: -7 if number == 30 else 100)


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_the_harness_is_timed_from_the_start_of_one_query_to_the_start_of_the_next_with_and_without_a_warm_up(seconds: float) -> None:
    ticks = iter(range(0, 1 << 40, 10))
    taken = Loop(dataclasses.replace(TINY, warm_up_seconds=seconds), lambda: next(ticks)).overhead(5)
    assert len(taken) == 5
    # The clock is read five times in between: before, within and after a query, for the end, and for the machine's pace.
    assert all(one == 50 for one in taken)


def test_the_machines_pace_is_taken_between_queries_twenty_times_a_second() -> None:
    now, asked = [0], []

    def query(number: int) -> None:
        asked.append(now[0])
        now[0] += 30_000_000

    made = Loop(dataclasses.replace(TINY, queries=20, seconds=0.0, rounds=1, warm_up_seconds=0.0), lambda: now[0]).stream(query)
    assert list(made.samples[None]) == [30_000_000] * 20  # nothing of it is in a query
    assert len(made.pace) == 10  # at 0, 60, 120, ... ms of 600


def test_each_round_runs_every_configuration_once_in_an_order_of_its_own_that_a_seed_repeats() -> None:
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
        for turn in spend(list(self._medians), names, TINY, self.gathering, seconds, also, lambda: self.now):
            self.now += 1
            turns.append(turn)
            measured = {name: Measured({None: [self._medians[turn.configuration]] * 6}) for name in turn.scenarios}
            self.gathering.take(turn, Answer(SUBJECT, measured))
        return turns


def test_a_budget_screens_every_configuration_once_and_spends_the_rest_on_those_within_a_quarter_of_the_fastest() -> None:
    turns = Answering({A: 100, B: 124, C: 126}).spend(11.5, "backbone", "embed", "memory", also=["accuracy"])
    first = turns[:6]
    assert {(turn.configuration, turn.task, turn.scenarios) for turn in first} == {
        (one, *what) for one in (A, B, C) for what in (("latency", ("embed",)), ("accuracy", ()))
    }  # fmt: skip
    assert {turn.configuration for turn in turns[6:]} == {A, B}
    assert [(turn.number, turn.task) for turn in turns[6:]] == [(1, "latency"), (1, "memory")] * 2, "a second round would not fit"
    assert {turn.scenarios for turn in turns[6:] if turn.task == "latency"} == {("backbone", "embed")}
    longer = Answering({A: 100, B: 124, C: 126}).spend(60, "embed")
    assert [sum(turn.configuration == one for turn in longer) for one in (A, B, C)] == [29, 29, 1]
    assert len(longer) <= 60


def test_a_budget_shorter_than_the_screening_is_told_with_both_times() -> None:
    assert all(number in _screened("6 configurations", "embed", 38.0, 1.0) for number in ("6 ", " 38 s", " 1 s"))
    assert "38" not in _screened("6 configurations", "embed", 38.0, 90.0)


def test_a_budget_that_screening_uses_up_begins_no_round_and_nothing_that_works_ends_it() -> None:
    assert [turn.number for turn in Answering({A: 100, B: 100}).spend(1.5, "embed")] == [0, 0]
    refused = Answering({A: 100})
    refused.gathering.take = lambda turn, answer: None  # type: ignore[method-assign]
    assert len(refused.spend(60, "embed")) == 1


def test_the_time_that_is_left_is_what_processes_of_its_kind_have_taken() -> None:
    turns = plan([A, B], ("backbone", "memory"), dataclasses.replace(TINY, rounds=3))
    forecast = Forecast(TINY, Options())
    guessed = forecast.left(turns)
    assert guessed == pytest.approx(sum(map(forecast.guess, turns)))
    latencies, memories = ([turn for turn in turns if turn.task == task] for task in ("latency", "memory"))
    (one,) = (turn for turn in latencies if (turn.configuration, turn.number) == (A, 0))
    forecast.learn(one, 3 * forecast.guess(one))
    assert forecast.left(turns) == pytest.approx(3 * guessed), "a machine that is three times slower is so for all"
    forecast.learn(memories[0], 2.0)
    forecast.learn(dataclasses.replace(one, configuration=B), 7.0)
    assert forecast.left(latencies) == pytest.approx(3 * (3 * forecast.guess(one)) + 3 * 7.0)
    assert forecast.left(memories) == pytest.approx(8 * 2.0)


@pytest.mark.parametrize(("seconds", "words"), [(0, "1 s"), (59, "59 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")])
def test_durations_are_short_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_line_per_round_says_what_is_done_and_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    turns = plan([A, B], ("backbone", "memory"), TINY)
    forecast = Forecast(TINY, Options())
    walked = _Walked(turns, forecast, None)
    with caplog.at_level("INFO", "edgetl"):
        for turn in turns:
            walked.took(turn, 2 * forecast.guess(turn))
            walked.end(turn)
    assert [re.sub(r" after .*about", " after T; about", one.getMessage()) for one in caplog.records] == [
        f"{name} of {of} done after T; about {duration(2 * sum(map(forecast.guess, turns[2 * done :])))} left"
        for done, (name, of) in enumerate((("round 1", 2), ("round 2", 2), ("memory 1", 4), ("memory 2", 4), ("memory 3", 4)), 1)
    ]


@pytest.mark.parametrize(
    ("placement", "share"), [("all of the model", "100 %"), ("mixed 60/64 operators", "94 % (60/64)"), ("who knows", "")]
)
def test_the_share_of_operators_on_the_provider_is_read_from_the_placement(placement: str, share: str) -> None:
    assert dataclasses.replace(SUBJECT, placement=placement).share == share


def test_what_is_measured_only_once_is_in_the_first_round() -> None:
    once = {name for name, one in bench.SCENARIOS.items() if one.once}
    turns = plan([A], tuple(bench.SCENARIOS), TINY)
    assert [once & set(turn.scenarios) for turn in turns] == [once, set()]


def test_a_scenario_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(BenchError, match=r"no scenario predict-fle; there are backbone, .*, energy"):
        asked(["backbone", "predict-fle"])
    assert set(PHASES) < set(asked(None))


SUBJECT = bench.Subject("fake", "a", "fp32", "fake", "fake 1", "cpu", "all of the model", 2, "ab", 1_500_000, "cd")


def answer(*samples: int, **more: Any) -> Answer:
    return Answer(SUBJECT, {"embed": Measured({None: samples}, warm_up=8, steady=True, facts={"asked": 2.0, "missed": 0.0})}, **more)


def test_samples_stay_apart_by_process_and_counts_add_up() -> None:
    gathering = Gathering(TINY)
    for number, one in enumerate((answer(5, 6), answer(7))):
        gathering.take(Turn(number, A, "latency"), one)
    (result,) = gathering.results()
    (row,) = result.rows
    assert (row.samples, row.n, row.facts, row.warm_up, row.steady) == (((5, 6), (7,)), 3, {"asked": 4.0, "missed": 0.0}, 16, 2)


def test_a_row_that_is_slower_at_the_end_of_every_round_says_so() -> None:
    def note(*rounds: list[int]) -> str:
        gathering = Gathering(TINY)
        for number, samples in enumerate(rounds):
            gathering.take(Turn(number, A, "latency"), answer(*samples))
        return gathering.results()[0].rows[0].note

    heats, cools, steady = [100] * 20 + [140] * 10, [150] * 10 + [100] * 20, [100, 102] * 15
    assert note(heats, heats) == (
        "not steady while it was measured: the last quarter of every round took 1.40 to 1.40 times as long as its first (medians)"
    )
    assert "took 0.67 to 0.67 times" in note(cools, cools)
    assert note(heats, steady) == note(heats, cools) == note(steady, steady) == note(heats) == ""


def test_what_was_measured_before_a_process_died_counts_and_its_task_is_not_asked_again() -> None:
    gathering = Gathering(TINY)
    gathering.take(Turn(0, A, "latency"), answer(5, refused=("BenchError", "killed"), complete=False))
    gathering.take(Turn(0, B, "latency"), Answer(refused=("BundleError", "broken")))
    assert [gathering.refused(Turn(1, *one)) for one in ((A, "latency"), (A, "cold"), (B, "cold"), (C, "cold"))] == [
        True,
        False,
        True,
        False,
    ]
    assert [(one.what, one.reason) for one in gathering.skipped()] == [("a 2 threads: latency", "killed"), ("b 2 threads", "broken")]
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


def test_a_quiet_machine_has_no_caveats() -> None:
    assert caveats([], rounds(reading(1), reading(2), reading(3), reading(4)), 4) == ()


def test_load_and_clocks_are_said_with_numbers() -> None:
    early, late = {"busy": 30, "steal": 5, "wall": 3600}, {"busy": 40, "steal": 5, "wall": 3600}
    edges = reading(1), reading(2, **early), reading(3, **late), reading(4, **late, asleep=9)
    assert caveats([], rounds(*edges), 4) == (
        "round 0 of a cpu 2 threads: the wall clock jumped ahead by 3600.0 s",
        "round 1 of a cpu 2 threads: the machine was suspended for 9.0 s",
        "other processes used 15.0 % (at most 30.0 %, in round 0 of a cpu 2 threads; n=2 processes) of all cores' time",
        "the hypervisor gave 2.5 % (at most 5.0 %, in round 0 of a cpu 2 threads; n=2 processes) of all cores' time to other guests",
    )


def test_a_machine_that_gets_slower_over_the_rounds_is_said_to() -> None:
    def result(*medians: int) -> bench.Result:
        return bench.Result(SUBJECT, None, (bench.Row.of("embed", None, [[one] * 9 for one in medians], TINY),))

    (said,) = caveats([result(100, 101, 99, 100, 130, 131, 129, 130)], [], 4)
    assert said.startswith("the last 4 rounds took 1.30 times as long as the first 4, over all rows: it became slower")
    assert caveats([result(100, 130, 99, 131, 100, 129, 101, 130)], [], 4) == ()
    assert caveats([result(100, 101, 99, 102, 103, 104, 103, 104)], [], 4) == ()
    loads = bench.Row.of("cold-load", None, [[100], [101], [130], [131]], TINY)
    assert caveats([bench.Result(SUBJECT, None, (loads,))], [], 4) == ()


def test_more_threads_than_cores_are_allowed_and_said() -> None:
    assert caveats([bench.Result(SUBJECT, None, ())], [], 1) == (
        "a cpu 2 threads: more threads than this run has cores (1): they wait for each other",
    )


def test_a_table_shows_every_number_with_its_n_and_no_percentile_that_n_cannot_carry() -> None:
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
    made = bench.Record("", "interrupted", "", {}, {}, {}, TINY, row.summary, (result, other), (), skipped, ("it was hot",))
    lines = bench.table(made).splitlines()
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


def job(folder: Path, *scenarios: str) -> Job:
    return Job("latency", "none", "a", 1, None, scenarios, (), (), None, TINY, Options(), str(folder))


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("kill -KILL $$", r"its process was killed by SIGKILL \(the kernel kills the largest process when memory runs out .* in embed"),
        (
            "echo embed; kill -ILL $$",
            r"killed by SIGILL \(its library uses an instruction that this processor does not have.* in predict-file",
        ),
        ("kill -TERM $$", r"killed by SIGTERM \(it said nothing\) in embed"),
        ("echo no such module >&2; exit 3", r"ended with exit code 3 \(no such module\) in embed"),
    ],
)
def test_a_process_that_dies_is_named_with_how_where_and_what_to_do(
    program: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(programs.PYTHON, f"sh -c '{program}'")
    made = child.run(job(tmp_path, "embed", "predict-file"), tmp_path / "0", lambda step: None, Stop())
    assert made.refused is not None
    assert re.search(words, made.refused[1]), made.refused


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
