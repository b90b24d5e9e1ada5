"""Parity references: what the first golden chart becomes on a target, kept beside the suite in reference/TARGET.json.

One record per network, variant and library: the first chart's embedding (int8 with one scale, base64: two kilobytes), the charts' cosines
to the exporter's golden embeddings, versions, and whether it was measured on a board or emulated. A board must come out where the reference
did, to a cosine of 0.999, whatever its library's version. Float variants are compared whenever their weights are the same; int8 ones only
where the model file is: two exports that were calibrated on other photos differ more than any two boards (0.93 on this chart).
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


def compared(made: Record, known: Record | None) -> tuple[str, bool]:
    """How a record stands to the reference, in words, and whether it is near enough."""
    if known is None or made["chart"] != known["chart"] or (made["model"] != known["model"] and made["variant"].endswith("int8")):
        return "no reference for this model on this target (--write-reference makes one)", True
    near = cosine(unpacked(made["embedding"]), unpacked(known["embedding"]))
    return f"{near:.4f} to the reference ({known['kind']}, {known['library']}), at least {NEAR} expected", near >= NEAR


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
