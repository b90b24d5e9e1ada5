"""The steps of the demo in order; each does one thing, and returns it told in words and one table."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgetl.bundle.bundle import Bundle
from edgetl.classifier import Classifier
from edgetl.demo.console import bar
from edgetl.demo.record import Example, Step, merged, subset
from edgetl.errors import PhotoError
from edgetl.heads import Head, Learner
from edgetl.runtimes import Runtime
from edgetl.session.reports import EvalReport, TrainReport
from edgetl.stats import Proportion
from edgetl.types import Embeddings, HeadInfo, Pixels

Pairs = Sequence[tuple[Path, str]]

_ACCURACY = ("right", "of", "accuracy", "95 % interval")


class Counted:
    """A runtime that counts the photos it embeds; everything else is the runtime's own."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self.passes = runtime, 0
        self.family, self.library, self.threads = runtime.family, runtime.library, runtime.threads
        self.provider, self.placement = runtime.provider, runtime.placement

    def embed(self, batch: Pixels) -> Embeddings:
        """See :meth:`edgetl.runtimes.Runtime.embed`."""
        self.passes += len(batch)
        return self._runtime.embed(batch)

    def close(self) -> None:
        """See :meth:`edgetl.runtimes.Runtime.close`."""
        self._runtime.close()


class Camera:
    """A classifier whose backbone passes are counted.

    Attributes:
        shop: the classifier.
        backbone: its runtime, counting.
    """

    def __init__(self, bundle: Bundle, store: Path, variant: str | None) -> None:
        self.shop = Classifier.open(bundle.path, store, variant=variant)
        assert self.shop.embedder is not None
        self.embedder = self.shop.embedder
        self.backbone = Counted(self.embedder.runtime)
        self.embedder.runtime = self.backbone

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *error: object) -> None:
        self.shop.close()

    def add(self, pairs: Pairs, what: str) -> int:
        """Teaches photos and returns the backbone passes it took.

        Raises:
            PhotoError: one could not be used: the dataset is damaged.
        """
        before = self.backbone.passes
        with bar(f"teaching {what}") as progress:
            report = self.shop.add_many(pairs, progress=progress)
        if report.failed:
            raise PhotoError(f"{report.failed[0][1]}; pip install --force-reinstall elpv-dataset")
        return self.backbone.passes - before

    def train(self) -> tuple[TrainReport, int]:
        """Trains and returns the report with the backbone passes it took."""
        before = self.backbone.passes
        return self.shop.train(), self.backbone.passes - before

    def evaluate(self, pairs: Pairs, what: str) -> EvalReport:
        """Measures the accuracy on held-out photos."""
        with bar(f"evaluating {what}") as progress:
            return self.shop.evaluate(pairs, progress=progress)


@dataclasses.dataclass(frozen=True)
class Lesson:
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


def export(bundle: Bundle, seconds: float, *, made: bool) -> Step:
    """Tells what the export gave; `made` is False for a bundle that was brought along."""
    rows = []
    for variant in bundle.variants.values():
        parity, size = variant.parity, f"{variant.size / 1e6:.1f} MB"
        numbers = ("-",) * 5
        if parity is not None:
            same = f"{100 * parity.neighbour_agreement:.1f} %"
            numbers = (f"{parity.cosine_mean:.5f}", f"{parity.cosine_min:.5f}", same, str(parity.count), f"{parity.bound:g}")
        rows.append((variant.name, size, *numbers))
    name, calibration = bundle.backbone["name"], bundle.calibration
    words = [f"The frozen backbone {name} was {'exported' if made else 'given'} as {', '.join(bundle.variants)}."]
    if calibration and made:
        words.append(f"The int8 ones were calibrated on {calibration['photos']} of the monocrystalline cells that will be taught.")
    words.append(
        "Parity compares each variant's embeddings with those of the float original on photos that calibrated nothing: the mean and the "
        "worst cosine (1 is the same direction), and how often a photo's nearest neighbour stays the same one. A variant below its "
        "bound is refused."
    )
    headers = ("variant", "size", "cosine", "worst", "same nearest", "n", "bound")
    return Step("export", "Export and prove parity", " ".join(words), headers, tuple(rows), seconds)


