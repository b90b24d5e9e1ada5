"""Silences the converters, which print on stdout, stderr, logging and warnings, some of them from C++."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import BinaryIO


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Holds back everything this process prints; after an error it is printed on stderr, because it may explain the error.

    The file descriptors belong to the whole process, so nothing else may print meanwhile; progress is reported between such blocks.
    """
    disabled = logging.root.manager.disable
    printed = io.StringIO()  # never closed: absl keeps the stream it finds at its import
    with tempfile.TemporaryFile() as held, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            with _into(held), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                yield
        except BaseException:
            held.seek(0)
            sys.stderr.write((held.read().decode(errors="replace") + printed.getvalue())[-4000:])
            raise
        finally:
            logging.disable(disabled)


@contextlib.contextmanager
def _into(target: BinaryIO) -> Iterator[None]:
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    for descriptor in kept:
        os.dup2(target.fileno(), descriptor)
    try:
        yield
    finally:
        for descriptor, saved in kept.items():
            os.dup2(saved, descriptor)
            os.close(saved)
