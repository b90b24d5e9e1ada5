"""Which bundle, which variants of it run here, and the photos that the suite draws."""

import os
import platform
from pathlib import Path

import numpy as np
import pytest

from edgetl import Bundle, machine


def pytest_report_header() -> str:
    return f"device: {machine.describe()['board'] or platform.node()}, {machine.instruction_set()}, {machine.cores()} cores"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "variant" in metafunc.fixturenames:
        path = os.environ.get("EDGETL_BUNDLE")
        metafunc.parametrize("variant", list(Bundle.open(path).variants) if path else [""])


@pytest.fixture
def bundle_path(variant: str) -> Path:
    if not variant:
        pytest.skip("EDGETL_BUNDLE names no bundle")
    return Path(os.environ["EDGETL_BUNDLE"])


@pytest.fixture
def drawn():
    """Photos of a class: its colour at its place, on noise; no two alike."""

    def draw(label: str, n: int) -> list[np.ndarray]:
        channel = ["red", "green", "blue"].index(label)
        random = np.random.default_rng(channel)
        photos = random.integers(0, 80, (n, 200, 260, 3), dtype=np.uint8)
        photos[:, 50:150, 40 + 50 * channel : 120 + 50 * channel, channel] += 150
        return list(photos)

    return draw
