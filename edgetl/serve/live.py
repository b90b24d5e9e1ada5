"""The live picture: the newest frame of the device's camera, classified and shown."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from edgetl import camera
from edgetl.camera import Camera, CameraEvent, Frame
from edgetl.errors import EdgetlError, NotTrained
from edgetl.types import Prediction

log = logging.getLogger("edgetl")

_RATE_OVER = 30
"""Frames over which the rate is measured."""
_UNWATCHED_S = 0.5
"""Between two frames while nobody looks: enough for the inbox."""
_WAIT_S = 0.5

Classify = Callable[[Frame], Prediction]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What was said of one frame.

    Attributes:
        frame: the frame.
        prediction: what the active head says; None without a head.
        latency: from the frame's arrival to the answer, s.
        rate: frames per second.
    """

    frame: Frame
    prediction: Prediction | None
    latency: float
    rate: float


class Live:
    """Takes the newest frame of a camera, classifies it once, and shows that very frame with its answer.

    Attributes:
        uri: the camera's, without a password; None without a camera.
        requested: the URI as :meth:`open` got it, which may hold a password; None without a camera.
    """

    def __init__(
        self, classify: Classify, show: Callable[[Answer], None], report: Callable[[CameraEvent], None], ended: Callable[[], bool]
    ) -> None:
        """Makes it without a camera.

        Args:
            classify: what the active head says of a frame; called in the camera's thread.
            show: called with every answer, in the camera's thread.
            report: called with every event of the camera.
            ended: whether the server ends, so that who watches must go.
        """
        self._classify, self._show, self._report, self._ended = classify, show, report, ended
        self._lock = threading.Lock()
        self._camera: Camera | None = None
        self._thread: threading.Thread | None = None
        self._answered = threading.Condition()
        self._answer: Answer | None = None
        self.event: CameraEvent | None = None
        self.requested: str | None = None
        self.watched: Callable[[], bool] = lambda: True

    @property
    def uri(self) -> str | None:
        """The camera's, without a password; None without a camera."""
        return None if self._camera is None else self._camera.uri

    @property
    def answer(self) -> Answer | None:
        """The newest one; None before the first."""
        return self._answer

    def open(self, uri: str | None) -> None:
        """Switches to another camera; None switches it off.

        Raises:
            CameraError: the URI cannot be opened; then there is no camera.
        """
        with self._lock:
            self._close()
            if uri is None:
                return
            self._camera = camera.open(uri, on_event=self._happened)
            self.requested = uri
            self._thread = threading.Thread(target=self._run, args=(self._camera,), name="edgetl-camera", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Releases the camera; a second call does nothing."""
        with self._lock:
            self._close()

    async def frames(self) -> Any:
        """Yields each classified frame as a JPEG; a slow reader misses frames."""
        last = -1
        while not self._ended():
            answer = await asyncio.to_thread(self._wait, last)
            if answer is not None:
                last = answer.frame.sequence
                yield answer.frame.jpeg()

    def _wait(self, last: int) -> Answer | None:
        with self._answered:
            self._answered.wait_for(lambda: self._answer is not None and self._answer.frame.sequence != last, _WAIT_S)
            answer = self._answer
        return None if answer is None or answer.frame.sequence == last else answer

    def _close(self) -> None:
        if self._camera is not None:
            self._camera.close()
            if self._thread is not None:
                self._thread.join(5)
        self._camera, self._thread, self._answer, self.event, self.requested = None, None, None, None, None

    def _happened(self, event: CameraEvent) -> None:
        self.event = event
        self._report(event)

    def _run(self, source: Camera) -> None:
        ended: deque[float] = deque(maxlen=_RATE_OVER)
        for frame in source:
            started = time.monotonic()
            try:
                prediction = self._classify(frame)
            except NotTrained:
                prediction = None
            except EdgetlError:  # a damaged frame: the next one comes
                continue
            except Exception as error:  # the next frame must find this thread alive
                log.error("error: a frame could not be classified", exc_info=error)
                continue
            ended.append(time.monotonic())
            rate = (len(ended) - 1) / (ended[-1] - ended[0]) if len(ended) > 1 else 0.0
            answer = Answer(frame, prediction, ended[-1] - frame.monotonic, rate)
            with self._answered:
                self._answer = answer
                self._answered.notify_all()
            self._show(answer)
            if not self.watched():
                time.sleep(max(0.0, _UNWATCHED_S - (time.monotonic() - started)))
