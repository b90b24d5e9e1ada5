"""Regression check: what a training does to the classes that were known before, and whether the new head may become active.

A class that surely got worse keeps the new head from being activated. One that may have got worse is a warning: with 8 to 20 photos of a
class, the held-out probabilities of its photos for the new classes see harm that too few photos are missed to prove.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from edgetl.heads.learner import Fit
from edgetl.stats import Proportion, per_class_accuracy
from edgetl.types import ALLOWED_LOSS, Array

Verdict = Literal["nothing", "worse", "maybe-worse", "same"]
LEAST_LOSS = 3
"""A class is surely worse by at least this many near-duplicate groups: docs/evidence/regression-check.md."""
_LEAST_SIGN, _SOME = 2, 0.1
"""A class may be worse where it loses _LEAST_SIGN groups and half of the allowed accuracy, or one group and a share _SOME of the
probability of its photos to new classes, or none and twice that share: docs/evidence/regression-check.md."""


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
        lost: photos correct before and missed now.
        won: photos missed before and correct now.
        photos: that were compared, count.
        drawn: (new class, probability): the class that the head before did not know to which these photos' held-out probabilities go most,
            and the mean probability of all such classes, in [0, 1]; None without a new class.
    """

    before: Proportion
    after: Proportion
    lost: int
    won: int
    photos: int
    drawn: tuple[str, float] | None = None

    @property
    def loss(self) -> float:
        """Accuracy lost, in [-1, 1]; 0 where there is nothing to compare."""
        return self.missed / self.before.n if self.before.n else 0.0

    @property
    def missed(self) -> int:
        """How many more near-duplicate groups are missed than before."""
        return self.before.hits - self.after.hits

    def verdict(self, allow_loss: float) -> Verdict:
        """Whether the class is worse, may be worse, or is the same."""
        if self.loss > allow_loss + 1e-9 and self.missed >= LEAST_LOSS:
            return "worse"
        drawn, some = 0.0 if self.drawn is None else self.drawn[1], max(_SOME, allow_loss)
        signs = (
            self.missed >= _LEAST_SIGN and self.loss > allow_loss / 2 + 1e-9,
            self.missed >= 1 and drawn > some,
            self.missed >= 0 and drawn > 2 * some,
        )
        return "maybe-worse" if any(signs) else "same"


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
        code: the worst of the classes' verdicts; `nothing` where no photo can be compared.
        harmful: the old classes that are worse: they lost more than `allow_loss`, and at least LEAST_LOSS groups; the largest loss first.
        doubtful: the old classes that may be worse; the largest loss first.
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
    code: Verdict
    harmful: tuple[str, ...]
    doubtful: tuple[str, ...]
    reason: str

    def advice(self, head: int) -> str:
        """What can be done about a harmful head of this number, which is not activated; empty where it is not harmful."""
        if not self.harmful:
            return ""
        enough = min(1.0, math.ceil(20 * max(self.classes[label].loss for label in self.harmful)) / 20)
        rivals = dict.fromkeys(
            pair.taken_for for pair in self.confused if pair.truth in self.harmful and pair.taken_for not in self.harmful
        )
        show = " and ".join(map(repr, [*self.harmful, *rivals][:4]))
        return (
            f"Head {head} is saved but not activated; the one before still answers. "
            f"Photograph {show} where they look alike and train again. "
            f"To use it anyway: `edgetl head activate {head}`, or `edgetl train --allow-loss {enough:g}`."
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
    answers = before.answers(after.ids)
    fresh = tuple(label for label in after.head.labels if label not in before.labels)
    drawn = _drawn(after, [was is not None and was[0] == truth for was, truth in zip(answers, after.truth)], fresh)
    rows = [
        (truth, was, said, burst)
        for was, truth, said, burst in zip(answers, after.truth, after.predicted, after.bursts.tolist())
        if was is not None
    ]
    same = [(truth, was[1], said, burst) for truth, was, said, burst in rows if was[0] == truth]
    bursts = [burst for *_, burst in same]
    _, old = per_class_accuracy([(truth, was) for truth, was, _, _ in same], bursts)
    _, new = per_class_accuracy([(truth, said) for truth, _, said, _ in same], bursts)
    photos = Counter(truth for truth, *_ in same)
    lost = Counter(truth for truth, was, said, _ in same if was == truth != said)
    won = Counter(truth for truth, was, said, _ in same if was != truth == said)
    classes = {
        label: ClassChange(old[label], new[label], lost[label], won[label], photos[label], drawn.get(label)) for label in sorted(old)
    }
    then, now = (Counter((row[0], row[i]) for row in same if row[0] != row[i]) for i in (1, 2))
    confused = [Confusion(*pair, then[pair], count, photos[pair[0]]) for pair, count in now.items() if count > then[pair]]
    order = sorted(classes, key=lambda label: (-classes[label].loss, -(classes[label].drawn or ("", 0.0))[1], label))
    verdicts = {label: classes[label].verdict(allow_loss) for label in order}
    worst: tuple[Verdict, ...] = ("worse", "maybe-worse", "same")
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
        code=next((verdict for verdict in worst if verdict in verdicts.values()), "nothing"),
        harmful=tuple(label for label in order if verdicts[label] == "worse"),
        doubtful=tuple(label for label in order if verdicts[label] == "maybe-worse"),
        reason="",
    )
    return dataclasses.replace(change, reason=_reason(change))


