"""Embeds photos in another Python process, so that a crash of an emulator ends only that process."""

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
"""Time limits, s: QEMU starts a Python with OpenVINO in 20 to 40 s, and takes 5 to 10 s for a photo in float."""

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
    `embeddings.safetensors` (arrays float32 [n, d]) and `report.json`, or `unavailable.txt` with the reason why it cannot run.

    Args:
        script: a Python file.
        files: file name -> content.
        tensors: the photos.
        settings: JSON-able.
        command: starts the other Python.
        environment: variables to add to this process's.

    Returns:
        Name -> embeddings, and the report.

    Raises:
        RuntimeUnavailable: it cannot run, or does not start.
        ExportError: `child-failed`: it failed, crashed or took too long, with its last output.
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
        # -c and not the file's path: with a path, Python would look for numpy in this folder first.
        done = _run([*command, "-c", script.read_text("utf-8"), scratch], folder, environment or {}, START + PER_PHOTO * len(tensors))
        if (folder / "unavailable.txt").exists():
            raise RuntimeUnavailable((folder / "unavailable.txt").read_text("utf-8"))
        if done.returncode:
            what = f"crashed with {signal.Signals(-done.returncode).name}" if done.returncode < 0 else f"failed ({done.returncode})"
            output = (" ".join(done.stderr.split("\n")[-4:]).strip() or "no output")[-600:]
            raise ExportError(f"{command[0]} {what}: {output}", code="child-failed", status=done.returncode, output=output)
        embeddings = safetensors.numpy.load_file(folder / "embeddings.safetensors")
        report: Mapping[str, Any] = json.loads((folder / "report.json").read_text())
    return embeddings, report


def _run(words: Sequence[str], folder: Path, variables: Mapping[str, str], limit: float) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    env = {**kept, **variables, "PYTHONPATH": str(folder / "packages")}
    try:
        return subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, errors="replace", timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"{words[0]} was still running after {limit:.0f} s", code="child-failed", limit_s=limit) from error
    except OSError as error:
        raise RuntimeUnavailable(f"{words[0]} does not start: {error}") from error
