"""What a head says of photos: one, many, or one with its reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from edgetl.errors import PhotoError
from edgetl.heads import Head
from edgetl.inputs.photo.source import PhotoSource, load
from edgetl.types import ColorOrder, Embeddings, Photo, Prediction

if TYPE_CHECKING:
    from edgetl.diagnostics.explanation import Explanation
    from edgetl.embedding.embedder import Embedder
    from edgetl.heads.confidence.rejection import OperatingPoint
    from edgetl.session.workspace import Session


def predict(
    head: Head, embedding: Embeddings, top: int, confidence: float | None = None, unknown: OperatingPoint | None = None
) -> Prediction:
    """What a head says of one embedding.

    Args:
        head: the active head.
        embedding: float32 [d].
        top: how many classes to list, best first.
        confidence: of the conformal set, in (0, 1); None for no set.
        unknown: the operating point; None is what the head was trained for.

    Raises:
        HeadError: a class has too few photos for that confidence, or an unknown operating point.
    """
    probabilities, rejected = head.decide(embedding, unknown)
    order = np.argsort(-probabilities, kind="stable")[: max(top, 1)]
    ranked = tuple((head.labels[i], float(probabilities[i])) for i in order)
    candidates = None if confidence is None or rejected is not None else head.candidates(embedding, confidence)
    best, probability = ranked[0]
    if rejected is None:
        return Prediction(best, probability, ranked, candidates)
    return Prediction(None, probability, ranked, candidates, rejected.code, rejected.value, rejected.limit)


def predict_many(
    session: Session,
    embedder: Embedder,
    photos: Iterable[Photo],
    top: int,
    *,
    color: ColorOrder,
    confidence: float | None,
    unknown: OperatingPoint | None,
) -> Iterator[Prediction | PhotoError]:
    """See :meth:`edgetl.Classifier.predict_many`."""

    def read(photo: Photo) -> PhotoSource:
        return load(photo, color=color)

    # Photos are read ahead of their embedding, and a camera may give the same buffer again.
    owned = (photo.copy() if isinstance(photo, np.ndarray) else photo for photo in photos)
    for _, _, result in embedder.embed_many(owned, read):
        if isinstance(result, np.ndarray):
            yield predict(session.trained(), result, top, confidence, unknown)
        else:
            yield result if isinstance(result, PhotoError) else PhotoError(str(result))


def explain_sample(session: Session, sample: int, k: int) -> Explanation:
    """See :meth:`edgetl.StoredClassifier.explain_sample`."""
    from edgetl.diagnostics import explanation
    from edgetl.diagnostics.stored_photos import StoredPhotos

    head = session.trained()
    session.store.label(sample)  # an error if there is no such photo
    with session.steady():
        embedding = session.store.select([sample]).embeddings[0]
        training_set = StoredPhotos.load(session.store.batches())
    return explanation.explain(predict(head, embedding, len(head.labels)), embedding, None, training_set, k, sample)


def explain(session: Session, embedder: Embedder, photo: Photo, k: int, color: ColorOrder) -> Explanation:
    """See :meth:`edgetl.Classifier.explain`."""
    from edgetl.diagnostics import explanation
    from edgetl.diagnostics.stored_photos import StoredPhotos

    head, source = session.trained(), load(photo, color=color)
    embedded, stored = embedder.embed_sample(source), session.store.find(source.digest)
    with session.steady():
        training_set = StoredPhotos.load(session.store.batches())
    embedding = embedded.embedding
    prediction = predict(head, embedding, len(head.labels))
    return explanation.explain(prediction, embedding, embedded.capture, training_set, k, None if stored is None else stored.id)
