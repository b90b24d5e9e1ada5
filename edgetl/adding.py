"""From photos to samples: embedded, examined by the doctor, and stored in batches."""

from __future__ import annotations

import functools
import time
from collections.abc import Sized

from edgetl import intake
from edgetl.embedder import Embedder
from edgetl.errors import EdgetlError, PhotoError
from edgetl.intake import Labelled, Progress
from edgetl.memory import Memory, Ready
from edgetl.photos import load
from edgetl.reports import Added, AddReport
from edgetl.types import ColorOrder, Photo, check_label

_COMMIT_EVERY = 32


def add(memory: Memory, embedder: Embedder, photo: Photo, label: str, *, color: ColorOrder, views: int, strict: bool) -> Added:
    """See :meth:`edgetl.Classifier.add`."""
    label = check_label(label)
    source = load(photo, color=color)
    made = None if memory.knows(source) else embedder.teach(source, views)
    ready = memory.examine(Ready(source.name, source.digest, label, made))
    if strict:
        _refuse(ready)
    return memory.put([ready])[0]


def add_many(
    memory: Memory,
    embedder: Embedder,
    photos: Labelled,
    label: str | None,
    *,
    color: ColorOrder,
    views: int,
    strict: bool,
    progress: Progress | None,
) -> AddReport:
    """See :meth:`edgetl.Classifier.add_many`."""
    started = time.perf_counter()
    pairs, failed = intake.pairs(photos, label)
    total = len(pairs) if isinstance(pairs, Sized) else 0
    added: list[Added] = []
    ready: list[Ready] = []

    def commit() -> None:
        added.extend(memory.put(ready))
        ready.clear()
        if progress is not None:
            progress(len(added) + len(failed) - before, total)

    before = len(failed)
    read = functools.partial(intake.source, color=color)
    for pair, photo, made in embedder.teach_many(pairs, read, skip=memory.knows, views=views):
        if photo is None or isinstance(made, EdgetlError):
            failed.append((intake.name(pair[0]), str(made)))
            continue
        one = memory.examine(Ready(photo.name, photo.digest, check_label(pair[1]), made))
        try:
            if strict:
                _refuse(one)
        except PhotoError as error:
            failed.append((one.name, str(error)))
            continue
        ready.append(one)
        if len(ready) >= _COMMIT_EVERY:
            commit()
    commit()
    return AddReport(tuple(added), tuple(failed), memory.store.counts(), time.perf_counter() - started)


def _refuse(photo: Ready) -> None:
    if photo.findings:
        raise PhotoError(f"{photo.name}: {'; '.join(finding.text for finding in photo.findings)} (strict: not added)")
