"""Regression check: whether a training made earlier classes worse, and whether the new head may become active.

If a class clearly got worse, the new head is saved but not activated. A class that may have got worse is a warning: with 8 to 20 photos of
a class, the probabilities that its held-out photos have for the new classes show a loss earlier than the number of misclassified photos.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from edgetl.diagnostics.training_record import TrainingRecord
from edgetl.heads.learner import Fit
from edgetl.stats import Proportion, per_class_accuracy
from edgetl.types import ALLOWED_LOSS

RegressionCode = Literal["not-compared", "worse", "maybe-worse", "same"]
LEAST_LOSS = 3
"""A class is worse only if at least this many more near-duplicate groups are misclassified: docs/evidence/regression-check.md."""
_LEAST_SIGN, _SOME = 2, 0.1
"""A class may be worse if it loses _LEAST_SIGN groups and half of the allowed accuracy, or one group and a share _SOME of its photos'
probability to new classes, or no group and twice that share: docs/evidence/regression-check.md."""


@dataclasses.dataclass(frozen=True)
class ClassChange:
    """What happened to one earlier class, on the photos that both trainings had under this label.

    Attributes:
        before: leave-one-out accuracy of the earlier head; n counts near-duplicate groups.
        after: the same of the new head.
        lost: photos that were correct and are misclassified now.
        won: photos that were misclassified and are correct now.
        photos: compared, count.
        drawn: (new class, probability): the new class with the highest mean held-out probability on these photos, and the mean probability
            of all new classes together, in [0, 1]; None without a new class.
    """

    before: Proportion
    after: Proportion
    lost: int
    won: int
    photos: int
    drawn: tuple[str, float] | None = None

    @property
    def loss(self) -> float:
        """Accuracy lost, in [-1, 1]; 0 if nothing was compared."""
        return self.missed / self.before.n if self.before.n else 0.0

    @property
    def missed(self) -> int:
        """How many more near-duplicate groups are misclassified than before."""
        return self.before.hits - self.after.hits

    def verdict(self, allow_loss: float) -> RegressionCode:
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
        taken_for: the class they are taken for.
        before: photos that were taken for it before.
        now: photos that are taken for it now.
        photos: compared photos of the class.
    """

    truth: str
    taken_for: str
    before: int
    now: int
    photos: int


@dataclasses.dataclass(frozen=True)
class RegressionCheck:
    """What a training changed for the earlier classes. :mod:`edgetl.diagnostics.text` puts it into words.

    Attributes:
        code: the worst of the classes' verdicts; `not-compared` if no photo could be compared.
        allow_loss: the accuracy that an earlier class may lose, in [0, 1].
        classes: every earlier class that still exists.
        worse: the classes that are worse: they lost more than `allow_loss`, and at least LEAST_LOSS groups; the largest loss first.
        maybe_worse: the classes that may be worse; the largest loss first.
        confused: pairs that are confused more often than before, the largest increase first.
        new: classes that the earlier head did not know.
        vanished: classes that no longer exist: forgotten or renamed.
        relabelled: photos with another label now, which are not compared, count.
        forgotten: photos that no longer exist, count.
    """

    code: RegressionCode
    allow_loss: float
    classes: Mapping[str, ClassChange]
    worse: tuple[str, ...]
    maybe_worse: tuple[str, ...]
    confused: tuple[Confusion, ...]
    new: tuple[str, ...]
    vanished: tuple[str, ...]
    relabelled: int
    forgotten: int

    @property
    def rivals(self) -> tuple[str, ...]:
        """The classes for which photos of the worse classes are taken more often than before, the largest increase first."""
        pairs = [pair.taken_for for pair in self.confused if pair.truth in self.worse and pair.taken_for not in self.worse]
        return tuple(dict.fromkeys(pairs))

    @property
    def needed_allowance(self) -> float:
        """The `allow_loss`, in steps of 5 points, with which no class would be worse, in [0, 1]."""
        losses = [self.classes[label].loss for label in self.worse]
        return max(self.allow_loss, min(1.0, math.ceil(20 * max(losses, default=0.0)) / 20))