def _drawn(after: Fit, compared: Sequence[bool], fresh: Sequence[str]) -> dict[str, tuple[str, float]]:
    """What :class:`ClassChange` says as `drawn`, by class."""
    columns = [after.head.labels.index(label) for label in fresh]
    old = np.flatnonzero(compared)
    if not columns or not len(old):
        return {}
    logits = after.held[old] / after.head.temperature
    shares = np.exp(logits - logits.max(1, keepdims=True, initial=-1e30))
    shares = shares[:, columns] / np.maximum(shares.sum(1, keepdims=True), 1e-300)
    truth = np.array([after.truth[i] for i in old.tolist()])
    means = {label: shares[truth == label].mean(0) for label in np.unique(truth).tolist()}
    return {label: (fresh[int(mean.argmax())], float(mean.sum())) for label, mean in means.items()}


def _reason(change: Change) -> str:
    if change.code == "nothing":
        return "no photo was in both trainings under the same label, so there is nothing to compare"
    if change.code == "worse":
        return "; ".join(_harm(change, label) for label in change.harmful)
    if change.code == "maybe-worse":
        more = f" (and {len(change.doubtful) - 1} other classes)" if len(change.doubtful) > 1 else ""
        return _doubt(change, change.doubtful[0]) + more
    compared = sum(one.before.n for one in change.classes.values())
    worst = min(change.classes, key=lambda label: (-change.classes[label].loss, label))
    loss = change.classes[worst]
    if loss.loss <= 0:
        return f"no old class lost accuracy ({len(change.classes)} classes, n={compared})"
    return f"{worst!r} lost most, {loss.missed} more of {loss.before.n} missed: no evidence that it is worse"


def _doubt(change: Change, label: str) -> str:
    one = change.classes[label]
    if one.missed > 0:
        rival = next((f", most of them called {pair.taken_for!r}" for pair in change.confused if pair.truth == label), "")
        return f"{label!r} may be worse now: {one.missed} more of {one.before.n} missed{rival}; too few to be sure"
    rival, share = one.drawn or ("", 0.0)
    return f"{label!r} may be worse now: about {100 * share:.0f} % of it looks like {rival!r}; too few photos (n={one.before.n}) to be sure"


def _harm(change: Change, label: str) -> str:
    one = change.classes[label]
    points = f"{100 * one.loss:.0f} points, {100 * change.allow_loss:g} are allowed"
    fell = f"{label!r} fell from {100 * one.before.value:.0f} to {100 * one.after.value:.0f} % (n={one.before.n}; {points})"
    return fell + next((f"; {pair.now} are now called {pair.taken_for!r}" for pair in change.confused if pair.truth == label), "")
