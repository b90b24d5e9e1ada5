"""Whether an adapter helps: it is used only where a check says so, and what was refused is said with its reason.

Every adapter can make things worse (negative transfer). Two checks need no labels. The first asks whether the new photos hold the classes
in the shares that were taught: moving a box of one class onto the mean of all classes puts it on the wrong ones. The second asks whether
the new photos' logits come to look more like those of the photos taught when they were left out; the new ones are left out too, each fifth
of them from the adapter that moves it. Labelled new photos, where there are any, decide before both, and a person may vouch for the shares.
`tools/bench_adapt` measures what the checks let through.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from edgetl.adaptation.adapters import KINDS, Adapter, AdapterKind
from edgetl.adaptation.mixture import Mixture
from edgetl.errors import TrainError
from edgetl.heads import Fit, Head
from edgetl.heads.confidence.rejection import Rejection
from edgetl.heads.linalg.threads import single_thread
from edgetl.stats import Proportion
from edgetl.types import Array, Embeddings

LEAST = 40
"""Fewer new photos than this say too little about where they lie, and in which shares they hold the classes."""
OTHER_MIX = 0.03
"""How much better than by chance, nats per photo, other shares of the classes may explain the new photos. With 100 new photos of all, half,
a third or one of the classes, in the lights of `tools/bench_adapt` (flowers, sign digits, magnetic tiles), 0.03 accepted 0 of 258 harmful
adaptations and refused 158 of 192 helpful ones; 0.08 accepted 8 and refused 141; 0.12 accepted 16 and refused 134."""
LIKENESS = 0.1
"""How much more the new photos must come to look like those taught, nats per photo (lower end of the interval). At 0, 1 of those 258
harmful adaptations was accepted."""
_FOLDS = 5
NEAR = 0.5
"""The share of the new photos that must be within reach of what was taught (:mod:`edgetl.heads.confidence.rejection`). With flowers,
sign digits and
magnetic tiles taught, 40 per class, it was 0.92 to 1 of other photos of the same set as they are, at a quarter of the light and in warm
light, 0 to 0.08 at 12 % of the light with noise, and of the other two sets' photos 0 to 0.01, of sign digits after flowers 0.26."""
_SURE = 1.959963984540054


