"""Classifies a frame once, and keeps it in the inbox if the head was unsure of it."""

from __future__ import annotations

from collections.abc import Callable

from edgetl.classifier import Classifier
from edgetl.inbox.inbox import Inbox
from edgetl.inputs.photo.source import load
from edgetl.session import prediction
from edgetl.types import TOP, Photo, Prediction


def classify(
    classifier: Classifier, inbox: Inbox, photo: Photo, *, jpeg: Callable[[], bytes], taken: float, camera: str = ""
) -> tuple[Prediction, int | None]:
    """What the active head says of a frame, and its number in the inbox if it was kept; one decode and one inference.

    Args:
        classifier: embeds and predicts.
        inbox: gets the frame if the head was unsure of it.
        photo: the frame, or the part of it that counts.
        jpeg: returns it as a JPEG; called only if it is kept.
        taken: when, seconds since 1970.
        camera: its URI, without a password.

    Raises:
        NotTrained: no head is active.
        PhotoError: the frame cannot be decoded.
    """
    head = classifier.session.trained()
    embedding = classifier.embedder.embed(load(photo))
    predicted = prediction.predict(head, embedding, TOP)
    return predicted, inbox.offer(jpeg, embedding, predicted, taken=taken, camera=camera)
