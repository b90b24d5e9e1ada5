"""Decides whether an adapter helps; a head is adapted only if a check says so.

Every adapter can make things worse (negative transfer). Two checks need no labels. The first compares the class balance of the new photos
with that of the training: moving photos of one class onto the mean of all classes gives them wrong labels. The second measures whether the
adapter makes the logits of the new photos more similar to the held-out logits of the training photos; each fifth of the new photos is
measured with an adapter made from the others. Labels of new photos, if any, decide before both, and the user may confirm the class balance.
Accuracy of the checks: docs/evidence/adaptation.md (`tools/bench_adapt`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from edgetl.adaptation.adapters import KINDS, Adapter, AdapterKind
from edgetl.adaptation.mixture import Mixture
from edgetl.errors import TrainError
from edgetl.heads import Fit, Head
from edgetl.heads.confidence.rejection import Rejection
from edgetl.heads.linalg.threads import single_thread
from edgetl.stats import Mean, Proportion
from edgetl.types import Array, Embeddings

LEAST = 40
"""Fewer new photos do not show where they lie, and with which class balance."""
BALANCE_GAIN = 0.03
"""The class balance differs if another one explains the new photos better by more than this, nats per photo, beyond chance:
docs/evidence/adaptation.md."""
SIMILARITY_GAIN = 0.1
"""How much more similar the new photos must become (lower end of the interval), nats per photo: docs/evidence/adaptation.md."""
WITHIN_REACH = 0.5
"""The share of the new photos that must be within reach of the training photos (:mod:`edgetl.heads.confidence.rejection`):
docs/evidence/adaptation.md."""
_FOLDS = 5

AttemptCode = Literal[
    "labels-improve",
    "more-similar",
    "labels-worsen",
    "labels-untrained",
    "labels-needed",
    "unfamiliar",
    "too-few-trained",
    "class-balance",
    "less-similar",
    "no-gain",
]
ACCEPTED: tuple[AttemptCode, ...] = ("labels-improve", "more-similar")


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One adapter. :mod:`edgetl.adaptation.text` puts the decision into words.

    Attributes:
        kind: which one.
        accepted: whether the check accepted it.
        code: why. Accepted: `labels-improve` (the labelled photos show that it helps), `more-similar` (to the training photos). Rejected:
            `labels-worsen`; `labels-untrained` (no label is a trained class); `labels-needed` (for `t3a`); `unfamiliar` (the new photos
            are out of reach of the training photos); `too-few-trained` (photos, to compare logits); `class-balance` (differs from the
            training); `less-similar`; `no-gain`.
        values: further numbers that decided, by name.
        changed: new photos that get another label than before.
        similarity: how much more similar the new photos' logits are to the held-out logits of the training photos, log-likelihood in nats
            per photo, 95 % interval (photos of one near-duplicate group make it too narrow); None for `t3a`, whose logits are on another
            scale, and with too few training photos.
        better: of the labelled new photos that only one of the two heads gets right, those that the adapted head gets right; n may be 0.
    """

    kind: AdapterKind
    accepted: bool
    code: AttemptCode
    values: Mapping[str, Any]
    changed: Proportion
    similarity: Mean | None
    better: Proportion


@dataclasses.dataclass(frozen=True)
class AdaptWarning:
    """What the user should know about an adapted head.

    Attributes:
        code: `sets-off` (conformal prediction sets are not valid here), `rejection-off` (unknown objects are not rejected any more), or
            `rejection-adapted` (what it accepts changed; unknown objects were not measured).
        before: new photos that the rejection accepted before; only for `rejection-adapted`, as is the next.
        after: new photos that it accepts now.
    """

    code: Literal["sets-off", "rejection-off", "rejection-adapted"]
    before: Proportion | None = None
    after: Proportion | None = None


