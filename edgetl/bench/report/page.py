"""The page itself: records in, HTML out."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgetl.bench import method
from edgetl.bench.files import check_folder
from edgetl.bench.record import Record
from edgetl.bench.report import facts, numbers, view
from edgetl.errors import BenchError
from edgetl.stats import Proportion


def render(records: Sequence[tuple[str, Record]]) -> str:
    """The page as text; the same records give the same text.

    Args:
        records: a name, e.g. its file's, and the record; in the order in which they are shown.

    Raises:
        BenchError: there is no record, or the libraries that draw and write the page are not installed.
    """
    if not records:
        raise BenchError("there is no record to report; edgetl bench BUNDLE -o bench.json makes one")
    jinja2 = _installed()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgetl.bench.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    sections = [view.section(number, name, record) for number, (name, record) in enumerate(records, 1)]
    differ, agree = facts.compared([record for _, record in records])
    page: str = environment.get_template("report.html.j2").render(
        sections=sections,
        beside=view.beside(sections) if len(sections) > 1 else [],
        trend=view.trend(sections),
        differ=differ,
        agree=agree,
        first=facts.FIRST,
        words=method.words,
        digits=numbers.digits,
        proportion=_proportion,
        megabytes=lambda size: numbers.digits(size / 1e6),
    )
    return page


def write(records: Sequence[tuple[str, Record]], path: str | os.PathLike[str]) -> None:
    """Writes the page.

    Raises:
        BenchError: as :func:`render`, or the file cannot be written.
    """
    check_folder(Path(path))
    page = render(records)
    try:
        Path(path).write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise BenchError(
            f"{os.fspath(path)}: the report cannot be written ({error.strerror}); give -o a folder with room that is yours"
        ) from error


def _installed() -> Any:
    """The template library; matplotlib is there too."""
    try:
        importlib.import_module("matplotlib")
        return importlib.import_module("jinja2")
    except ImportError as error:
        raise BenchError(
            f"the report needs matplotlib and jinja2, and one is not installed ({error}); pip install 'edgetl[report]'"
        ) from error


def _proportion(share: Proportion) -> str:
    low, high = share.interval
    return f"{100 * low:.1f}, {100 * high:.1f}"