def teach(camera: Camera, pairs: Pairs) -> Step:
    """Teaches the first classes."""
    started = time.perf_counter()
    passes = camera.add(pairs, "monocrystalline cells")
    adding = time.perf_counter() - started
    report, training = camera.train()
    words = (
        f"{len(pairs)} photos took {passes} backbone passes ({adding:.1f} s, decoding and saving included). The head was trained from the "
        f"cached embeddings in {1000 * report.seconds:.0f} ms, with {training} passes; the automatic choice fell on {report.reason}. "
        f"The accuracy is {report.method}: every photo is judged by a head that has not seen it, nor a near-duplicate of it. "
        f"{report.assessment.forecast} Next: {report.assessment.advice}."
    )
    return _accuracy_step("teach", "Teach functional and defective", words, report, started)


def evaluate(camera: Camera, pairs: Pairs) -> tuple[Step, EvalReport]:
    """Measures the first classes on held-out photos."""
    started = time.perf_counter()
    report = camera.evaluate(pairs, "held-out cells")
    words = f"{report.accuracy.n} photos that neither taught nor calibrated anything."
    return _accuracy_step("evaluate", "Evaluate on held-out cells", words, report, started), report


def extend(camera: Camera, pairs: Pairs) -> tuple[Step, Lesson]:
    """Adds new classes and counts what that costs."""
    started = time.perf_counter()
    old, before = sum(camera.shop.counts.values()), camera.backbone.passes
    rows = []
    for label in dict.fromkeys(label for _, label in pairs):
        new = [pair for pair in pairs if pair[1] == label]
        rows.append((f"{label} (new)", str(len(new)), str(camera.add(new, label))))
    report, training = camera.train()
    others = camera.backbone.passes - before - sum(int(row[2]) for row in rows) - training
    rows = [("old classes", str(old), str(others)), *rows, ("training the new head", str(sum(camera.shop.counts.values())), str(training))]
    words = (
        f"Two classes that did not exist a moment ago. Only their own photos went through the backbone; the {old} old photos were not "
        f"read again. The new head knows {len(report.per_class)} classes and was trained in {1000 * report.seconds:.0f} ms; the automatic "
        f"choice fell on {report.reason}. {_verdict(camera, report)}"
    )
    step = Step("extend", "Add the polycrystalline classes", words, ("what", "photos", "backbone passes"), tuple(rows), _since(started))
    return step, Lesson(old, others, sum(camera.shop.counts.values()), report)


def _verdict(camera: Camera, report: TrainReport) -> str:
    """What the new head does to the old classes; it is used here whatever that is, since the next step measures just that."""
    if report.change is None:
        return ""
    if not report.active:
        camera.shop.activate(report.head_id)
        return f"It was saved but not activated ({report.change.reason}); the demo activated it anyway."
    return f"What it does to the old classes: {report.change.reason}."


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
    words = (
        "The same held-out monocrystalline cells as before, and held-out polycrystalline ones. With four classes there is more to "
        "confuse; the last row counts only whether a cell was called functional or defective."
    )
    rows = tuple((name, *_accuracy(part)) for name, part in parts.items())
    return Step("compare", "Evaluate again, old and new", words, ("cells", *_ACCURACY), rows, _since(started)), report


