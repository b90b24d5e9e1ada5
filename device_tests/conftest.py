"""Which bundle, which variants of it run here, the last lines of a run, and the photos that the suite draws."""

from __future__ import annotations

import collections
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # this folder is copied to boards alone, and there is no package around it

import board
import references

from edgetl import Bundle, Classifier
from edgetl.errors import BundleError, RuntimeUnavailable

Opener = Callable[..., Classifier]
_BUNDLE = pytest.StashKey[Bundle]()
_RESULTS = pytest.StashKey[dict[str, references.Record]]()
_LOCK = pytest.StashKey[board.Lock]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-reference", action="store_true", help="save what this target computes in device_tests/reference/")


def pytest_configure(config: pytest.Config) -> None:
    path = os.environ.get("EDGETL_BUNDLE")
    if not path:
        raise pytest.UsageError("EDGETL_BUNDLE is not set. Run: EDGETL_BUNDLE=lite0.edgetl pytest device_tests")
    try:
        config.stash[_BUNDLE] = Bundle.open(path)
    except BundleError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[_RESULTS] = {}
    config.stash[_LOCK] = board.Lock()


def pytest_report_header(config: pytest.Config) -> list[str]:
    opened = config.stash[_BUNDLE]
    return [*board.header(), f"bundle: {opened.path}, {', '.join(opened.variants)}"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", list(metafunc.config.stash[_BUNDLE].variants))


@pytest.fixture(scope="session")
def bundle_path(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.stash[_BUNDLE].path


@pytest.fixture
def results(pytestconfig: pytest.Config) -> dict[str, references.Record]:
    """Variant -> what the run's last lines print of it."""
    return pytestconfig.stash[_RESULTS]


@pytest.fixture
def open_classifier(bundle_path: Path, variant: str) -> Opener:
    """Opens the variant on a store; skips, with the library's message, if its runtime does not work here."""

    def open_variant(store: Path) -> Classifier:
        try:
            return Classifier.open(bundle_path, store, variant=variant)
        except RuntimeUnavailable as error:
            pytest.skip(str(error))

    return open_variant


@pytest.fixture
def draw() -> Callable[[str, int], list[np.ndarray]]:
    """Photos of a class: a stripe, a disc or a frame in its colour, each on its own ground, so that no two are near-duplicates."""

    def draw_class(label: str, n: int) -> list[np.ndarray]:
        channel = ["red", "green", "blue"].index(label)
        return [draw_photo(channel, np.random.default_rng([channel, i])) for i in range(n)]

    def draw_photo(channel: int, random: np.random.Generator) -> np.ndarray:
        ground = random.integers(20, 120, 3) + random.normal(0, 1, 3) * np.linspace(-40, 40, 260)[None, :, None]
        photo = np.clip(ground + random.normal(0, 12, (200, 260, 3)), 0, 255)
        y, x = np.mgrid[:200, :260]
        away = np.hypot(y - random.integers(60, 140), x - random.integers(80, 180)) / random.uniform(25, 55)
        shape = [np.abs(y - x * random.uniform(0.4, 1) - 20) < 25, away < 1, np.abs(away - 1.2) < 0.3][channel]
        photo[shape] *= 0.4
        photo[shape, channel] = random.integers(170, 250)
        return photo.astype(np.uint8)

    return draw_class


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results, skipped = config.stash[_RESULTS], terminalreporter.stats.get("skipped", [])
    reasons = collections.Counter((report.nodeid.rpartition("[")[2].rstrip("]"), report.longrepr[2]) for report in skipped)
    for (variant, reason), number in reasons.items():
        terminalreporter.write_line(f"{variant}: {number} tests skipped: {reason.removeprefix('Skipped: ')}")
    for record in results.values():
        cosines = " ".join(f"{value:.4f}" for value in record["cosine"])
        export = f"cosine to the export {cosines} (n={len(record['cosine'])} images)"
        terminalreporter.write_line(f"{record['variant']} on {record['library']}, {record['kind']}: {export}; {record['against']}")
    if config.getoption("--write-reference") and results:
        saved = {name: {field: value for field, value in record.items() if field != "against"} for name, record in results.items()}
        terminalreporter.write_line(f"written: {references.write(board.target(), saved)}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and session.testscollected and not session.config.stash[_RESULTS]:
        # Every variant was skipped: a board on which nothing runs has proved nothing.
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
