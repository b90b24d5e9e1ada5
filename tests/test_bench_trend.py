"""Tables to paste, and the trend over many records."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_bench_compare import MACHINE, beside, record, result, rounds, row

from edgetl.bench import files, paste
from edgetl.bench.judging.trend import trends
from edgetl.bench.record import Record
from edgetl.cli import main
from edgetl.errors import BenchError


def dated(day: int, factor: float = 1.0, count: int = 10, **changed: object) -> Record:
    built = record(result(row(rounds(day, factor=factor, count=count), "predict-file")), created=f"2026-01-{day:02}T00:00:00Z")
    return dataclasses.replace(built, **changed)  # type: ignore[arg-type]  # a test names the fields


def test_a_trend_is_by_date_and_each_point_is_compared_with_the_one_before() -> None:
    days = [dated(3, 1.25, edgetl="0.3"), dated(1, edgetl="0.1"), dated(2, 1.001, edgetl="0.2"), dated(4, 1.25, count=2)]
    named = [(f"{item.created[8:10]}.json", item) for item in days]
    (results,) = trends([*named, named[0]])
    assert (results.configuration, results.scenario, results.machine) == ("onnx-int8 cpu 4 threads", "predict-file", "Desk, 4 cores")
    assert [(point.record, point.edgetl) for point in results.points][:3] == [("01.json", "0.1"), ("02.json", "0.2"), ("03.json", "0.3")]
    assert [point.change and point.change.verdict for point in results.points] == [None, "no change", "slower", "cannot tell"]
    assert [point.p50.interval is None for point in results.points] == [False, False, False, True]
    assert results.points[2].change is not None
    assert results.points[2].change.ratio is not None
    assert results.points[2].change.ratio.value == pytest.approx(1.25, rel=0.03)


def test_machines_have_trends_of_their_own_and_a_busy_one_has_no_verdict() -> None:
    other = dated(2, machine={**MACHINE, "cpu": "Chip 2"})
    more = dataclasses.replace(dated(3), results=(*dated(3).results, result(row(rounds(5), "predict-file"), threads=1)))
    results = trends([("a", dated(1)), ("b", other), ("c", beside(more, 0.6))])
    assert [(item.configuration, [point.record for point in item.points]) for item in results] == [
        ("onnx-int8 cpu 4 threads", ["a", "c"]), ("onnx-int8 cpu 1 thread", ["c"]), ("onnx-int8 cpu 4 threads", ["b"]),
    ]  # fmt: skip
    change = results[0].points[1].change
    assert change is not None
    assert change.cause == "machine-busy"
    with pytest.raises(BenchError) as caught:
        trends([("a", dated(1))], "embed")
    assert (caught.value.code, caught.value.values["available"]) == ("scenario-missing", ["predict-file"])


def files_of(folder: Path) -> list[str]:
    paths = []
    for name, item in (("a", dated(1)), ("b", dated(2, 1.2))):
        files.write(item, folder / f"{name}.json")
        paths.append(str(folder / f"{name}.json"))
    return paths


def test_the_command_shows_a_trend_as_a_table_and_as_json(tmp_path: Path) -> None:
    paths = files_of(tmp_path)
    shown = CliRunner().invoke(main, ["bench", "trend", *paths])
    assert shown.exit_code == 0
    assert [line.split()[:4] for line in shown.output.splitlines()[3:]] == [
        ["2026-01-01", "00:00", "0.1.0", "a.json"], ["2026-01-02", "00:00", "0.1.0", "b.json"],
    ]  # fmt: skip
    assert shown.output.splitlines()[-1].endswith("slower")
    (answer,) = json.loads(CliRunner().invoke(main, ["bench", "trend", *paths, "--json"]).output)
    assert [point["record"] for point in answer["points"]] == ["a.json", "b.json"]
    missing = CliRunner().invoke(main, ["bench", "trend", *paths, "--scenario", "embed"])
    assert missing.exit_code == 1


def wide() -> Record:
    memory = row([[50_000_000]] * 4, "memory", unit="B")
    slow = result(row([[20_000_000] * 400] * 3, "predict-file"), memory, correct="1" * 9 + "0", threads=1)
    fast = result(row([[10_000_000] * 40] * 2, "predict-file"), threads=2)
    mixed = dataclasses.replace(fast, subject=dataclasses.replace(fast.subject, provider="npu", placement="mixed 3/4 operators"))
    return record(slow, mixed)


def test_the_markdown_table_has_format_size_top_1_ms_and_fps_and_no_empty_column() -> None:
    header, rule, *lines = paste.markdown([wide()]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in (header, *lines)]
    assert rule == "| " + " | ".join(["---"] * len(cells[0])) + " |"
    first, second = (dict(zip(cells[0], line)) for line in cells[1:])
    assert (first["threads"], first["ms, p50"], first["FPS"], first["on provider"]) == ("2, npu", "10.000", "100.0", "75 % (3/4)")
    assert (second["ms, p50"], second["ms, p99"], second["FPS"]) == ("20.000 [20.000, 20.000]", "20.000", "50.0")
    assert (second["top-1 %"], second["MB"], second["peak MB"], second["of"]) == ("90.0 (n=10)", "5.0", "50.0", "predict-file")
    assert "machine" not in first, "one machine is no column"
    assert paste.markdown([record()]) == ""


@pytest.mark.parametrize("form", ["--md", "--csv"])
def test_a_record_without_a_latency_is_an_error(tmp_path: Path, form: str) -> None:
    files.write(record(), tmp_path / "empty.json")
    shown = CliRunner().invoke(main, ["bench", "show", str(tmp_path / "empty.json"), form])
    assert (shown.exit_code, shown.output.startswith("error: ")) == (1, True)


def test_the_csv_has_every_column_and_numbers_for_a_spreadsheet(tmp_path: Path) -> None:
    files.write(wide(), tmp_path / "wide.json")
    shown = CliRunner().invoke(main, ["bench", "show", str(tmp_path / "wide.json"), "--csv"])
    first, second = csv.DictReader(io.StringIO(shown.output))
    assert tuple(first) == paste.HEADERS
    assert (float(first["p50 ms"]), first["low ms"], first["processes"]) == (10.0, "", "2")
    assert (float(second["low ms"]), float(second["FPS"]), second["machine"]) == (20.0, 50.0, "Desk")
    again = CliRunner().invoke(main, ["bench", "show", str(tmp_path / "wide.json")])
    assert again.output.startswith("rank  configuration")
    assert CliRunner().invoke(main, ["bench", "show", str(tmp_path / "wide.json"), "--md"]).output.startswith("| format | threads |")
