"""Before and after: what a training does to the classes that were known already, and whether the new head may become active."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgetl.evaluation import per_class_accuracy
from edgetl.heads.learner import Fit
from edgetl.types import ALLOWED_LOSS, Array, Proportion

LEAST_LOSS = 3
"""A class is harmed by at least this many bursts: fewer are chance, and of ten one would be 10 points. On sign digits, magnetic tiles and
flowers (10, 20 and 40 photos a class, 8 draws each) a class of another data set was refused in 0 of 72 trainings, and half of a class under
a new name in 52 of 72; by at least 2 bursts in 1 and 58."""


@dataclasses.dataclass(frozen=True)
class Record:
    """What is kept of a fit so that a later one can be compared with it: its mistakes, and who was in which class.

    Attributes:
        labels: the classes it knew.
        photos: it was trained from, count.
        last: the highest sample id; -1 without any.
        runs: (first id, index of the label): every photo from this id to the next run's has this label. Photos taught class by class are
            a few runs.
        missed: index of the predicted label by sample id, for each photo whose own label was not the answer when it was left out.
    """

    labels: tuple[str, ...]
    photos: int
    last: int
    runs: tuple[tuple[int, int], ...]
    missed: Mapping[int, int]

    @classmethod
    def of(cls, fit: Fit) -> Record:
        """The record of a fit."""
        number = {label: i for i, label in enumerate(fit.head.labels)}
        runs: list[tuple[int, int]] = []
        missed: dict[int, int] = {}
        for sample, truth, said in sorted(zip(fit.ids.tolist(), fit.truth, fit.predicted)):
            if not runs or runs[-1][1] != number[truth]:
                runs.append((sample, number[truth]))
            if said != truth:
                missed[sample] = number[said]
        return cls(fit.head.labels, len(fit.ids), int(fit.ids.max(initial=-1)), tuple(runs), missed)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Record:
        """The inverse of :func:`edgetl.types.to_json`."""
        return cls(
            tuple(value["labels"]),
            value["photos"],
            value["last"],
            tuple((first, label) for first, label in value["runs"]),
            {int(sample): label for sample, label in value["missed"].items()},
        )

    def answers(self, samples: Array) -> list[tuple[str, str] | None]:
        """(true, predicted) label of photos, int64 [m], as they were then; None for one that came later."""
        runs = np.searchsorted([first for first, _ in self.runs], samples, "right") - 1
        known = (samples <= self.last) & (runs >= 0)
        return [self._answer(sample, self.runs[run][1]) if old else None for sample, run, old in zip(samples.tolist(), runs, known)]

    def _answer(self, sample: int, truth: int) -> tuple[str, str]:
        return self.labels[truth], self.labels[self.missed.get(sample, truth)]


@dataclasses.dataclass(frozen=True)
class ClassChange:
    """What happened to one old class, on the photos that both heads were taught under this label.

    Attributes:
        before: leave-one-out accuracy by the head before; n is the number of bursts.
        after: the same by the new head.
        lost: photos right before and wrong now.
        won: photos wrong before and right now.
        photos: that were compared, count.
    """

    before: Proportion
    after: Proportion
    lost: int
    won: int
    photos: int

    @property
    def loss(self) -> float:
        """Accuracy lost, in [-1, 1]; 0 where there is nothing to compare."""
        return (self.before.hits - self.after.hits) / self.before.n if self.before.n else 0.0


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Photos of one class that are taken for another more often than before.

    Attributes:
        truth: their class.
        taken_for: the answer they get.
        before: photos that got it before.
        now: photos that get it now.
        photos: of the class that were compared.
    """

    truth: str
    taken_for: str
    before: int
    now: int
    photos: int

    def __str__(self) -> str:
        were = f" ({self.before} before)" if self.before else ""
        return f"{self.now} of {self.photos} {self.truth!r} are now taken for {self.taken_for!r}{were}"


@dataclasses.dataclass(frozen=True)
class Change:
    """What a training changed.

    Attributes:
        allow_loss: the accuracy that an old class may lose, in [0, 1].
        classes: every old class that is still there.
        confused: pairs that are confused more often than before, the largest increase first.
        new: classes that the head before did not know.
        vanished: classes that are gone: forgotten or renamed.
        relabelled: photos that have another label now, which are not compared.
        forgotten: photos that are gone, count.
        whole: accuracy by the head before and by the new one, over the photos compared and those of new classes, to which the head
            before has no right answer; n is the number of bursts.
        harmful: the old classes that lost more than `allow_loss`, and at least LEAST_LOSS bursts; the largest loss first.
        reason: what happened, in a sentence.
    """

    allow_loss: float
    classes: Mapping[str, ClassChange]
    confused: tuple[Confusion, ...]
    new: tuple[str, ...]
    vanished: tuple[str, ...]
    relabelled: int
    forgotten: int
    whole: tuple[Proportion, Proportion]
    harmful: tuple[str, ...]
    reason: str

    def advice(self, head: int) -> str:
        """What can be done about a harmful head of this number, which is kept inactive; empty where it is not harmful."""
        if not self.harmful:
            return ""
        enough = min(1.0, math.ceil(20 * max(self.classes[label].loss for label in self.harmful)) / 20)
        rivals = dict.fromkeys(
            pair.taken_for for pair in self.confused if pair.truth in self.harmful and pair.taken_for not in self.harmful
        )
        show = " and ".join(map(repr, [*self.harmful, *rivals][:4]))
        without = f", which never says {' or '.join(map(repr, self.new))}" if self.new else ""
        was, now = self.whole
        return (
            f"Head {head} is kept, inactive; the one before still answers{without}. On old and new classes together that one gets {was} "
            f"right, head {head} {now}. To mend it, photograph {show} where they look alike and train "
            f"again. To use it all the same: `edgetl activate {head}`, or `edgetl train --allow-loss {enough:g}`."
        )


