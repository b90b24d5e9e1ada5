"""The English of what heads decide: every code of this package is worded here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgetl.heads.confidence.acceptance import LEAST_CLASSES, LEAST_KNOWN, LEAST_PHOTOS
from edgetl.stats import Proportion
from edgetl.types import Prediction

if TYPE_CHECKING:  # values only
    from edgetl.heads.confidence.acceptance import RejectionReport
    from edgetl.heads.selection import HeadChoice
    from edgetl.heads.warnings import TrainingWarning

_KINDS = {"ncm": "NCM", "lda": "LDA", "ridge": "ridge"}
_SHOWN = 5


def kind_name(kind: str) -> str:
    """An algorithm's name."""
    return _KINDS.get(kind, kind)


def choice_text(choice: HeadChoice) -> str:
    """Which algorithm was chosen, and its accuracy."""
    name = kind_name(choice.kind)
    measured = f"{_percent(choice.accuracy)} leave-one-out (n={choice.accuracy.n})."
    text = {
        "one-class": "One class: every photo that is not rejected as unknown gets its label.",
        "nothing-to-compare": f"Chose {name}: one photo or near-duplicate group per class, so there is nothing to compare.",
        "requested": f"{name[0].upper()}{name[1:]} as requested: {measured}",
        "default": f"Chose {name}: {measured}",
        "better-score": f"Chose {name}: {measured} Its Brier score beats LDA's by more than chance.",
    }[choice.code]
    if choice.last_stage is None:
        return text
    return f"{text} Multi-scale features: {_percent(choice.accuracy)}, last stage alone: {_percent(choice.last_stage)}."


def rejection_text(report: RejectionReport) -> str:
    """How well unknown objects are rejected, in one sentence."""
    area = report.auroc.get(report.score) if report.score is not None else None
    measured = "" if area is None else f" (AUROC {area.value:.2f}, {area.n} classes held out)"
    if report.code == "reliable":
        return f"Unknown objects: rejected reliably{measured}."
    if report.code == "unrelated-only":
        few = f" on {report.classes} classes" if report.reason == "few-classes" else ""
        return f"Unknown objects: unrelated ones rejected; similar ones {'measured' if few else 'not measured'}{few}."
    if report.reason == "similar-accepted" and report.false_accept is not None:
        return f"Unknown objects: {100 * report.false_accept.value:.0f} % of similar ones get a label; do not rely on it."
    if report.reason == "few-photos":
        return f"Unknown objects: not rejected ({LEAST_KNOWN} photos needed, {report.photos} usable)."
    if report.reason in ("few-classes", "few-photos-per-class"):
        return f"Unknown objects: only very different ones are rejected ({LEAST_CLASSES} classes needed)."
    return f"Unknown objects: similar ones may get a label{measured}."


def rejection_details(report: RejectionReport) -> list[str]:
    """The numbers behind it, one sentence each."""
    sentences = []
    if report.reason == "few-classes" and report.code != "unrelated-only":
        sentences.append(f"Classes with {LEAST_PHOTOS} different photos or more: {report.eligible}.")
    if report.reason == "few-photos-per-class":
        sentences.append(f"Classes with {LEAST_PHOTOS} different photos or more: {report.eligible} of {report.trained}.")
    sentences += [f"AUROC of classes held out, by {score}: {area}." for score, area in report.auroc.items() if score == report.score]
    if report.coverage.n:
        sentences.append(f"Known photos that get a label ({report.point}): {report.coverage}.")
    if report.false_accept is not None and (report.unrelated_accept.n or report.reliable):
        sentences.append(f"Similar objects that get a label: {report.false_accept}.")
    if report.unrelated_accept.n:
        sentences.append(f"Unrelated photos that get a label: {report.unrelated_accept}.")
    if report.near:
        advice = "." if report.background else "; `edgetl export --background FOLDER` takes others."
        sentences.append(f"Background photos that look like a trained class and were left out: {report.near}{advice}")
    return sentences


def warning_text(warning: TrainingWarning) -> str:
    """A possible problem with the training set, and what to do."""
    named = _list(warning.labels)
    if warning.code == "uneven-classes":
        few, many = warning.labels
        return f"{many!r} has {warning.total} photos and {few!r} only {warning.count}. Add photos of {few!r}."
    return {
        "same-embeddings": f"all {warning.total} embeddings are equal; no class can be recognised. Check the camera and the runtime.",
        "zero-embeddings": f"{warning.count} of {warning.total} embeddings are zero. Check the runtime with `edgetl bundle inspect`.",
        "one-photo": f"only one photo of {named}; leave-one-out counts it as missed. Add a second photo.",
        "one-group": f"all {warning.total} photos are near-duplicates; the accuracy cannot be measured. Add different photos.",
        "one-group-per-class": f"all photos of {named} are near-duplicates; leave-one-out counts them as missed. Add different photos.",
        "as-good-as-guessing": f"the accuracy is no better than guessing ({warning.accuracy}). Add photos, and check the labels.",
        "few-photos": f"fewer than {warning.total} different photos of {named}: the true accuracy is likely higher, "
        "by about 20 points at 3 photos a class and 8 at 5.",
    }[warning.code]


def no_label_text(prediction: Prediction) -> str:
    """Why a photo gets no label; empty if it gets one."""
    if prediction.code == "reject-class":
        return f"looks like {prediction.top[0][0]!r}, a reject class"
    if prediction.code == "unknown-object":
        return f"unlike the training photos: its score is {prediction.score:.3g}, the limit {prediction.limit:.3g}"
    return ""


def _percent(value: Proportion) -> str:
    """A share in percent with at most one decimal; 100 only if all are."""
    if not value.n:
        return "not measured"
    rounded = f"{100 * value.value:.1f}"
    if rounded == "100.0" and value.hits < value.n:
        rounded = "99.9"
    return f"{rounded.removesuffix('.0')} %"


def _list(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
