"""The English of what heads decide: every code of this package is worded here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgetl.stats import Proportion
from edgetl.types import Prediction

if TYPE_CHECKING:  # values only
    from edgetl.heads.confidence.acceptance import RejectionReport
    from edgetl.heads.selection import HeadChoice
    from edgetl.heads.warnings import TrainingWarning

ALGORITHMS: Mapping[str, str] = {
    "lda": "LDA", "ridge": "ridge regression", "ncm": "nearest class mean", "logistic": "logistic regression", "auto": "automatic choice",
}  # fmt: skip
_SHOWN = 5


def choice_text(choice: HeadChoice) -> str:
    """Which algorithm was chosen, and its accuracy."""
    name = ALGORITHMS[choice.kind]
    measured = f"{_percent(choice.accuracy)} {choice.method} (n={choice.accuracy.n})."
    text = {
        "one-class": "One class: every photo that is not rejected as unknown gets its label.",
        "nothing-to-compare": f"Chose {name}: one photo or near-duplicate group per class, so there is nothing to compare.",
        "requested": f"{name[0].upper()}{name[1:]} as requested: {measured}",
        "default": f"Chose {name}: {measured}",
        "better-score": f"Chose {name}: {measured} Its Brier score beats LDA's by more than chance.",
        "better-folds": f"Chose {name}: {measured} Its Brier score is the lowest.",
    }[choice.code]
    if choice.last_stage is None:
        return text
    return f"{text} Multi-scale features: {_percent(choice.accuracy)}, last stage alone: {_percent(choice.last_stage)}."


def rejection_text(report: RejectionReport) -> str:
    """How well unknown objects are rejected; the first sentence stands alone."""
    sentences = [f"Unknown objects: {_verdict(report)}."]
    unrelated = report.unrelated_accept
    if unrelated.n and report.code != "unrelated-only":
        sentences.append(f"Unrelated photos: {_percent(Proportion(unrelated.n - unrelated.hits, unrelated.n))} rejected (n={unrelated.n}).")
    if unrelated.n and report.false_accept is not None:
        sentences.append(f"Similar objects: {_tenths(report.false_accept.value)} get a wrong label.")
    if report.near:
        sentences.append(
            f"{report.near} background photos look like a trained class"
            + ("." if report.background else "; export others with `edgetl export --background FOLDER`.")
        )
    return " ".join(sentences)


def _verdict(report: RejectionReport) -> str:
    area = report.auroc.get(report.score) if report.score is not None else None
    measured = "" if area is None else f" (AUROC {area.value:.2f}, {area.n} classes held out)"
    if report.code == "reliable":
        return f"rejected reliably{measured}"
    if report.code == "unrelated-only":
        unrelated = report.unrelated_accept
        rate = _percent(Proportion(unrelated.n - unrelated.hits, unrelated.n))
        also = "similar ones were measured on too few classes" if report.reason == "few-classes" else "similar ones were not measured"
        missing = {
            "one-class": "; add them as a second class",
            "not-left-out": "; that takes 2 classes with 3 photos each",
        }.get(report.reason, f" ({report.classes})")
        return f"{rate} of unrelated ones are rejected (n={unrelated.n}); {also}{missing}"
    need = {
        "few-photos": f"; 19 photos of classes with 2 or more are needed, here are {report.photos}",
        "few-classes": f"; 4 classes with 3 photos each are needed, here are {report.eligible}",
        "few-photos-per-class": f"; 4 classes with 3 photos each are needed, here are {report.eligible}",
        "low-auroc": "; an AUROC surely above 0.7 is needed",
        "similar-accepted": "",
    }.get(report.reason, "")
    return f"not rejected reliably{measured}{need}"


def warning_text(warning: TrainingWarning) -> str:
    """A possible problem with the training set, and what to do."""
    named = _list(warning.labels)
    if warning.code == "uneven-classes":
        few, many = warning.labels
        return f"{many!r} has {warning.total} photos and {few!r} only {warning.count}. Add photos of {few!r}."
    return {
        "same-embeddings": f"all {warning.total} embeddings are equal, so no class can be told from another. Check the camera and the runtime.",
        "zero-embeddings": f"{warning.count} of {warning.total} embeddings are zero. Check the runtime with `edgetl bundle inspect`.",
        "one-photo": f"only one photo of {named}; leave-one-out counts it as missed. Add a second photo.",
        "one-group": f"all {warning.total} photos are near-duplicates of each other, so the accuracy cannot be measured. Add different photos.",
        "one-group-per-class": f"all photos of {named} are near-duplicates; leave-one-out counts them as missed. Add different photos.",
        "as-good-as-guessing": f"the accuracy is no better than guessing ({warning.accuracy}). Add photos, and check the labels.",
        "few-photos": f"fewer than {warning.total} different photos of {named}: the true accuracy is likely higher, "
        "by about 20 points at 3 photos a class and 8 at 5.",
    }[warning.code]


def no_label_text(prediction: Prediction) -> str:
    """Why a photo gets no label; empty if it gets one."""
    if prediction.reason == "reject-class":
        return f"looks like {prediction.top[0][0]!r}, a reject class"
    if prediction.reason == "unknown-object":
        return f"unknown object: score {prediction.score:.3g}, limit {prediction.limit:.3g}"
    return ""


def _percent(value: Proportion) -> str:
    """A share in percent with at most one decimal; 100 only if all are."""
    if not value.n:
        return "not measured"
    rounded = f"{100 * value.value:.1f}"
    if rounded == "100.0" and value.hits < value.n:
        rounded = "99.9"
    return f"{rounded.removesuffix('.0')} %"


def _tenths(share: float) -> str:
    tenths = round(10 * share)
    return f"about {tenths} of 10" if 0 < tenths < 10 else "nearly all" if tenths else "fewer than 1 of 20"


def _list(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
