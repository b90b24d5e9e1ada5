"""The station as JSON: what the page shows, in codes, numbers and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from edgetl.diagnostics.text import describe_action, describe_finding, describe_forecast, describe_reason, describe_regression, sentence
from edgetl.errors import EdgetlError, PhotoError
from edgetl.heads.text import no_label_text, warning_text
from edgetl.session.review import Review
from edgetl.types import HeadInfo, Prediction, to_json

if TYPE_CHECKING:
    from edgetl.diagnostics.explanation import Explanation
    from edgetl.inbox import Group, InboxItem
    from edgetl.serve.live import Answer
    from edgetl.serve.station import Station
    from edgetl.session.reports import Added, FailedPhoto, TrainReport
    from edgetl.stats import Proportion

HISTORY = 50
"""Heads that the page lists, the newest."""


def state(station: Station) -> dict[str, Any]:
    """Classes, head, camera and what can be undone."""
    classifier, trainer, live = station.classifier, station.trainer, station.live
    counts, heads = classifier.counts, classifier.heads()
    active = next((info for info in heads if info.active), None)
    report = trainer.report
    answer_now, uri, requested = live.answer, live.uri, live.requested
    return {
        "classes": [_class(label, count, report) for label, count in sorted(counts.items())],
        "photos": sum(counts.values()),
        "head": None if active is None else head(active),
        "heads": [head(info) for info in heads[: -HISTORY - 1 : -1]],
        "training": {
            "running": trainer.running,
            "waiting": trainer.waiting,
            "error": None if trainer.error is None else trainer.error.to_json(),
            "warnings": [] if report is None else [_sentence(warning_text(warning)) for warning in report.warnings],
            "change": "" if report is None or report.change is None else _sentence(describe_regression(report.change)),
            "not_activated_because": "" if report is None else report.not_activated_because,
        },
        "next": _next(counts, report),
        "camera": None
        if uri is None
        else {
            "uri": uri,
            "number": station.cameras.index(requested) if requested in station.cameras else None,
            "event": None if live.event is None else live.event.code,
            "fps": 0.0 if answer_now is None else round(answer_now.rate, 1),
            "latency_ms": None if answer_now is None else round(1000 * answer_now.latency, 1),
        },
        "cameras": len(station.cameras),
        "inbox": len(station.inbox),
        "undo": station.steps.newest,
        "store": classifier.store.path.name,
        "bundle": classifier.embedder.bundle.path.name,
        "variant": classifier.embedder.variant.name,
        "version": metadata.version("edgetl"),
    }


def head(info: HeadInfo) -> dict[str, Any]:
    """A line of the history."""
    return {
        "id": info.id,
        "kind": info.kind,
        "labels": list(info.labels),
        "samples": info.samples,
        "accuracy": proportion(info.accuracy),
        "created": info.created,
        "active": info.active,
        "not_activated_because": info.not_activated_because,
    }


def proportion(value: Proportion) -> dict[str, Any] | None:
    """Value, interval and count; None if nothing was counted."""
    if not value.n:
        return None
    low, high = value.interval
    return {"value": value.value, "low": low, "high": high, "hits": value.hits, "n": value.n}


def predictions(results: Sequence[Prediction | PhotoError]) -> dict[str, Any]:
    """What was said of each photo."""
    return {"predictions": [error(result) if isinstance(result, PhotoError) else predicted(result) for result in results]}


def predicted(result: Prediction) -> dict[str, Any]:
    """One prediction, with the reason if there is no label."""
    return {
        "label": result.label,
        "probability": result.probability,
        "top": [list(pair) for pair in result.top],
        "code": result.code,
        "reason": _sentence(no_label_text(result)) if result.label is None else "",
    }


def answer(shown: Answer) -> dict[str, Any]:
    """One frame's answer."""
    untrained: dict[str, Any] = {"label": None, "probability": 0.0, "top": [], "code": "not-trained", "reason": ""}
    return {
        **(untrained if shown.prediction is None else predicted(shown.prediction)),
        "sequence": shown.frame.sequence,
        "fps": round(shown.rate, 1),
        "latency_ms": round(1000 * shown.latency, 1),
    }


