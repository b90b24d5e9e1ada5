"""The code blocks of the README and of the documentation, and how a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
WITH_A_REAL_BUNDLE = ["docs/how-to/raspberry-pi.md", "docs/how-to/other-programs.md", "docs/formats.md"]
"""Pages that need the bundle that the README makes, in this order: the last one reads a record that the first one writes."""
BLOCK = re.compile(r"(?:<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<language>python|sh)\n(?P<code>.*?)```", re.DOTALL)


def blocks(page: str) -> list[dict[str, str]]:
    """The Python and shell blocks of a page: `language`, `code`, and `why` if the block is not to be run."""
    return [match.groupdict(default="") for match in BLOCK.finditer((ROOT / page).read_text("utf-8"))]


def run(page: str, folder: Path) -> int:
    """Runs a page's blocks from top to bottom in one shell, as a reader does; returns how many."""
    script = ["set -euo pipefail", "trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR"]
    wanted = [block for block in blocks(page) if not block["why"]]
    script += [
        block["code"] if block["language"] == "sh" else f"python - <<'END OF BLOCK'\n{block['code']}END OF BLOCK" for block in wanted
    ]
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f"{page}\n{done.stdout}\n{done.stderr}"
    return len(wanted)


def photo(path: Path, hue: int, seed: int) -> None:
    """Writes a picture with a class's own colour and shape, no two alike."""
    random = np.random.default_rng([hue, seed])
    pixels = random.integers(0, 60, (240, 320, 3), dtype=np.uint8)
    pixels[60:180, 80 + 5 * hue : 240 - 5 * hue, hue % 3] += 150
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def lay_out(folder: Path) -> None:
    """Makes the photos that the pages name."""
    for seed, name in enumerate(["mug-1", "mug-2", "bowl-1", "bowl-2", "frame", "teapot"]):
        photo(folder / f"{name}.jpg", 2 if name == "teapot" else seed // 2 % 2, seed)
    for seed in range(6):
        for hue, label in enumerate(["mug", "bowl"]):
            photo(folder / ("training" if seed < 4 else "unseen") / label / f"{seed}.jpg", hue, 100 + seed)
        photo(folder / "teapot" / f"{seed}.jpg", 2, 200 + seed)
    for seed in range(60):
        photo(folder / "elsewhere" / f"{seed}.jpg", seed % 2, 300 + seed)
