"""Measures on another machine: copies the bundle, the photos and this edgetl there, runs `edgetl bench`, and brings the record back.

One connection serves it all. The program at its far end (:mod:`edgetl.bench.remote.leash`) kills what it started and removes what it wrote
when the connection ends or falls silent, so that nothing is left on the machine, whatever happens here or on the way.
"""

from __future__ import annotations

import codecs
import io
import json
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from edgetl.bench.remote import leash, wheel
from edgetl.bench.remote.link import Link
from edgetl.bench.remote.target import Target, parse
from edgetl.bundle import Bundle
from edgetl.errors import BundleMissing, RemoteError

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


def run(
    target: str, bundle: Path, arguments: Sequence[str], *, say: Callable[[str], None], files: Mapping[str, Path] | None = None,
    python: str | None = None, keep: bool = False, patience: float = 30.0,
) -> bytes:  # fmt: skip
    """Runs `edgetl bench BUNDLE ARGUMENTS` on another machine.

    After a Ctrl-C the bench over there is interrupted too, and the record that it writes then, marked as partial, is returned.

    Args:
        target: `ssh://USER@HOST:PORT` (user and port may be left to the person's config) or `adb:SERIAL`.
        bundle: here, a folder or a file.
        arguments: of `edgetl bench` over there, without the bundle, the options in `files`, and `-o`.
        say: told what happens, as text to be written as it is: line ends included, and what the bench over there writes to standard error.
        files: option -> a file or folder here that is copied there, e.g. `{"-i": Path("photos")}`.
        python: the interpreter over there, in which nothing is installed; None makes a virtual environment with `python3` for this run.
        keep: leave the folder there, and say where it is.
        patience: so long may either end hear nothing before it takes the connection for lost, s.

    Returns:
        The content of the record.

    Raises:
        BundleError: the bundle is none.
        RemoteError: the machine cannot be reached, cannot run edgetl, refused to measure, or was lost.
        KeyboardInterrupt: Ctrl-C, and there is no record yet; or a second one.
    """
    where = parse(target)
    sent = {"bundle": bundle, **{f"file{number}": path for number, path in enumerate((files or {}).values())}}
    for path in sent.values():
        if not path.exists():
            raise BundleMissing(f"{path}: no such file or folder") if path == bundle else RemoteError(f"{path}: no such file or folder")
    families = dict.fromkeys(variant.family for variant in Bundle.open(bundle).variants.values())
    name, content = wheel.build()
    options = [said for number, (option, path) in enumerate((files or {}).items()) for said in (option, f"file{number}/{_name(path)}")]
    job = {
        "wheel": name,
        "given": python is not None,
        "extras": [family for family in families if family != "fake"],
        "arguments": [f"bundle/{_name(bundle)}", *arguments, *options],
        "keep": keep,
        "columns": shutil.get_terminal_size().columns if sys.stderr.isatty() else 0,
        "patience": patience,
    }
    with Link(where, python, job) as link:
        visit = _Visit(where, link, say)
        visit.bring(sent, name, content)
        return visit.record()


class _Visit:
    """What is said and sent over one link."""

    def __init__(self, where: Target, link: Link, say: Callable[[str], None]) -> None:
        self._where, self._link, self._say = where, link, say
        self._measuring = self._interrupted = False
        self._heard = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def bring(self, sent: Mapping[str, Path], wheel_name: str, wheel_content: bytes) -> None:
        """Sends the wheel, and every file or folder into a folder of its own."""
        kind, content = self._link.receive()
        if kind == leash.FAILED:
            raise self._failed(content)
        facts = json.loads(content)
        size = len(wheel_content) + sum(file.stat().st_size for path in sent.values() for _, file in _files(path))
        self._tell(f"Python {facts['python']} on {facts['machine']}; copying {size / 1e6:.1f} MB to {facts['folder']}")
        if size > facts["free"]:
            raise RemoteError(
                f"{self._where.name}: {size / 1e6:.1f} MB do not fit: {facts['free'] / 1e6:.1f} MB are free at {facts['folder']}"
            )
        with tarfile.open(fileobj=_Sending(self._link), mode="w|", bufsize=leash.CHUNK) as archive:  # type: ignore[call-overload]  # it only writes
            _add(archive, wheel_name, len(wheel_content), io.BytesIO(wheel_content))
            for folder, path in sent.items():
                for inner, file in _files(path):
                    with file.open("rb") as stream:
                        _add(archive, f"{folder}/{inner}", file.stat().st_size, stream)
        self._link.send(leash.LAST)

    def record(self) -> bytes:
        """Waits for the end; the record's content."""
        made = bytearray()
        while True:
            try:
                kind, content = self._link.receive()
            except KeyboardInterrupt:
                if not self._measuring or self._interrupted:
                    raise
                self._interrupted = True
                self._tell("interrupting; a second Ctrl-C leaves without a record")
                self._link.send(leash.INTERRUPT)
                continue
            if kind == leash.RECORD:
                made += content
            elif kind == leash.FAILED:
                raise self._failed(content)
            elif kind == leash.DONE:
                return self._judged(bytes(made), json.loads(content))
            else:
                self._pass_on(kind, content)

    def _pass_on(self, kind: bytes, content: bytes) -> None:
        if kind == leash.STEP:
            step = json.loads(content)
            self._measuring = step == "measuring"
            self._tell(step)
        elif kind == leash.OUTPUT:
            text = self._decoder.decode(content)
            self._heard = (self._heard + text)[-_TAIL:]
            self._say(text)

    def _judged(self, made: bytes, said: Mapping[str, Any]) -> bytes:
        self._link.close(done=True)
        if said["kept"]:
            self._tell(f"kept: {said['kept']}")
        if made:
            return made
        if self._interrupted:
            raise KeyboardInterrupt
        lines = [line for line in self._heard.splitlines() if line.strip()]
        ended = f"edgetl bench ended there with {said['code']}; its last words: {self._tail()}"
        refused = next((line.partition("refused: ")[2] for line in reversed(lines) if line.startswith("refused: ")), "")
        raise RemoteError(f"{self._where.name}: {refused or ended}")

    def _failed(self, content: bytes) -> RemoteError:
        said = json.loads(content)
        reason = _REASONS[said["step"]].format(words=said["words"], tail=self._tail())
        if "No space left on device" in self._heard:
            reason = _REASONS["full"].format(words=self._tail())
        return RemoteError(f"{self._where.name}: {reason}")

    def _tail(self) -> str:
        return " / ".join(line.strip() for line in self._heard.splitlines()[-5:] if line.strip()) or "none"

    def _tell(self, text: str) -> None:
        self._say(f"{self._where.name}: {text}\n")


class _Sending:
    """Frames, as a file that an archive is written to."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def write(self, content: bytes) -> int:
        if content:
            self._link.send(leash.DATA, bytes(content))
        return len(content)


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Every file, under the name that it has over there."""
    if path.is_dir():
        yield from ((f"{_name(path)}/{file.relative_to(path).as_posix()}", file) for file in sorted(path.rglob("*")) if file.is_file())
    else:
        yield _name(path), path


def _add(archive: tarfile.TarFile, name: str, size: int, stream: BinaryIO) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    archive.addfile(entry, stream)


def _name(path: Path) -> str:
    return path.resolve().name
