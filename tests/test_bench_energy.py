"""Energy: counted by a meter or refused with a reason, idle subtracted, counters that begin again, chips that fall silent."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import fake_machines
import pytest

from edgetl.bench.measuring import energy
from edgetl.bench.measuring.energy import Energy
from edgetl.bench.measuring.meter import Meter, open_meter
from edgetl.errors import BenchError
from edgetl.types import to_json

_RAPL = "sys/class/powercap/intel-rapl:0"
_INA = "sys/class/hwmon/hwmon1"
_QUERY = 0.05  # s


@dataclasses.dataclass
class Desk:
    """A clock that waits and queries move on, and what the machine draws meanwhile, W."""

    idle: float = 10.0
    busy: float = 25.0
    now: float = 1000.0
    drawn: float = 0.0

    def clock(self) -> int:
        return round(self.now * 1e9)

    def sleep(self, seconds: float) -> None:
        self._pass(seconds, self.idle)

    def query(self) -> None:
        self._pass(_QUERY, self.busy)

    def _pass(self, seconds: float, watts: float) -> None:
        self.now += seconds
        self.drawn += seconds * watts


class Counter(Desk):
    """The same, with a RAPL counter that begins again at its range."""

    def __init__(self, zone: Path, range_uj: int) -> None:
        super().__init__()
        self.zone, self.range_uj = zone, range_uj
        (zone / "max_energy_range_uj").write_text(f"{range_uj}\n")

    def _pass(self, seconds: float, watts: float) -> None:
        super()._pass(seconds, watts)
        (self.zone / "energy_uj").write_text(f"{(1_000_000 + round(self.drawn * 1e6)) % self.range_uj}\n")


def measured(meter: Meter, desk: Desk) -> Energy:
    return energy.measure(meter, desk.query, idle_seconds=2.0, seconds=5.0, clock=desk.clock, sleep=desk.sleep)


@pytest.mark.parametrize("range_uj", [262143328850, 130_000_000, 20_500_000], ids=["far", "wraps at work", "wraps idle and at work"])
def test_rapl_counts_above_idle_through_its_wrap(tmp_path: Path, range_uj: int) -> None:
    root = fake_machines.write(tmp_path, fake_machines.LAPTOP)
    if range_uj < 25_000_000:  # one lap while idle; at work more than one would be unseen
        desk = Counter(root / _RAPL, range_uj)
        desk.busy = 12.0
        made = energy.measure(open_meter(None, root), desk.query, idle_seconds=2.0, seconds=1.0, clock=desk.clock, sleep=desk.sleep)
        assert made.microjoules == round(2.0 * _QUERY * 1e6)
        return
    desk = Counter(root / _RAPL, range_uj)
    made = measured(open_meter(None, root), desk)
    assert made.kind == "RAPL package"
    assert (made.queries, made.idle_watts, made.seconds) == (100, pytest.approx(10.0), pytest.approx(5.0))
    assert made.joules == pytest.approx(125.0)
    assert made.microjoules == pytest.approx((25.0 - 10.0) * _QUERY * 1e6)
    assert to_json(made)["queries"] == 100


def test_a_jetsons_watts_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fake_machines.write(tmp_path, fake_machines.ORIN)
    chip = root / _INA
    meter = open_meter("ina", root)
    assert meter.kind == "INA3221 VDD_IN"
    desk = Desk(idle=5.0, busy=15.0)
    monkeypatch.setattr(meter, "_clock", desk.clock)

    def query() -> None:
        (chip / "curr1_input").write_text("3000\n")  # 5 V: 15 W from here on
        meter.joules()  # one sample per query at least, whatever the thread finds time for
        desk.query()

    for _ in range(2):  # a meter may be used again
        (chip / "curr1_input").write_text("1000\n")
        made = energy.measure(meter, query, idle_seconds=0.5, seconds=2.0, clock=desk.clock, sleep=desk.sleep)
        assert made.idle_watts == pytest.approx(5.0)
        assert made.microjoules == pytest.approx(10.0 * _QUERY * 1e6, rel=0.01)


def test_watts_are_not_guessed_over_a_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = open_meter("ina", fake_machines.write(tmp_path, fake_machines.ORIN))
    desk = Desk()
    monkeypatch.setattr(meter, "_clock", desk.clock)
    with meter:
        desk.sleep(3.0)
        with pytest.raises(BenchError, match=r"INA3221 VDD_IN: told nothing for 3\.0 s"):
            meter.joules()


def test_a_chip_whose_place_is_unknown_counts_only_if_asked_for(tmp_path: Path) -> None:
    root = fake_machines.write(tmp_path, {f"{_INA}/name": "ina226\n", f"{_INA}/power1_input": "2500000\n"})
    assert open_meter("ina", root).kind == "INA226 power1"
    with pytest.raises(BenchError, match="no energy"):
        open_meter(None, root)


def test_a_command_counts_joules(tmp_path: Path) -> None:
    told = tmp_path / "my meter"

    class Told(Desk):
        def _pass(self, seconds: float, watts: float) -> None:
            super()._pass(seconds, watts)
            told.write_text(f"{self.drawn:.3f}")

    desk = Told()
    desk.sleep(1.0)
    made = measured(open_meter(f"cat '{told}'"), desk)
    assert made.kind == "command cat"
    assert made.microjoules == pytest.approx(15.0 * _QUERY * 1e6)
    json.dumps(to_json(made))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("echo 12 W", "printed '12 W'; expected one number, the joules counted so far"),
        ("echo nan", "printed 'nan'"),
        ("false", "printed ''"),
        ("no-such-meter-here", "'no-such-meter-here' printed ''"),
        ("", "printed ''"),
        ("sh -c 'open", "cannot be taken apart"),
    ],
)
def test_a_command_that_is_no_meter_is_refused_at_once(spec: str, words: str) -> None:
    with pytest.raises(BenchError, match=words):
        open_meter(spec)


def test_no_meter_is_a_reason_and_never_an_estimate(tmp_path: Path) -> None:
    with pytest.raises(
        BenchError, match=r"no RAPL counter .*; .* no INA chip .* With a meter of your own: --meter COMMAND, which prints the joules"
    ):
        open_meter(None, fake_machines.write(tmp_path, fake_machines.PI))


def test_a_counter_for_root_only_says_so(tmp_path: Path) -> None:
    root = fake_machines.write(tmp_path, fake_machines.LAPTOP)
    (root / _RAPL / "energy_uj").unlink()
    (root / _RAPL / "energy_uj").symlink_to("/proc/self/mem")  # root reads every mode: a file that answers with an error
    with pytest.raises(BenchError, match=r"energy_uj cannot be read .* run as root"):
        open_meter("rapl", root)


def test_a_board_whose_chips_see_parts_of_it_names_them(tmp_path: Path) -> None:
    root = fake_machines.write(tmp_path, {**fake_machines.ORIN, f"{_INA}/in1_label": "VDD_GPU_SOC\n"})
    with pytest.raises(BenchError, match="only VDD_CPU_GPU_CV, VDD_GPU_SOC: parts of the board"):
        open_meter("ina", root)


def test_work_that_costs_no_more_than_idling_is_refused(tmp_path: Path) -> None:
    desk = Counter(fake_machines.write(tmp_path, fake_machines.LAPTOP) / _RAPL, 10**12)
    desk.busy = desk.idle
    with pytest.raises(BenchError, match=r"100 queries, and idle 10.000 W, which is no less"):
        measured(open_meter("rapl", tmp_path), desk)
