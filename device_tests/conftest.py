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
