"""The words for a choice among bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgetl.tables import render

if TYPE_CHECKING:
    from edgetl.choose.choose import BundleChoice
    from edgetl.choose.measure import MeasuredBundle, SkippedInput


def describe_choice(choice: BundleChoice) -> str:
    """Which bundle to take, and why, without a full stop."""
    if choice.code == "none-works":
        return "none of the bundles works on this machine"
    chosen = next(candidate for candidate in choice.candidates if candidate.bundle == choice.recommended)
    best, text = choice.candidates[0], f"take {_describe(chosen)}"
    if choice.code == "as-accurate":
        return f"{text}; {_name(best)} gets {best.accuracy}, which is not measurably more"
    return text + ("; no other is more accurate" if choice.code == "most-accurate" else "")


def format_choice(choice: BundleChoice) -> str:
    """The measurements as a table, what was skipped, and the recommendation."""
    headers = ("bundle", "variant", "values", "accuracy, %", "LogME", "ms a photo", "model MB", "B a sample", "front")
    rows = [
        (
            Path(candidate.bundle).name,
            candidate.variant,
            " + ".join(map(str, candidate.levels)) or candidate.dim,
            candidate.accuracy,
            f"{candidate.logme:.3f}",
            candidate.latency,
            f"{candidate.size / 1e6:.1f}",
            candidate.sample,
            "*" if candidate.front else "",
        )
        for candidate in choice.candidates
    ]
    lines = [render(headers, rows)] if rows else []
    if rows:
        lines.append(
            "accuracy: leave-one-out, n near-duplicate groups, 95 % interval; LogME: higher is better; ms: file to embedding, median of "
            f"{len(choice.candidates[0].latency.samples)}, 95 % interval; *: on the Pareto front"
        )
    lines += [f"warning: not measured: {_reason(skipped)}" for skipped in choice.skipped]
    lines += [f"warning: not used: {_reason(skipped)}" for skipped in choice.failed]
    return "\n".join([*lines, describe_choice(choice)])


def _describe(candidate: MeasuredBundle) -> str:
    return f"{_name(candidate)}: {candidate.accuracy}, {candidate.latency} ms a photo, {candidate.size / 1e6:.1f} MB"


def _reason(skipped: SkippedInput) -> str:
    return skipped.reason if skipped.path in skipped.reason else f"{skipped.path}: {skipped.reason}"


def _name(candidate: MeasuredBundle) -> str:
    return f"{Path(candidate.bundle).name} ({candidate.variant})"
