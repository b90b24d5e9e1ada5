"""The far end: one program, sent through the link as source, that does everything that is done over there. Standard library only.

It never outlives the link. When its standard input ends, or stays silent for longer than its patience, it kills what it started and removes
its folder. Frames go both ways: one byte that says what it is, four bytes of length (big-endian), the content.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import platform
import queue
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

HELLO = b"edgetl-leash-1\n"
"""The first line that it writes: a login script may have printed something before."""
BEAT, JOB, DATA, LAST, INTERRUPT = b"b", b"j", b"d", b"l", b"i"
FACTS, STEP, OUTPUT, RECORD, FAILED, DONE = b"h", b"s", b"o", b"r", b"f", b"e"
CHUNK = 1 << 16
_GRACE_S = 60.0
_PR_SET_CHILD_SUBREAPER = 36
_HEAD = struct.Struct(">cI")


def send(stream: IO[bytes], kind: bytes, content: bytes = b"") -> None:
    """Writes one frame."""
    stream.write(_HEAD.pack(kind, len(content)) + content)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[bytes, bytes] | None:
    """Reads one frame: what it is, and its content; None where the stream has ended."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack(head)
    content = stream.read(length)
    return (kind, content) if len(content) == length else None


class Failed(Exception):
    """A step that did not work: `folder`, `full`, `copy`, `venv`, `pip`, `runtime` or `modules`; and its words."""


class Leash:
    """One run.

    Whoever notices that the link is gone holds the lock until the process has ended, so that nothing is started or written meanwhile.
    """

    def __init__(self, near: IO[bytes], far: IO[bytes]) -> None:
        first = receive(near)
        if first is None or first[0] != JOB:
            raise SystemExit("the near end has gone")
        signal.alarm(0)  # set by who started it; from here on it watches itself
        self._job: dict[str, Any] = json.loads(first[1])
        self._near, self._far = near, far
        self._inbox: queue.Queue[tuple[bytes, bytes]] = queue.Queue(16)
        self._heard = time.monotonic()
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    def run(self) -> None:
        """Does the job; returns when nothing but what was to be kept is left."""
        for work in (self._listen, self._beat, self._watch):
            threading.Thread(target=work, daemon=True).start()
        kind, said = FAILED, dict[str, Any]()
        try:
            kind, said = DONE, {"code": self._bench()}
        except Failed as error:
            said = {"step": error.args[0], "words": error.args[1]}
        except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            said = {"step": "full" if full else "copy", "words": f"{self._folder}: {error}"}
        finally:
            with self._lock:
                self._clean()
        self._tell(kind, {**said, "kept": str(self._folder) if self._job["keep"] else ""})

    def hang_up(self, *_: object) -> None:
        """For a signal: in a thread, because the main one may be waiting for the process that is to be killed."""
        threading.Thread(target=self._abandon, daemon=True).start()

    def _bench(self) -> int:
        with self._lock:
            folder = self._folder = _private_folder()
        facts = {"python": platform.python_version(), "machine": platform.machine(), "folder": str(folder)}
        self._tell(FACTS, {**facts, "free": shutil.disk_usage(folder).free})
        self._unpack(folder)
        (folder / "tmp").mkdir()
        python, env = self._given(folder) if self._job["given"] else self._made(folder)
        record = folder / "record.json"
        self._tell(STEP, "measuring")
        command = [python, "-m", "edgetl", "bench", *self._job["arguments"], "-o", str(record)]
        code = self._call(command, {**env, "TMPDIR": str(folder / "tmp"), "COLUMNS": str(self._job["columns"])}, subprocess.DEVNULL)
        if record.exists():
            with record.open("rb") as stream:
                while content := stream.read(CHUNK):
                    self._send(RECORD, content)
        return code

    def _unpack(self, folder: Path) -> None:
        filtered: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        with tarfile.open(fileobj=_Content(self._next), mode="r|") as files:  # type: ignore[call-overload]  # it only reads
            files.extractall(folder, **filtered)

    def _given(self, folder: Path) -> tuple[str, dict[str, str]]:
        """The interpreter that runs this, with edgetl beside it."""
        needed = "numpy", "PIL", "click", "safetensors"
        missing = [name for name in needed if self._call([sys.executable, "-c", f"import {name}"], {}, subprocess.DEVNULL, quiet=True)]
        if missing:
            raise Failed("modules", ", ".join(missing))
        with zipfile.ZipFile(folder / self._job["wheel"]) as wheel:
            wheel.extractall(folder / "lib")
        return sys.executable, {"PYTHONPATH": str(folder / "lib")}

    def _made(self, folder: Path) -> tuple[str, dict[str, str]]:
        """The interpreter of a new virtual environment, with the wheel and its runtimes; one that cannot be had here is left out."""
        self._tell(STEP, "making a virtual environment")
        if self._call([sys.executable, "-m", "venv", str(folder / "venv")], {}):
            raise Failed("venv", "")
        python, wheel = str(folder / "venv" / "bin" / "python"), str(folder / self._job["wheel"])
        options = ["--quiet", "--no-cache-dir", "--disable-pip-version-check", "--retries=2"]
        env = {"TMPDIR": str(folder / "tmp")}
        missing = []
        for extra in ("", *self._job["extras"]):
            self._tell(STEP, f"installing edgetl[{extra}]" if extra else "installing edgetl")
            if self._call([python, "-m", "pip", "install", *options, f"{wheel}[{extra}]" if extra else wheel], env):
                if not extra:
                    raise Failed("pip", "")
                missing.append(extra)
                self._tell(STEP, f"{extra} cannot be installed there: its variants cannot be measured")
        if missing and missing == self._job["extras"]:
            raise Failed("runtime", ", ".join(missing))
        return python, {}

    def _call(self, command: Sequence[str], env: dict[str, str], stdout: int = subprocess.STDOUT, quiet: bool = False) -> int:
        """Runs a command in a process group of its own, its talk passed on, on a terminal where the near end has one; its exit code."""
        talk, its_end = os.openpty() if self._job["columns"] else os.pipe()
        with self._lock:
            self._process = process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=its_end if stdout == subprocess.STDOUT else stdout, stderr=its_end,
                cwd=self._folder, env={**os.environ, **env}, start_new_session=True,
            )  # fmt: skip
        os.close(its_end)
        pump = threading.Thread(target=self._pump, args=(talk, quiet), daemon=True)
        pump.start()
        code = process.wait()
        pump.join(5)  # a grandchild that was left behind may still hold the other end
        with self._lock:
            self._kill()
        return code

    def _pump(self, talk: int, quiet: bool) -> None:
        with os.fdopen(talk, "rb", buffering=0) as stream:
            while content := _some(stream):
                if not quiet:
                    self._send(OUTPUT, content)

    def _next(self) -> bytes:
        kind, content = self._inbox.get()
        with self._lock:
            return content if kind == DATA else b""

    def _listen(self) -> None:
        while frame := receive(self._near):
            self._heard = time.monotonic()
            if frame[0] == INTERRUPT:
                self._interrupt()
            elif frame[0] in (DATA, LAST):
                self._inbox.put(frame)
        self._abandon()

    def _interrupt(self) -> None:
        """Ctrl-C over there: the bench may write what it has; then it is stopped."""
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(process.pid, signal.SIGINT)
            late = threading.Timer(_GRACE_S, process.kill)
            late.daemon = True
            late.start()

    def _beat(self) -> None:
        while True:
            time.sleep(self._job["patience"] / 3)
            self._send(BEAT)

    def _watch(self) -> None:
        while (left := self._heard + self._job["patience"] - time.monotonic()) > 0:
            time.sleep(left)
        self._abandon()

    def _abandon(self) -> None:
        """The link is gone."""
        with self._lock:
            self._clean()
            os._exit(1)

    def _clean(self) -> None:
        self._kill()
        if self._folder is not None and not self._job["keep"]:
            for _ in range(100):  # who was killed a moment ago may still be writing
                shutil.rmtree(self._folder, ignore_errors=True)
                if not self._folder.exists():
                    break
                time.sleep(0.05)

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        for _ in range(100):  # who left the group was adopted by this process when its parent was killed; and so are its children
            for one in (left := _children()):
                with contextlib.suppress(OSError):
                    os.kill(one, signal.SIGKILL)
                    os.waitpid(one, 0)
            if not left:
                break

    def _tell(self, kind: bytes, said: Any) -> None:
        self._send(kind, json.dumps(said).encode())

    def _send(self, kind: bytes, content: bytes = b"") -> None:
        try:
            with self._writing:
                send(self._far, kind, content)
        except OSError:
            self._abandon()