def forget(camera: Camera, label: str) -> tuple[Step, float]:
    """Forgets a class, and compares the head with one that never saw it; returns the largest difference of a logit too."""
    started = time.perf_counter()
    shop, before = camera.shop, camera.backbone.passes
    samples = shop.store.samples()
    report = shop.forget(label=label)
    assert report.head_id is not None
    passes = camera.backbone.passes - before
    forgetting = _since(started)

    keep = [i for i, name in enumerate(samples.labels) if name != label]
    learner = Learner(samples.embeddings.shape[1], shop.store.fingerprint.levels)
    learner.add(samples.ids[keep], samples.embeddings[keep], [samples.labels[i] for i in keep], samples.taken[keep])
    fit = learner.fit()
    never = fit.head.logits(samples.embeddings)
    made = Head.from_bytes(shop.store.head_bytes(report.head_id)).logits(samples.embeddings)
    difference = float(np.abs(made - never).max())
    rows = (
        ("photos forgotten", str(report.removed[label])),
        ("photos that remain", str(sum(report.counts.values()))),
        ("backbone passes", str(passes)),
        ("largest difference of a logit", scientific(difference)),
        ("largest logit, for scale", scientific(float(np.abs(never).max()))),
        ("embeddings compared", str(len(samples.ids))),
    )
    words = (
        f"“{label}” was forgotten in {1000 * forgetting:.0f} ms: its embeddings and thumbnails are gone from the store (its file was "
        f"searched for them: {report.traces} pieces left), and the head was trained again. "
        f"To see that nothing of it is left, a second head ({fit.kind}) was trained from the other classes alone, and both judged every "
        "embedding, the forgotten ones included."
    )
    return Step("forget", "Forget one class, exactly", words, ("what", "value"), rows, _since(started)), difference


def rollback(camera: Camera, pairs: Pairs, before: EvalReport) -> Step:
    """Goes back to the head before, and evaluates it again."""
    started = time.perf_counter()
    info = camera.shop.rollback()
    now = camera.evaluate(pairs, "after the rollback")
    same = "exactly as before" if now.confusion == before.confusion else f"but it gave {before.accuracy} before"
    words = (
        f"One command made head {info.id} active again, {len(info.labels)} classes included; the forgotten photos stay forgotten. "
        f"Evaluated again it gives {now.accuracy} on the held-out cells, {same}."
    )
    headers = ("", "head", "algorithm", "classes", "trained from", *_ACCURACY)
    return Step("rollback", "Roll back", words, headers, tuple(_head(head) for head in camera.shop.heads()), _since(started))


def examples(camera: Camera, pairs: Pairs) -> list[Example]:
    """Of every class, the first two photos that were judged rightly and the first one that was not."""
    found: dict[tuple[str, bool], list[Example]] = {}
    wanted = {(label, right): 2 if right else 1 for label in sorted({label for _, label in pairs}) for right in (True, False)}
    with bar("choosing examples") as progress:
        for done, (path, label) in enumerate(pairs, 1):
            example = Example(str(path), label, camera.shop.predict(path))
            found.setdefault((label, example.right), []).append(example)
            if all(len(found.get(key, [])) >= n for key, n in wanted.items()):
                break
            progress(done, len(pairs))
    return [example for key, n in wanted.items() for example in found.get(key, [])[:n]]


def scientific(value: float) -> str:
    """Two significant digits; a zero that is exact looks like one."""
    return f"{value:.1e}" if value else "0"


def _accuracy_step(name: str, title: str, words: str, report: TrainReport | EvalReport, started: float) -> Step:
    parts = [*report.per_class.items(), ("all", report.accuracy)]
    return Step(name, title, words, ("class", *_ACCURACY), tuple((label, *_accuracy(part)) for label, part in parts), _since(started))


def _accuracy(part: Proportion) -> tuple[str, str, str, str]:
    low, high = part.interval
    return str(part.hits), str(part.n), f"{100 * part.value:.1f} %", f"{100 * low:.1f} to {100 * high:.1f}"


def _head(info: HeadInfo) -> tuple[str, ...]:
    active = "active" if info.active else ""
    return active, str(info.id), info.kind, str(len(info.labels)), str(info.samples), *_accuracy(info.accuracy)


def _since(started: float) -> float:
    return time.perf_counter() - started
