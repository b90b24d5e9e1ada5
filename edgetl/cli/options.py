"""Options and arguments that several verbs share."""

from __future__ import annotations

import functools
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from edgetl.classifier import Classifier
from edgetl.inputs.photo.folders import Progress

Verb = TypeVar("Verb", bound=Callable[..., Any])


def options(*options: Callable[[Any], Any]) -> Callable[[Verb], Verb]:
    """Several options as one decorator."""
    return lambda verb: functools.reduce(lambda decorated, option: option(decorated), reversed(options), verb)


BUNDLE = click.option("-m", "--bundle", required=True, envvar="EDGETL_BUNDLE", type=click.Path(), help="The bundle (or EDGETL_BUNDLE).")
STORE = click.option("-s", "--store", required=True, envvar="EDGETL_STORE", type=click.Path(), help="The store (or EDGETL_STORE).")
MODEL = options(
    BUNDLE,
    STORE,
    click.option("--runtime", help="litert, onnxruntime or openvino (or EDGETL_RUNTIME); an error if it does not work here."),
    click.option("--variant", help="A variant of the bundle, e.g. tflite-int8; an error if it does not work here."),
    click.option("-t", "--threads", type=click.IntRange(1), help="Threads of the runtime; default: every core, at most 4."),
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def _verbose(ctx: click.Context, option: click.Parameter, value: bool) -> bool:
    """Without -v only warnings of the log are printed, not which runtime was chosen."""
    logging.getLogger("edgetl").setLevel(logging.INFO if value else logging.WARNING)
    return value


VERBOSE = click.option("-v", "--verbose", is_flag=True, callback=_verbose, help="Print everything.")
PHOTOS = click.argument("photos", nargs=-1, required=True, type=click.Path())


@contextmanager
def opened(model: dict[str, Any], *, read_only: bool = False) -> Iterator[Classifier]:
    """The classifier that the options of MODEL name."""
    with _without_library_notes():
        classifier = Classifier.open(**model, read_only=read_only)
    with classifier:
        yield classifier


@contextmanager
def _without_library_notes() -> Iterator[None]:
    """Keeps lines that begin with `INFO:` off stderr: LiteRT writes one whenever it opens a model, and has no switch for it."""
    with tempfile.TemporaryFile() as notes:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            notes.seek(0)
            os.write(2, b"".join(line for line in notes if not line.startswith(b"INFO:")))


@contextmanager
def progress_bar(label: str, *, drawn: bool = True) -> Iterator[Progress]:
    """A bar on stderr, drawn from the first call on; nothing if stderr is not a terminal, or unless `drawn`."""
    if not (drawn and sys.stderr.isatty()):
        yield lambda done, total: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = max(total, done, 1)
            bar.update(done - bar.pos)

        yield advance


def files(path: Path) -> Sequence[Path]:
    """The photos of a folder, or the one file."""
    from edgetl.inputs.photo.folders import photos_in

    return photos_in(path)[0] if path.is_dir() else [path]


def required(value: str | None, name: str) -> str:
    """A value that may be given in two ways, one of which must be used."""
    if value is None:
        raise click.UsageError(f"Missing argument '{name}'.")
    return value
