"""The report of bench records: what is on the page, where it came from, and how it looks in a real browser."""

from __future__ import annotations

import dataclasses
import html
import json
import os
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import browser as chromium
import debian
import sysroot

from edgetl.bench import files, report
from edgetl.bench.method import QUICK
from edgetl.bench.record import Accuracy, Kind, Minute, Record, Result, Row, Skipped, Subject
from edgetl.bench.statistics import summary
from edgetl.errors import BenchError
from edgetl.stats import Proportion

METHOD = dataclasses.replace(QUICK, resamples=40)
HOSTILE = "<script>alert(1)</script>\"' & $x_1$ 日本 " + "w" * 90
MACHINE = {
    "board": "Raspberry Pi 5",
    "cpu": "Cortex-A76",
    "cores": 4,
    "features": ["asimd", "asimddp"],
    "memory_bytes": 8 << 30,
    "temperature_c": 61.25,
    "storage": {"kind": "sd"},
}


def times(milliseconds: float, n: int = 60, rounds: int = 4) -> list[list[int]]:
    random = np.random.default_rng(round(1000 * milliseconds))
    return [(milliseconds * 1e6 * random.lognormal(0, 0.05, n)).astype(int).tolist() for _ in range(rounds)]


def subject(variant: str, threads: int = 4, placement: str = "all of the model") -> Subject:
    return Subject("a net", variant, "int8", "fake", "fake 1", "cpu", placement, threads, "ab" * 32, 4_000_000, "cd" * 32)


def rows(milliseconds: float, kind: Kind = "measured") -> tuple[Row, ...]:
    parts = {None: milliseconds, "decode": 0.3 * milliseconds, "backbone": 0.6 * milliseconds}
    return tuple(Row.of("predict-file", stage, times(value), METHOD, kind=kind) for stage, value in parts.items())


def accuracy(correct: int) -> Accuracy:
    return Accuracy(Proportion(correct, 50), "1" * correct + "0" * (50 - correct), "flowers", "ef" * 32, "a head of 20 photos per class")


def record(**changed: object) -> Record:
    """Two measured configurations, an emulated one, and everything that a record may hold."""
    minutes = tuple(Minute(i, 500, int(2e7 + 1e6 * i), int(3e7), 60.0 + i, 1_500_000, i > 1) for i in range(4))
    more = (
        Row.of("sustained", None, times(20, 400, 1), METHOD, minutes=minutes, note="kept its speed"),
        Row.of("predict-camera", None, times(21), METHOD, facts={"arrived": 300, "answered": 290, "dropped": 10, "missed": 7}),
        Row.of("memory", None, [[98_765_432]], METHOD, unit="B"),
    )
    results = (
        Result(subject("tflite-int8", 4), accuracy(45), rows(14) + more),
        Result(subject("onnx-int8", 1, "mixed 60/64 operators"), accuracy(44), rows(31)),
        Result(subject("tflite-emulated"), None, rows(3, "emulated")),
    )
    plain = Record(
        created="2026-01-02T03:04:05Z", ended="interrupted after 9 of 16 processes", edgetl="0.1.0", machine=MACHINE,
        bundle={"name": "lite0.edgetl"}, photos={"queries": "32 of flowers"}, method=METHOD, overhead=summary(times(0.0003), resamples=40),
        results=results, rounds=(),
        skipped=(Skipped("openvino-int8 4 threads", "openvino is not installed"),), warnings=("the wall clock jumped ahead by 3600.0 s",),
    )  # fmt: skip
    return dataclasses.replace(plain, **changed)  # type: ignore[arg-type]  # fields of a record


