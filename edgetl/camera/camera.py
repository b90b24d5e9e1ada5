"""A camera that is read in a thread of its own: the newest frame wins, and a lost camera is tried again."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from edgetl.camera import address
from edgetl.camera.frames import CameraEvent, EventCode, Frame
from edgetl.camera.health import Health
from edgetl.camera.sources import Source, make
from edgetl.errors import CameraError
from edgetl.types import Pixels

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
"""Before a lost camera is tried again; doubled each time."""
_CLOSE_S = 2.0
"""How long :meth:`Camera.close` waits for a read that does not return: FFmpeg cannot be interrupted."""

Listener = Callable[[CameraEvent], None]


class Camera:
    """An open camera: iterate over it, or ask for the latest frame; safe to close from another thread.

    A live camera never queues: a slow reader misses frames. A file or folder is read once, and its reader gets every frame.

    Attributes:
        uri: its URI without a password.
        ends: whether it is a file, folder or pipe that is read once, every frame.
    """

    def __init__(self, source: Source, uri: str, on_event: Listener = lambda event: None) -> None:
        """Use :func:`open`."""
        self.uri, self.ends = uri, source.ends
        self._source, self._on_event = source, on_event
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._sequence = 0
        self._ended = False
        self._error: Exception | None = None
        self._health = Health()
        self._thread = threading.Thread(target=self._run, name="edgetl-camera-read", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        """The newest frame that was not given out before; waits for it.

        Raises:
            StopIteration: the file or folder is at its end, or the camera was closed.
            CameraError: a camera that is read once failed.
            Exception: what `on_event` raised; the camera is read no further then.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._ended)
            return self._take()

    def latest(self, timeout: float | None = None) -> Frame | None:
        """The newest frame that was not given out before; None if none comes within `timeout` seconds.

        Raises:
            StopIteration: as :meth:`__next__`.
            CameraError: as :meth:`__next__`.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._frame is not None or self._ended, timeout):
                return None
            return self._take()

    def close(self) -> None:
        """Releases the camera; who waits for a frame gets StopIteration. A second call does nothing."""
        self._stop.set()
        with self._changed:
            self._ended = True
            self._frame = None
            self._changed.notify_all()
        self._source.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(_CLOSE_S)

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _take(self) -> Frame:
        if self._frame is None:
            if self._error is not None:
                raise self._error
            raise StopIteration
        frame, self._frame = self._frame, None
        self._changed.notify_all()
        return frame

    def _run(self) -> None:
        try:
            self._read() if self._source.ends else self._read_again_and_again()
        except Exception as error:  # of the listener: who waits for a frame gets it
            self._error = error
        finally:
            self._source.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _read_again_and_again(self) -> None:
        wait = FIRST_WAIT_S
        while not self._stop.is_set():
            before, reason = self._sequence, "it ended"
            try:
                self._read()
            except CameraError as error:
                reason = str(error)
            if self._stop.is_set():
                return
            wait = FIRST_WAIT_S if self._sequence > before else wait
            self._tell("disconnected", reason=reason, seconds=wait)
            self._stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)

    def _read(self) -> None:
        connected = False
        with contextlib.closing(self._source.frames(self._stop)) as photos:
            while (photo := self._next_photo(photos)) is not None:
                if self._stop.is_set():
                    return
                if not connected:
                    connected = True
                    self._tell("connected")
                self._put(photo)
                if not self._source.ends and (change := self._health.check(photo, time.monotonic())):
                    self._tell(change[0], **change[1])

    def _next_photo(self, photos: Iterator[bytes | Pixels]) -> bytes | Pixels | None:
        """The next photo of the source; None at its end.

        Raises:
            CameraError: the source failed; a driver's own exceptions become this too, so that the camera is tried again.
        """
        try:
            return next(photos, None)
        except CameraError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise CameraError(f"{self.uri}: {reason}", uri=self.uri, reason=reason) from error

    def _put(self, photo: bytes | Pixels) -> None:
        with self._changed:
            if self._source.ends:
                self._changed.wait_for(lambda: self._frame is None or self._stop.is_set())
            if self._stop.is_set():
                return
            self._frame = Frame(photo, self._sequence, time.time(), time.monotonic())
            self._sequence += 1
            self._changed.notify_all()

    def _tell(self, code: EventCode, **values: object) -> None:
        self._on_event(CameraEvent(code, time.time(), values))


def open(uri: str, *, on_event: Listener = lambda event: None) -> Camera:
    """Opens a camera.

    Args:
        uri: `/dev/video0` or `v4l2://`, `csi://0` (picamera2), `rtsp://`, `http://` (MJPEG, or a photo that is fetched again and again),
            `file://` or a path of a video, a folder of photos, `-` (JPEGs on standard input), or `fake://FOLDER?fps=15&loop=1`.
        on_event: called in the camera's thread when it is connected, lost, frozen, covered or in the dark.

    Raises:
        CameraError: not a camera (`camera-uri`), a missing file (`camera-unavailable`), or a missing library (`camera-needs-extra`).
    """
    parsed = address.parse(uri)
    return Camera(make(parsed), parsed.shown, on_event)
