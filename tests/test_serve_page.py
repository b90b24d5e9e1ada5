"""The field station in a real browser: the whole story, every view, small and large, light and dark, by touch and by keyboard."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import firefox
import pytest
from field_station import Client, running, wait_for
from pictures import COLOURS, coloured

from edgetl.types import NamedPhoto

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import browser
import debian
import sysroot

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
pytest.importorskip("starlette", reason="the extra serve is not installed: pip install 'edgetl[serve]'")

pytestmark = pytest.mark.slow
VIEWS = ("live", "inbox", "accuracy", "history", "files")
SIZES = {"phone": (360, 740), "desktop": (1280, 900)}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    try:
        program = browser.ready()
    except (debian.Unreachable, sysroot.Failed) as error:
        pytest.skip(f"no browser: {error}")
    with sync_api.sync_playwright() as playwright:
        frames = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        opened = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox", *frames])
        yield opened
        opened.close()


@pytest.fixture
def cameras(tmp_path: Path) -> tuple[str, ...]:
    """One camera per colour, each showing different frames of it."""
    for label in COLOURS:
        (tmp_path / label).mkdir()
        for seed in range(40):
            (tmp_path / label / f"{seed:02}.jpg").write_bytes(coloured(label, 1000 + seed))
    return tuple(f"fake://{tmp_path / label}?fps=12" for label in COLOURS)


@pytest.fixture
def station(bundle: Path, tmp_path: Path, cameras: tuple[str, ...]) -> Iterator[Client]:
    with running(bundle, tmp_path / "parts.db", cameras=cameras) as client:
        yield client


class Page:
    """A page that has entered the code; it fails on any error in the console and on any request to another host."""

    def __init__(self, chromium: Any, station: Client, size: str = "phone", scheme: str = "light") -> None:
        width, height = SIZES[size]
        self.context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=size == "phone")
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.taps = 0
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda message: self._note(message))
        self.page.on("request", lambda request: self._check(request.url, station))
        self.page.goto(f"{station.server.address.url}#code={station.server.access.code}")
        self.page.wait_for_selector("#buttons", state="attached")
        self.page.wait_for_selector("#views:not([hidden])")

    def _note(self, message: Any) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):  # the page shows these itself
            self.problems.append(message.text)

    def _check(self, url: str, station: Client) -> None:
        if not url.startswith((station.server.address.url, "blob:", "data:")):
            self.problems.append(f"a request to {url}")

    def tap(self, selector: str) -> None:
        self.page.click(selector)
        self.taps += 1

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def wait(self, expression: str) -> None:
        """Waits until an expression is true; not by Playwright's own way, which the page's content security policy forbids."""
        end = time.monotonic() + 60
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, expression
            self.page.wait_for_timeout(20)

    def look_at(self, colour: str) -> None:
        self.page.select_option("#source", f"device {list(COLOURS).index(colour)}")
        self.wait("document.querySelector('#stream').naturalWidth > 0")

    def new_class(self, label: str) -> None:
        self.page.fill("#new-label", label)
        self.tap("#new-class button")

    def capture(self, label: str, times: int) -> None:
        """Taps a class button, and waits until each photo is acknowledged."""
        for _ in range(times):
            before = self.count(label)
            self.page.wait_for_timeout(150)  # the camera's next frame
            self.tap(f'.class[data-label="{label}"]')
            self.wait(f"{COUNT}('{label}') > {before}")

    def count(self, label: str) -> int:
        return int(self.page.evaluate(f"{COUNT}('{label}')"))

    def close(self) -> None:
        assert self.problems == []
        self.context.close()


COUNT = "(label => parseInt(document.querySelector(`.class[data-label=\"${label}\"] small`)?.textContent ?? '0', 10))"


@pytest.fixture
def page(chromium: Any, station: Client) -> Iterator[Page]:
    opened = Page(chromium, station)
    yield opened
    opened.close()


def test_the_whole_story(page: Page, station: Client, tmp_path: Path) -> None:
    page.wait("document.querySelector('#answer-label').textContent === 'Not trained yet'")
    for colour in ("red", "green"):
        page.look_at(colour)
        page.new_class(colour)
        page.capture(colour, 5)
    page.wait("document.querySelector('#answer-label').textContent === 'green'")
    page.tap("[data-view=accuracy]")
    page.page.wait_for_selector("#accuracy-body table")
    assert "Accuracy: 100 %" in page.text("#accuracy-body")
    page.tap("[data-view=live]")

    page.look_at("blue")
    taps = page.taps
    page.new_class("blue")
    page.capture("blue", 10)
    page.wait("document.querySelector('#answer-label').textContent === 'blue'")
    assert page.taps - taps <= 15

    page.look_at("yellow")
    page.new_class("yellow")
    page.capture("yellow", 5)
    page.capture("red", 1)  # a yellow photo under the wrong label
    assert page.count("red") == 6
    station.settled()
    page.tap("[data-view=accuracy]")
    page.page.wait_for_selector("#accuracy-body .photo")
    assert "red → yellow?" in page.text("#accuracy-body")
    page.tap("#accuracy-body .photo")
    page.page.wait_for_selector("#dialog[open]")
    assert page.page.eval_on_selector("#dialog select", "select => select.value") == "yellow"
    page.tap("#dialog .card button:has-text('Move')")
    page.wait("!document.querySelector('#accuracy-body .photo')")
    page.tap("#dialog form button")
    page.tap("#undo")
    page.wait("document.querySelector('#accuracy-body .photo')")

    page.tap("[data-view=live]")
    page.tap("#undo")
    page.wait(f"{COUNT}('red') === 5")
    station.settled()
    page.tap("[data-view=history]")
    heads = page.page.locator("#history-body tbody tr").count()
    assert heads > 2
    page.tap("#history-body button:has-text('Roll back')")
    page.wait("document.querySelector('#undo').textContent.includes('Go back')")
    page.tap("#undo")

    page.tap("[data-view=files]")
    with page.page.expect_download() as download:
        page.tap("#files-body button:has-text('Store')")
    download.value.save_as(tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_bytes().startswith(b"SQLite format 3")


def choose_unknown_frames(page: Page, station: Client) -> None:
    """Trains two classes, shows the camera a third one until the inbox has some, and chooses a group of them."""
    for label in ("red", "green"):
        for seed in range(6):
            station.server.station.add(label, [NamedPhoto("photo", coloured(label, seed))])
    station.settled()
    page.look_at("blue")
    page.wait("parseInt(document.querySelector('#inbox-count').textContent.slice(1) || '0', 10) >= 1")
    page.tap("[data-view=inbox]")
    page.page.wait_for_selector("#inbox-groups .photo")
    page.page.locator("#inbox-groups button:has-text('Choose all')").first.click()


def test_one_tap_labels_a_group_of_the_inbox(page: Page, station: Client) -> None:
    choose_unknown_frames(page, station)
    chosen = page.page.locator("#inbox-groups .photo[aria-pressed=true]").count()
    page.page.fill("#inbox-actions input", "blue")
    page.tap("#inbox-actions button:has-text('Add class')")
    page.wait(f"{COUNT}('blue') > 0")
    assert 0 < page.count("blue") <= chosen
    assert station.settled()["head"]["labels"] == ["blue", "green", "red"]
    page.tap("#undo")
    page.wait(f"{COUNT}('blue') === 0")


def test_a_frame_that_made_room_for_others_leaves_the_view(page: Page, station: Client) -> None:
    for label in ("red", "green"):
        for seed in range(6):
            station.server.station.add(label, [NamedPhoto("photo", coloured(label, seed))])
    station.settled()
    page.look_at("blue")
    page.wait("parseInt(document.querySelector('#inbox-count').textContent.slice(1) || '0', 10) >= 2")
    page.page.select_option("#source", "none")
    station.server.station.live.close()
    page.tap("[data-view=inbox]")
    page.page.wait_for_selector("#inbox-groups .photo")
    page.page.locator("#inbox-groups button:has-text('Choose all')").first.click()
    first = page.page.locator("#inbox-groups .photo[aria-pressed=true]").first.get_attribute("data-id")
    with contextlib.closing(sqlite3.connect(station.server.station.inbox.path, isolation_level=None)) as box:
        box.execute("DELETE FROM frame WHERE id = ?", (first,))
    page.tap("#inbox-actions button:has-text('red')")
    page.wait(f"!document.querySelector('#inbox-groups .photo[data-id=\"{first}\"]')")
    page.tap("#inbox-actions button:has-text('red')")
    page.wait(f"{COUNT}('red') > 6")


def test_frames_that_show_none_of_the_classes_become_the_class_none(page: Page, station: Client) -> None:
    choose_unknown_frames(page, station)
    page.tap("#inbox-actions button:has-text('None of these')")
    page.wait(f"{COUNT}('none') > 0")
    assert station.settled()["head"]["labels"] == ["green", "none", "red"]


def test_a_folder_is_uploaded_class_by_class_and_its_photos_explained(page: Page, station: Client, folder: Path, bundle: Path) -> None:
    (folder / "red" / ".hidden.jpg").write_bytes(coloured("red", 99))
    (folder / "notes.txt").write_text("no photo")
    page.tap("[data-view=files]")
    page.page.set_input_files("#file-folder", folder)
    page.wait("document.querySelector('#status').textContent.startsWith('18 photos added from photos')")
    assert {each["label"]: each["count"] for each in station.settled()["classes"]} == {"blue": 6, "green": 6, "red": 6}
    page.page.set_input_files("#file-v1-bundle", bundle)
    page.wait("document.querySelector('#status').textContent === 'Now in use: fake.edgetl.'")

    station.server.station.add("red", [NamedPhoto("photo", coloured("red", 50 + seed)) for seed in range(9)])
    station.settled()
    page.tap("[data-view=accuracy]")
    page.page.wait_for_selector("#accuracy-body figure")
    assert page.page.locator("#accuracy-body figcaption").all_inner_texts() == ["blue", "green", "red"]
    page.tap("#accuracy-body .confusion .right")
    page.page.wait_for_selector("#dialog[open]")
    page.page.locator("#dialog button:has-text('Why?')").first.click()
    page.page.wait_for_selector("#dialog .why img")


def test_a_folder_is_uploaded_without_what_cannot_be_taken(page: Page, station: Client, folder: Path) -> None:
    with (folder / "red" / "0.png").open("wb") as large:
        large.truncate(60 * 2**20)
    (folder / "blue").rename(folder / ("b" * 101))
    page.tap("[data-view=files]")
    page.page.set_input_files("#file-folder", folder)
    page.wait(
        "document.querySelector('#status').textContent.startsWith('12 photos added from photos, 7 not usable: 0.png is larger than 24 MiB')"
    )
    assert {each["label"]: each["count"] for each in station.get("/v1/state")["classes"]} == {"green": 6, "red": 6}


def test_keys_take_photos_and_undo_them(page: Page, station: Client) -> None:
    page.look_at("red")
    page.new_class("red")
    page.page.keyboard.press("1")
    page.wait(f"{COUNT}('red') >= 1")
    page.page.keyboard.press("z")
    page.wait(f"{COUNT}('red') === 0")
    page.page.keyboard.press("n")
    assert page.page.evaluate("document.activeElement.id") == "new-label"
    page.page.keyboard.type("1z green")
    assert page.page.input_value("#new-label") == "1z green"


def test_holding_a_button_keeps_only_frames_that_differ(page: Page) -> None:
    page.look_at("green")
    page.new_class("green")
    box = page.page.locator(".class").bounding_box()
    page.page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.page.mouse.down()
    page.wait(f"{COUNT}('green') >= 3")
    page.page.mouse.up()
    page.page.wait_for_timeout(600)
    count = page.count("green")
    page.page.wait_for_timeout(600)
    assert page.count("green") == count


def test_the_browsers_own_camera_is_classified_and_trains(page: Page, station: Client) -> None:
    page.page.select_option("#source", "browser")
    page.wait("document.querySelector('#video').videoWidth > 0")
    for label in ("one", "two"):
        page.new_class(label)
        page.capture(label, 3)
    station.settled()
    page.wait("['one', 'two', 'unknown'].includes(document.querySelector('#answer-label').textContent)")
    assert "fps" in page.text("#speed")


def test_firefox_trains_with_its_own_camera_and_shows_every_view(station: Client, tmp_path: Path) -> None:
    try:
        program = browser.ready("firefox-esr")
    except (debian.Unreachable, sysroot.Failed) as error:
        pytest.skip(f"no Firefox: {error}")
    (tmp_path / "firefox").mkdir()
    with firefox.running(program, tmp_path / "firefox") as page:
        page.goto(f"{station.server.address.url}#code={station.server.access.code}")
        page.wait("!document.querySelector('#views').hidden && document.querySelector('#stream').naturalWidth > 0")
        for label, source in (("red", "device 0"), ("green", "device 1"), ("own", "browser")):
            page.evaluate(f"(s => {{ s.value = '{source}'; s.dispatchEvent(new Event('change')); }})(document.querySelector('#source'))")
            page.wait("document.querySelector('#stream').naturalWidth > 0 || document.querySelector('#video').videoWidth > 0")
            page.type("#new-label", label)
            page.click("#new-class button")
            for count in (1, 2, 3):
                time.sleep(0.3)  # the camera's next frame
                page.click(f'.class[data-label="{label}"]')
                page.wait(f"{COUNT}('{label}') >= {count}")
        assert station.settled()["head"]["labels"] == ["green", "own", "red"]
        page.wait("document.querySelector('#speed').textContent.includes('fps')")
        for view in VIEWS:
            page.click(f"[data-view={view}]")
            page.wait(f"!document.querySelector('#{view}').hidden")
        page.click("[data-view=accuracy]")
        page.wait("document.querySelector('#accuracy-body table') !== null")
        page.click("#undo")
        page.wait(f"{COUNT}('own') === 2")


def test_two_browsers_see_each_others_photos(chromium: Any, page: Page, station: Client) -> None:
    other = Page(chromium, station, "desktop", "dark")
    page.look_at("red")
    page.new_class("red")
    page.capture("red", 2)
    other.wait(f"{COUNT}('red') === 2")
    other.new_class("green")
    other.capture("green", 2)
    page.wait(f"{COUNT}('green') === 2")
    other.close()


def test_a_page_that_enters_the_code_again_listens_once(page: Page, station: Client) -> None:
    page.look_at("red")
    page.new_class("red")
    wait_for(lambda: station.server.station.hub.listeners == 1)
    station.server.access.token = "n" * 40  # ends every session
    page.tap('.class[data-label="red"]')
    page.page.wait_for_selector("#door:not([hidden])")
    page.page.fill("#code", station.server.access.code)
    page.tap("#code-form button")
    page.page.wait_for_selector("#views:not([hidden])")
    page.capture("red", 1)
    wait_for(lambda: station.server.station.hub.listeners == 1)


def test_every_page_names_the_camera_that_it_shows(chromium: Any, page: Page, station: Client) -> None:
    green, red = (f"device {list(COLOURS).index(label)}" for label in ("green", "red"))
    page.look_at("green")
    other = Page(chromium, station, "desktop", "dark")
    other.wait(f"document.querySelector('#source').value === '{green}'")
    other.look_at("red")
    page.wait(f"document.querySelector('#source').value === '{red}'")
    other.page.select_option("#source", "browser")
    other.page.select_option("#source", green)  # while the browser still asks for its camera
    other.wait("!document.querySelector('#stream').hidden")
    other.page.wait_for_timeout(1000)
    assert other.page.evaluate("document.querySelector('#video').hidden && !document.querySelector('#video').srcObject")
    other.close()


def test_the_page_reconnects_to_a_server_that_was_restarted(chromium: Any, bundle: Path, tmp_path: Path, cameras: tuple[str, ...]) -> None:
    with running(bundle, tmp_path / "parts.db", cameras=cameras) as station:
        port = station.port
        page = Page(chromium, station)
        page.look_at("red")
        page.new_class("red")
        page.capture("red", 2)
        page.page.fill("#new-label", "half typed")
    page.wait("document.querySelector('#connection').textContent !== ''")
    with running(bundle, tmp_path / "parts.db", cameras=cameras, port=port):
        page.wait("document.querySelector('#connection').textContent === ''")
        assert page.page.input_value("#new-label") == "half typed"
        page.look_at("green")  # frames that are not stored yet
        page.capture("red", 1)
        page.wait(f"{COUNT}('red') === 3")
        page.context.close()


def test_a_camera_that_is_unplugged_says_so_and_comes_back(page: Page, station: Client, tmp_path: Path) -> None:
    page.look_at("red")
    (tmp_path / "red").rename(tmp_path / "unplugged")
    page.wait("document.querySelector('#status').className === 'warning'")
    assert station.get("/v1/state")["camera"]["event"] == "disconnected"
    page.new_class("red")
    page.capture("red", 1)  # the last frame, which is still shown
    (tmp_path / "unplugged").rename(tmp_path / "red")
    page.wait("document.querySelector('#status').textContent === 'The camera is connected.'")
    page.look_at("green")
    page.capture("red", 1)


def test_no_label_becomes_markup(page: Page, station: Client) -> None:
    label = "<img src=x onerror=document.title='hacked'>"
    station.server.station.add(label, [NamedPhoto("x", coloured("red", 0))])
    page.wait("document.querySelectorAll('.class').length === 1")
    for view in VIEWS:
        page.tap(f"[data-view={view}]")
    assert label in page.page.inner_html("#buttons").replace("&lt;", "<").replace("&gt;", ">")
    assert page.page.title() == "edgetl field station"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_and_is_accessible(chromium: Any, station: Client, size: str, scheme: str, shots: Callable[[str], Path]) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-core is not installed: pip install axe-playwright-python"
    )
    for label in ("red", "green", "a class with a rather long name, as people give them"):
        for seed in range(9):
            station.server.station.add(
                label, [NamedPhoto("photo", coloured(("red", "green", "blue")[seed % 3] if label[0] == "a" else label, seed))]
            )
    station.settled()
    page = Page(chromium, station, size, scheme)
    page.look_at("green")
    for view in VIEWS:
        page.tap(f"[data-view={view}]")
        page.page.wait_for_timeout(500)
        page.page.screenshot(path=shots(f"{view}-{size}-{scheme}.png"), full_page=True)
        assert page.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), view
        violations = axe.Axe().run(page.page).response["violations"]
        assert [each["id"] for each in violations if each["impact"] in ("serious", "critical")] == [], view
    page.close()


@pytest.fixture
def shots(tmp_path: Path) -> Callable[[str], Path]:
    """Where a picture of a page is saved: in the folder that EDGETL_SHOTS names, to look at, or in one that is deleted."""
    import os

    folder = Path(os.environ.get("EDGETL_SHOTS", tmp_path / "shots"))
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: folder / name


def test_the_page_is_small_and_needs_nothing_else() -> None:
    folder = Path(browser.__file__).parent.parent / "edgetl/serve/page"
    files = list(folder.iterdir())
    assert sum(path.stat().st_size for path in files) <= 150_000
    assert {path.suffix for path in files} <= {".html", ".css", ".js", ".svg"}
    assert not [
        path.name
        for path in files
        if b"http://" in path.read_bytes().replace(b"http://www.w3.org/", b"") or b"https://" in path.read_bytes()
    ]
