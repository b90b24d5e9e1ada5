"""Errors of files: every message begins with the file's name, and the values hold it as `path`."""

from __future__ import annotations

import os
from typing import Any

from edgetl.errors import ExportError


def file_error(path: str | os.PathLike[str], message: str, *, code: str, **values: Any) -> ExportError:
    """The error of a file.

    Args:
        path: the file, or its name.
        message: without the name.
        code: stable, kebab-case.
        values: for programs; JSON-able.
    """
    return ExportError(f"{os.fspath(path)}: {message}", code=code, path=os.fspath(path), **values)
