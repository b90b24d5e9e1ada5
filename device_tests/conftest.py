"""Which bundle, which variants of it run here, what the run says, and the photos that the suite draws."""

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
    parser.addoption("--write-reference", action="store_true", help="keep what this target computes in device_tests/reference/")


def pytest_configure(config: pytest.Config) -> None:
    path = os.environ.get("EDGETL_BUNDLE")
    if not path:
        raise pytest.UsageError("EDGETL_BUNDLE names no bundle: EDGETL_BUNDLE=lite0.edgetl pytest device_tests")
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
    """Variant -> what the run's last lines say about it."""
    return pytestconfig.stash[_RESULTS]


@pytest.fixture
def open_shop(bundle_path: Path, variant: str) -> Opener:
    """Opens the variant on a store; skips, with the library's words, where its runtime does not work here."""

    def open_one(store: Path) -> Classifier:
        try:
            return Classifier.open(bundle_path, store, variant=variant)
        except RuntimeUnavailable as error:
            pytest.skip(str(error))

    return open_one


@pytest.fixture
def drawn() -> Callable[[str, int], list[np.ndarray]]:
    """Photos of a class: a stripe, a disc or a frame in its colour, each on its own ground, so that no two are frames of one burst."""

    def draw(label: str, n: int) -> list[np.ndarray]:
        channel = ["red", "green", "blue"].index(label)
        return [one(channel, np.random.default_rng([channel, i])) for i in range(n)]

    def one(channel: int, random: np.random.Generator) -> np.ndarray:
        ground = random.integers(20, 120, 3) + random.normal(0, 1, 3) * np.linspace(-40, 40, 260)[None, :, None]
        photo = np.clip(ground + random.normal(0, 12, (200, 260, 3)), 0, 255)
        y, x = np.mgrid[:200, :260]
        away = np.hypot(y - random.integers(60, 140), x - random.integers(80, 180)) / random.uniform(25, 55)
        shape = [np.abs(y - x * random.uniform(0.4, 1) - 20) < 25, away < 1, np.abs(away - 1.2) < 0.3][channel]
        photo[shape] *= 0.4
        photo[shape, channel] = random.integers(170, 250)
        return photo.astype(np.uint8)

    return draw


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    said = terminalreporter
    made = config.stash[_RESULTS]
    reasons = collections.Counter((one.nodeid.rpartition("[")[2].rstrip("]"), one.longrepr[2]) for one in said.stats.get("skipped", []))
    for (variant, reason), number in reasons.items():
        said.write_line(f"{variant}: {number} tests skipped: {reason.removeprefix('Skipped: ')}")
    for record in made.values():
        cosines = " ".join(f"{value:.4f}" for value in record["cosine"])
        charts = f"cosine to the exporter's golden {cosines} (n={len(record['cosine'])} charts)"
        said.write_line(f"{record['variant']} on {record['library']}, {record['kind']}: {charts}; {record['against']}")
    if config.getoption("--write-reference") and made:
        kept = {name: {field: value for field, value in record.items() if field != "against"} for name, record in made.items()}
        said.write_line(f"written: {references.write(board.target(), kept)}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and session.testscollected and not session.config.stash[_RESULTS]:
        # Every variant was passed over: a board on which nothing runs conforms to nothing.
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