def added(photos: Sequence[Added], failed: Sequence[FailedPhoto], undo: str | None) -> dict[str, Any]:
    """What became of labelled photos."""
    return {
        "photos": [
            {
                "id": each.sample,
                "label": each.label,
                "status": each.status,
                "previous": each.previous,
                "findings": [{"code": finding.code, "message": _sentence(describe_finding(finding))} for finding in each.findings],
            }
            for each in photos
        ],
        "failed": [to_json(each) for each in failed],
        "undo": undo,
    }


def worth(review: Review, heads: Sequence[HeadInfo], per_class: Sequence[Mapping[str, Proportion]]) -> dict[str, Any]:
    """How good the classes are, how that came about, and what to do next.

    Args:
        review: what leave-one-out says now.
        heads: the newest, oldest first.
        per_class: the accuracy that each class had with each of them.
    """
    assessment = review.report.assessment
    return {
        "accuracy": proportion(review.report.accuracy),
        "classes": {
            label: {
                "photos": row.photos,
                "groups": row.groups,
                "accuracy": proportion(row.accuracy),
                "taken_for": None if row.taken_for is None else list(row.taken_for),
                "history": [
                    {"head": info.id, "accuracy": proportion(rows[label])} for info, rows in zip(heads, per_class) if label in rows
                ],
            }
            for label, row in assessment.per_class.items()
        },
        "forecast": {
            "text": describe_forecast(assessment),
            "now": assessment.now,
            "twice": assessment.twice,
            "fourfold": assessment.fourfold,
        },
        "next": {**to_json(assessment.action), "text": _sentence(describe_action(assessment.action))},
        "warnings": [_sentence(warning_text(warning)) for warning in review.report.warnings],
        "confusion": {"labels": list(review.labels), "counts": review.confusion.tolist()},
        "suspects": [
            {"id": each.sample, "label": each.label, "looks_like": each.looks_like, "score": each.score} for each in review.label_errors
        ],
    }


def explanation(reasons: Explanation) -> dict[str, Any]:
    """Why a photo gets its label."""
    return {
        "label": reasons.label,
        "top": [list(pair) for pair in reasons.top],
        "margin": reasons.margin,
        "verdict": reasons.verdict,
        "reasons": [_sentence(describe_reason(reason)) for reason in reasons.reasons],
        "neighbours": [{"id": each.sample, "label": each.label, "similarity": each.cosine} for each in reasons.neighbours],
    }


def inbox(items: Sequence[InboxItem], groups: Sequence[Group], ranked: Sequence[int]) -> dict[str, Any]:
    """The frames that the camera was unsure of."""
    return {
        "items": {
            str(item.id): {"time": item.time, "label": item.label, "probability": item.probability, "code": item.code} for item in items
        },
        "groups": [{"ids": list(group.ids), "label": group.label} for group in groups],
        "next": list(ranked),
    }


def error(problem: EdgetlError) -> dict[str, Any]:
    """An error as `--json` prints it on the command line."""
    return {"error": problem.to_json()}


def _sentence(text: str) -> str:
    """With a capital letter and one full stop."""
    return sentence(text.rstrip(".")) if text else ""


def _class(label: str, count: int, report: TrainReport | None) -> dict[str, Any]:
    row = None if report is None else report.assessment.per_class.get(label)
    return {"label": label, "count": count, "accuracy": None if row is None else proportion(row.accuracy)}


def _next(counts: Mapping[str, int], report: TrainReport | None) -> str:
    if not counts:
        return 'Add a class: tap "New class" and hold the button to take photos.'
    if report is None:
        return ""
    return _sentence(describe_action(report.assessment.action))
