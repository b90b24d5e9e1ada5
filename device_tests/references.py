"""Parity references: the embedding of the first self-test image on a target, saved beside the suite in reference/TARGET.json.

One record per network, variant and library: the first image's embedding (int8 with one scale, base64: two kilobytes), the images' cosines
to the exporter's embeddings, versions, and whether it was measured on a board or emulated. A board must reach a cosine of 0.999 to the
reference, whatever its library's version. Float variants are compared if their weights are the same; int8 ones only if the model file is:
two exports that were calibrated on different photos differ more than any two boards (0.93 on this image).
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from edgetl import Bundle

FOLDER = Path(__file__).parent / "reference"
NEAR = 0.999
"""The least cosine to a reference."""

Record = dict[str, Any]


def key(bundle: Bundle, variant: str, library: str) -> str:
    """The name of a record: network, its weights, the embedding's length, the variant, and the library without its version."""
    weights = bundle.backbone["weights"]["sha256"][:12]
    return f"{bundle.backbone['name']} {weights} {bundle.dim} {variant} {library.rpartition(' ')[0]}"


def compare(record: Record, known: Record | None) -> tuple[str, bool]:
    """A record's cosine to the reference, in words, and whether it is near enough."""
    if known is None or record["chart"] != known["chart"] or (record["model"] != known["model"] and record["variant"].endswith("int8")):
        return "no reference for this model on this target (--write-reference adds one)", True
    near = cosine(unpacked(record["embedding"]), unpacked(known["embedding"]))
    return f"{near:.4f} to the reference ({known['kind']}, {known['library']}), at least {NEAR} expected", near >= NEAR


def records(target: str) -> dict[str, Record]:
    """The records of a target; empty without a file."""
    path = FOLDER / f"{target}.json"
    content: dict[str, Record] = json.loads(path.read_text())["records"] if path.exists() else {}
    return content


def write(target: str, new: dict[str, Record]) -> Path:
    """Adds records to a target's file, replacing those of the same model and library; an emulated one never replaces a measured one."""
    known = records(target)
    kept = {name: record for name, record in new.items() if record["kind"] == "measured" or known.get(name, record)["kind"] != "measured"}
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


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """The cosine of two vectors, in [-1, 1]."""
    return float(first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-30))