class Page(HTMLParser):
    """What a browser would see: ids, links, tags, and the texts of rows and headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, str] = {}
        self.headline = ""
        self._row: str | None = None
        self._table = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if attributes.get("id") else []
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "action", "data", "srcset")]
        if tag == "div" and attributes.get("role") == "region":
            self._table = attributes.get("aria-label") or ""
        if tag == "tr":
            self._row = attributes.get("id")
        if tag == "data" and self._row:
            self.rows[self._row] = self.rows.get(self._row, "") + f" {attributes['value']} "

    def handle_data(self, text: str) -> None:
        if self._row:
            self.rows[self._row] = self.rows.get(self._row, "") + text
        if "measured configurations by p50" in self._table:
            self.headline += text

    def handle_endtag(self, tag: str) -> None:
        if self._row and tag in ("td", "th"):
            self.rows[self._row] += " "
        self._row = None if tag == "tr" else self._row
        self._table = "" if tag == "table" else self._table


@pytest.fixture(scope="module")
def text() -> str:
    return report.render([("pi.json", record())])


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_every_row_is_on_the_page_under_its_own_id_with_its_exact_numbers(page: Page) -> None:
    for number, result in enumerate(record().results):
        for row in result.rows:
            shown = page.rows["-".join([f"r1-{number}-{row.scenario}", *([row.stage] if row.stage else [])])]
            assert f" {row.p50.value} " in shown
            assert f" {row.summary.max.value} " in shown
            assert re.search(rf"\b{row.n}\b", shown)
            assert result.subject.name in shown
            assert row.kind in shown
            assert ("n too small" in shown) == (row.summary.p99 is None)


def test_every_part_names_its_record_with_the_digest_of_its_file(text: str, tmp_path: Path) -> None:
    files.write(record(), tmp_path / "pi.json")
    digest = json.loads((tmp_path / "pi.json").read_text("utf-8"))["digest"]
    sections = text.split("<section")[1:-1]  # the last is about all records
    assert sections
    assert all(f'title="{digest}"' in section for section in sections)
    for attributes in ("2026-01-02T03:04:05Z", "edgetl 0.1.0", "lite0.edgetl", "abababab", "µs to a query"):
        assert attributes in text


def test_only_measured_rows_are_ranked_and_the_others_stand_apart(page: Page, text: str) -> None:
    assert "tflite-int8 cpu 4 threads" in page.headline
    assert "onnx-int8 cpu 1 thread" in page.headline
    assert page.headline.index("tflite-int8") < page.headline.index("onnx-int8"), "the fastest first"
    measured, apart = text.split('id="r1-apart"')
    ranked = measured[measured.index('id="r1"') :]
    assert "tflite-emulated" in apart.split("How pi.json was made")[0]
    assert "tflite-emulated cpu" not in ranked


def test_a_record_without_a_measured_row_ranks_nothing() -> None:
    page = report.render([("emulated.json", record(results=record().results[2:]))])
    assert "Nothing in this record was measured" in page
    assert "ranked by p50" not in page


def test_what_a_reader_must_know_comes_before_the_first_number(text: str) -> None:
    first = text.index('id="r1"')
    for attributes in ("interrupted after 9 of 16", "jumped ahead by 3600.0 s", "openvino is not installed", "throttled in 2 of 4 minutes",
                 "mixed 60/64 operators", "emulated"):  # fmt: skip
        assert text.index(attributes) < first
    assert '<b class="bad">mixed 60/64 operators</b>' in text[first:]


def test_the_page_holds_all_it_needs(page: Page, text: str) -> None:
    assert page.links
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "link", "iframe", "img", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?:|@import|url\((?!#)", text)


def test_tables_and_bars_are_labelled(page: Page, text: str) -> None:
    bars = re.findall(r'<div class="bar.*?</div>', text, re.DOTALL)
    assert len(bars) == text.count('role="img" aria-label="')
    assert len(bars) >= sum(len(result.rows) for result in record().results)
    assert all("n=" in bar for bar in bars), "no number without its n"
    assert text.count("<table") == text.count("<caption>")
    for part in ("arrived", "290", "Minute by minute", "kept its speed", "98.77"):
        assert part in text


def test_names_of_strangers_stay_text() -> None:
    stranger = Result(dataclasses.replace(subject(HOSTILE), provider=HOSTILE, placement=HOSTILE), accuracy(1), rows(5))
    attributes = record(
        results=(stranger,), warnings=(HOSTILE,), machine={"board": HOSTILE, HOSTILE: HOSTILE}, bundle={"name": HOSTILE, HOSTILE: HOSTILE},
        skipped=(Skipped(HOSTILE, HOSTILE),), ended=HOSTILE, edgetl=HOSTILE, created=HOSTILE, photos={HOSTILE: HOSTILE},
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = report.render([(HOSTILE, attributes), (f"other {HOSTILE}", attributes)])
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags}
    assert len(page.ids) == len(set(page.ids))
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert HOSTILE in html.unescape(text)


def test_the_same_records_give_the_same_bytes(text: str) -> None:
    assert report.render([("pi.json", record())]) == text


def test_machines_side_by_side_show_where_they_differ_first() -> None:
    mine = record(results=(Result(subject("onnx-int8"), None, rows(5)),))
    other = dataclasses.replace(mine, machine={**MACHINE, "board": "Jetson", "governor": "performance"})
    text = report.render([("pi.json", mine), ("jetson.json", other)])
    differ = text[text.index("Where the machines differ") : text.index("The same configuration in each record")]
    assert re.findall(r'<th scope="row">(.*?)</th>', differ.replace("\n", "")) == ["board", "governor"]
    assert "performance" in differ
    assert text.index("The same configuration in each record") < text.index('id="r1"')
    together = text[text.index("The same configuration") : text.index('id="r1"')]
    assert re.findall(r'<th scope="col">(.*?)</th>', together) == ["configuration", "r1 pi.json", "r2 jetson.json"]
    assert together.count('class="bar"') == 2


def test_times_and_intervals_of_zero_are_shown() -> None:
    odd = [[0, 0, 0, 0], [1, 90_000_000, 5, 7], [1], [20_000_000] * 3]
    whole = Row.of("predict-file", None, odd, METHOD)
    assert whole.p50.low == 0
    odd_results = (
        Result(subject("none"), accuracy(3), (Row.of("predict-file", None, [[0] * 5], METHOD), Row.of("predict-file", "x", [[0]], METHOD))),
        Result(subject("odd"), accuracy(4), (whole, Row.of("predict-file", "x", odd, METHOD))),
    )
    attributes = record(results=odd_results)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = report.render([("one.json", attributes), ("other.json", attributes)])
    assert "nan" not in text.lower().replace("nanoseconds", "")


def test_rows_are_tied_if_intervals_overlap_or_one_is_missing() -> None:
    def closes(*samples: list[list[int]]) -> list[bool]:
        rows = [Row.of("predict-file", None, taken, METHOD) for taken in samples]
        single = record(results=tuple(Result(subject(f"v{number}"), None, (row,)) for number, row in enumerate(rows)))
        (block,) = report._blocks("r1", single, measured=True)
        return [entry.close for entry in block.wholes]

    assert closes([[10], [11], [10]], [[20], [21], [20]], [[21], [22], [21]]) == [False, False, True]
    assert closes([[10, 11], [10]], [[20], [21], [22]]) == [False, True]


def test_the_share_of_operators_on_the_provider_stands_beside_each_latency(text: str) -> None:
    assert "100 % of the operators on cpu</small>" in text
    assert "94 % (60/64) of the operators on cpu</small>" in text


def test_a_missing_library_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(BenchError) as caught:
        report.render([("pi.json", record())])
    assert caught.value.code == "jinja2-missing"


def test_no_record_and_no_room_are_errors(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        report.render([])
    assert caught.value.code == "no-records"
    (tmp_path / "file").touch()
    with pytest.raises(BenchError) as caught:
        report.write([("pi.json", record(results=()))], tmp_path / "file" / "report.html")
    assert caught.value.code == "not-writable"
    (tmp_path / "ü b").mkdir()
    report.write([("no text \udcff.json", record(results=()))], tmp_path / "ü b" / "report.html")
    assert "no text ?.json" in (tmp_path / "ü b" / "report.html").read_text("utf-8")


def test_numbers_have_one_unit_per_table_and_few_digits() -> None:
    rows = [Row.of("embed", None, [[value]], METHOD) for value in (12_000, 900_000, 61_000_000_000)]
    scale = report.TableScale.choose(rows)
    assert (scale.unit, scale.text(1500), scale.share(61_000_000_000), scale.share(0)) == ("µs", "1.500", "100.0%", "0.0%")
    numbers = [report.digits(value) for value in (0.0123, 1.5, 12.346, 123.46, 12345.6)]
    assert numbers == ["0.012", "1.500", "12.35", "123.5", "12\u202f346"]


def luminance(colour: str) -> float:
    """Of #rrggbb, as WCAG 2.2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(item: str, other: str) -> float:
    low, high = sorted((luminance(item), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_and_marks_have_contrast_in_light_and_dark(text: str) -> None:
    roots = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    assert len(roots) == 2
    for root in roots:
        colours = dict(re.findall(r"--([\w]+): (#[0-9a-f]{6})", root))
        for ground in ("page", "card"):
            assert all(contrast(colours[name], colours[ground]) >= 4.5 for name in ("ink", "soft", "accent", "bad"))
        assert contrast(colours["apart"], colours["shade"]) >= 4.5


@pytest.fixture(scope="module")
def browser() -> str:
    try:
        return str(chromium.ready())
    except (debian.Unreachable, sysroot.Failed) as error:
        pytest.skip(f"no browser to look at the page: {error}")


def look(browser: str, page: Path, profile: Path, *options: str) -> str:
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--hide-scrollbars",
        "--disable-component-update", "--disable-sync", "--force-device-scale-factor=1", f"--user-data-dir={profile}", *options,
    ]  # fmt: skip
    return subprocess.run([*command, page.as_uri()], check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_a_browser_shows_it_light_dark_and_on_a_phone_without_sideways_scrolling(browser: str, tmp_path: Path) -> None:
    artefacts = Path(os.environ.get("EDGETL_ARTEFACTS", tmp_path))
    artefacts.mkdir(parents=True, exist_ok=True)
    stranger = record(results=(Result(subject(HOSTILE), accuracy(1), rows(5)),), machine={**MACHINE, "board": HOSTILE})
    target = artefacts / "report.html"
    report.write([("pi.json", record()), (f"{HOSTILE}.json", stranger)], target)
    pictures = {}
    for name, size, scheme in (
        ("light", "1280,3000", 1),
        ("dark", "1280,3000", 0),
        ("phone", "390,6000", 1),
        ("phone-dark", "390,6000", 0),
    ):
        shot = artefacts / f"report-{name}.png"
        look(
            browser,
            target,
            tmp_path / name,
            f"--blink-settings=preferredColorScheme={scheme}",
            f"--window-size={size}",
            f"--screenshot={shot}",
        )
        with Image.open(shot) as image:
            pictures[name] = np.asarray(image.convert("L"), np.float64)
    assert pictures["phone"].shape == (6000, 390)
    for light, dark in (("light", "dark"), ("phone", "phone-dark")):
        assert pictures[light].mean() > 200
        assert pictures[dark].mean() < 60
        assert min(pictures[light].std(), pictures[dark].std()) > 5, "something is drawn"
    # A window is never as narrow as a phone, and a frame is.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"""<iframe width="390" height="800" srcdoc="{html.escape(target.read_text("utf-8"))}"></iframe><script>onload = () => {{
        const page = frames[0].document;
        document.title = [page.documentElement.scrollWidth, frames[0].innerWidth, page.querySelectorAll(".bar").length]; }}</script>"""
    )
    answer = re.search(r"<title>(\d+),(\d+),(\d+)</title>", look(browser, frame, tmp_path / "dom", "--dump-dom"))
    assert answer
    width, window, drawings = map(int, answer.groups())
    assert window == 390
    assert width <= window, "tables scroll in their cards, the page does not"
    assert drawings > 5
