"""The near end: one connection to the far end's leash, and the two watching each other."""

from __future__ import annotations

import collections
import contextlib
import json
import math
import queue
import shlex
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from edgetl.bench.remote import leash
from edgetl.bench.remote.target import Target
from edgetl.errors import RemoteError

_OLD = "edgetl: Python "
# Checked before the leash is read: an old Python would call it a syntax error. The alarm ends it where the link is lost before the leash
# and its job have come, and the leash turns it off. One line, and nothing that a shell would touch in quotes.
_BOOT = (
    'import sys,signal;sys.version_info<(3,10) and sys.exit("{old}"+sys.version.split()[0]);signal.alarm({patience});'
    "exec(sys.stdin.buffer.read({length}))"
)
# Ctrl-C reaches every program of this terminal; ssh must survive it, for the bench over there is to be stopped and its record fetched.
_SHIELD = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")


class Lost(RemoteError):
    """The connection ended, or the other end fell silent."""


class Link:
    """A leash on `target`, doing one job; a context manager that ends it."""

    def __init__(self, target: Target, python: str | None, job: dict[str, Any]) -> None:
        """Connects.

        Args:
            target: where to.
            python: the interpreter there; None is `python3`.
            job: what :class:`edgetl.bench.remote.leash.Leash` is to do; its `patience` (s) is the near end's too.

        Raises:
            RemoteError: there is no connection, or no Python there that can do it.
        """
        self._target, self._python, self._patience = target, python or "python3", float(job["patience"])
        source = Path(leash.__file__).read_bytes()
        boot = _BOOT.format(old=_OLD, patience=math.ceil(self._patience), length=len(source))
        command = target.command(f"{_quoted(self._python)} -I -c {shlex.quote(boot)}")
        self._process = subprocess.Popen([*_SHIELD, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._words: collections.deque[bytes] = collections.deque(maxlen=100)
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._silent = False
        self._inbox: queue.SimpleQueue[tuple[bytes, bytes] | None] = queue.SimpleQueue()
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._listen, self._read)]
        for reader in self._readers:
            reader.start()
        self._heard = time.monotonic()
        try:
            self._introduce(source, job)
            if self._inbox.get() is None:
                raise self._refused()
        except BaseException:
            self.close()
            raise
        self._heard = time.monotonic()  # a person may have taken long over a passphrase
        for work in (self._beat, self._watch):
            threading.Thread(target=work, daemon=True).start()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def send(self, kind: bytes, content: bytes = b"") -> None:
        """Sends one frame.

        Raises:
            Lost: nobody is there any more.
        """
        assert self._process.stdin is not None
        try:
            with self._writing:
                leash.send(self._process.stdin, kind, content)
        except OSError as error:
            raise self._lost() from error

    def receive(self) -> tuple[bytes, bytes]:
        """The next frame that is not a heartbeat.

        Raises:
            Lost: nobody is there any more.
        """
        frame = self._inbox.get()
        if frame is None:
            self._inbox.put(None)
            raise self._lost()
        return frame

    def wish(self) -> None:
        """Puts an interrupt among what :meth:`receive` gives; a signal's handler may do it, at any moment."""
        self._inbox.put((leash.INTERRUPT, b""))

    def close(self, *, done: bool = False) -> None:
        """Ends the connection: what still runs over there is killed and removed by the leash.

        Args:
            done: the job is done, so that the other end ends by itself.
        """
        self._ended.set()
        if not self._ends(5.0 if done else 0.0):
            self._process.terminate()
            if not self._ends(5.0):
                self._process.kill()
                self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # what was not sent will not be
            self._process.stdin.close()
        for reader in self._readers:  # a helper of ssh may still hold what they read; they close it
            reader.join(1)

    def _ends(self, patience: float) -> bool:
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _introduce(self, source: bytes, job: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it ended already: the reason is in its last words
            self._process.stdin.write(source)
            leash.send(self._process.stdin, leash.JOB, json.dumps(job).encode())

    def _refused(self) -> RemoteError:
        code = self._process.wait()
        self._readers[0].join(5)
        words = self._said()
        if _OLD in words:
            version = words.partition(_OLD)[2].split()[0]
            reason = f"{self._python} there is Python {version}; edgetl needs 3.10 or newer: name another one with --python PATH"
        elif refusal := self._target.refusal(code, words):
            reason = refusal
        elif code in (126, 127):
            reason = f"there is no {self._python} that can be run; {self._target.without_python}"
        else:
            reason = f"{self._python} there ended with {code}: {words.strip() or 'it says nothing'}; is it a Python, 3.10 or newer?"
        return RemoteError(f"{self._target.name}: {reason}")

    def _lost(self) -> Lost:
        self._ended.set()
        if self._silent:
            reason = f"nothing was heard for {self._patience:g} s"
        else:
            if self._ends(5.0):
                self._readers[0].join(5)
            reason = self._said().strip() or "it was closed"
        return Lost(
            f"{self._target.name}: the connection was lost ({reason}), and with it what was measured; over there the run is stopped and "
            f"removed within {self._patience:g} s. Start it again"
        )

    def _said(self) -> str:
        return b"".join(self._words).decode(errors="replace")

    def _listen(self) -> None:
        """Keeps the last words of ssh or adb: they are the reason when there is no connection."""
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self._words.append(line)

    def _read(self) -> None:
        """In a thread of its own: a Ctrl-C in the middle of a frame would lose its beginning."""
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            greeted = any(line == leash.HELLO for line in stream)  # a login script may have printed something before
            if greeted:
                self._inbox.put((leash.HELLO, b""))
            while greeted and (frame := leash.receive(stream)):
                self._heard = time.monotonic()
                if frame[0] != leash.BEAT:
                    self._inbox.put(frame)
        self._inbox.put(None)

    def _beat(self) -> None:
        while not self._ended.wait(self._patience / 3):
            try:
                self.send(leash.BEAT)
            except Lost:
                return

    def _watch(self) -> None:
        """Reading from or writing to a dead connection would wait for ever; so its program is ended."""
        while (left := self._heard + self._patience - time.monotonic()) > 0:
            if self._ended.wait(left):
                return
        self._silent = True
        self._process.kill()
        self._inbox.put(None)


def _quoted(python: str) -> str:
    """For the shell over there, which finds the home folder itself."""
    return f"~/{shlex.quote(python[2:])}" if python.startswith("~/") else shlex.quote(python)
