"""The report: one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import importlib
import io
import re
from types import ModuleType

from PIL import Image

from edgetl.demo.cells import CREDIT
from edgetl.demo.record import DemoRecord, Example
from edgetl.demo.speed import milliseconds
from edgetl.errors import ExportError
from edgetl.session.reports import EvalReport

_SIDE = 224
_NUMBER = re.compile(r"-|\d[\d.,]*(e[-+]\d+)?( (%|MB|ms|s))?|[\d.]+ to [\d.]+")


def check_installed() -> ModuleType:
    """Returns the template library.

    Raises:
        ExportError: it is not installed.
    """
    try:
        return importlib.import_module("jinja2")
    except ImportError as error:
        message = f"the demo's report needs jinja2, which is not installed ({error}); pip install 'edgetl[demo]'"
        raise ExportError(message, code="demo-part-missing", package="jinja2") from error


def render(record: DemoRecord) -> str:
    """The page as text; every number in it is the record's."""
    jinja2 = check_installed()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgetl.demo", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.tests["number"] = lambda cell: _NUMBER.fullmatch(cell) is not None
    page: str = environment.get_template("report.html.j2").render(
        record=record,
        heat=_heat(record.evaluation),
        slowest=max((value for row in record.latencies for value in (row.p50, row.p90, row.p99) if value is not None), default=1.0),
        milliseconds=milliseconds,
        photo=_photo,
        side=_SIDE,
        machine=_machine(record),
        credit=CREDIT,
    )
    return page


def _heat(report: EvalReport) -> list[tuple[str, list[tuple[int, float]]]]:
    """Rows of the confusion matrix: the true class, and per prediction the count and its share of the row."""
    return [(label, [(n, n / max(sum(row), 1)) for n in row]) for label, row in zip(report.labels, report.confusion)]


def _photo(example: Example) -> str:
    """A small copy as a data URI."""
    with Image.open(example.path) as image:
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        content = io.BytesIO()
        image.convert("RGB").save(content, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def _machine(record: DemoRecord) -> list[tuple[str, str]]:
    """What the reader needs to compare, without what could not be read."""
    here = record.machine
    shown = {
        "Board": here["board"],
        "Processor": here["cpu"],
        "Instruction set": here["instruction_set"],
        "Cores used": here["cores"],
        "Memory": here["memory_bytes"] and f"{here['memory_bytes'] / 2**30:.1f} GiB",
        "Governor": here["governor"],
        "Temperature": here["temperature_c"] and f"{here['temperature_c']:.0f} °C",
        "System": here["system"],
        "Python": here["python"],
        "Versions": ", ".join(f"{name} {version}" for name, version in here["libraries"].items()),
        "Variant": f"{record.variant} on {record.library}",
    }
    return [(name, str(value)) for name, value in shown.items() if value]
