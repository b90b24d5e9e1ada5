"""What a store keeps of a training for the regression check of the next one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from edgetl.heads.learner import Fit
from edgetl.types import Array


@dataclasses.dataclass(frozen=True)
class TrainingRecord:
    """What is stored of a training so that a later one can be compared with it: the label of each photo, and the mistakes.

    Attributes:
        labels: the classes.
        photos: count.
        last: the highest sample id; -1 without photos.
        runs: (first id, index of the label): every photo from this id to the next run's has this label. Photos that were added
            class by class are a few runs.
        missed: index of the predicted label by sample id, for each photo that was misclassified when it was left out.
    """

    labels: tuple[str, ...]
    photos: int
    last: int
    runs: tuple[tuple[int, int], ...]
    missed: Mapping[int, int]

    @classmethod
    def from_fit(cls, fit: Fit) -> TrainingRecord:
        """The record of a fit."""
        number = {label: i for i, label in enumerate(fit.head.labels)}
        runs: list[tuple[int, int]] = []
        missed: dict[int, int] = {}
        for sample, truth, predicted in sorted(zip(fit.ids.tolist(), fit.truth, fit.predicted)):
            if not runs or runs[-1][1] != number[truth]:
                runs.append((sample, number[truth]))
            if predicted != truth:
                missed[sample] = number[predicted]
        return cls(fit.head.labels, len(fit.ids), int(fit.ids.max(initial=-1)), tuple(runs), missed)

    def answers(self, samples: Array) -> list[tuple[str, str] | None]:
        """(true, predicted) label of each sample id, int64 [m], in that training; None for photos that were added later."""
        runs = np.searchsorted([first for first, _ in self.runs], samples, "right") - 1
        known = (samples <= self.last) & (runs >= 0)
        return [self._answer(sample, self.runs[run][1]) if old else None for sample, run, old in zip(samples.tolist(), runs, known)]

    def _answer(self, sample: int, truth: int) -> tuple[str, str]:
        return self.labels[truth], self.labels[self.missed.get(sample, truth)]
