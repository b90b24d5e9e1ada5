"""The words of heads: one golden file for every code, and every code is documented."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

from edgetl.heads.confidence.acceptance import Rates, RejectionCode, RejectionReason, RejectionReport
from edgetl.heads.confidence.rejection import RejectedCode
from edgetl.heads.selection import ChoiceCode, HeadChoice
from edgetl.heads.text import choice_text, no_label_text, rejection_details, rejection_text, warning_text
from edgetl.heads.warnings import TrainingWarning, WarningCode
from edgetl.stats import Mean, Proportion
from edgetl.types import Prediction

NONE, ALL = Proportion(0, 0), Proportion(35, 35)
CHOICES = {code: HeadChoice(code, "lda", 0.03, ALL, 36, 36) for code in get_args(ChoiceCode)}
CHOICES["nothing-to-compare"] = HeadChoice("nothing-to-compare", "ridge", 0.3, Proportion(0, 4), 4, 4)
CHOICES["better-score"] = HeadChoice("better-score", "ridge", 0.03, ALL, 36, 36)
CHOICES["one stage fewer"] = HeadChoice("default", "lda", 0.03, ALL, 36, 36, Proportion(33, 35))
WARNINGS = {
    code: TrainingWarning(code, ("cup", "mug"), 2, 8 if code == "few-photos" else 300, Proportion(12, 40)) for code in get_args(WarningCode)
}


def report(
    code: RejectionCode,
    reason: RejectionReason,
    trained: int = 5,
    held: int = 4,
    background: int = 136,
    score: bool = True,
    wrong: float = 0.05,
) -> RejectionReport:
    """What a training reports of unknown objects."""
    accepted = Mean(wrong, (0.0, 2 * wrong), held) if held else None
    rates = Rates(Proportion(58, 60), accepted, Proportion(1, background) if background else NONE)
    areas = {"mahalanobis": Mean(1.0, (1.0, 1.0), held)} if score and held else {}
    return RejectionReport(
        code, reason, "balanced", {"balanced": rates}, "mahalanobis" if score else None, areas, trained, held, held, 60, background, near=7
    )


REPORTS = {
    "reliable, with a background": report("reliable", "measured"),
    "reliable, without": report("reliable", "measured", background=0),
    "similar objects accepted": report("unreliable", "similar-accepted", wrong=0.45),
    "a low AUROC": report("unreliable", "low-auroc", background=0),
    "one class": report("unrelated-only", "one-class", trained=1, held=0),
    "no class left out": report("unrelated-only", "not-left-out", held=0),
    "few classes left out": report("unrelated-only", "few-classes", held=3),
    "few classes": report("unreliable", "few-classes", held=3, background=0),
    "few photos": report("cannot-measure", "few-photos", held=0, background=0, score=False),
    "few photos of each class": report("cannot-measure", "few-photos-per-class", held=0, background=0, score=False),
}
PREDICTIONS = {
    "labelled": Prediction("cup", 0.9, (("cup", 0.9),)),
    "reject-class": Prediction(None, 0.9, (("none", 0.9),), None, "reject-class"),
    "unknown-object": Prediction(None, 0.9, (("cup", 0.9),), None, "unknown-object", -1.5, 0.25),
}


def test_the_words_of_every_code_are_those_of_the_golden_file() -> None:
    assert {item.code for item in REPORTS.values()} == set(get_args(RejectionCode))
    assert {item.reason for item in REPORTS.values()} == set(get_args(RejectionReason))
    lines = [f"{name}: {choice_text(choice)}" for name, choice in CHOICES.items()]
    for name, item in REPORTS.items():
        lines += [f"{name}: {rejection_text(item)}", *(f"    {line}" for line in rejection_details(item))]
    lines += [f"{name}: {warning_text(warning)}" for name, warning in WARNINGS.items()]
    lines += [f"{name}: {no_label_text(prediction)}".strip() for name, prediction in PREDICTIONS.items()]
    text, path = "\n".join(lines) + "\n", Path(__file__).parent / "golden" / "heads.txt"
    if os.environ.get("EDGETL_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text("utf-8")


def test_every_code_of_heads_is_documented() -> None:
    documented = (Path(__file__).parent.parent / "docs" / "errors.md").read_text("utf-8").split("## Codes of results")[1]
    kinds = (ChoiceCode, RejectionCode, RejectionReason, WarningCode, RejectedCode)
    assert [code for kind in kinds for code in get_args(kind) if f"`{code}`" not in documented] == []
