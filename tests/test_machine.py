"""The machine's description: what cannot be read is None, and the one fact that changes numbers is read right."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgetl import machine


@pytest.fixture
def cpuinfo(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    machine.features.cache_clear()
    yield monkeypatch
    machine.features.cache_clear()


@pytest.mark.parametrize(
    ("architecture", "lines", "instruction_set", "saturates"),
    [
        ("x86_64", "flags\t\t: sse2 avx2 fma avx512_vnni", "x86_64 avx512_vnni", False),
        ("x86_64", "flags\t\t: sse2 avx2 avx_vnni", "x86_64 avx_vnni", False),
        ("x86_64", "flags\t\t: sse2 avx2", "x86_64 avx2", True),
        ("x86_64", "", "x86_64", True),
        ("aarch64", "Features\t: fp asimd crc32", "aarch64 asimd", False),
        ("aarch64", "Features\t: fp asimd asimddp i8mm", "aarch64 i8mm", False),
        ("armv7l", "Features\t: half thumb neon", "armv7l", False),
    ],
)
def test_the_instruction_set_is_the_strongest_that_int8_uses(
    cpuinfo: pytest.MonkeyPatch, architecture: str, lines: str, instruction_set: str, saturates: bool
) -> None:
    cpuinfo.setattr(machine.platform, "machine", lambda: architecture)
    cpuinfo.setattr(machine, "_read", lambda path: f"processor\t: 0\n{lines}\n\n" if path == "/proc/cpuinfo" else "")
    assert machine.instruction_set() == instruction_set
    assert machine.saturates_u8s8() is saturates


def test_a_machine_that_tells_nothing_is_described_all_the_same(cpuinfo: pytest.MonkeyPatch) -> None:
    cpuinfo.setattr(machine, "_read", lambda path: "")
    said = json.loads(json.dumps(machine.describe()))
    assert [said[name] for name in ("board", "governor", "frequency_khz", "temperature_c", "memory_bytes")] == [None] * 5
    assert said["features"] == []


def test_this_machine_is_described() -> None:
    said = json.loads(json.dumps(machine.describe()))
    assert said["cores"] == machine.cores() == len(os.sched_getaffinity(0))
    assert said["libraries"]["numpy"]
    assert said["memory_bytes"] is None or said["memory_bytes"] > 2**20


def test_the_temperature_is_the_hottest_zones_in_degrees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    zones = [tmp_path / "thermal_zone0" / "temp", tmp_path / "thermal_zone1" / "temp", tmp_path / "thermal_zone2" / "temp"]
    for zone, text in zip(zones, ("41500\n", "63250\n", "broken")):
        zone.parent.mkdir()
        zone.write_text(text)
    monkeypatch.setattr(machine, "Path", lambda path: tmp_path if path == "/sys/class/thermal" else Path(path))
    assert machine.temperature() == 63.25
