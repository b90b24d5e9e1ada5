"""Parity references: what the first golden chart becomes on a target, kept beside the suite in reference/TARGET.json.

One record per model and library: the first chart's embedding (int8 with one scale, base64: two kilobytes), the charts' cosines to the
exporter's golden embeddings, versions, and whether it was measured on a board or emulated. A board that runs the same model must come out
where the reference did, whatever its library's version.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "reference"
NEAR = 0.999
"""The least cosine to a reference. The same core and library give 1.0000 (EfficientNet-Lite0, real and emulated threads of any number)."""

Record = dict[str, Any]


def key(fingerprint: str, library: str) -> str:
    """The name of a record: the model's fingerprint (sha256, hex) and the library without its version."""
    return f"{fingerprint[:16]} {library.rpartition(' ')[0]}"


def records(target: str) -> dict[str, Record]:
    """The records of a target; none where it has no file."""
    path = FOLDER / f"{target}.json"
    found: dict[str, Record] = json.loads(path.read_text())["records"] if path.exists() else {}
    return found


def write(target: str, made: dict[str, Record]) -> Path:
    """Adds records to a target's file, replacing those of the same model and library; an emulated one replaces no measured one."""
    known = records(target)
    kept = {name: one for name, one in made.items() if one["kind"] == "measured" or known.get(name, one)["kind"] != "measured"}
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{target}.json"
    path.write_text(json.dumps({"target": target, "records": dict(sorted({**known, **kept}.items()))}, indent=1) + "\n")
    return path


def packed(embedding: np.ndarray) -> dict[str, Any]:
    """A float embedding [d] as int8 and its scale."""
    scale = float(np.abs(embedding).max() / 127) or 1.0
    return {"scale": scale, "int8": base64.b64encode(np.rint(embedding / scale).astype(np.int8).tobytes()).decode()}


def unpacked(kept: dict[str, Any]) -> np.ndarray:
    """The inverse of :func:`packed`, float64 [d]."""
    return np.frombuffer(base64.b64decode(kept["int8"]), np.int8) * kept["scale"]


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """The cosine of two vectors, in [-1, 1]."""
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-30))
