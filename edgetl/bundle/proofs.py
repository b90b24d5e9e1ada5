"""The table target x variant for the screen: on whose arithmetic each variant of a bundle was proved, and what came out."""

from __future__ import annotations

from collections.abc import Sequence

from edgetl.tables import render
from edgetl.types import UNPROVED, Proof


def table(proofs: Sequence[Proof]) -> str:
    """The rows, and below them what is worth a sentence: what a compiler said, and why a row is absent or failed."""
    headers = ("target", "variant", "proved on", "kind", "cosine", "worst", "top-1", "n")
    rows = [
        (p.target, p.variant, p.proved_on or "-", p.kind, _short(p.cosine_mean), _short(p.cosine_min), p.top1, p.count)
        for p in proofs
        if p.kind not in UNPROVED
    ]
    lines = [render(headers, rows)] if rows else []
    lines += [f"{p.target}, {p.variant}: {p.details['summary']}" for p in proofs if "summary" in p.details]
    reasons: dict[tuple[str, str], list[str]] = {}
    for p in proofs:
        if p.kind in UNPROVED:
            reasons.setdefault((p.kind, p.reason), []).append(f"{p.target} {p.variant}")
    lines += [f"{kind}: {', '.join(cells)}: {reason}" for (kind, reason), cells in sorted(reasons.items())]
    return "\n".join(lines)


def _short(cosine: float | None) -> str | None:
    return None if cosine is None else f"{cosine:.4f}"