@dataclasses.dataclass(frozen=True)
class Gain:
    """A mean over photos.

    Attributes:
        value: the mean.
        interval: its 95 % interval (normal approximation; photos of one burst make it too narrow).
        n: photos.
    """

    value: float
    interval: tuple[float, float]
    n: int

    @classmethod
    def of(cls, values: Array) -> Gain:
        """The mean of `values`, float [n], n at least 2."""
        middle, half = float(values.mean()), _SURE * float(values.std(ddof=1)) / len(values) ** 0.5
        return cls(middle, (middle - half, middle + half), len(values))

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:+.2f} [{low:+.2f}, {high:+.2f}] nats per photo, n={self.n}"


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One adapter.

    Attributes:
        kind: which.
        accepted: whether it is expected to help.
        reason: why, in a sentence.
        changed: new photos that get another label than before.
        likeness: how much more the new photos' logits look like those of photos taught when they were left out, log-likelihood in nats per
            photo; None for `t3a`, whose logits are others, and where too few photos were taught.
        better: of the labelled new photos that one of the two heads gets right and the other does not, those that the adapted one gets
            right; n = 0 where there are none.
    """

    kind: AdapterKind
    accepted: bool
    reason: str
    changed: Proportion
    likeness: Gain | None
    better: Proportion


@dataclasses.dataclass(frozen=True)
class AdaptReport:
    """What an adaptation gave.

    Attributes:
        kind: the adapter in use; None where all were refused.
        reason: why, in a sentence.
        photos: new photos it was made from.
        labelled: how many of them came with a label.
        other_mix: how much better than by chance other shares of the classes explain them, nats per photo; None where too few photos were
            taught.
        tried: every adapter.
        warnings: what the person should know, in sentences.
    """

    kind: AdapterKind | None
    reason: str
    photos: int
    labelled: int
    other_mix: float | None
    tried: tuple[Attempt, ...]
    warnings: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Adaptation:
    """The adapted head, or the head as it was where every adapter was refused; and the report."""

    head: Head
    report: AdaptReport


def adapt(
    head: Head,
    fit: Fit,
    target: Embeddings,
    *,
    kind: AdapterKind | Literal["auto"] = "auto",
    labels: Sequence[str | None] | None = None,
    same_shares: bool = False,
) -> Adaptation:
    """Adapts a head to new photos where that helps; on one BLAS thread.

    Args:
        head: the head that `fit` made, not an adapted one.
        fit: the training it comes from; its learner may not have changed.
        target: embeddings of the new photos, float [m, d], m at least 40, as many kinds of them as the camera will see.
        kind: which adapter to try; `auto` tries all and takes the accepted one after which the photos look most like those taught.
        labels: the class of each new photo, None where it is not known. They train nothing, they judge.
        same_shares: the person vouches that the new photos hold every class about as often as it was taught, so that this is not asked.

    Raises:
        TrainError: too few new photos, all of them the same, or arrays and labels that do not fit.
        HeadError: embeddings of another length than the head reads, or with a NaN or an infinity.
    """
    if kind != "auto" and kind not in KINDS:
        raise TrainError(f"adapter {kind!r} is unknown; choose one of auto, {', '.join(KINDS)}")
    new = head.normalised(target)
    _check(new, labels)
    with single_thread():
        judge = _Judge(head, fit, new, labels, same_shares)
        tried = [judge.tried(one, Adapter(one, head, fit.photos)) for one in (KINDS if kind == "auto" else (kind,))]
        return judge.chosen(tried)


class _Judge:
    """Compares an adapted head with the one before, on the new photos."""

    def __init__(self, head: Head, fit: Fit, target: Embeddings, labels: Sequence[str | None] | None, same_shares: bool) -> None:
        self._head, self._target, self._same_shares = head, target, same_shares
        place = {label: number for number, label in enumerate(fit.head.labels)}
        self._mixture = Mixture.of(fit.held, np.array([place[label] for label in fit.truth]))
        self._before = head.linear(target)
        self._truth = np.array([place.get(label or "", -1) for label in labels or [None] * len(target)])
        self._labelled = sum(label is not None for label in labels or ())
        self._near = None if head.rejection is None else self._within(head.rejection, -np.inf)
        self._other_mix = None
        if self._mixture is not None:
            # Where the shares are those taught, c - 1 free ones still fit better, by (c - 1) / 2 nats in all on average (Wilks 1938).
            self._other_mix = self._mixture.other_mix(self._before) - (len(place) - 1) / (2 * len(target))

    def tried(self, kind: AdapterKind, adapter: Adapter) -> tuple[Attempt, Head]:
        made = adapter.to(self._target)
        after = made.linear(self._target)
        old, new = self._before.argmax(1), after.argmax(1)
        won, lost = (int(((a == self._truth) & (b != self._truth)).sum()) for a, b in ((new, old), (old, new)))
        better = Proportion(won, won + lost)
        likeness = None
        if self._mixture is not None and kind != "t3a":
            likeness = Gain.of(self._mixture.likelihood(self._left_out(adapter)) - self._mixture.likelihood(self._before))
        accepted, reason = self._verdict(better, likeness, kind)
        return Attempt(kind, accepted, reason, Proportion(int((old != new).sum()), len(new)), likeness, better), made

    def _left_out(self, adapter: Adapter) -> Array:
        """The logits of each new photo from an adapter that was made without it, float [m, c]."""
        made = np.empty_like(self._before)
        place = np.arange(len(made)) % _FOLDS
        for fold in range(_FOLDS):
            made[place == fold] = adapter.to(self._target[place != fold]).linear(self._target[place == fold])
        return made

    def _verdict(self, better: Proportion, likeness: Gain | None, kind: AdapterKind) -> tuple[bool, str]:
        if self._labelled and (self._truth < 0).all():
            return False, f"none of the {self._labelled} labels is of a class that was taught"
        low, high = better.interval
        judged = f"of the labelled photos that only one of the two heads gets right, the adapted one gets {better}"
        if better.n and low > 0.5:
            return True, judged
        if better.n and high < 0.5:
            return False, f"negative transfer: {judged}"
        if self._near is not None and self._near.value < NEAR:
            return False, (
                f"the new photos are like nothing taught (within reach: {self._near}, {NEAR:.0%} expected): these are other things, or "
                "there is too little light; teach some of them, or give the labels of some"
            )
        if kind == "t3a":
            return False, "only labelled photos can show that it helps, and these do not; give 10 or more new photos with their labels"
        if likeness is None or self._other_mix is None:
            return False, "too few photos were taught to know what the logits of others should look like; teach 3 or more of each class"
        if self._other_mix > OTHER_MIX and not self._same_shares:
            return False, (
                "negative transfer: the new photos hold other shares of the classes than were taught, or are too different to tell, and "
                f"would be moved onto the wrong ones (other shares explain them better by {self._other_mix:.2f} nats per photo, "
                f"n={likeness.n}, at most {OTHER_MIX} expected); give photos of every class in the shares taught and vouch for it, or the "
                "labels of some"
            )
        if likeness.interval[1] < 0:
            return False, f"negative transfer: it makes the new photos less like those taught ({likeness})"
        if likeness.interval[0] <= LIKENESS:
            return False, f"no gain: it makes the new photos hardly more like those taught ({likeness}, above {LIKENESS} expected)"
        return True, f"it makes the new photos more like those taught ({likeness})"

    def chosen(self, tried: Sequence[tuple[Attempt, Head]]) -> Adaptation:
        attempts = tuple(attempt for attempt, _ in tried)
        good = [(attempt, made) for attempt, made in tried if attempt.accepted]
        counts = len(self._target), self._labelled, self._other_mix, attempts
        if not good:
            reasons: dict[str, list[str]] = {}
            for attempt in attempts:
                reasons.setdefault(attempt.reason, []).append(attempt.kind)
            said = "; ".join(f"{' and '.join(kinds)}: {reason}" for reason, kinds in reasons.items())
            return Adaptation(self._head, AdaptReport(None, f"the head stays as it is. {said}", *counts, ()))
        best, head = max(good, key=lambda pair: _worth(pair[0]))
        return Adaptation(head, AdaptReport(best.kind, f"{best.kind}: {best.reason}", *counts, self._warnings(head)))

    def _warnings(self, made: Head) -> tuple[str, ...]:
        sets = () if self._head.conformal is None else ("sets of classes at a confidence hold in the place taught, and are off here",)
        if self._head.rejection is None:
            return sets
        if made.rejection is None:
            said = "this adapter moves no photo, so what tells unknown things no longer fits and is off; train again in the new place"
            return (said, *sets)
        before, after = (self._within(rejection, rejection.threshold) for rejection in (self._head.rejection, made.rejection))
        return (
            f"what tells unknown things was adapted with the head: it now takes {after} of the new photos for something taught, {before} "
            "before; how many unknown things it lets through here was not measured",
            *sets,
        )

    def _within(self, rejection: Rejection, least: float) -> Proportion:
        """New photos within reach whose score is at least so much."""
        scores = [rejection.measure(x) for x in self._target]
        return Proportion(sum(score >= least and score > -np.inf for score in scores), len(scores))


def _worth(attempt: Attempt) -> tuple[float, float]:
    """Labelled photos first, then likeness."""
    won = attempt.better.interval[0] if attempt.better.n else 0.5
    return max(won, 0.5), attempt.likeness.value if attempt.likeness else -np.inf


def _check(target: Embeddings, labels: Sequence[str | None] | None) -> None:
    if len(target) < LEAST:
        raise TrainError(f"{len(target)} new photos say too little about the new place; give {LEAST} or more, of every class")
    if (target == target[0]).all():
        raise TrainError(f"all {len(target)} new embeddings are the same; check the camera and the runtime")
    if labels is not None and len(labels) != len(target):
        raise TrainError(f"{len(labels)} labels came with {len(target)} new photos; give one for each, None where it is not known")
