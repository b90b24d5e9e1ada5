"""Another Python that embeds photos: an emulator that crashes takes its own process down and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.numpy

from edgetl.bundle import bundle
from edgetl.errors import ExportError, RuntimeUnavailable
from edgetl.types import Embeddings, Pixels

START, PER_PHOTO = 300, 60
"""Seconds after which it hangs: QEMU starts a Python with OpenVINO in 20 to 40 s, and a float photo takes it 5 to 10 s."""

_DROPPED = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD")


def embed(
    script: Path,
    files: Mapping[str, bytes],
    tensors: Pixels,
    settings: Mapping[str, Any],
    *,
    command: Sequence[str] = (sys.executable,),
    environment: Mapping[str, str] | None = None,
) -> tuple[Mapping[str, Embeddings], Mapping[str, Any]]:
    """Runs `script FOLDER` in another Python, which sees edgetl and none of this one's paths.

    The folder holds `files`, `settings.json` and `tensors.safetensors` (`tensors` uint8 [n, h, w, 3]). The script leaves there
    `embeddings.safetensors` (arrays float32 [n, d]) and `report.json`, or `refused.txt` with a sentence that says what is not there.

    Args:
        script: a Python file.
        files: file name -> content.
        tensors: the photos.
        settings: JSON-able.
        command: the words that start the other Python.
        environment: variables to add to this process's.

    Returns:
        Name -> embeddings, and what the report says.

    Raises:
        RuntimeUnavailable: it refused, or does not start.
        ExportError: it failed, crashed or hung; with its last words.
    """
    with tempfile.TemporaryDirectory(prefix="edgetl-") as scratch:
        folder = Path(scratch)
        # A link, because the folder that holds edgetl may hold this machine's numpy too.
        (folder / "packages").mkdir()
        (folder / "packages" / "edgetl").symlink_to(Path(bundle.__file__).parents[1].resolve())
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (folder / "settings.json").write_text(json.dumps(settings))
        safetensors.numpy.save_file({"tensors": tensors}, folder / "tensors.safetensors")
        kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        try:
            done = subprocess.run(
                # -c and not the file's path: with a path, Python would look for numpy in this folder first.
                [*command, "-c", script.read_text("utf-8"), scratch],
                env={**kept, **(environment or {}), "PYTHONPATH": str(folder / "packages")},
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=START + PER_PHOTO * len(tensors),
            )
        except subprocess.TimeoutExpired as error:
            raise ExportError(f"{command[0]} was still at work after {error.timeout:.0f} s for {len(tensors)} photos") from error
        except OSError as error:
            raise RuntimeUnavailable(f"{command[0]} does not start: {error}") from error
        if (folder / "refused.txt").exists():
            raise RuntimeUnavailable((folder / "refused.txt").read_text("utf-8"))
        if done.returncode:
            what = f"crashed with {signal.Signals(-done.returncode).name}" if done.returncode < 0 else f"failed ({done.returncode})"
            said = " ".join(done.stderr.split("\n")[-4:]).strip() or "it said nothing"
            raise ExportError(f"{command[0]} {what}: {said[-600:]}")
        made = safetensors.numpy.load_file(folder / "embeddings.safetensors")
        report: Mapping[str, Any] = json.loads((folder / "report.json").read_text())
    return made, report