@dataclasses.dataclass(frozen=True)
class AdaptReport:
    """The result of an adaptation.

    Attributes:
        kind: the adapter in use; None if none was accepted.
        code: why: that of the adapter in use, or of the first one that was tried.
        photos: new photos, count.
        labelled: how many of them have a label.
        balance_gain: how much better than by chance another class balance explains the new photos, nats per photo; None with too few
            training photos.
        tried: every adapter.
        warnings: what the user should know.
    """

    kind: AdapterKind | None
    code: AttemptCode
    photos: int
    labelled: int
    balance_gain: float | None
    tried: tuple[Attempt, ...]
    warnings: tuple[AdaptWarning, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Adaptation:
    """The adapted head, or the head as it was if no adapter was accepted; and the report."""

    head: Head
    report: AdaptReport


def adapt(
    head: Head,
    fit: Fit,
    target: Embeddings,
    *,
    kind: AdapterKind | Literal["auto"] = "auto",
    labels: Sequence[str | None] | None = None,
    same_balance: bool = False,
) -> Adaptation:
    """Adapts a head to new photos if that helps; on one BLAS thread.

    Args:
        head: the head that `fit` made, not an adapted one.
        fit: the training; its learner may not have changed since.
        target: embeddings of the new photos, float [m, d], m at least 40, as varied as the camera will see them.
        kind: which adapter to try; `auto` tries all and uses the accepted one that makes the photos most similar to the training.
        labels: the class of each new photo, None if unknown. They are not trained on; they only decide.
        same_balance: the user confirms that the class balance of the new photos is that of the training, so it is not checked.

    Raises:
        TrainError: an unknown adapter, too few new photos, all of them equal, or another number of labels.
        HeadError: embeddings of another length than the head reads, or with a NaN or an infinity.
    """
    if kind != "auto" and kind not in KINDS:
        raise TrainError(
            f"adapter {kind!r} is unknown; choose one of auto, {', '.join(KINDS)}",
            code="adapter-unknown",
            adapter=kind,
            known=["auto", *KINDS],
        )
    new = head.normalise(target)
    _check(new, labels)
    with single_thread():
        gate = _Gate(head, fit, new, labels, same_balance)
        tried = [gate.test(name, Adapter(name, head, fit.photos)) for name in (KINDS if kind == "auto" else (kind,))]
        return gate.choose(tried)


class _Gate:
    """Compares adapted heads with the head before, on the new photos."""

    def __init__(self, head: Head, fit: Fit, target: Embeddings, labels: Sequence[str | None] | None, same_balance: bool) -> None:
        self._head, self._target, self._same_balance = head, target, same_balance
        number = {label: i for i, label in enumerate(fit.head.labels)}
        self._mixture = Mixture.fit(fit.held, np.array([number[label] for label in fit.truth]))
        self._before = head.linear(target)
        self._truth = np.array([number.get(label or "", -1) for label in labels or [None] * len(target)])
        self._labelled = sum(label is not None for label in labels or ())
        self._within_reach = None if head.rejection is None else self._accepted_by(head.rejection, -np.inf)
        self._balance_gain = None
        if self._mixture is not None:
            # Even with the training's balance, c - 1 free shares fit better, by (c - 1) / 2 nats in all on average (Wilks 1938).
            self._balance_gain = self._mixture.balance_gain(self._before) - (len(number) - 1) / (2 * len(target))

    def test(self, kind: AdapterKind, adapter: Adapter) -> tuple[Attempt, Head]:
        """Tries one adapter."""
        adapted = adapter.adapt(self._target)
        after = adapted.linear(self._target)
        old, new = self._before.argmax(1), after.argmax(1)
        won, lost = (int(((a == self._truth) & (b != self._truth)).sum()) for a, b in ((new, old), (old, new)))
        better = Proportion(won, won + lost)
        similarity = None
        if self._mixture is not None and kind != "t3a":
            similarity = Mean.estimate(self._mixture.likelihood(self._held_out(adapter)) - self._mixture.likelihood(self._before))
        code, values = self._decide(better, similarity, kind)
        changed = Proportion(int((old != new).sum()), len(new))
        return Attempt(kind, code in ACCEPTED, code, values, changed, similarity, better), adapted

    def _held_out(self, adapter: Adapter) -> Array:
        """The logits of each new photo from an adapter that was made without it, float [m, c]."""
        logits = np.empty_like(self._before)
        fold = np.arange(len(logits)) % _FOLDS
        for number in range(_FOLDS):
            logits[fold == number] = adapter.adapt(self._target[fold != number]).linear(self._target[fold == number])
        return logits

    def _decide(self, better: Proportion, similarity: Mean | None, kind: AdapterKind) -> tuple[AttemptCode, dict[str, Any]]:
        if self._labelled and (self._truth < 0).all():
            return "labels-untrained", {"labels": self._labelled}
        low, high = better.interval
        if better.n and low > 0.5:
            return "labels-improve", {}
        if better.n and high < 0.5:
            return "labels-worsen", {}
        if self._within_reach is not None and self._within_reach.value < WITHIN_REACH:
            return "unfamiliar", {"within_reach": self._within_reach, "needed": WITHIN_REACH}
        if kind == "t3a":
            return "labels-needed", {}
        if similarity is None or self._balance_gain is None:
            return "too-few-trained", {}
        if self._balance_gain > BALANCE_GAIN and not self._same_balance:
            return "class-balance", {"gain": self._balance_gain, "limit": BALANCE_GAIN}
        if similarity.interval[1] < 0:
            return "less-similar", {}
        if similarity.interval[0] <= SIMILARITY_GAIN:
            return "no-gain", {"needed": SIMILARITY_GAIN}
        return "more-similar", {}

    def choose(self, tried: Sequence[tuple[Attempt, Head]]) -> Adaptation:
        """The best accepted adapter, or the head as it is."""
        attempts = tuple(attempt for attempt, _ in tried)
        accepted = [(attempt, adapted) for attempt, adapted in tried if attempt.accepted]
        numbers = len(self._target), self._labelled, self._balance_gain, attempts
        if not accepted:
            return Adaptation(self._head, AdaptReport(None, attempts[0].code, *numbers, ()))
        best, head = max(accepted, key=lambda pair: _rank(pair[0]))
        return Adaptation(head, AdaptReport(best.kind, best.code, *numbers, self._warnings(head)))

    def _warnings(self, adapted: Head) -> tuple[AdaptWarning, ...]:
        sets = () if self._head.conformal is None else (AdaptWarning("sets-off"),)
        if self._head.rejection is None:
            return sets
        if adapted.rejection is None:
            return (AdaptWarning("rejection-off"), *sets)
        before, after = (self._accepted_by(rejection, rejection.threshold) for rejection in (self._head.rejection, adapted.rejection))
        return (AdaptWarning("rejection-adapted", before, after), *sets)

    def _accepted_by(self, rejection: Rejection, threshold: float) -> Proportion:
        """New photos within reach whose score is at least the threshold."""
        scores = [rejection.measure(x) for x in self._target]
        return Proportion(sum(score >= threshold and score > -np.inf for score in scores), len(scores))


def _rank(attempt: Attempt) -> tuple[float, float]:
    """Labelled photos first, then similarity."""
    won = attempt.better.interval[0] if attempt.better.n else 0.5
    return max(won, 0.5), attempt.similarity.value if attempt.similarity else -np.inf


def _check(target: Embeddings, labels: Sequence[str | None] | None) -> None:
    count = len(target)
    if count < LEAST:
        raise TrainError(
            f"{count} new photos are too few; expected at least {LEAST}, of every class",
            code="too-few-photos",
            photos=count,
            expected=LEAST,
        )
    if (target == target[0]).all():
        raise TrainError(f"all {count} new embeddings are equal; check the camera and the runtime", code="photos-equal", photos=count)
    if labels is not None and len(labels) != count:
        message = f"{len(labels)} labels for {count} new photos; expected one each, None if unknown"
        raise TrainError(message, code="labels-do-not-match", labels=len(labels), photos=count)
