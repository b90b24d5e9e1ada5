"""Records on disk: JSON that says when it was changed, samples as differences, written whole or not at all."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shlex
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgetl.bench.decoding import decode
from edgetl.bench.record import Record, Result
from edgetl.bench.statistics import bounded
from edgetl.errors import RecordError
from edgetl.types import digest, to_json

FORMAT = "edgetl-bench"
VERSION = 3
"""3: a percentile of fewer than 3 processes has no interval. 2 is read too; its intervals of fewer processes are left out."""
_OLDEST = 2
LARGEST = 1 << 30
"""Bytes of a record that is read: a full run of fifty configurations has less, and more would not fit into a small machine's memory."""


def encode(record: Record) -> dict[str, Any]:
    """The record as JSON has it, with format, version and digest.

    Samples are the first one of a process and then the difference of each to the one before, in the order in which they were taken:
    `itertools.accumulate` or `numpy.cumsum` gives them back. `digest` is the sha256 of everything else, as canonical JSON.
    """
    content = to_json(record)
    del content["digest"]
    for result in content["results"]:
        for row in result["rows"]:
            row["samples"] = [_differences(taken) for taken in row["samples"]]
    said = {"format": FORMAT, "version": VERSION, **content}
    return {**said, "digest": digest(said)}


def write(record: Record, path: str | os.PathLike[str]) -> None:
    """Writes the record: the whole file appears under its name, or none of it does.

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
        raise RecordError(f"{target}: is no file that a record could replace; give -o a file's name, such as {target.name or 'bench'}.json")
    _put(target, None)


def check_folder(target: Path) -> None:
    """A folder that does not exist is not made: a wrong path would make one where nobody looks, at worst at the root of the disk.

    Raises:
        RecordError: there is none.
    """
    if not target.parent.exists():
        raise RecordError(f"{target}: there is no folder {target.parent}; make it first: mkdir -p {shlex.quote(str(target.parent))}")


def rescue(record: Record) -> Path:
    """Writes a record that could not be written where it should into the folder for temporary files, and returns where it is.

    Raises:
        RecordError: nor can it be written there.
    """
    path = Path(tempfile.gettempdir()) / f"edgetl-bench-{secrets.token_hex(4)}.json"
    write(record, path)
    return path


def read(path: str | os.PathLike[str]) -> Record:
    """Reads a record that :func:`write` wrote.

    Raises:
        RecordError: the file is missing, too large, no record, of another version, or was changed after it was written.
    """
    name = os.fspath(path)
    try:
        if (size := Path(path).stat().st_size) > LARGEST:
            raise RecordError(f"{name}: has {size / 1e9:.1f} GB, a record less than {LARGEST / 1e9:.1f}: is it one?")
        said = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise RecordError(f"{name}: cannot be read ({error.strerror}); edgetl bench BUNDLE -o {name} makes a record") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{name}: is no JSON ({error}), so no bench record; was it cut short on its way here?") from error
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        found = repr(said.get("format"))[:40] if isinstance(said, dict) else None
        raise RecordError(f"{name}: is not a bench record: its format is {found}, not {FORMAT!r}")
    kept = _check_version(name, said.pop("version", None), said)
    try:
        for result in said["results"]:
            for row in result["rows"]:
                row["samples"] = [list(itertools.accumulate(taken)) for taken in row["samples"]]
        del said["format"]
        record = decode(Record, said)
        if any(not row.n or row.n != row.summary.n for _, row in record.rows()):
            raise ValueError("a row's summary is of another number of samples")
        return replace(record, digest=kept, results=tuple(_bounded(result) for result in record.results))
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{name}: does not hold what a record of version {VERSION} holds ({error}); measure again") from error


def _bounded(result: Result) -> Result:
    """As this version sums samples up, whichever wrote them."""
    rows = [replace(row, summary=bounded(row.summary, len(row.samples), min(map(min, row.samples)))) for row in result.rows]
    return replace(result, rows=tuple(rows))


def _check_version(name: str, version: object, said: dict[str, Any]) -> str:
    """Refuses what this edgetl cannot read, and what is not as it was written; returns the digest."""
    if type(version) is int and version > VERSION:
        raise RecordError(f"{name}: a record of version {version}; this edgetl reads up to {VERSION}: pip install --upgrade edgetl")
    if version == 1:
        raise RecordError(f"{name}: a record of version 1, which keeps no rounds apart and cannot be compared; measure again")
    if type(version) is not int or not _OLDEST <= version <= VERSION:
        raise RecordError(f"{name}: a record of version {str(version)[:40]!r}, expected {_OLDEST} to {VERSION}; measure again")
    kept, now = said.pop("digest", None), digest({**said, "version": version})
    if kept != now:
        raise RecordError(
            f"{name}: was changed after it was written: its digest is {str(kept)[:12]}, its content's {now[:12]}; "
            "use the file as the bench wrote it, or measure again"
        )
    return now


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
        said = error.strerror if isinstance(error, OSError) else error
        raise RecordError(f"{target}: the record cannot be written ({said}); give -o a folder with room that is yours") from error


def _differences(taken: list[int]) -> list[int]:
    return [after - before for before, after in itertools.pairwise([0, *taken])]
