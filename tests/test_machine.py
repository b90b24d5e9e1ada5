"""The machine's description: what cannot be read is None, and the one fact that changes numbers is read right."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edgetl import machine
from edgetl.machine import facts


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, lines: str, instruction_set: str, saturates: bool
) -> None:
    monkeypatch.setattr(facts.platform, "machine", lambda: architecture)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor\t: 0\n{lines}\n\n")
    assert machine.instruction_set(tmp_path) == instruction_set
    assert machine.saturates_u8s8(tmp_path) is saturates


def test_this_machine_is_described() -> None:
    said = json.loads(json.dumps(machine.describe()))
    assert said["cores"] == machine.cores() == len(os.sched_getaffinity(0))
    assert said["libraries"]["numpy"]
    assert said["memory_bytes"] is None or said["memory_bytes"] > 2**20
