"""How far a variant is from the float network, and on whose arithmetic that was proved; and the table of it for the screen."""

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


PROOF_KINDS: tuple[ProofKind, ...] = ("measured", "emulated", "estimated", "absent", "failed")
"""On the target itself, by an emulator of it, by its vendor's compiler without running anything, or not at all."""


UNPROVED: tuple[ProofKind, ...] = ("absent", "failed")
"""The kinds without numbers, each with a reason."""


@dataclasses.dataclass(frozen=True)
class Proof:
    """One variant on one target: a row of the table that a bundle carries.

    Attributes:
        target: whose arithmetic it is, e.g. `x86_64 avx512_vnni`, `aarch64 cortex-a72`, `qualcomm htp v73`, `ethos-u55-256`.
        variant: the variant's name, e.g. `tflite-int8`.
        proved_on: what computed or compiled it, with versions; empty where nothing could.
        kind: `measured`, `emulated` or `estimated`; `absent` where the target could not be had, `failed` where it was there and the variant
            did not work on it. Rows of different kinds are never ranked with each other.
        count: photos embedded, the n of every number here.
        cosine_mean: mean cosine similarity to the float embeddings; None where nothing was embedded.
        cosine_min: the worst photo's.
        top1: with the network's own classifier, where it has one and the photos are labelled.
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
        """Refuses a row that could not have been proved: it may come from a stranger's bundle.

        Raises:
            ValueError: naming the row.
        """
        row = f"proof of {self.variant!r} on {self.target!r}"
        texts = (self.target, self.variant, self.proved_on, self.reason)
        if not all(isinstance(text, str) for text in texts) or not self.target or not self.variant or self.kind not in PROOF_KINDS:
            raise ValueError(f"{row}: its names are no texts, or kind {self.kind!r} is none of {', '.join(PROOF_KINDS)}")
        if not isinstance(self.count, int) or self.count < 0 or not isinstance(self.details, Mapping):
            raise ValueError(f"{row}: count {self.count!r} is no number of photos, or its details are no table")
        given = [value for value in (self.cosine_mean, self.cosine_min) if value is not None]
        # A cosine computed from rounded numbers may be above 1 by a few of them.
        if not all(isinstance(value, (int, float)) and -1 - 1e-6 <= value <= 1 + 1e-6 for value in given) or len(given) == 1:
            raise ValueError(f"{row}: {self.cosine_mean!r} and {self.cosine_min!r} are no cosines")
        if (given or self.top1) and (self.kind in UNPROVED or not self.count):
            raise ValueError(f"{row}: numbers without photos")
        if self.kind in UNPROVED and not self.reason:
            raise ValueError(f"{row}: {self.kind} without its reason")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Proof:
        """The inverse of :func:`to_json`.

        Raises:
            KeyError: a count of `top1` is missing.
            TypeError: a field is missing, unknown or of another type.
            ValueError: the row could not have been proved.
        """
        top1 = value["top1"]
        if top1 is not None:
            hits, n = top1["hits"], top1["n"]
            if not (isinstance(hits, int) and isinstance(n, int) and 0 <= hits <= n):
                raise ValueError(f"{hits!r} of {n!r} is no proportion")
            top1 = Proportion(hits, n)
        return cls(**{**value, "top1": top1})


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
