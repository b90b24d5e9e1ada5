"""Records on disk: JSON with a digest that shows changes, samples as differences, written whole or not at all."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgetl.bench.record import Record
from edgetl.decoding import decode
from edgetl.errors import RecordError
from edgetl.types import digest, to_json

FORMAT, VERSION = "edgetl-bench", 1
LARGEST = 1 << 30
"""Bytes of a record that is read: a full run of fifty configurations has less, and more would not fit into a small machine's memory."""


def encode(record: Record) -> dict[str, Any]:
    """The record as JSON, with format, version and digest.

    Samples are the first one of a process and then the difference of each to the one before, in the order in which they were taken:
    `itertools.accumulate` or `numpy.cumsum` gives them back. `digest` is the sha256 of everything else, as canonical JSON.
    """
    content = to_json(record)
    del content["digest"]
    for result in content["results"]:
        for row in result["rows"]:
            row["samples"] = [[after - before for before, after in itertools.pairwise([0, *taken])] for taken in row["samples"]]
    content = {"format": FORMAT, "version": VERSION, **content}
    return {**content, "digest": digest(content)}


def write(record: Record, path: str | os.PathLike[str]) -> None:
    """Writes the record: the whole file appears under its name, or nothing does.

    Raises:
        RecordError: it cannot be written there.
    """
    _put(Path(path), json.dumps(encode(record)))


def check(path: str | os.PathLike[str]) -> None:
    """Tries whether a record could be written there, before hours are spent on one.

    Raises:
        RecordError: it could not.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        name = target.name or "bench"
        raise RecordError(f"{target}: is not a file. Give -o a file's name, such as {name}.json", code="not-a-file", path=str(target))
    _put(target, None)


def check_folder(target: Path) -> None:
    """A folder that does not exist is not made: a wrong path would make one at an unexpected place.

    Raises:
        RecordError: it does not exist.
    """
    folder = target.parent
    if not folder.exists():
        command = f"mkdir -p {shlex.quote(str(folder))}"
        raise RecordError(
            f"{target}: the folder {folder} does not exist. Make it first: {command}", code="folder-missing", path=str(target)
        )


def read(path: str | os.PathLike[str]) -> Record:
    """Reads a record that :func:`write` wrote.

    Raises:
        RecordError: the file is missing, too large, not a record, of another version, or was changed after it was written.
    """
    name = os.fspath(path)

    def error(code: str, message: str, **values: Any) -> RecordError:
        return RecordError(f"{name}: {message}", code=code, path=name, **values)

    try:
        size = Path(path).stat().st_size
        content = json.loads(Path(path).read_bytes() if size <= LARGEST else b"0")
    except OSError as cause:
        raise error("record-missing", f"cannot be read ({cause.strerror}). Make a record: edgetl bench -m BUNDLE -o {name}") from cause
    except (ValueError, RecursionError) as cause:
        raise error("record-malformed", f"not JSON ({cause}). Copy or measure it again.") from cause
    if size > LARGEST:
        raise error("record-too-large", f"has {size / 1e9:.1f} GB; a record has less than {LARGEST / 1e9:.1f}", size=size)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise error("record-malformed", f"is not a bench record: its format is not {FORMAT!r}")
    if content.get("version") != VERSION:
        version = str(content.get("version"))[:40]
        raise error(
            "record-version", f"is a record of version {version}, expected {VERSION}. Measure again, or update edgetl", version=version
        )
    kept = content.pop("digest", None)
    if kept != (now := digest(content)):
        message = f"was changed after it was written (digest {str(kept)[:12]}, content {now[:12]}). Use the original file, or measure again"
        raise error("record-changed", message)
    try:
        return replace(_decoded(content), digest=now)
    except (KeyError, TypeError, ValueError) as cause:
        raise error("record-malformed", f"is not a valid record of version {VERSION} ({cause}). Measure again") from cause


def _decoded(content: dict[str, Any]) -> Record:
    for result in content["results"]:
        for row in result["rows"]:
            row["samples"] = [list(itertools.accumulate(taken)) for taken in row["samples"]]
    del content["format"], content["version"]
    record = decode(Record, content)
    if any(not row.n or row.n != row.summary.n for _, row in record.rows()):
        raise ValueError("a row's summary is of another number of samples")
    return record


def _put(target: Path, content: str | None) -> None:
    """Writes content beside its name and moves it there; None only tries to."""
    check_folder(target)
    try:
        scratch = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            with scratch.open("x") as file:
                file.write(content or " ")
                file.flush()
                os.fsync(file.fileno())
            if content is not None:
                scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"{target}: the record cannot be written ({reason}). Give -o a folder that you may write to and that has room"
        raise RecordError(message, code="not-writable", path=str(target)) from error
