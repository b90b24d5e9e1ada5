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
from edgetl.store.connection import CURE
from edgetl.types import Fingerprint, ImageSpec

FINGERPRINT = Fingerprint("a" * 64, ImageSpec(224, 224, 256), "fake", "int8", 1280)
folder = Path(sys.argv[1])
path = folder / "parts.db"

def batch(k):
    rows = np.random.default_rng(k).normal(size=(10, 1280)).astype(np.float32)
    return [NewSample(hashlib.sha256(b"%d %d" % (k, j)).digest(), str(k), row, "camera") for j, row in enumerate(rows)]

def failed(work):
    try:
        work()
    except StoreError as error:
        assert error.values["path"] == str(path) or "other.db" in error.values["path"], error.values
        return error
    raise AssertionError("nothing failed")

def blocked(work):
    error = failed(work)
    return error.code == "disk-failed-before" and error.values["doing"]
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
first = failed(fill)
assert len(kept) > 10, kept
assert (first.code, first.values["doing"]) == ("store-failed", "adding 10 photos"), first
assert {"full": "disk is full", "limit": "disk I/O error"}[sys.argv[2]] in first.values["reason"], first
assert CURE in str(first), first

def same():
    assert store.samples().labels == [str(k) for k in kept for _ in range(10)]
same()
make_room()
for work in (lambda: store.add(batch(2000)), lambda: store.relabel(1, "x"), lambda: store.remove(label="0"), lambda: store.activate(None)):
    assert blocked(work)
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
logged = []
handler = logging.Handler()
handler.emit = lambda record: logged.append(record.msg)
logging.getLogger("edgetl").addHandler(handler)
ballast = folder / "ballast"
ballast.write_bytes(bytes(3_300_000))
store, kept = Store.open(path, FINGERPRINT), []
def fill():
    for k in range(1000):
        store.add(batch(k))
        kept.append(k)
assert blocked(fill) == "adding 10 photos"
assert [error.values["doing"] for error in logged] == ["folding its journal into it"], logged
assert "full" in logged[0].values["reason"], logged
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
        print(failed(lambda: store.add(sample for k in range(2, 400) for sample in batch(k))), file=sys.stderr)
assert blocked(around) == "both"
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
error = failed(store.vacuum)
assert (error.code, error.values["doing"]) == ("store-failed", "making the file smaller"), error
assert "full" in error.values["reason"] and CURE in str(error), error
assert store.samples().embeddings.tobytes() == kept.embeddings.tobytes()
assert blocked(store.vacuum)
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
error = failed(lambda: merge([folder / "a.db"], path))
assert error.values["doing"] == "making it" and "full" in error.values["reason"], error
assert not path.exists() and not (folder / "parts.db.new").exists()
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
error = failed(lambda: Store.open(path, FINGERPRINT))
assert error.values.get("doing") == "making it" or error.code == "store-not-writable", error
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
for name in ("parts.db", "other.db"):
    error = failed(lambda: Store.open(folder / name, FINGERPRINT))
    assert (error.code, error.values["path"]) == ("store-not-writable", str(folder / name)), error
    assert error.values["reason"] == "Read-only file system", error
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


def test_a_journal_that_cannot_be_folded_keeps_what_was_acknowledged_and_is_logged(disk):
    run(FOLD, disk, size="8m")


def test_a_caught_io_error_inside_a_transaction_stops_the_whole_transaction(tmp_path):
    run(AROUND, tmp_path)


def test_a_store_that_does_not_fit_is_not_half_made(disk):
    run(NO_ROOM_AT_ALL, disk, size="300k")


def test_a_store_on_a_read_only_disk_can_be_read_and_not_written(disk):
    run(READ_ONLY, disk, size="2m")


def test_a_vacuum_that_does_not_fit_leaves_the_store_as_it_was(disk):
    run(LEAVE_ROOM + VACUUM, disk, size="8m")


def test_a_merge_that_does_not_fit_leaves_nothing(disk):
    run(LEAVE_ROOM + MERGE, disk, size="8m")
