"""A training that does not fit into memory is an error before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from raising import raises

from edgetl.errors import OutOfMemory, TrainError
from edgetl.session import capacity

STORE = Path("parts.db")


def board(root: Path, available: int, group: int | None = None) -> Path:
    """A machine with so many MB free, and a control group that allows so many."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 500000 kB\nMemAvailable: {available * 1024} kB\nSwapFree: 0 kB\n")
    (root / "proc/self/statm").write_text("30000 10000 100 1 0 500 0\n")
    if group is not None:
        (root / "proc/self/cgroup").write_text("0::/board\n")
        (root / "sys/fs/cgroup/board").mkdir(parents=True)
        (root / "sys/fs/cgroup/board/memory.max").write_text(f"{group * 2**20}\n")
    return root


@pytest.mark.parametrize(("available", "group"), [(400, None), (4000, 400)], ids=["512 MB board", "container"])
def test_a_training_that_does_not_fit_is_an_error_with_the_number_of_photos_that_do(
    tmp_path: Path, available: int, group: int | None
) -> None:
    root = board(tmp_path, available, group)
    room = capacity.measure_room(root)
    assert room is not None
    assert abs(room - 400 * 2**20) <= 10000 * 4096 * 16  # what the process has already; a page has up to 64 kB
    fitting = capacity.count_fitting(room, 1280, 50)
    assert 10_000 < fitting < 50_000
    with raises(OutOfMemory, path="parts.db", photos=100_000, available=room, fitting=fitting) as caught:
        capacity.check(STORE, 100_000, 1280, 50, root)
    assert 800e6 <= caught.value.values["needed"] < 900e6
    assert isinstance(caught.value, (TrainError, MemoryError))
    capacity.check(STORE, fitting, 1280, 50, root)


def test_a_machine_that_does_not_state_its_memory_is_not_checked(tmp_path: Path) -> None:
    capacity.check(STORE, 10**7, 1280, 50, tmp_path)
