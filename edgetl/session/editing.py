"""Changes single photos of the store, in store and learner together, and takes such changes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgetl.session.workspace import Session
from edgetl.store import TakenSamples
from edgetl.types import check_label


def relabel(session: Session, sample: int, label: str) -> str:
    """Moves a photo to another class; returns the class it had.

    Raises:
        LabelError: the label is not allowed.
        StoreError: there is no such sample (`sample-missing`).
    """
    label = check_label(label)
    with session.changing("relabelling"):
        previous = session.relabel(sample, label)
        if previous != label:
            session.store.log("relabel", f"1 photo is {label!r} now")
    return previous


def samples_of(session: Session, label: str) -> list[int]:
    """The sample ids of a class."""
    return [int(sample) for batch in session.store.batches() for sample, own in zip(batch.ids, batch.labels) if own == label]


def take(session: Session, samples: Sequence[int]) -> TakenSamples:
    """Removes photos and returns them, so that :func:`put_back` can bring them back; ids without a photo are ignored."""
    with session.changing("removing photos"):
        taken = session.take(samples)
        if len(taken):
            session.store.log("forget", ", ".join(f"{count} of {name!r}" for name, count in Counter(taken.labels).items()))
    return taken


def put_back(session: Session, taken: TakenSamples) -> None:
    """Brings removed photos back, as they were.

    Raises:
        StoreError: one of them was added again meanwhile (`photo-known`); none is brought back then.
    """
    with session.changing("bringing photos back"):
        session.put_back(taken)
        counts = Counter(taken.labels)
        session.store.log("add", "back again: " + ", ".join(f"{count} of {name!r}" for name, count in counts.items()))
