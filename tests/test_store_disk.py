"""Real disks that are full, that fail, or that cannot be written: small file systems of their own, and a limit on file size."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMON = """
import hashlib, logging, os, resource, subprocess, sys
from pathlib import Path
import numpy as np
from edgetl.errors import StoreError
from edgetl.store import NewSample, Store
from edgetl.types import Fingerprint, ImageSpec

FINGERPRINT = Fingerprint("a" * 64, ImageSpec(224, 224, 256), "fake", "int8", 1280)
folder = Path(sys.argv[1])
path = folder / "shop.db"

def batch(k):
    rows = np.random.default_rng(k).normal(size=(10, 1280)).astype(np.float32)
    return [NewSample(hashlib.sha256(b"%d %d" % (k, j)).digest(), str(k), row, "camera") for j, row in enumerate(rows)]

def refused(work):
    try:
        work()
    except StoreError as error:
        return str(error)
    raise AssertionError("nothing was refused")
"""

FILL = """
ballast = folder / "ballast"
if sys.argv[2] == "full":
    ballast.write_bytes(bytes(2_000_000))
    make_room = ballast.unlink
else:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    make_room = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

store, kept = Store.open(path, FINGERPRINT), []
def fill():
    for k in range(1000):
        store.add(batch(k))
        kept.append(k)
first = refused(fill)
assert len(kept) > 10, kept
assert first.startswith(f"{path}: adding 10 photos failed: "), first
assert {"full": "disk is full", "limit": "disk I/O error"}[sys.argv[2]] in first, first
assert "everything saved before is kept; make room or check the disk, then open the store again" in first, first

def same():
    assert store.samples().labels == [str(k) for k in kept for _ in range(10)]
same()
make_room()
for work in (lambda: store.add(batch(2000)), lambda: store.relabel(1, "x"), lambda: store.remove(label="0"), lambda: store.activate(None)):
    assert "is refused: the disk failed before" in refused(work)
same()
store.close()

store = Store.open(path, FINGERPRINT)
same()
store.add(batch(2000))
kept.append(2000)
same()
store.close()
print("done")
"""

FOLD = """
said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("edgetl").addHandler(handler)
ballast = folder / "ballast"
ballast.write_bytes(bytes(3_300_000))
store, kept = Store.open(path, FINGERPRINT), []
def fill():
    for k in range(1000):
        store.add(batch(k))
        kept.append(k)
message = refused(fill)
assert "adding 10 photos is refused: the disk failed before (database or disk is full)" in message, message
assert len(said) == 1 and said[0].startswith(f"{path}: folding its journal into it failed: database or disk is full"), said
labels = [str(k) for k in kept for _ in range(10)]
assert store.samples().labels == labels
store.close()
ballast.unlink()
with Store.open(path, FINGERPRINT) as store:
    assert store.samples().labels == labels
    store.add(batch(2000))
