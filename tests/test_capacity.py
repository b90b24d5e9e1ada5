"""A training that does not fit is refused before it begins, with what fits."""

from __future__ import annotations

from pathlib import Path

import pytest

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
def test_what_does_not_fit_is_refused_with_what_fits_and_that_is_not(tmp_path, available, group) -> None:
    root = board(tmp_path, available, group)
    room = capacity.room(root)
    assert room is not None
    assert abs(room - 400 * 2**20) <= 10000 * 4096 * 16  # what the process has already; a page has up to 64 kB
    with pytest.raises(OutOfMemory, match=r"parts\.db: training from 100,000 photos of 1280 values takes about 8\d\d MB") as failure:
        capacity.check(STORE, 100_000, 1280, 50, root)
    assert failure.value.code == "out-of-memory"
    assert isinstance(failure.value, (TrainError, MemoryError))
    fits = capacity.fitting(room, 1280, 50)
    assert 10_000 < fits < 50_000
    assert f"about {fits:,} photos fit" in str(failure.value)
    capacity.check(STORE, fits, 1280, 50, root)


def test_a_machine_that_says_nothing_of_its_memory_is_trusted(tmp_path) -> None:
    capacity.check(STORE, 10**7, 1280, 50, tmp_path)
