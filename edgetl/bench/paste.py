"""A record as one table to paste: Markdown for a README, CSV for a spreadsheet; a line per configuration."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from edgetl.bench.record import Record, Result
from edgetl.bench.screen import most_telling

HEADERS = (
    "machine", "backbone", "format", "precision", "provider", "threads", "MB", "top-1 %", "top-1 n", "scenario", "kind", "p50 ms", "low ms",
    "high ms", "p99 ms", "FPS", "n", "processes", "on provider", "peak MB",
)  # fmt: skip
"""Of the CSV. FPS is 1 / p50: queries one after the other."""
_FORMATS = {"onnxruntime": "ONNX", "litert": "TFLite", "openvino": "OpenVINO"}


def rows(record: Record, scenario: str | None = None) -> list[dict[str, str]]:
    """A line per configuration, header -> text; measured ones first, the fastest first.

    Args:
        record: what was measured.
        scenario: whose latency; None is the one that says most of each configuration.
    """
    found = [(result, result.row(scenario) if scenario else most_telling(result)) for result in record.results]
    timed = [(result, row) for result, row in found if row is not None and row.unit == "ns"]
    timed.sort(key=lambda pair: (pair[1].kind != "measured", pair[1].p50.value))
    machine = str(record.machine.get("board") or record.machine.get("cpu") or "")
    made = []
    for result, row in timed:
        subject, ends, p99 = result.subject, row.p50.interval, row.summary.p99
        top1 = result.accuracy.top1 if result.accuracy else None
        cells = (
            machine, subject.backbone, _FORMATS.get(subject.family, subject.family), subject.precision, subject.provider, subject.threads,
            f"{subject.size / 1e6:.1f}", f"{100 * top1.value:.1f}" if top1 else "", top1.n if top1 else "", row.scenario, row.kind,
            _ms(row.p50.value), _ms(ends[0]) if ends else "", _ms(ends[1]) if ends else "", _ms(p99.value) if p99 else "",
            f"{1e9 / row.p50.value:.1f}" if row.p50.value else "", row.n, len(row.samples), subject.share, _peak(result),
        )  # fmt: skip
        made.append(dict(zip(HEADERS, map(str, cells))))
    return made


def markdown(records: Sequence[Record], scenario: str | None = None) -> str:
    """Format, size, top-1, ms and FPS of every configuration; columns that nothing fills are left out."""
    lines = [line for record in records for line in rows(record, scenario)]
    cells = [
        {
            "machine": one["machine"] if len({line["machine"] for line in lines}) > 1 else "",
            "format": f"{one['format']} {one['precision']}",
            "threads": f"{one['threads']}" + ("" if one["provider"] in ("cpu", "xnnpack") else f", {one['provider']}"),
            "MB": one["MB"],
            "top-1 %": f"{one['top-1 %']} (n={one['top-1 n']})" if one["top-1 %"] else "",
            "ms, p50": one["p50 ms"] + (f" [{one['low ms']}, {one['high ms']}]" if one["low ms"] else ""),
            "ms, p99": one["p99 ms"],
            "FPS": one["FPS"],
            "n": one["n"],
            "of": one["scenario"] + ("" if one["kind"] == "measured" else f", {one['kind']}"),
            "on provider": one["on provider"] if one["on provider"] != "100 %" else "",
            "peak MB": one["peak MB"],
        }
        for one in lines
    ]
    headers = [name for name in (cells[0] if cells else {}) if any(one[name] for one in cells)]
    table = [headers, ["---"] * len(headers), *([one[name].replace("|", "\\|") for name in headers] for one in cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in table) if headers else ""


def separated(records: Sequence[Record], scenario: str | None = None) -> str:
    """Comma-separated values (RFC 4180) with every column of HEADERS; milliseconds with a point, without thousands."""
    content = io.StringIO()
    writer = csv.DictWriter(content, HEADERS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerows(rows(record, scenario))
    return content.getvalue().rstrip("\n")


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3f}"


def _peak(result: Result) -> str:
    memory = result.row("memory")
    return f"{memory.summary.max.value / 1e6:.1f}" if memory else ""
