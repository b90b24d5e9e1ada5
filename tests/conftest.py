"""What every test may use: photos made on the spot, the shipped fake bundle, and the data folder where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from pictures import coloured, encoded, picture

from edgetl import Classifier
from edgetl.cli import main
from edgetl.demo.cells import cells
from edgetl.runtimes import fake


@pytest.fixture(autouse=True, scope="session")
def _nothing_is_kept_for_the_next_run() -> None:
    os.environ["EDGETL_CACHE"] = ""  # which runtime is fastest here; tests/test_fastest.py keeps results in folders of its own


@pytest.fixture(scope="session")
def data() -> Path:
    folder = os.environ.get("EDGETL_DATA")
    if not folder:
        pytest.skip("EDGETL_DATA is not set: the folder of photos and models that this test reads")
    return Path(folder)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return fake.write_bundle(str(tmp_path / "fake.edgetl"), encoded(picture(seed=9))).path


@pytest.fixture
def open_classifier(bundle: Path, tmp_path: Path) -> Iterator[Callable[..., Classifier]]:
    """Opens classifiers on one fake bundle and one store, and closes them."""
    opened: list[Classifier] = []

    def open_one(**options: object) -> Classifier:
        opened.append(Classifier.open(bundle, tmp_path / "parts.db", **options))  # type: ignore[arg-type]  # passed on
        return opened[-1]

    yield open_one
    for classifier in opened:
        classifier.close()


@pytest.fixture
def classifier(open_classifier: Callable[..., Classifier]) -> Classifier:
    return open_classifier()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`root/<class>/*.jpg`: three classes, six photos each."""
    root = tmp_path / "photos"
    for label in ("red", "green", "blue"):
        (root / label).mkdir(parents=True)
        for seed in range(6):
            (root / label / f"{seed}.jpg").write_bytes(coloured(label, seed))
    return root


@pytest.fixture(scope="session")
def cell_photos() -> list[Path]:
    """Real photos that come from PyPI: solar cells, gray, 300x300."""
    return [cell.path for cell in cells()]


@pytest.fixture(scope="session")
def lite0(cell_photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default backbone with its real weights in three formats and two precisions, as `edgetl export` makes it."""
    folder = tmp_path_factory.mktemp("lite0")
    photos = folder / "photos"
    photos.mkdir()
    for cell in cell_photos[::10]:
        (photos / cell.name).symlink_to(cell)
    done = CliRunner().invoke(main, ["export", "--calibrate", str(photos), "-o", str(folder / "lite0.edgetl")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return folder / "lite0.edgetl"
