"""The words for the result of an adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetl.adaptation.gate import AdaptReport, AdaptWarning, Attempt

_ATTEMPTS: Mapping[str, str] = {
    "labels-improve": "labelled photos that only one head gets right: the adapted one gets {better}",
    "labels-worsen": "worse on the labelled photos: of those that only one head gets right, the adapted one gets {better}",
    "labels-untrained": "none of the {labels} labels is a trained class",
    "labels-needed": "only labelled photos can show that it helps: give 10 or more",
    "unfamiliar": "{within_reach} of the new photos are similar to the training photos, at least {needed:g} expected: these are other "
    "objects, or it is too dark",
    "too-few-trained": "too few training photos to compare with: add at least 3 of each class",
    "class-balance": "the class balance differs from training ({gain:.2f} nats per photo, at most {limit:g} expected)",
    "less-similar": "less similar to the training photos ({similarity} nats per photo)",
    "no-gain": "hardly more similar to the training photos ({similarity} nats per photo, more than {needed:g} expected)",
    "more-similar": "more similar to the training photos ({similarity} nats per photo)",
}
_REPORTS: Mapping[str, tuple[str, str]] = {
    "labels-worsen": ("it makes the labelled photos worse", "keep the head, or train with photos from the new place"),
    "labels-untrained": ("no label is a trained class", "check the names of the folders"),
    "labels-needed": ("only labelled photos can show that it helps", "give 10 or more"),
    "unfamiliar": ("the photos show other objects, or it is too dark", "add light, or train with some of them"),
    "too-few-trained": ("too few training photos to compare with", "add at least 3 of each class"),
    "class-balance": ("the class balance differs from training", "photograph every class, or pass --same-balance"),
    "less-similar": ("it makes the photos less similar to the training photos", "train with photos from the new place"),
    "no-gain": ("the photos already look like the training photos", "nothing to do"),
}
"""Why a head was not adapted, and what to do."""


def describe_attempt(attempt: Attempt) -> str:
    """Why an adapter was accepted or rejected, with its numbers, without a full stop."""
    return _ATTEMPTS[attempt.code].format(better=attempt.better, similarity=attempt.similarity, **attempt.values)


def describe_report(report: AdaptReport) -> str:
    """Whether the head was adapted, or why it was not, without a full stop."""
    if report.kind is not None:
        return f"adapted with {report.kind} to {report.photos} photos"
    return f"not adapted: {_REPORTS[report.code][0]}"


def advise_report(report: AdaptReport) -> str:
    """What to do if the head was not adapted, without a full stop; empty if it was."""
    return "" if report.kind is not None else _REPORTS[report.code][1]


def describe_warning(warning: AdaptWarning) -> str:
    """What the user should know, without a full stop."""
    if warning.code == "sets-off":
        return "prediction sets (--confidence) are off: they are valid for photos like the training photos only"
    if warning.code == "rejection-off":
        return "unknown objects are not rejected any more: train with photos from the new place"
    return f"{warning.after} of the new photos are accepted as known, {warning.before} before; unknown objects were not measured here"