def compare(before: TrainingRecord, after: Fit, allow_loss: float = ALLOWED_LOSS) -> RegressionCheck:
    """Compares the leave-one-out predictions of two trainings on the photos that both had under the same label.

    Both accuracies are counted in the near-duplicate groups of the later training, so that they differ by the predictions only. Photos that
    were added, relabelled or forgotten since are not compared.

    Args:
        before: the training of the active head.
        after: the new training.
        allow_loss: the accuracy that an earlier class may lose, in [0, 1].
    """
    answers = before.answers(after.ids)
    new = tuple(label for label in after.head.labels if label not in before.labels)
    drawn = _drawn(after, [was is not None and was[0] == truth for was, truth in zip(answers, after.truth)], new)
    rows = [
        (truth, was, now, burst)
        for was, truth, now, burst in zip(answers, after.truth, after.predicted, after.bursts.tolist())
        if was is not None
    ]
    same = [_Compared(truth, was[1], now, burst) for truth, was, now, burst in rows if was[0] == truth]
    classes = _compare_classes(same, drawn)
    order = sorted(classes, key=lambda label: (-classes[label].loss, -(classes[label].drawn or ("", 0.0))[1], label))
    verdicts = {label: classes[label].verdict(allow_loss) for label in order}
    severity: tuple[RegressionCode, ...] = ("worse", "maybe-worse", "same")
    return RegressionCheck(
        code=next((verdict for verdict in severity if verdict in verdicts.values()), "not-compared"),
        allow_loss=allow_loss,
        classes=classes,
        worse=tuple(label for label in order if verdicts[label] == "worse"),
        maybe_worse=tuple(label for label in order if verdicts[label] == "maybe-worse"),
        confused=_compare_confusions(same),
        new=new,
        vanished=tuple(label for label in before.labels if label not in after.head.labels),
        relabelled=len(rows) - len(same),
        forgotten=before.photos - len(rows),
    )


class _Compared(NamedTuple):
    """A photo that both trainings had under the same label: its class, the two predictions, and its near-duplicate group."""

    truth: str
    before: str
    after: str
    burst: int


def _compare_classes(photos: Sequence[_Compared], drawn: Mapping[str, tuple[str, float]]) -> dict[str, ClassChange]:
    bursts = [photo.burst for photo in photos]
    _, before = per_class_accuracy([(photo.truth, photo.before) for photo in photos], bursts)
    _, after = per_class_accuracy([(photo.truth, photo.after) for photo in photos], bursts)
    count = Counter(photo.truth for photo in photos)
    lost = Counter(photo.truth for photo in photos if photo.before == photo.truth != photo.after)
    won = Counter(photo.truth for photo in photos if photo.before != photo.truth == photo.after)
    return {
        label: ClassChange(before[label], after[label], lost[label], won[label], count[label], drawn.get(label)) for label in sorted(before)
    }


def _compare_confusions(photos: Sequence[_Compared]) -> tuple[Confusion, ...]:
    """The pairs that are confused more often than before, the largest increase first."""
    count = Counter(photo.truth for photo in photos)
    before = Counter((photo.truth, photo.before) for photo in photos if photo.truth != photo.before)
    after = Counter((photo.truth, photo.after) for photo in photos if photo.truth != photo.after)
    more = [Confusion(*pair, before[pair], now, count[pair[0]]) for pair, now in after.items() if now > before[pair]]
    return tuple(sorted(more, key=lambda pair: (pair.before - pair.now, pair.truth, pair.taken_for)))


def _drawn(after: Fit, compared: Sequence[bool], new: Sequence[str]) -> dict[str, tuple[str, float]]:
    """:attr:`ClassChange.drawn` by class."""
    columns = [after.head.labels.index(label) for label in new]
    old = np.flatnonzero(compared)
    if not columns or not len(old):
        return {}
    logits = after.held[old] / after.head.temperature
    shares = np.exp(logits - logits.max(1, keepdims=True, initial=-1e30))
    shares = shares[:, columns] / np.maximum(shares.sum(1, keepdims=True), 1e-300)
    truth = np.array([after.truth[i] for i in old.tolist()])
    means = {label: shares[truth == label].mean(0) for label in np.unique(truth).tolist()}
    return {label: (new[int(mean.argmax())], float(mean.sum())) for label, mean in means.items()}