print("done")
"""

AROUND = """
store = Store.open(path, FINGERPRINT)
store.add(batch(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
def around():
    with store.transaction("both"):
        store.relabel(1, "half")
        print(refused(lambda: store.add(sample for k in range(2, 400) for sample in batch(k))), file=sys.stderr)
message = refused(around)
assert "both is refused: the disk failed before" in message, message
assert store.counts() == {"1": 10}
store.close()
with Store.open(path, None, read_only=True) as store:
    assert store.counts() == {"1": 10}
print("done")
"""

LEAVE_ROOM = """
ballast = folder / "ballast"

def leave_room(size):
    disk = os.statvfs(folder)
    ballast.write_bytes(bytes(disk.f_bavail * disk.f_frsize - size))
"""

VACUUM = """
os.environ["SQLITE_TMPDIR"] = str(folder.parent)  # so that it is the journal that does not fit
store = Store.open(path, FINGERPRINT)
for k in range(120):
    store.add(batch(k))
for k in range(0, 120, 8):
    store.remove(label=str(k))
kept, size = store.samples(), path.stat().st_size
leave_room(500_000)
message = refused(store.vacuum)
assert message.startswith(f"{path}: making the file smaller failed: database or disk is full; everything saved before is kept"), message
assert store.samples().embeddings.tobytes() == kept.embeddings.tobytes()
assert "is refused: the disk failed before" in refused(store.vacuum)
store.close()
ballast.unlink()
with Store.open(path, FINGERPRINT) as store:
    assert store.samples().embeddings.tobytes() == kept.embeddings.tobytes()
    assert store.vacuum() > 0
    assert store.samples().embeddings.tobytes() == kept.embeddings.tobytes()
print("done")
"""

MERGE = """
from edgetl.store.merge import merge
with Store.open(folder / "a.db", FINGERPRINT) as store:
    for k in range(100):
        store.add(batch(k))
leave_room(1_000_000)
message = refused(lambda: merge([folder / "a.db"], path))
assert message == f"{path}: making it failed: database or disk is full", message
assert not path.exists() and not (folder / "shop.db.new").exists()
ballast.unlink()
assert sum(merge([folder / "a.db"], path).counts.values()) == 1000
print("done")
"""

NO_ROOM_AT_ALL = """
(folder / "ballast").write_bytes(bytes(200_000))
try:
    with open(folder / "rest", "wb", buffering=0) as rest:
        while rest.write(bytes(4096)) == 4096: pass
except OSError:
    pass
message = refused(lambda: Store.open(path, FINGERPRINT))
assert message.startswith(f"{path}: making it failed: ") or "shop.db.lock cannot be made" in message, message
assert not path.exists()
(folder / "ballast").unlink()
Store.open(path, FINGERPRINT).close()
print("done")
"""

READ_ONLY = """
with Store.open(path, FINGERPRINT) as store:
    store.add(batch(1))
subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
with Store.open(path, None, read_only=True) as store:
    assert store.counts() == {"1": 10}
    assert len(store.samples().ids) == 10
message = refused(lambda: Store.open(path, FINGERPRINT))
assert f"{path} cannot be opened for writing" in message and "Read-only file system" in message, message
message = refused(lambda: Store.open(folder / "other.db", FINGERPRINT))
assert "other.db cannot be opened for writing" in message, message
print("done")
"""


def run(script: str, folder: Path, *arguments: str, size: str | None = None) -> None:
    command = [sys.executable, "-c", COMMON + script, str(folder), *arguments]
    if size is not None:
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        mount = f'mount -t tmpfs -o size={size} tmpfs "$0" && exec "$@"'
        command = ["unshare", "--mount", *user, "sh", "-c", mount, str(folder), *command]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder.parent)
    assert done.stdout == "done\n", done.stderr


def can_mount(folder: Path) -> bool:
    try:
        run("print('done')", folder, size="1m")
    except AssertionError:
        return False
    return True


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("unshare") is None or not can_mount(folder):
        pytest.skip("this machine does not let this user mount a file system in a namespace (unshare --mount)")
    return folder


def test_a_full_disk_keeps_what_was_acknowledged_and_makes_the_store_read_only(disk):
    run(FILL, disk, "full", size="4m")


def test_an_io_error_keeps_what_was_acknowledged_and_makes_the_store_read_only(tmp_path):
    run(FILL, tmp_path, "limit")


def test_a_journal_that_cannot_be_folded_keeps_what_was_acknowledged_and_is_said_aloud(disk):
    run(FOLD, disk, size="8m")


def test_an_io_error_that_was_caught_inside_a_transaction_is_not_committed_around(tmp_path):
    run(AROUND, tmp_path)


def test_a_store_that_does_not_fit_is_not_half_made(disk):
    run(NO_ROOM_AT_ALL, disk, size="300k")


def test_a_store_on_a_read_only_disk_is_read_and_says_why_it_is_not_written(disk):
    run(READ_ONLY, disk, size="2m")


def test_a_vacuum_that_does_not_fit_leaves_the_store_as_it_was(disk):
    run(LEAVE_ROOM + VACUUM, disk, size="8m")


def test_a_merge_that_does_not_fit_leaves_nothing(disk):
    run(LEAVE_ROOM + MERGE, disk, size="8m")
