"""The README runs, in order, as a new user would run it; its numbers name their commands."""

import re
from pathlib import Path

import pages
import pytest


def test_a_block_that_is_not_run_only_installs():
    assert [block["code"].split()[0:3] for block in pages.blocks("README.md") if block["why"]] == [["python3", "-m", "venv"]]


def test_the_readme_has_at_most_9000_bytes():
    assert (pages.ROOT / "README.md").stat().st_size <= 9000


@pytest.mark.parametrize("page", ["README.md", "docs/accuracy.md", "docs/performance.md"])
def test_every_number_that_is_measured_names_its_command(page: str):
    text = (pages.ROOT / page).read_text("utf-8")
    tables = re.findall(r"^\|.*command \|\n\|[-| ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines()]
    assert rows
    assert [row for row in rows if "`" not in row.rsplit(" |", 2)[1]] == []


@pytest.mark.slow
def test_the_readme_runs_and_then_the_pages_that_need_its_bundle(tmp_path: Path, cell_photos: list[Path]):
    pages.lay_out(tmp_path)
    (tmp_path / "photos").mkdir()
    for cell in cell_photos[:120]:
        (tmp_path / "photos" / cell.name).symlink_to(cell)
    assert pages.run("README.md", tmp_path) == 3
    assert {"lite0.edgetl", "parts.db", "why.html"} <= {path.name for path in tmp_path.iterdir()}
    for page in pages.WITH_A_REAL_BUNDLE:
        assert pages.run(page, tmp_path) >= 1
    assert (tmp_path / "frigate" / "labelmap.txt").exists()
