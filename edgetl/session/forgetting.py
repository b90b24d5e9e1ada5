"""Removes photos from store, learner and head, and proves that nothing of them is left."""

from __future__ import annotations

from collections import Counter
from typing import cast

from edgetl.errors import LabelError, PhotoError, TrainError
from edgetl.inputs.photo.source import load
from edgetl.session import training
from edgetl.session.reports import ForgetReport
from edgetl.session.workspace import Session
from edgetl.store import Removed
from edgetl.types import Photo, check_label


def forget(session: Session, label: str | None, photo: Photo | None, *, vacuum: bool) -> ForgetReport:
    """See :meth:`edgetl.Classifier.forget`."""
    if (label is None) == (photo is None):
        raise LabelError("give either label= or photo= to forget", code="label-or-photo")
    store = session.store
    with session.changing("forgetting"):
        store.check_index()  # a damaged one would hide photos from the counts below
        removed = _remove_class(session, label) if label is not None else _remove_photo(session, cast(Photo, photo))
        counts = dict(Counter(removed.values()))
        why = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
        store.log("forget", why)
        head_id = _train_again(session, f"{why} forgotten")
        difference = None if head_id is None else training.distance(session)
        store.check_index()
        remaining = store.counts()
    freed = store.vacuum() if vacuum else 0
    return ForgetReport(counts, remaining, head_id, difference, store.purge(removed), freed)


def _remove_class(session: Session, label: str) -> Removed:
    removed = session.remove(label=check_label(label))
    if not removed:
        labels = sorted(session.store.counts())
        raise LabelError(
            f"{session.store.path}: no photo of class {label!r}. Its classes: {', '.join(labels) or 'none'}.",
            code="label-unknown", path=str(session.store.path), label=label, labels=labels,
        )  # fmt: skip
    return removed


def _remove_photo(session: Session, photo: Photo) -> Removed:
    source = load(photo)
    removed = session.remove(digest=source.digest)
    if not removed:
        raise PhotoError(
            f"{session.store.path}: does not hold {source.name}; nothing was forgotten",
            code="photo-unknown", path=str(session.store.path), photo=source.name,
        )  # fmt: skip
    return removed


def _train_again(session: Session, why: str) -> int | None:
    if session.store.active() is None:
        return None
    try:
        return training.train(session, session.requested_kind(), None, why, session.operating_point()).head_id
    except TrainError:
        session.store.activate(None)
        session.head = None
        return None
