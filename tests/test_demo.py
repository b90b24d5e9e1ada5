"""The demo: its photos, its steps on the shipped fake bundle, and a report that shows the record's numbers and needs nothing but itself."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from edgetl import Prediction, Proportion, bench, demo, machine
from edgetl.demo import cells, console, report, speed
from edgetl.demo.record import DemoRecord, Example, Figure, Latency, Step, merged, subset
from edgetl.errors import EdgetlError, ExportError, PhotoError
from edgetl.runtimes import fake
from edgetl.session.reports import EvalReport
from edgetl.tables import render

ROOT = Path(__file__).parent.parent
TRAINED, HELD_OUT = 40, 15
"""Photos of each of the four classes."""


class Page(HTMLParser):
    """A parsed page: its tags with attributes, its visible text, its styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.style, self._inside = "", "", ""
        self.feed(text)
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self._inside = tag
        self.text += "\n"

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.style += data
        else:
            self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


@dataclasses.dataclass(frozen=True)
class Ran:
    folder: Path
    page: Page
    record: dict[str, Any]
    screen: str

    def step(self, name: str) -> dict[str, Any]:
        return next(step for step in self.record["steps"] if step["name"] == name)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One quick demo with few photos on the fake bundle, into the folder of an earlier one."""
    root = tmp_path_factory.mktemp("demo")
    bundle = fake.write_bundle(str(root / "fake.edgetl"), cells.cells()[0].path.read_bytes()).path
    folder = root / "demo"
    for name in ("made-by-edgetl-demo.txt", "cells.db", "photos/mono/train/mono functional/old.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("from an earlier demo")
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        brief = dataclasses.replace(demo.QUICK.bench, queries=20, seconds=0.1, window=4, warm_up_seconds=0.1)
        patch.setattr(demo, "QUICK", dataclasses.replace(demo.QUICK, train=TRAINED, held_out=HELD_OUT, bench=brief))
        patch.setattr(speed, "SCENARIOS", speed.SCENARIOS[:2])  # loads in fresh processes: the slow test has them
        page = demo.run(folder, quick=True, bundle=bundle, echo=lines.append)
    return Ran(folder, Page(page.read_text("utf-8")), json.loads((folder / "record.json").read_text("utf-8")), "\n".join(lines))


def test_the_page_loads_nothing_and_runs_nothing(ran: Ran):
    assert ran.page.all("img"), "the report has no photos"
    assert all(str(image["src"]).startswith("data:image/") for image in ran.page.all("img"))
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in ran.page.tags}
    for tag, attributes in ran.page.tags:
        assert not {name for name in attributes if name.startswith("on") or name in ("srcset", "action", "data", "xlink:href")}, tag
    assert "url(" not in ran.page.style
    assert "@import" not in ran.page.style
    assert "http" not in (ran.folder / "report.html").read_text("utf-8")


def test_the_screen_has_one_table_and_at_most_three_sentences_per_step(ran: Ran):
    for step in ran.record["steps"]:
        columns = step["columns"]
        assert render(step["headers"][:columns], [row[:columns] for row in step["rows"]]) in ran.screen
        assert " ".join(step["words"].split()) in " ".join(ran.screen.split())
        assert len(re.findall(r"[.!?](?= |$)", step["words"])) <= 3, step["words"]
        assert not step["details"] or step["details"] not in " ".join(ran.screen.split())


def test_the_screen_fits_80_columns_without_verbose(ran: Ran):
    lines = [line.replace(str(ran.folder.parent), "") for line in ran.screen.splitlines()]
    assert [line for line in lines if len(line) > 80] == []


def test_verbose_shows_the_details_and_every_column(ran: Ran):
    lines: list[str] = []
    for step in made_up().steps:
        console.show(step, 1, lines.append, verbose=True)
        assert f"{step.words} {step.details}" in "\n".join(lines)
        assert render(step.headers, step.rows) in lines


def test_every_number_of_the_record_stands_on_the_page(ran: Ran):
    for step in ran.record["steps"]:
        assert " ".join(step["words"].split()) in ran.page.text
        assert " ".join(step["details"].split()) in ran.page.text
        assert all(cell in ran.page.text for row in step["rows"] for cell in row)
        assert f"{step['seconds']:.1f} s" in ran.page.text
    for figure in ran.record["figures"]:
        assert f"{figure['value']} {figure['name']} {figure['detail']}" in ran.page.text
    for row in ran.record["evaluation"]["confusion"]:
        shares = " ".join(f"{n} {100 * n / sum(row):.0f} %" for n in row)
        assert shares in ran.page.text
    for example in ran.record["examples"]:
        assert f"{example['prediction']['label']} {example['prediction']['probability']:.2f}" in ran.page.text
    for version in ran.record["machine"]["libraries"].values():
        assert version in ran.page.text


def test_the_page_can_be_read_by_a_screen_reader_and_on_a_phone(ran: Ran):
    assert all(header.get("scope") in ("col", "row") for header in ran.page.all("th"))
    assert all(image.get("alt") for image in ran.page.all("img"))
    assert all(drawing.get("aria-label") for drawing in ran.page.all("svg"))
    assert len(ran.page.all("caption")) == len(ran.page.all("table"))
    assert ran.page.all("html") == [{"lang": "en"}]
    assert any(meta.get("name") == "viewport" for meta in ran.page.all("meta"))
    assert "prefers-color-scheme: dark" in ran.page.style


def test_new_classes_cost_the_backbone_passes_of_their_own_photos(ran: Ran):
    photos = {path.name: len(list(path.iterdir())) for path in ran.folder.glob("photos/*/train/*")}
    assert photos == {f"{kind} {state}": TRAINED for kind in ("mono", "poly") for state in ("functional", "defective")}
    assert ran.step("train")["values"] == {"photos": 2 * TRAINED, "passes": 2 * TRAINED, "training_passes": 0}
    values = ran.step("extend")["values"]
    assert (values["old"], values["old_passes"], values["training_passes"]) == (2 * TRAINED, 0, 0)
    assert values["added"] == {f"poly {state}": [TRAINED, TRAINED] for state in ("functional", "defective")}
    assert [(int(count), int(passes)) for _, count, passes in ran.step("extend")["rows"]] == [
        (2 * TRAINED, 0), (TRAINED, TRAINED), (TRAINED, TRAINED), (4 * TRAINED, 0)
    ]  # fmt: skip


def test_a_forgotten_class_leaves_nothing_and_the_rollback_brings_its_head_back(ran: Ran):
    values = ran.step("forget")["values"]
    assert (values["removed"], values["remaining"], values["passes"], values["traces"]) == (TRAINED, 3 * TRAINED, 0, 0)
    assert values["compared"] == 4 * TRAINED
    assert values["difference"] <= 1e-5 * values["scale"]
    heads = ran.step("rollback")["rows"]
    assert [(row[0], row[3], row[4]) for row in heads] == [
        ("", "2", str(2 * TRAINED)),
        ("active", "4", str(4 * TRAINED)),
        ("", "3", str(3 * TRAINED)),
    ]
    assert ran.step("rollback")["values"]["same"]


def test_an_earlier_demo_is_replaced(ran: Ran):
    assert not list(ran.folder.rglob("old.png"))


def test_no_photo_is_both_trained_on_and_held_out(ran: Ran):
    train, held_out = (
        {hashlib.sha256(path.read_bytes()).digest() for path in ran.folder.glob(f"photos/*/{part}/*/*.png")}
        for part in ("train", "held-out")
    )
    assert len(train) == 4 * TRAINED
    assert len(held_out) == 4 * HELD_OUT
    assert not train & held_out


def test_the_split_takes_the_same_share_of_every_class_and_repeats():
    everything = cells.cells()
    assert len(everything) == 2624
    train, held_out = cells.split(everything, lambda cell: cell.label, seed=3)
    assert Counter(train) + Counter(held_out) == Counter(everything)
    for label, n in Counter(cell.label for cell in everything).items():
        assert abs(sum(cell.label == label for cell in train) - 0.75 * n) <= 0.5
    assert (train, held_out) == cells.split(everything, lambda cell: cell.label, seed=3)
    assert train != cells.split(everything, lambda cell: cell.label, seed=4)[0]


def test_labels_follow_the_experts_probability():
    counts = Counter((cell.kind, cell.probability, cell.state) for cell in cells.cells())
    assert counts["mono", 0.0, "functional"] == 588
    assert counts["mono", 1.0, "defective"] == 313
    assert counts["poly", 0.0, "functional"] == 920
    assert counts["poly", 1.0, "defective"] == 402
    assert {state for (_, probability, state) in counts if probability > 0.5} == {"defective"}
    assert sum(cell.certain for cell in cells.cells()) == 588 + 313 + 920 + 402


def test_a_folder_that_is_no_demo_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError) as caught:
        demo.run(tmp_path, quick=True)
    assert (caught.value.code, caught.value.values) == ("target-exists", {"path": str(tmp_path)})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(("package", "error"), [("elpv_dataset", PhotoError), ("jinja2", ExportError), ("edgetl_exporters", ExportError)])
def test_a_missing_package_is_named(package: str, error: type[EdgetlError], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(error) as caught:
        demo.run(tmp_path / "demo", quick=True)
    assert (caught.value.code, caught.value.values) == ("demo-part-missing", {"package": package})


def made_up() -> DemoRecord:
    confusion = ((8, 1, 1, 0, 0), (2, 18, 0, 0, 0), (0, 0, 3, 2, 0), (0, 1, 3, 5, 1))
    labels = ("mono defective", "mono functional", "poly defective", "poly functional")
    per_class = {label: Proportion(row[i], sum(row)) for i, (label, row) in enumerate(zip(labels, confusion))}
    evaluation = EvalReport(
        accuracy=Proportion(34, 45), per_class=per_class, wrong=Proportion(10, 45), rejected=Proportion(1, 45),
        best_guess=Proportion(34, 45), unknown_rejected=Proportion(0, 0), labels=labels, confusion=confusion, failed=(),
        stored=0, untrained={},
    )  # fmt: skip
    step = Step("bench", "<b>bold</b>", "words & <script>alert(1)</script>", "more <words>", ("a", "b"), (("x", "1.5 ms"),), 1.25, {}, 1)
    latency = Latency("tflite-int8", "a library 1", 2, 5.5, None, None, 9, None, None, None)
    example = Example(str(cells.cells()[0].path), "<i>mono</i>", Prediction("poly", 0.5, (("poly", 0.5),)))
    return DemoRecord("edgetl demo", demo.QUICK, "net", "tflite-int8", "a library 1", (Figure("1", "one", "n 1"),), (step,), evaluation,
                  (latency,), (example,), machine.describe(), 3.0)  # fmt: skip


def test_text_from_outside_stays_text():
    html = report.render(made_up())
    assert "<script" not in html
    assert "<b>bold" not in html
    assert "<i>mono" not in html
    assert "words & <script>alert(1)</script> more <words>" in Page(html).text


def test_a_latency_without_enough_samples_draws_what_there_is():
    bars = Page(report.render(made_up())).all("rect")
    assert [bar["width"] for bar in bars] == ["100.00"]


def test_a_bench_that_was_interrupted_shows_what_was_measured_and_why(tmp_path: Path):
    bundle = fake.write_bundle(str(tmp_path / "fake.edgetl"), cells.cells()[0].path.read_bytes())
    record = bench.read(next((ROOT / "device_tests" / "reference").glob("bench-aarch64-*.json")))
    cold = [dataclasses.replace(result, rows=tuple(row for row in result.rows if row.scenario == "cold-load")) for result in record.results]
    partial = dataclasses.replace(record, results=tuple(cold), ended="interrupted by SIGINT in process 2 of 6")
    step = speed.step(partial, bundle, 1.0)
    assert step.rows == ()
    assert step.values["ended"] == partial.ended
    assert partial.ended in step.words


def test_a_load_that_was_warm_is_not_called_cold_and_a_reason_is_given_once(tmp_path: Path):
    bundle = fake.write_bundle(str(tmp_path / "fake.edgetl"), cells.cells()[0].path.read_bytes())
    record = bench.read(next((ROOT / "device_tests" / "reference").glob("bench-aarch64-*.json")))
    (result,) = record.results
    warm = tuple(row for row in result.rows if row.scenario != "cold-load")
    result = dataclasses.replace(result, subject=dataclasses.replace(result.subject, variant="fake-fp32"), rows=warm)
    stays = tuple(bench.Skipped(f"{variant}: cold-load", "its files stay") for variant in ("a", "b"))
    step = speed.step(dataclasses.replace(record, results=(result,), skipped=stays), bundle, 1.0)
    (row,) = step.rows
    shown = dict(zip(step.headers, row))
    assert shown["cold load"] == "-"
    assert shown["load"].endswith("ms")
    assert step.values["unmeasured"] == {"its files stay": "a: cold-load, b: cold-load"}
    assert step.details.count("its files stay") == 1


def test_old_new_and_merged_accuracies_are_sums_of_the_confusion_matrix():
    evaluation = made_up().evaluation
    assert subset(evaluation, "mono") == Proportion(8 + 18, 30)
    assert subset(evaluation, "poly") == Proportion(3 + 5, 15)
    assert merged(evaluation) == Proportion(8 + 1 + 18 + 0 + 3 + 0 + 1 + 5, 45)


@pytest.mark.slow
def test_the_quick_demo_exports_a_real_backbone_and_learns_from_it(tmp_path: Path):
    folder = tmp_path / "demo"
    done = subprocess.run([Path(sys.executable).parent / "edgetl", "demo", "--quick", "-o", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads((folder / "record.json").read_text("utf-8"))
    assert [step["name"] for step in record["steps"]] == [
        "export", "train", "evaluate", "extend", "compare", "forget", "rollback", "bench",
    ]  # fmt: skip
    assert [row[0] for row in record["steps"][0]["rows"]] == ["tflite-fp32", "tflite-int8"]
    assert [row["variant"] for row in record["latencies"]] == ["tflite-fp32", "tflite-int8"]
    assert record["variant"] == "tflite-int8"
    assert all(row["warm_load"] for row in record["latencies"])
    assert record["evaluation"]["accuracy"]["interval"][0] > 0.6, "four classes: chance is a quarter"
    assert "report.html" in done.stdout


@pytest.mark.slow
def test_the_accuracy_tool_compares_both_sides_on_five_splits(tmp_path: Path):
    bundle = fake.write_bundle(str(tmp_path / "fake.edgetl"), cells.cells()[0].path.read_bytes()).path
    command = [sys.executable, ROOT / "tools" / "elpv_accuracy", "--bundle", bundle, "--variant", "fake-fp32"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("fake-fp32")]
    assert [row[1] for row in rows] == ["0", "1", "2", "3", "4", "mean"]
    assert all(row.count("656") == 2 for row in rows[:5])
