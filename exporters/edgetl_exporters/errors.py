"""Errors of files: every message begins with the file's name, and the values hold it as `path`."""

from __future__ import annotations

import os
from typing import Any

from edgetl.errors import ExportError


def file_error(path: str | os.PathLike[str], code: str, message: str, **values: Any) -> ExportError:
    """The error of a file.

    Args:
        path: the file, or its name.
        code: stable, kebab-case.
        message: without the name.
        values: for programs; JSON-able.
    """
    return ExportError(f"{os.fspath(path)}: {message}", code=code, path=os.fspath(path), **values)
