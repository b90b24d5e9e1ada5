"""The README's Python and shell blocks run, in order, as a new user would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCK = re.compile(r"(<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<language>python|sh)\n(?P<code>.*?)```", re.DOTALL)
BLOCKS = [match.groupdict() for match in BLOCK.finditer(README)]


def a_photo(path: Path, hue: int, seed: int) -> None:
    """A picture with a class's own colour and shape, no two alike."""
    random = np.random.default_rng([hue, seed])
    pixels = random.integers(0, 60, (240, 320, 3), dtype=np.uint8)
    pixels[60:180, 80 + 5 * hue : 240 - 5 * hue, hue % 3] += 150
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def lay_out(folder: Path, cells: list[Path]) -> None:
    for i, name in enumerate(["mug-1", "mug-2", "bowl-1", "bowl-2", "frame", "teapot"]):
        a_photo(folder / f"{name}.jpg", 2 if name == "teapot" else i // 2 % 2, i)
    for i in range(6):
        for hue, label in enumerate(["mug", "bowl"]):
            a_photo(folder / ("taught" if i < 4 else "unseen") / label / f"{i}.jpg", hue, 100 + i)
    for i in range(60):
        a_photo(folder / "elsewhere" / f"{i}.jpg", i % 2, 300 + i)
    (folder / "photos").mkdir()
    for cell in cells:
        (folder / "photos" / cell.name).symlink_to(cell)


def test_a_block_that_is_not_run_says_why_and_only_installs():
    assert [block["why"] for block in BLOCKS if block["why"]] == [
        "they install, and one of them runs this test",
        "they install from a package index",
    ]
    assert all("pip install" in block["code"] or "tools/" in block["code"] for block in BLOCKS if block["why"])


@pytest.mark.parametrize("page", ["README.md", "docs/accuracy.md", "docs/performance.md"])
def test_every_number_that_is_measured_names_its_command(page: str):
    text = (ROOT / page).read_text("utf-8")
    lines = text[max(text.find("# Measured"), 0) : text.find("\n## For those")].splitlines()
    headers = {i - 1 for i, line in enumerate(lines) if re.match(r"^\|[-| ]+\|$", line)}
    rows = [line for i, line in enumerate(lines) if line.startswith("|") and not {i, i - 1} & headers]
    assert rows
    assert [row for row in rows if "`" not in row] == []


@pytest.mark.slow
def test_the_readme_runs_from_top_to_bottom(tmp_path: Path, cell_photos: list[Path]):
    lay_out(tmp_path, cell_photos[:120])
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for block in BLOCKS:
        if block["why"]:
            continue
        interpreter = [sys.executable, "-c"] if block["language"] == "python" else ["bash", "-euo", "pipefail", "-c"]
        done = subprocess.run([*interpreter, block["code"]], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{block['code']}\n{done.stdout}\n{done.stderr}"
        ran += 1
    assert ran >= 3
    assert (tmp_path / "record.json").exists()
