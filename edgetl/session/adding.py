"""From photos to samples: embedded, examined by the doctor, and stored in batches."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence, Sized

from edgetl.embedding.embedder import Embedder
from edgetl.errors import EdgetlError, PhotoError
from edgetl.inputs.photo import folders
from edgetl.inputs.photo.folders import Labelled, Progress
from edgetl.inputs.photo.source import load
from edgetl.session.reports import Added, AddReport
from edgetl.session.workspace import Memory, Ready
from edgetl.types import ColorOrder, Photo, check_label

_COMMIT_EVERY = 16
"""Photos of a transaction; the last ones are committed when nothing else runs (docs/evidence/add-many.md)."""
Batch = tuple[list[Added], list[tuple[str, str]]]


def add(memory: Memory, embedder: Embedder, photo: Photo, label: str, *, color: ColorOrder, views: int, strict: bool) -> Added:
    """See :meth:`edgetl.Classifier.add`."""
    label = check_label(label)
    source = load(photo, color=color)
    made = None if memory.knows(source) else embedder.teach(source, views)
    ready = memory.examine(Ready(source.name, source.digest, label, made))
    if strict and (reason := _refusal(ready)):
        raise PhotoError(reason)
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
    """See :meth:`edgetl.Classifier.add_many`.

    A batch is examined and committed in a thread of its own while the next one is embedded, one batch at a time and in order.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    started = time.perf_counter()
    pairs, failed = folders.pairs(photos, label)
    total, others = len(pairs) if isinstance(pairs, Sized) else 0, len(failed)
    added: list[Added] = []
    batch: list[Ready] = []
    committing: list[Future[Batch]] = []

    def finish() -> None:
        while committing:
            stored, refused = committing.pop().result()
            added.extend(stored)
            failed.extend(refused)
            if progress is not None:
                progress(len(added) + len(failed) - others, total)

    read = functools.partial(folders.source, color=color)
    with ThreadPoolExecutor(1, thread_name_prefix="edgetl-commit") as committer:
        for pair, photo, made in embedder.teach_many(pairs, read, skip=memory.knows, views=views):
            if photo is None or isinstance(made, EdgetlError):
                failed.append((folders.name(pair[0]), str(made)))
                continue
            batch.append(Ready(photo.name, photo.digest, check_label(pair[1]), made))
            if len(batch) == _COMMIT_EVERY:
                finish()
                committing.append(committer.submit(_commit, memory, batch, strict))
                batch = []
        finish()
        committing.append(committer.submit(_commit, memory, batch, strict))
        finish()
    return AddReport(tuple(added), tuple(failed), memory.store.counts(), time.perf_counter() - started)


def _commit(memory: Memory, batch: Sequence[Ready], strict: bool) -> Batch:
    """Stores a batch; returns what became of its photos, and (name, reason) per photo that `strict` left out."""
    # One after the other: between two inferences the past and the doctor's code leave the caches, and each look took three times as long.
    examined = [memory.examine(photo) for photo in batch]
    refused = [(photo.name, reason) for photo in examined if strict and (reason := _refusal(photo))]
    return memory.put([photo for photo in examined if not (strict and photo.findings)]), refused


def _refusal(photo: Ready) -> str:
    """Why a photo is not added under `strict`; empty where the doctor sees nothing on it."""
    return f"{photo.name}: {'; '.join(finding.text for finding in photo.findings)} (strict: not added)" if photo.findings else ""
