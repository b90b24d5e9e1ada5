"""Watches a camera: frames in, changes of the state out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from edgetl.camera import Camera, CameraEvent, Frame
from edgetl.classifier import Classifier
from edgetl.errors import PhotoError
from edgetl.inbox import Inbox
from edgetl.inbox.sorting import classify
from edgetl.inputs.photo.source import decoding, load
from edgetl.types import Pixels, Prediction
from edgetl.watch.decision import Decision

EventKind = Literal["state", "camera", "frame"]
_MOTION_EVERY = 8
_WAIT_S = 1.0

Tell = Callable[[EventKind, Mapping[str, Any]], None]


@dataclasses.dataclass(frozen=True)
class WatchSettings:
    """How a camera is watched.

    Attributes:
        every: seconds between two classified frames of a live camera at least; of a file every frame counts.
        region: x, y, width and height of the part of the picture that counts, shares in [0, 1]; None for all of it.
        motion: a frame is classified if its gray levels differ from those of the last classified one by this much on average; 0
            classifies every frame.
        agree: answers that must agree (see :class:`Decision`).
        of: answers that count.
        threshold: an answer with a lower probability counts as unknown.
        dwell: seconds that a state lasts at least.
    """

    every: float = 0.2
    region: tuple[float, float, float, float] | None = None
    motion: float = 0.0
    agree: int = 3
    of: int = 5
    threshold: float = 0.0
    dwell: float = 0.0


def watch(
    classifier: Classifier,
    camera: Camera,
    inbox: Inbox,
    settings: WatchSettings,
    tell: Tell,
    *,
    frames: bool = False,
    alive: Callable[[], None] = lambda: None,
    saw: Callable[[Callable[[], bytes]], None] = lambda jpeg: None,
) -> int:
    """Watches until the camera ends or is closed; returns how many frames were classified.

    Args:
        classifier: may be open for reading only; a head that another process activates is used from the next frame on.
        camera: open.
        inbox: gets the frames that the head was unsure of.
        settings: how.
        tell: called with `state` and its values at every change, and with `frame` for every classified frame if `frames`.
        frames: whether every classified frame is told.
        alive: called with every frame, and every second while none comes.
        saw: called with every classified frame: a function that gives its JPEG, cut to the region.

    Raises:
        NotTrained: no head is active.
        CameraError: a camera that is read once failed.
    """
    decision = Decision(settings.agree, settings.of, threshold=settings.threshold, dwell=settings.dwell)
    count, due, still = 0, -np.inf, Stillness(settings.motion)
    last: Prediction | None = None
    for frame in _frames(camera, alive):
        if not camera.ends and frame.monotonic < due:
            continue
        due = frame.monotonic + settings.every
        try:
            photo = frame.photo if settings.region is None else crop(frame, settings.region)
            if not still.check(photo) or last is None:
                jpeg = frame.jpeg if settings.region is None else Frame(photo, frame.sequence, frame.time, frame.monotonic).jpeg
                last, _ = classify(classifier, inbox, photo, jpeg=jpeg, taken=frame.time, camera=camera.uri)
                count += 1
                saw(jpeg)
        except PhotoError:  # a damaged frame: the next one comes
            continue
        if frames:
            tell("frame", {**_values(frame), "label": last.label, "probability": last.probability})
        if change := decision.update(last.label, last.probability, frame.monotonic):
            tell("state", {**_values(frame), **dataclasses.asdict(change), "probability": last.probability})
    return count


def _frames(camera: Camera, alive: Callable[[], None]) -> Iterator[Frame]:
    with contextlib.suppress(StopIteration):
        while True:
            alive()
            if (frame := camera.latest(_WAIT_S)) is not None:
                yield frame


def crop(frame: Frame, region: tuple[float, float, float, float]) -> Pixels:
    """A part of a frame, uint8 [h, w, 3].

    Args:
        frame: the frame.
        region: x, y, width and height, shares in [0, 1].

    Raises:
        PhotoError: the frame cannot be decoded.
    """
    photo = frame.photo
    if isinstance(photo, bytes):
        source = load(photo)
        with decoding(source.name):
            pixels = np.asarray(source.image().convert("RGB"))
    else:
        pixels = photo
    height, width = pixels.shape[:2]
    x, y, w, h = region
    left, top = int(x * width), int(y * height)
    return np.ascontiguousarray(pixels[top : max(top + 1, int((y + h) * height)), left : max(left + 1, int((x + w) * width))])


class Stillness:
    """Whether nothing has moved since the last frame that was not still."""

    def __init__(self, motion: float) -> None:
        """Takes the mean difference of gray levels from which on something has moved; 0 calls no frame still."""
        self._motion = motion
        self._last: Pixels | None = None

    def check(self, photo: bytes | Pixels) -> bool:
        """Whether a frame shows the same as the last one that did not.

        Raises:
            PhotoError: it cannot be decoded.
        """
        if not self._motion:
            return False
        gray = _small(photo)
        last = self._last
        if last is not None and last.shape == gray.shape and np.abs(gray.astype(np.int16) - last).mean() < self._motion:
            return True
        self._last = gray
        return False


def _small(photo: bytes | Pixels) -> Pixels:
    if not isinstance(photo, bytes):
        return np.asarray(photo[::_MOTION_EVERY, ::_MOTION_EVERY, 1])
    source = load(photo)
    image = source.image()
    with decoding(source.name):
        image.draft("L", (max(1, image.width // _MOTION_EVERY), max(1, image.height // _MOTION_EVERY)))
        return np.asarray(image.convert("L"))


def _values(frame: Frame) -> dict[str, Any]:
    return {"time": frame.time, "sequence": frame.sequence}


def camera_event(tell: Tell) -> Callable[[CameraEvent], None]:
    """Passes what happens to a camera on as events."""
    return lambda event: tell("camera", {"time": event.time, "code": event.code, **event.values})