def compare(before: Record, after: Fit, allow_loss: float = ALLOWED_LOSS) -> Change:
    """Compares the leave-one-out answers of two fits on the photos that both were taught under the same label.

    Accuracy is counted in the bursts of the later fit for both, so that the two differ by their answers only. Photos that came since are
    the new fit's own affair, those whose label was changed have no answer that was right then and is now, and those that were forgotten
    have no answer now: none of these speaks for or against the new head.

    Args:
        before: of the active head.
        after: the new fit.
        allow_loss: the accuracy that an old class may lose, in [0, 1].
    """
    rows = [
        (truth, was, said, burst)
        for was, truth, said, burst in zip(before.answers(after.ids), after.truth, after.predicted, after.bursts.tolist())
        if was is not None
    ]
    same = [(truth, was[1], said, burst) for truth, was, said, burst in rows if was[0] == truth]
    bursts = [burst for *_, burst in same]
    _, old = per_class_accuracy([(truth, was) for truth, was, _, _ in same], bursts)
    _, new = per_class_accuracy([(truth, said) for truth, _, said, _ in same], bursts)
    photos = Counter(truth for truth, *_ in same)
    lost = Counter(truth for truth, was, said, _ in same if was == truth != said)
    won = Counter(truth for truth, was, said, _ in same if was != truth == said)
    classes = {label: ClassChange(old[label], new[label], lost[label], won[label], photos[label]) for label in sorted(old)}
    then, now = (Counter((row[0], row[i]) for row in same if row[0] != row[i]) for i in (1, 2))
    confused = [Confusion(*pair, then[pair], count, photos[pair[0]]) for pair, count in now.items() if count > then[pair]]
    harmful = [
        label
        for label, change in classes.items()
        if change.loss > allow_loss + 1e-9 and change.before.hits - change.after.hits >= LEAST_LOSS
    ]
    fresh = tuple(label for label in after.head.labels if label not in before.labels)
    added = [row for row in zip(after.truth, after.predicted, after.bursts.tolist()) if row[0] in fresh]
    gain, _ = per_class_accuracy([row[:2] for row in added], [row[2] for row in added])
    n = gain.n + sum(one.n for one in new.values())
    change = Change(
        allow_loss=allow_loss,
        classes=classes,
        confused=tuple(sorted(confused, key=lambda pair: (pair.before - pair.now, pair.truth, pair.taken_for))),
        new=fresh,
        vanished=tuple(label for label in before.labels if label not in after.head.labels),
        relabelled=len(rows) - len(same),
        forgotten=before.photos - len(rows),
        whole=(Proportion(sum(one.hits for one in old.values()), n), Proportion(gain.hits + sum(one.hits for one in new.values()), n)),
        harmful=tuple(sorted(harmful, key=lambda label: (-classes[label].loss, label))),
        reason="",
    )
    return dataclasses.replace(change, reason=_reason(change))


def _reason(change: Change) -> str:
    if not change.classes:
        return "no photo was taught to both heads under the same label, so there is nothing to compare"
    if change.harmful:
        return "; ".join(_harm(change, label) for label in change.harmful)
    compared = sum(one.before.n for one in change.classes.values())
    worst = min(change.classes, key=lambda label: (-change.classes[label].loss, label))
    loss = change.classes[worst]
    if loss.loss <= 0:
        return f"no old class lost accuracy ({len(change.classes)} classes, n={compared} bursts)"
    few = loss.loss > change.allow_loss
    allowed = f"within the {100 * change.allow_loss:g} points allowed"
    within = f"too few bursts, which is no evidence of harm: {LEAST_LOSS} are" if few else allowed
    return f"{worst!r} lost most, from {loss.before} to {loss.after}: {within}"


def _harm(change: Change, label: str) -> str:
    one = change.classes[label]
    pairs = ", ".join(str(pair) for pair in change.confused if pair.truth == label)
    points = f"{100 * one.loss:.1f} points, {100 * change.allow_loss:g} are allowed"
    return f"{label!r} fell from {one.before} to {one.after} ({points})" + (f": {pairs}" if pairs else "")
