"""A record as one table to paste: Markdown for a README, CSV for a spreadsheet; a line per configuration."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from edgetl.bench.record import Record

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
        scenario: whose latency; None is the most telling one of each configuration.
    """
    pairs = [(result, result.row(scenario) if scenario else result.headline) for result in record.results]
    timed = [(result, row) for result, row in pairs if row is not None and row.unit == "ns"]
    timed.sort(key=lambda pair: (pair[1].kind != "measured", pair[1].p50.value))
    machine = str(record.machine.get("board") or record.machine.get("cpu") or "")
    lines = []
    for result, row in timed:
        subject, ends, p99, memory = result.subject, row.p50.interval, row.summary.p99, result.row("memory")
        top1 = result.accuracy.top1 if result.accuracy else None
        cells = (
            machine, subject.backbone, _FORMATS.get(subject.family, subject.family), subject.precision, subject.provider, subject.threads,
            f"{subject.size / 1e6:.1f}", f"{100 * top1.value:.1f}" if top1 else "", top1.n if top1 else "", row.scenario, row.kind,
            _ms(row.p50.value), _ms(ends[0]) if ends else "", _ms(ends[1]) if ends else "", _ms(p99.value) if p99 else "",
            f"{1e9 / row.p50.value:.1f}" if row.p50.value else "", row.n, len(row.samples), subject.share,
            f"{memory.summary.max.value / 1e6:.1f}" if memory else "",
        )  # fmt: skip
        lines.append(dict(zip(HEADERS, map(str, cells))))
    return lines


def markdown(records: Sequence[Record], scenario: str | None = None) -> str:
    """Format, size, top-1, ms and FPS of every configuration; columns that nothing fills are left out."""
    lines = [line for record in records for line in rows(record, scenario)]
    cells = [
        {
            "machine": line["machine"] if len({other["machine"] for other in lines}) > 1 else "",
            "format": f"{line['format']} {line['precision']}",
            "threads": f"{line['threads']}" + ("" if line["provider"] in ("cpu", "xnnpack") else f", {line['provider']}"),
            "MB": line["MB"],
            "top-1 %": f"{line['top-1 %']} (n={line['top-1 n']})" if line["top-1 %"] else "",
            "ms, p50": line["p50 ms"] + (f" [{line['low ms']}, {line['high ms']}]" if line["low ms"] else ""),
            "ms, p99": line["p99 ms"],
            "FPS": line["FPS"],
            "n": line["n"],
            "of": line["scenario"] + ("" if line["kind"] == "measured" else f", {line['kind']}"),
            "on provider": line["on provider"] if line["on provider"] != "100 %" else "",
            "peak MB": line["peak MB"],
        }
        for line in lines
    ]
    headers = [name for name in (cells[0] if cells else {}) if any(line[name] for line in cells)]
    table = [headers, ["---"] * len(headers), *([line[name].replace("|", "\\|") for name in headers] for line in cells)]
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
