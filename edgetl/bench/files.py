"""Records on disk: JSON that says when it was changed, samples as differences, written whole or not at all."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgetl.bench.job import accuracy
from edgetl.bench.method import Method
from edgetl.bench.record import Minute, Record, Result, Round, Row, Skipped, Subject
from edgetl.bench.statistics import Estimate, Summary
from edgetl.errors import RecordError
from edgetl.types import digest, to_json

FORMAT = "edgetl-bench"
VERSION = 2


def write(record: Record, path: str | os.PathLike[str]) -> None:
    """Writes the record as JSON: the whole file appears under its name, or none of it does.

    Samples are the first one of a process and then the difference of each to the one before, in the order in which they were taken:
    `itertools.accumulate` or `numpy.cumsum` gives them back. `digest` is the sha256 of everything else, as canonical JSON.

    Raises:
        RecordError: it cannot be written there.
    """
    target = Path(path)
    content = to_json(record)
    for result in content["results"]:
        for row in result["rows"]:
            row["samples"] = [_differences(taken) for taken in row["samples"]]
    said = {"format": FORMAT, "version": VERSION, **content}
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("x") as file:
            json.dump({**said, "digest": digest(said)}, file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)
    except OSError as error:
        raise RecordError(f"{target}: the record cannot be written ({error.strerror}); give -o a folder with room that is yours") from error
    finally:
        scratch.unlink(missing_ok=True)


def read(path: str | os.PathLike[str]) -> Record:
    """Reads a record that :func:`write` wrote.

    Raises:
        RecordError: the file is missing, no record, of another version, or was changed after it was written.
    """
    name = os.fspath(path)
    try:
        said = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise RecordError(f"{name}: cannot be read ({error.strerror}); edgetl bench BUNDLE -o {name} makes a record") from error
    except ValueError as error:
        raise RecordError(f"{name}: is no JSON ({error}), so no bench record; was it cut short on its way here?") from error
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise RecordError(
            f"{name}: is no bench record: its format is {said.get('format') if isinstance(said, dict) else None!r}, not {FORMAT!r}"
        )
    _check_version(name, said.get("version"))
    kept = said.pop("digest", None)
    if kept != digest(said):
        raise RecordError(
            f"{name}: was changed after it was written: its digest is {str(kept)[:12]}, its content's {digest(said)[:12]}; "
            "use the file as the bench wrote it, or measure again"
        )
    try:
        return _record(said)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{name}: does not hold what a record of version {VERSION} holds ({error!r}); measure again") from error


def _check_version(name: str, version: object) -> None:
    if isinstance(version, int) and version > VERSION:
        raise RecordError(f"{name}: a record of version {version}; this edgetl reads up to {VERSION}: pip install --upgrade edgetl")
    if version != VERSION:
        raise RecordError(f"{name}: a record of version {version}, which keeps no rounds apart and cannot be compared; measure again")


def _record(said: Mapping[str, Any]) -> Record:
    return Record(
        **{name: said[name] for name in ("created", "ended", "edgetl", "machine", "bundle", "photos")},
        method=Method(**said["method"]),
        overhead=_summary(said["overhead"]) if said["overhead"] else None,
        results=tuple(_result(one) for one in said["results"]),
        rounds=tuple(Round(**one) for one in said["rounds"]),
        skipped=tuple(Skipped(**one) for one in said["skipped"]),
        warnings=tuple(said["warnings"]),
    )


def _result(said: Mapping[str, Any]) -> Result:
    return Result(Subject(**said["subject"]), accuracy(said["accuracy"]), tuple(_row(one) for one in said["rows"]))


def _row(said: Mapping[str, Any]) -> Row:
    samples = tuple(tuple(itertools.accumulate(taken)) for taken in said["samples"])
    minutes = tuple(Minute(**minute) for minute in said["minutes"])
    return Row(**{**said, "samples": samples, "minutes": minutes, "summary": _summary(said["summary"])})


def _summary(said: Mapping[str, Any]) -> Summary:
    return Summary(said["n"], *(Estimate(**said[name]) if said[name] else None for name in ("p50", "p90", "p99", "max")))  # type: ignore[arg-type]  # p50 and max are always there


def _differences(taken: list[int]) -> list[int]:
    return [after - before for before, after in itertools.pairwise([0, *taken])]
