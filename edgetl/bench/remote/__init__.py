"""Measures on another machine: copies the bundle, the photos and this edgetl there, runs `edgetl bench`, and brings the record back.

One connection serves it all. The program at its far end (:mod:`edgetl.bench.remote.leash`) kills what it started and removes what it wrote
when the connection ends or falls silent, so that nothing is left on the machine, whatever happens here or on the way. While the bench
measures, that program sleeps, but for one heartbeat in each direction every 10 s.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgetl.bench import files as records
from edgetl.bench.record import Record
from edgetl.bench.remote import wheel
from edgetl.bench.remote.link import Link
from edgetl.bench.remote.target import parse
from edgetl.bench.remote.visit import Cargo, Visit
from edgetl.bundle.bundle import Bundle
from edgetl.errors import RemoteError


def run(
    target: str, bundle: Path, arguments: Sequence[str], *, say: Callable[[str], None], files: Mapping[str, Path] | None = None,
    variants: Sequence[str] | None = None, python: str | None = None, keep: bool = False, patience: float = 30.0,
) -> Record:  # fmt: skip
    """Runs `edgetl bench BUNDLE ARGUMENTS` on another machine.

    After a Ctrl-C or SIGTERM the bench over there is interrupted too, and the record that it writes then, marked as partial, is returned.

    Args:
        target: `ssh://USER@HOST:PORT` (user and port may be left to the person's config) or `adb:SERIAL`.
        bundle: here, a folder or a file.
        arguments: of `edgetl bench` over there, without the bundle, what `files` and `variants` say, and `-o`.
        say: told what happens, as text to be written as it is: line ends included, and what the bench over there writes to standard error.
        files: option -> a file or folder here that is copied there, e.g. `{"-i": Path("photos")}`.
        variants: only these are measured, and only their runtimes are installed; None is every variant.
        python: the interpreter over there, in which nothing is installed; None makes a virtual environment with `python3` for this run.
        keep: leave the folder there, and say where it is.
        patience: so long may either end hear nothing before it takes the connection for lost, s.

    Raises:
        BundleError: the bundle is damaged, or has no such variant.
        RemoteError: the machine cannot be reached, cannot run edgetl, refused to measure, or was lost.
        RecordError: what came back is no record.
        KeyboardInterrupt: Ctrl-C, and there is no record yet; or a second one.
    """
    where = parse(target)
    opened = Bundle.open(bundle)
    chosen = [opened.variant(name) for name in variants or opened.variants]
    cargo = Cargo()
    inside = cargo.take(bundle)
    for option, path in (files or {}).items():
        if not path.exists():
            raise RemoteError(f"{path}: no such file or folder to copy to {target}")
        arguments = [*arguments, option, cargo.take(path)]
    job = {
        "wheel": cargo.put(*wheel.build()),
        "given": python is not None,
        "extras": list(dict.fromkeys(variant.family for variant in chosen if variant.family != "fake")),
        "arguments": [inside, *arguments, *(said for name in variants or () for said in ("--variant", name))],
        "keep": keep,
        "columns": shutil.get_terminal_size().columns if sys.stderr.isatty() else 0,
        "patience": patience,
    }
    with Link(where, python, job) as link:
        visit = Visit(target, link, say)
        visit.bring(cargo)
        content = visit.record()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{target.replace('/', '_')}.json"
        path.write_bytes(content)
        return records.read(path)
