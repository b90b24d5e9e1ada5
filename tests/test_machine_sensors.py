"""Readings before and after a measurement: shares, throttling as the machine itself tells it, and clocks that jump."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import fake_machines
import pytest

from edgetl.machine import sensors, throttle

S = 1_000_000_000


def readings(**changed: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two readings, ten seconds apart; `changed` is in the second one."""
    before = {
        "monotonic_ns": 100 * S, "boottime_ns": 150 * S, "wall_ns": 1_700_000_000 * S, "own_seconds": 1.0, "quota_waits": 5,
        "cpu": {"user": 1000, "system": 200, "idle": 5000, "iowait": 10, "steal": 0}, "throttle": {},
    }  # fmt: skip
    later = {name: before[name] + 10 * S for name in ("monotonic_ns", "boottime_ns", "wall_ns")}
    return before, {**before, **later, **changed}


def test_a_reading_of_this_machine_fits_into_a_record() -> None:
    reading = sensors.reading()
    assert json.loads(json.dumps(reading)) == reading


def test_a_raspberry_pi_is_read(tmp_path: Path) -> None:
    reading = sensors.reading(fake_machines.write(tmp_path, fake_machines.PI))
    assert reading["cpu"] == {"user": 1010, "system": 320, "idle": 8000, "iowait": 50, "steal": 20}
    assert (reading["temperature_c"], reading["frequency_khz"]) == (48.686, 1500000)
    assert (reading["memory_available_bytes"], reading["throttle"]["bits"]) == (7340032 * 1024, 0x50000)


def test_a_jetsons_and_a_laptops_counters_are_read(tmp_path: Path) -> None:
    orin = sensors.reading(fake_machines.write(tmp_path / "orin", fake_machines.ORIN))
    assert (orin["temperature_c"], orin["frequency_khz"]) == (52.062, 729600)
    assert orin["throttle"] == {"bits": None, "thermal_events": None, "over_current_events": 7, "cooling_state": 0, "cooling_events": 4}
    laptop = sensors.reading(fake_machines.write(tmp_path / "laptop", fake_machines.LAPTOP))
    assert (laptop["throttle"]["thermal_events"], laptop["quota_waits"]) == (0 + 1 + 2 + 3 + 4 * 5, 12)


def test_shares_are_of_the_time_between_two_readings() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    cpu = {"user": 1000 + 5 * ticks, "system": 200 + ticks, "idle": 5000 + 2 * ticks, "iowait": 10 + ticks, "steal": ticks}
    before, after = readings(cpu=cpu, own_seconds=5.0, quota_waits=8)
    assert sensors.between(before, after) == {
        "seconds": 10.0, "busy": 0.6, "iowait": 0.1, "steal": 0.1, "others": 0.2, "quota_waits": 3
    }  # fmt: skip


def test_readings_of_another_version_that_lack_something_still_compare() -> None:
    before, after = readings(cpu={"user": 1300, "system": 200, "idle": 5600, "iowait": 10, "steal": 100})
    del before["own_seconds"], after["quota_waits"], before["throttle"]
    expected = {"seconds": 10.0, "busy": 0.3, "iowait": 0.0, "steal": 0.1, "others": None, "quota_waits": None}
    assert sensors.between(before, after) == expected
    assert sensors.between({}, {}) == dict.fromkeys(expected)
    assert sensors.throttled(before, after) is None
    assert sensors.clock_trouble({}, after) == ""


@pytest.mark.parametrize(
    "cpu", [None, {"user": 1000, "system": 200, "idle": 5000, "iowait": 10, "steal": 0}], ids=["unreadable", "no jiffy"]
)
def test_shares_that_cannot_be_known_are_none(cpu: dict[str, int] | None) -> None:
    shares = sensors.between(*readings(cpu=cpu, quota_waits=None))
    assert shares == {"seconds": 10.0, **dict.fromkeys(("busy", "iowait", "steal", "others", "quota_waits"))}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, None),
        ({"bits": 0}, {"bits": 0}, False),
        ({"bits": 0}, {"bits": 0x10001}, False),  # under-voltage alone slows nothing down
        ({"bits": 0}, {"bits": 0x50005}, True),  # throttled now
        ({"bits": 0}, {"bits": 0x20000}, True),  # capped in between, and over
        ({"bits": 0x80008}, {"bits": 0x80000}, True),  # it was warm at the beginning
        ({"bits": 0x40000}, {"bits": 0x40000}, None),  # once before: another time would not show
        ({"bits": 0x40000}, {"bits": 0xC0000}, True),
        ({"thermal_events": 26}, {"thermal_events": 26}, False),
        ({"thermal_events": 26}, {"thermal_events": 27}, True),
        ({"over_current_events": 7}, {"over_current_events": 7}, None),  # says nothing of heat
        ({"over_current_events": 7}, {"over_current_events": 8}, True),
        ({"cooling_state": 0}, {"cooling_state": 0}, None),  # two glances
        ({"cooling_state": 0}, {"cooling_state": 2}, True),
        ({"cooling_state": 0, "cooling_events": 4}, {"cooling_state": 0, "cooling_events": 4}, None),  # firmware may act on its own
        ({"cooling_state": 0, "cooling_events": 4}, {"cooling_state": 0, "cooling_events": 6}, True),
        ({"thermal_events": 26, "cooling_events": 4}, {"thermal_events": 26, "cooling_events": 5}, True),
    ],
)
def test_throttling_is_what_the_machine_reports(before: dict[str, int], after: dict[str, int], expected: bool | None) -> None:
    assert sensors.throttled({"throttle": before}, {"throttle": after}) is expected


def test_bits_become_words() -> None:
    assert throttle.words(None) is None
    assert throttle.words(0) == []
    assert throttle.words(0xE0008) == [
        "soft temperature limit now", "frequency capped since boot", "throttled since boot", "soft temperature limit since boot"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "described"),
    [
        ({}, ""),
        ({"wall_ns": 1_700_000_010 * S + S // 20}, ""),
        ({"wall_ns": 1_700_003_610 * S}, "the wall clock jumped ahead by 3600.0 s"),
        ({"wall_ns": 1_700_000_005 * S}, "the wall clock jumped back by 5.0 s"),
        ({"boottime_ns": 190 * S, "wall_ns": 1_700_000_040 * S}, "the machine was suspended for 30.0 s"),
        (
            {"boottime_ns": 190 * S, "wall_ns": 1_700_000_000 * S},
            "the machine was suspended for 30.0 s and the wall clock jumped back by 40.0 s",
        ),
        ({"monotonic_ns": 40 * S}, "the monotonic clock ran backwards by 60.0 s: the machine was restarted in between"),
        ({"boottime_ns": None}, ""),
    ],
)
def test_a_clock_that_jumped_is_described(changed: dict[str, int | None], described: str) -> None:
    assert sensors.clock_trouble(*readings(**changed)) == described
