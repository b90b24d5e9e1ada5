"""The steps of the demo in order; each does one thing and returns its outcome in words and one table."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgetl.bundle.bundle import Bundle, Variant
from edgetl.classifier import Classifier
from edgetl.demo.console import bar
from edgetl.demo.record import Example, Step, merged, subset
from edgetl.diagnostics.text import describe_action, describe_forecast, describe_regression
from edgetl.errors import PhotoError
from edgetl.heads import Fit, Head, Learner
from edgetl.heads.text import choice_text
from edgetl.session.reports import EvalReport, TrainReport
from edgetl.stats import Proportion
from edgetl.store import StoredSamples
from edgetl.types import HeadInfo

Pairs = Sequence[tuple[Path, str]]

_ACCURACY = ("correct", "of", "accuracy", "95 % interval")


class Camera:
    """A classifier whose backbone passes are read off.

    Attributes:
        classifier: the classifier.
        embedder: its embedder, which counts the passes.
    """

    def __init__(self, bundle: Bundle, store: Path, variant: str | None) -> None:
        self.classifier = Classifier.open(bundle.path, store, variant=variant)
        assert self.classifier.embedder is not None
        self.embedder = self.classifier.embedder

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *error: object) -> None:
        self.classifier.close()

    @property
    def photos(self) -> int:
        """Photos in the store, count."""
        return sum(self.classifier.counts.values())

    def add(self, pairs: Pairs, what: str) -> int:
        """Adds photos and returns the backbone passes it took.

        Raises:
            PhotoError: one could not be used: the dataset is damaged.
        """
        before = self.embedder.passes
        with bar(f"adding {what}") as progress:
            report = self.classifier.add_many(pairs, progress=progress)
        if report.failed:
            path, reason = report.failed[0].source, report.failed[0].reason
            raise PhotoError(f"{reason}; pip install --force-reinstall elpv-dataset", code="dataset-damaged", path=path)
        return self.embedder.passes - before

    def train(self) -> tuple[TrainReport, int]:
        """Trains and returns the report with the backbone passes it took."""
        before = self.embedder.passes
        return self.classifier.train(), self.embedder.passes - before

    def evaluate(self, pairs: Pairs, what: str) -> EvalReport:
        """Measures the accuracy on held-out photos."""
        with bar(f"evaluating {what}") as progress:
            return self.classifier.evaluate(pairs, progress=progress)


@dataclasses.dataclass(frozen=True)
class Extension:
    """What adding new classes cost.

    Attributes:
        old: photos that were there before, count.
        old_passes: backbone passes over them, count.
        photos: the new head was trained from, count.
        report: the training with the new classes.
    """

    old: int
    old_passes: int
    photos: int
    report: TrainReport


def export(bundle: Bundle, seconds: float, *, exported: bool) -> Step:
    """Shows what the export gave; `exported` is False for a bundle that was brought along."""
    name, calibration = bundle.backbone["name"], bundle.calibration
    rows = tuple(_parity(variant) for variant in bundle.variants.values())
    count = f"{len(rows)} variant{'s' if len(rows) != 1 else ''}"
    words = (
        f"{name}, {'exported as' if exported else 'with'} {count}. Cosine compares a variant's embeddings with those of the original; "
        "1 is the same."
    )
    details = (
        "It was measured on photos that calibrated nothing: the mean, the worst, and how often a photo's nearest neighbour stays the same. "
        "A variant below its bound is not exported."
    )
    if calibration and exported:
        details += f" The int8 variants were calibrated on {calibration['photos']} of the monocrystalline training photos."
    headers = ("variant", "size", "cosine", "worst", "same nearest", "n", "bound")
    return Step("export", "Export and compare with the original", words, details, headers, rows, seconds)


def _parity(variant: Variant) -> tuple[str, ...]:
    parity, size = variant.parity, f"{variant.size / 1e6:.1f} MB"
    if parity is None:
        return variant.name, size, *("-",) * 5
    same = f"{100 * parity.neighbour_agreement:.1f} %"
    return variant.name, size, f"{parity.cosine_mean:.5f}", f"{parity.cosine_min:.5f}", same, str(parity.count), f"{parity.bound:g}"


def train(camera: Camera, pairs: Pairs) -> Step:
    """Trains the first classes."""
    started = time.perf_counter()
    passes = camera.add(pairs, "monocrystalline cells")
    adding = time.perf_counter() - started
    report, training = camera.train()
    words = (
        f"{len(pairs)} photos took {passes} backbone passes ({adding:.1f} s). The head was trained from their embeddings in "
        f"{1000 * report.seconds:.0f} ms, with {training} passes. Next: {describe_action(report.assessment.action)}."
    )
    details = (
        f"Decoding and saving are included. {choice_text(report.choice)} The accuracy is leave-one-out: every photo is judged by a head "
        f"that saw neither it nor its near-duplicates. {describe_forecast(report.assessment)}"
    )
    values = {"photos": len(pairs), "passes": passes, "training_passes": training}
    return dataclasses.replace(
        _accuracy_step("train", "Train functional and defective", words, report, started), details=details, values=values
    )


def evaluate(camera: Camera, pairs: Pairs) -> tuple[Step, EvalReport]:
    """Measures the first classes on held-out photos."""
    started = time.perf_counter()
    report = camera.evaluate(pairs, "held-out cells")
    words = f"{report.accuracy.n} photos that were used for neither training nor calibration."
    return _accuracy_step("evaluate", "Evaluate on held-out cells", words, report, started), report


def extend(camera: Camera, pairs: Pairs) -> tuple[Step, Extension]:
    """Adds new classes and counts what that costs."""
    started = time.perf_counter()
    old, before = camera.photos, camera.embedder.passes
    added = {}
    for label in dict.fromkeys(label for _, label in pairs):
        new = [pair for pair in pairs if pair[1] == label]
        added[label] = len(new), camera.add(new, label)
    report, training = camera.train()
    others = camera.embedder.passes - before - sum(passes for _, passes in added.values()) - training
    rows = [
        ("old classes", old, others),
        *((f"{label} (new)", *counts) for label, counts in added.items()),
        ("training the new head", camera.photos, training),
    ]
    words = (
        f"Two new classes: only their photos went through the backbone. The head of {len(report.per_class)} classes was trained in "
        f"{1000 * report.seconds:.0f} ms. {_activation(camera, report)}"
    )
    effect = f" Effect on the old classes: {describe_regression(report.change)}." if report.change else ""
    details = choice_text(report.choice) + effect
    shown = tuple((what, str(photos), str(passes)) for what, photos, passes in rows)
    values = {"old": old, "old_passes": others, "training_passes": training, "added": added, "activated": report.active}
    headers = ("what", "photos", "backbone passes")
    step = Step("extend", "Add the polycrystalline classes", words.strip(), details, headers, shown, _since(started), values)
    return step, Extension(old, others, camera.photos, report)


def _activation(camera: Camera, report: TrainReport) -> str:
    """Activates the new head even if the regression check did not: the next step measures what it does to the old classes."""
    if report.active:
        return ""
    camera.classifier.activate(report.head_id)
    return "It was saved but not activated, because the old classes get worse; the demo activated it anyway."


def compare(camera: Camera, pairs: Pairs, before: EvalReport) -> tuple[Step, EvalReport]:
    """Measures old and new classes on held-out photos."""
    started = time.perf_counter()
    report = camera.evaluate(pairs, "old and new")
    parts = {
        "old cells, before": before.accuracy,
        "old cells, now": subset(report, "mono"),
        "new cells": subset(report, "poly"),
        "all cells, 4 classes": report.accuracy,
        "functional or defective": merged(report),
    }
    words = "With four classes there is more to confuse. The last row counts only functional or defective, whatever the kind of cell."
    details = "The old cells are the same held-out photos as before; the new ones are held out too."
    rows = tuple((name, *_accuracy(part)) for name, part in parts.items())
    return Step("compare", "Evaluate again, old and new", words, details, ("cells", *_ACCURACY), rows, _since(started)), report


def forget(camera: Camera, label: str) -> tuple[Step, float]:
    """Forgets a class, and compares the head with one that never saw it; returns the largest difference of a logit too."""
    started = time.perf_counter()
    store, before = camera.classifier.store, camera.embedder.passes
    samples = store.samples()
    report = camera.classifier.forget(label=label)
    assert report.head_id is not None
    passes, forgetting = camera.embedder.passes - before, _since(started)
    never = _without(label, samples, store.fingerprint.levels)
    expected = never.head.logits(samples.embeddings)
    logits = Head.from_bytes(store.head_bytes(report.head_id)).logits(samples.embeddings)
    difference, scale = float(np.abs(logits - expected).max()), float(np.abs(expected).max())
    values = {
        "removed": report.removed[label], "remaining": sum(report.counts.values()), "passes": passes, "traces": report.traces,
        "difference": difference, "scale": scale, "compared": len(samples.ids),
    }  # fmt: skip
    rows = (
        ("photos forgotten", str(values["removed"])),
        ("photos that remain", str(values["remaining"])),
        ("pieces left in the store's file", str(report.traces)),
        ("backbone passes", str(passes)),
        ("largest difference of a logit", scientific(difference)),
        ("largest logit, for scale", scientific(scale)),
    )
    words = (
        f"“{label}” was forgotten in {1000 * forgetting:.0f} ms: its embeddings and thumbnails are gone and the head is retrained. It is "
        "the same head as one that never saw the class, up to the difference below."
    )
    details = (
        f"To prove that, a second head ({never.kind}) was trained from the other classes alone, and both predicted all "
        f"{len(samples.ids)} photos, the forgotten ones included. The store's file was searched for the forgotten embeddings."
    )
    return Step("forget", "Forget one class, exactly", words, details, ("what", "value"), rows, _since(started), values), difference


def _without(label: str, samples: StoredSamples, levels: Sequence[int]) -> Fit:
    """A head trained from all other classes."""
    keep = [i for i, name in enumerate(samples.labels) if name != label]
    learner = Learner(samples.embeddings.shape[1], tuple(levels))
    learner.add(samples.ids[keep], samples.embeddings[keep], [samples.labels[i] for i in keep], samples.taken[keep])
    return learner.fit()


def rollback(camera: Camera, pairs: Pairs, before: EvalReport) -> Step:
    """Goes back to the head before, and evaluates it again."""
    started = time.perf_counter()
    info = camera.classifier.rollback()
    now = camera.evaluate(pairs, "after the rollback")
    same = now.confusion == before.confusion
    words = (
        f"Head {info.id} with its {len(info.labels)} classes is active again; the forgotten photos stay forgotten. "
        f"On the held-out cells it gives {now.accuracy}, {'exactly as before' if same else f'before {before.accuracy}'}."
    )
    rows = tuple(_head(head) for head in camera.classifier.heads())
    headers = ("", "head", "kind", "classes", "photos", *_ACCURACY)
    values = {"head_id": info.id, "same": same}
    return Step("rollback", "Roll back", words, "", headers, rows, _since(started), values)


def examples(camera: Camera, pairs: Pairs) -> list[Example]:
    """Of every class, the first two photos that were predicted correctly and the first one that was not."""
    chosen: dict[tuple[str, bool], list[Example]] = {}
    wanted = {(label, correct): 2 if correct else 1 for label in sorted({label for _, label in pairs}) for correct in (True, False)}
    with bar("choosing examples") as progress:
        for done, (path, label) in enumerate(pairs, 1):
            example = Example(str(path), label, camera.classifier.predict(path))
            chosen.setdefault((label, example.correct), []).append(example)
            if all(len(chosen.get(key, [])) >= count for key, count in wanted.items()):
                break
            progress(done, len(pairs))
    return [example for key, count in wanted.items() for example in chosen.get(key, [])[:count]]


def scientific(value: float) -> str:
    """Two significant digits; an exact zero is `0`."""
    return f"{value:.1e}" if value else "0"


def _accuracy_step(name: str, title: str, words: str, report: TrainReport | EvalReport, started: float) -> Step:
    parts = [*report.per_class.items(), ("all", report.accuracy)]
    rows = tuple((label, *_accuracy(part)) for label, part in parts)
    return Step(name, title, words, "", ("class", *_ACCURACY), rows, _since(started))


def _accuracy(part: Proportion) -> tuple[str, str, str, str]:
    low, high = part.interval
    return str(part.hits), str(part.n), f"{100 * part.value:.1f} %", f"{100 * low:.1f} to {100 * high:.1f}"


def _head(info: HeadInfo) -> tuple[str, ...]:
    active = "active" if info.active else ""
    return active, str(info.id), info.kind, str(len(info.labels)), str(info.samples), *_accuracy(info.accuracy)


def _since(started: float) -> float:
    return time.perf_counter() - started
