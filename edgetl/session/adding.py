"""From photos to samples: embedded, examined for problems, and stored in batches."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Sequence, Sized

from edgetl.embedding.embedder import Embedder
from edgetl.errors import EdgetlError, PhotoError
from edgetl.inputs.photo import folders
from edgetl.inputs.photo.folders import LabelledPhotos, Progress
from edgetl.inputs.photo.source import load
from edgetl.session.reports import Added, AddReport, FailedPhoto, not_photos
from edgetl.session.workspace import Ready, Session
from edgetl.types import ColorOrder, Photo, check_label

_COMMIT_EVERY = 16
"""Photos of a transaction; the last ones are committed when nothing else runs (docs/evidence/add-many.md)."""
Batch = tuple[list[Added], list[FailedPhoto]]


def add(session: Session, embedder: Embedder, photo: Photo, label: str, *, color: ColorOrder, strict: bool) -> AddReport:
    """See :meth:`edgetl.Classifier.add`."""
    started = time.perf_counter()
    label = check_label(label)
    source = load(photo, color=color)
    embedded = None if session.knows(source) else embedder.embed_sample(source)
    ready = session.examine(Ready(source.name, source.digest, label, embedded))
    if strict and ready.findings:
        raise PhotoError(_problems(ready), code="photo-problem", photo=ready.name, problems=[finding.code for finding in ready.findings])
    added = session.put([ready])
    return AddReport(tuple(added), (), session.store.counts(), time.perf_counter() - started)


def add_many(
    session: Session,
    embedder: Embedder,
    photos: LabelledPhotos,
    label: str | None,
    *,
    color: ColorOrder,
    strict: bool,
    relabel: bool,
    progress: Progress | None,
) -> AddReport:
    """See :meth:`edgetl.Classifier.add_many`.

    A batch is examined and committed in a thread of its own while the next one is embedded, one batch at a time and in order.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    started = time.perf_counter()
    moves = relabel or label is not None or not isinstance(photos, (str, os.PathLike))
    pairs, others = folders.pairs(photos, label)
    failed = not_photos(others)
    total = len(pairs) if isinstance(pairs, Sized) else 0
    added: list[Added] = []
    batch: list[Ready] = []
    committing: list[Future[Batch]] = []

    def finish() -> None:
        while committing:
            stored, rejected = committing.pop().result()
            added.extend(stored)
            failed.extend(rejected)
            if progress is not None:
                progress(len(added) + len(failed) - len(others), total)

    read = functools.partial(folders.source, color=color)
    with ThreadPoolExecutor(1, thread_name_prefix="edgetl-commit") as committer:
        for pair, photo, result in embedder.embed_samples(pairs, read, skip=session.knows):
            if photo is None or isinstance(result, EdgetlError):
                failed.append(FailedPhoto.from_error(folders.name(pair[0]), result))
                continue
            batch.append(Ready(photo.name, photo.digest, check_label(pair[1]), result))
            if len(batch) == _COMMIT_EVERY:
                finish()
                committing.append(committer.submit(_commit, session, batch, strict, moves))
                batch = []
        finish()
        committing.append(committer.submit(_commit, session, batch, strict, moves))
        finish()
    return AddReport(tuple(added), tuple(failed), session.store.counts(), time.perf_counter() - started)


def _commit(session: Session, batch: Sequence[Ready], strict: bool, relabel: bool) -> Batch:
    """Stores a batch; returns what became of its photos, and those that `strict` left out."""
    # All in a row: examining each between two inferences was three times slower, because history and code leave the caches.
    examined = [session.examine(photo) for photo in batch]
    rejected = [FailedPhoto(photo.name, "photo-problem", _problems(photo)) for photo in examined if strict and photo.findings]
    return session.put([photo for photo in examined if not (strict and photo.findings)], relabel=relabel), rejected


def _problems(photo: Ready) -> str:
    """Why a photo is not added under `strict`."""
    from edgetl.diagnostics.text import describe_finding

    return f"{photo.name}: {'; '.join(map(describe_finding, photo.findings))} (strict: not added)"
