"""Energy: counted by a meter or an error, idle subtracted, counters that begin again, chips that fall silent."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import fake_machines
import pytest

from edgetl.errors import BenchError
from edgetl.machine import meter as energy
from edgetl.machine.meter import Energy, Meter, open_meter
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
        result = energy.measure(open_meter(None, root), desk.query, idle_seconds=2.0, seconds=1.0, clock=desk.clock, sleep=desk.sleep)
        assert result.microjoules == round(2.0 * _QUERY * 1e6)
        return
    desk = Counter(root / _RAPL, range_uj)
    result = measured(open_meter(None, root), desk)
    assert result.kind == "RAPL package"
    assert (result.queries, result.idle_watts, result.seconds) == (100, pytest.approx(10.0), pytest.approx(5.0))
    assert result.joules == pytest.approx(125.0)
    assert result.microjoules == pytest.approx((25.0 - 10.0) * _QUERY * 1e6)
    assert to_json(result)["queries"] == 100


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
        result = energy.measure(meter, query, idle_seconds=0.5, seconds=2.0, clock=desk.clock, sleep=desk.sleep)
        assert result.idle_watts == pytest.approx(5.0)
        assert result.microjoules == pytest.approx(10.0 * _QUERY * 1e6, rel=0.01)


def test_watts_are_not_guessed_over_a_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = open_meter("ina", fake_machines.write(tmp_path, fake_machines.ORIN))
    desk = Desk()
    monkeypatch.setattr(meter, "_clock", desk.clock)
    with meter:
        desk.sleep(3.0)
        with pytest.raises(BenchError) as caught:
            meter.joules()
    assert (caught.value.code, caught.value.values["seconds"]) == ("meter-gap", 3.0)


def test_a_chip_of_unknown_place_counts_on_request_only(tmp_path: Path) -> None:
    root = fake_machines.write(tmp_path, {f"{_INA}/name": "ina226\n", f"{_INA}/power1_input": "2500000\n"})
    assert open_meter("ina", root).kind == "INA226 power1"
    with pytest.raises(BenchError) as caught:
        open_meter(None, root)
    assert caught.value.code == "no-meter"


def test_a_command_counts_joules(tmp_path: Path) -> None:
    answer = tmp_path / "my meter"

    class Told(Desk):
        def _pass(self, seconds: float, watts: float) -> None:
            super()._pass(seconds, watts)
            answer.write_text(f"{self.drawn:.3f}")

    desk = Told()
    desk.sleep(1.0)
    result = measured(open_meter(f"cat '{answer}'"), desk)
    assert result.kind == "command cat"
    assert result.microjoules == pytest.approx(15.0 * _QUERY * 1e6)
    json.dumps(to_json(result))


@pytest.mark.parametrize("spec", ["echo 12 W", "echo nan", "false", "no-such-meter-here", "", "sh -c 'open"])
def test_a_command_that_is_not_a_meter_is_an_error_at_once(spec: str) -> None:
    with pytest.raises(BenchError) as caught:
        open_meter(spec)
    assert (caught.value.code, caught.value.values["command"]) == ("meter-command", spec)


def test_a_machine_without_a_meter_is_an_error_and_never_an_estimate(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        open_meter(None, fake_machines.write(tmp_path, fake_machines.PI))
    assert caught.value.code == "no-meter"


def test_a_counter_for_root_only_is_unreadable(tmp_path: Path) -> None:
    root = fake_machines.write(tmp_path, fake_machines.LAPTOP)
    (root / _RAPL / "energy_uj").unlink()
    (root / _RAPL / "energy_uj").symlink_to("/proc/self/mem")  # root reads every mode: a file that answers with an error
    with pytest.raises(BenchError) as caught:
        open_meter("rapl", root)
    assert caught.value.code == "counter-unreadable"


def test_chips_that_measure_parts_of_a_board_are_not_its_meter(tmp_path: Path) -> None:
    root = fake_machines.write(tmp_path, {**fake_machines.ORIN, f"{_INA}/in1_label": "VDD_GPU_SOC\n"})
    with pytest.raises(BenchError) as caught:
        open_meter("ina", root)
    assert caught.value.code == "no-ina"
    with pytest.raises(BenchError) as caught:
        energy._ina(root, asked=True)
    assert caught.value.values["rails"] == ["VDD_CPU_GPU_CV", "VDD_GPU_SOC"]


def test_work_that_takes_no_more_energy_than_idling_is_an_error(tmp_path: Path) -> None:
    desk = Counter(fake_machines.write(tmp_path, fake_machines.LAPTOP) / _RAPL, 10**12)
    desk.busy = desk.idle
    with pytest.raises(BenchError) as caught:
        measured(open_meter("rapl", tmp_path), desk)
    assert (caught.value.code, caught.value.values["queries"]) == ("no-more-than-idle", 100)
    assert caught.value.values["idle_watts"] == pytest.approx(10.0)