class _Content:
    """The archive in the frames, as a file."""

    def __init__(self, following: Callable[[], bytes]) -> None:
        self._following, self._rest, self._ended = following, b"", False

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and not self._ended:
            more = self._following()
            self._ended = not more
            self._rest += more
        given, self._rest = self._rest[:size], self._rest[size:]
        return given


def _some(stream: Any) -> bytes:
    try:
        content: bytes = stream.read(CHUNK)
        return content
    except OSError:  # how a pseudo-terminal says that nobody holds its other end (EIO)
        return b""


def _adopt() -> None:
    """Makes this process the parent of its orphaned descendants (man 2 PR_SET_CHILD_SUBREAPER), where the system is Linux."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children() -> list[int]:
    """Process numbers; of a process that has just ended there is nothing to read (man 5 proc_pid_stat: the parent is field 4)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_bytes().rpartition(b")")[2].split()[1]) == os.getpid():
                found.append(int(stat.parent.name))
    return found


def _private_folder() -> Path:
    """On the disk on which people keep their things; a temporary folder may be memory, which would falsify footprint and commits."""
    words = ""
    for parent in (os.environ.get("HOME", ""), tempfile.gettempdir()):
        if parent in ("", "/"):
            continue
        try:
            return Path(tempfile.mkdtemp(prefix=".edgetl-bench-", dir=parent))
        except OSError as error:
            words = str(error)
    raise Failed("folder", words)


def main() -> None:
    """Speaks over standard input and output."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a child inherits an ignored signal, and must be able to be interrupted
    sys.stdout.buffer.write(HELLO)
    sys.stdout.buffer.flush()
    _adopt()
    leash = Leash(sys.stdin.buffer, sys.stdout.buffer)
    for gone in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(gone, leash.hang_up)
    leash.run()
    os._exit(0)  # the threads are still reading


if __name__ == "__main__":
    main()
