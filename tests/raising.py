"""`pytest.raises` for edgetl's errors: by code and values, never by the wording."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from edgetl.errors import EdgetlError


@contextlib.contextmanager
def raises(kind: type[EdgetlError], code: str | None = None, /, **values: object) -> Iterator[pytest.ExceptionInfo[EdgetlError]]:
    """The block raises this class of error, with this code (None: the class's own) and these values among others."""
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.value.code == (kind.code if code is None else code)
    assert {name: caught.value.values.get(name) for name in values} == values
