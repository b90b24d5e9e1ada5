"""What is said and sent over one link: the cargo goes there, the bench talks, the record comes back."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import signal
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from click import unstyle

from edgetl.bench.remote import leash
from edgetl.bench.remote.link import Link, Lost
from edgetl.errors import RemoteError

_TAIL = 4000
_GIVEN = "an interpreter that has numpy, pillow, click, safetensors and a runtime with --python PATH"
_REASONS = {
    "folder": "cannot make a folder in its home or temporary folder ({words})",
    "full": "its disk is full ({words}); make room there",
    "copy": "cannot copy to it ({words})",
    "venv": f"its Python makes no virtual environment; on Debian: sudo apt install python3-venv; or name {_GIVEN}. Its words: {{tail}}",
    "pip": f"pip cannot install edgetl there; without a network there, name {_GIVEN}. Its words: {{tail}}",
    "runtime": "pip can install no runtime there that this bundle needs ({words}). Its words: {tail}",
    "modules": "the interpreter there lacks {words}; install them into it, or leave --python out to have a virtual environment made",
}


class Cargo:
    """Files to be sent, each with the name that it has over there, relative to the folder that is made for the run.

    Attributes:
        size: of all of them, bytes.
    """

    def __init__(self) -> None:
        self.size = 0
        self._entries: dict[str, Path | bytes] = {}

    def take(self, path: Path) -> str:
        """Adds a file, or a folder with all that is in it, in a folder of its own; returns its name over there."""
        name = f"{len(self._entries)}/{path.resolve().name}"
        if path.is_dir():
            self._entries |= {f"{name}/{file.relative_to(path).as_posix()}": file for file in sorted(path.rglob("*")) if file.is_file()}
        else:
            self._entries[name] = path
        self.size = sum(len(one) if isinstance(one, bytes) else one.stat().st_size for one in self._entries.values())
        return name

    def put(self, name: str, content: bytes) -> str:
        """Adds content under a name; returns the name."""
        self._entries[name] = content
        self.size += len(content)
        return name

    def send(self, link: Link) -> None:
        """Sends them as an archive.

        Raises:
            Lost: nobody is there any more.
        """
        with tarfile.open(fileobj=_Sending(link), mode="w|", bufsize=leash.CHUNK) as archive:  # type: ignore[call-overload]  # it only writes
            for name, content in self._entries.items():
                with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
                    _add(archive, name, stream)
        link.send(leash.LAST)


class Visit:
    """What is said and sent over one link."""

    def __init__(self, where: str, link: Link, say: Callable[[str], None]) -> None:
        self._where, self._link, self._say = where, link, say
        self._measuring = self._interrupted = False
        self._heard = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def bring(self, cargo: Cargo) -> None:
        """Sends the cargo.

        Raises:
            RemoteError: there is no folder or no room for it, or the connection is lost.
        """
        kind, content = self._link.receive()
        if kind == leash.FAILED:
            raise self._failed(content)
        facts = json.loads(content)
        size = f"{cargo.size / 1e6:.1f} MB"
        self._tell(f"Python {facts['python']} on {facts['machine']}; copying {size} to {facts['folder']}")
        if cargo.size > facts["free"]:
            raise RemoteError(f"{self._where}: {size} do not fit: {facts['free'] / 1e6:.1f} MB are free at {facts['folder']}")
        try:
            cargo.send(self._link)
        except Lost:
            kind, content = self._link.receive()  # what it said before it was gone; this is lost again where it said nothing
            if kind != leash.FAILED:
                raise
            raise self._failed(content) from None

    def record(self) -> bytes:
        """Waits for the end; a first Ctrl-C or SIGTERM while the bench measures ends it over there, with the record that it writes then.

        Returns:
            The record's content.

        Raises:
            RemoteError: there is none, with its reason.
            KeyboardInterrupt: there is none, because of it.
        """
        made = bytearray()
        with _signals(self._wish):
            while True:
                kind, content = self._link.receive()
                if kind == leash.RECORD:
                    made += content
                elif kind == leash.FAILED:
                    raise self._failed(content)
                elif kind == leash.DONE:
                    return self._judged(bytes(made), json.loads(content))
                else:
                    self._pass_on(kind, content)

    def _wish(self, *_: object) -> None:
        """For a signal, which may come in the middle of a frame: all it does in there is to put a wish into the line."""
        if not self._measuring or self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        self._link.wish()

    def _pass_on(self, kind: bytes, content: bytes) -> None:
        if kind == leash.STEP:
            step = json.loads(content)
            self._measuring = step == "measuring"
            self._tell(step)
        elif kind == leash.OUTPUT:
            text = self._decoder.decode(content)
            self._heard = (self._heard + text)[-_TAIL:]
            self._say(text)
        elif kind == leash.INTERRUPT:
            self._tell("interrupting; a second Ctrl-C leaves without a record")
            self._link.send(leash.INTERRUPT)

    def _judged(self, made: bytes, said: Mapping[str, Any]) -> bytes:
        self._link.close(done=True)
        if said["kept"]:
            self._tell(f"kept: {said['kept']}")
        if made:
            return made
        if self._interrupted:
            raise KeyboardInterrupt
        lines = unstyle(self._heard).splitlines()
        ended = f"edgetl bench ended there with {said['code']}; its last words: {self._tail()}"
        refused = next((line.partition("error: ")[2] for line in reversed(lines) if line.startswith("error: ")), "")
        raise RemoteError(f"{self._where}: {refused or ended}")

    def _failed(self, content: bytes) -> RemoteError:
        said = json.loads(content)
        reason = _REASONS[said["step"]].format(words=said["words"], tail=self._tail())
        if "No space left on device" in self._heard:
            reason = _REASONS["full"].format(words=self._tail())
        return RemoteError(f"{self._where}: {reason}")

    def _tail(self) -> str:
        return " / ".join(line.strip() for line in unstyle(self._heard).splitlines()[-5:] if line.strip()) or "none"

    def _tell(self, text: str) -> None:
        self._say(f"{self._where}: {text}\n")


@contextlib.contextmanager
def _signals(handler: Callable[..., None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call a handler; nothing changes outside of the main thread, where Python hands out no signals."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    kept = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in kept.items():
            signal.signal(number, before)


class _Sending:
    """Frames, as a file that an archive is written to."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def write(self, content: bytes) -> int:
        if content:
            self._link.send(leash.DATA, bytes(content))
        return len(content)


def _add(archive: tarfile.TarFile, name: str, stream: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = stream.seek(0, io.SEEK_END), 0o644
    stream.seek(0)
    archive.addfile(entry, stream)
