"""How far a variant is from the float network, on which targets that was proved, and the table of it for the screen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from edgetl.stats import Proportion
from edgetl.tables import render


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far one variant's embeddings are from the float ones, over photos that calibrated nothing.

    Attributes:
        cosine_mean: mean cosine similarity, in [-1, 1].
        cosine_min: the worst photo's cosine similarity.
        max_abs: largest absolute difference of one embedding value.
        neighbour_agreement: share of photos whose nearest other photo is the same one.
        count: photos compared.
        bound: the recipe's lowest allowed `cosine_mean`.
        machine: the instruction set it was measured on, e.g. `x86_64 avx512_vnni`.
    """

    cosine_mean: float
    cosine_min: float
    max_abs: float
    neighbour_agreement: float
    count: int
    bound: float
    machine: str


ProofKind = Literal["measured", "emulated", "estimated", "absent", "failed"]


"""On the target itself, by an emulator of it, by its vendor's compiler without running anything, or not at all."""

UNPROVED: tuple[ProofKind, ...] = ("absent", "failed")
"""The kinds without numbers, each with a reason."""


@dataclasses.dataclass(frozen=True)
class Proof:
    """One variant on one target: a row of the table that a bundle carries.

    Attributes:
        target: whose arithmetic it is, e.g. `x86_64 avx512_vnni`, `aarch64 cortex-a72`, `qualcomm htp v73`, `ethos-u55-256`.
        variant: the variant's name, e.g. `tflite-int8`.
        proved_on: what computed or compiled it, with versions; empty if nothing could.
        kind: `measured`, `emulated` or `estimated`; `absent` if the target was not available, `failed` if it was and the variant did not
            work on it. Rows of different kinds are never ranked with each other.
        count: photos embedded, the n of every number here.
        cosine_mean: mean cosine similarity to the float embeddings; None if nothing was embedded.
        cosine_min: the worst photo's.
        top1: with the network's own classifier, if it has one and the photos are labelled.
        details: JSON-able: what else the target says, e.g. operators on the NPU and the CPU, bytes, cycles, agreement.
        reason: why it is absent, with the command that would change it, or what failed.
    """

    target: str
    variant: str
    proved_on: str
    kind: ProofKind
    count: int
    cosine_mean: float | None
    cosine_min: float | None
    top1: Proportion | None
    details: Mapping[str, Any]
    reason: str = ""

    def __post_init__(self) -> None:
        """Rejects a row that cannot have been proved: it may come from a stranger's bundle.

        Raises:
            ValueError: naming the row.
        """
        row = f"proof of {self.variant!r} on {self.target!r}"
        if not self.target or not self.variant or self.count < 0:
            raise ValueError(f"{row}: target and variant must have a name, and count {self.count} must be 0 or more")
        cosines = [cosine for cosine in (self.cosine_mean, self.cosine_min) if cosine is not None]
        # A cosine computed from rounded numbers may be slightly above 1.
        if not all(-1 - 1e-6 <= cosine <= 1 + 1e-6 for cosine in cosines) or len(cosines) == 1:
            raise ValueError(f"{row}: mean {self.cosine_mean} and minimum {self.cosine_min} must be two cosines or none")
        if (cosines or self.top1) and (self.kind in UNPROVED or not self.count):
            raise ValueError(f"{row}: numbers without photos")
        if self.kind in UNPROVED and not self.reason:
            raise ValueError(f"{row}: {self.kind} without its reason")


def table(proofs: Sequence[Proof]) -> str:
    """The rows, and below them the compilers' summaries and the reasons of absent and failed rows."""
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
