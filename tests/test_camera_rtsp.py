"""An RTSP camera against a real RTSP server on loopback: GStreamer's."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgetl import camera
from edgetl.camera import CameraEvent, Frame

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import debian
import rtsp
import sysroot

pytestmark = pytest.mark.slow
pytest.importorskip("av", reason="PyAV is not installed: pip install 'edgetl[camera]'")


@pytest.fixture(scope="module")
def program() -> rtsp.Server:
    try:
        return rtsp.ready()
    except (debian.Unreachable, sysroot.Failed) as error:
        pytest.skip(f"no RTSP server: {error}")


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def serving(program: rtsp.Server, port: int, elements: str, user: str = "", password: str = "") -> Iterator[subprocess.Popen[bytes]]:
    server = subprocess.Popen([*program.command, str(port), elements, user, password], env={**os.environ, **program.env})
    try:
        for _ in range(600):
            assert server.poll() is None
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield server
    finally:
        server.kill()
        server.wait()


def frame_of(source: camera.Camera) -> Frame:
    frame = source.latest(60)
    assert frame is not None
    return frame


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_a_stream_whose_frames_build_on_each_other_is_decoded(program: rtsp.Server, port: int) -> None:
    events: list[CameraEvent] = []
    with serving(program, port, rtsp.VP8), camera.open(f"rtsp://127.0.0.1:{port}/camera", on_event=events.append) as source:
        frames = [frame_of(source) for _ in range(20)]
    assert "disconnected" not in [event.code for event in events]
    assert all(isinstance(frame.photo, np.ndarray) and frame.photo.shape == (240, 320, 3) for frame in frames)
    assert not np.array_equal(frames[0].photo, frames[-1].photo)  # the ball moves
    sequences = [frame.sequence for frame in frames]
    assert sequences == sorted(set(sequences))


def test_a_stream_of_h264_is_decoded(program: rtsp.Server, port: int, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 240, "yuv420p", 30
        for number in range(600):
            pixels = np.full((240, 320, 3), 60, np.uint8)
            pixels[:, number % 300 : number % 300 + 20] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    events: list[CameraEvent] = []
    with (
        serving(program, port, rtsp.launch_h264(path)),
        camera.open(f"rtsp://127.0.0.1:{port}/camera", on_event=events.append) as source,
    ):
        frames = [frame_of(source) for _ in range(10)]
    assert [event.code for event in events] == ["connected"]
    for frame in frames:
        assert isinstance(frame.photo, np.ndarray)
        assert np.mean(frame.photo) == pytest.approx(60 + 140 * 20 / 320, abs=4)  # nothing is smeared


def test_a_stream_of_jpegs_is_handed_on_undecoded(program: rtsp.Server, port: int) -> None:
    with serving(program, port, rtsp.JPEG), camera.open(f"rtsp://127.0.0.1:{port}/camera") as source:
        photo = frame_of(source).photo
    assert isinstance(photo, bytes)
    assert photo.startswith(b"\xff\xd8")


def test_a_server_that_is_killed_and_started_again_is_found_again(program: rtsp.Server, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgetl.camera.camera.LONGEST_WAIT_S", 1.0)
    events: list[CameraEvent] = []

    def codes() -> list[str]:
        return [event.code for event in events if event.code in ("connected", "disconnected")]

    with serving(program, port, rtsp.VP8) as server, camera.open(f"rtsp://127.0.0.1:{port}/camera", on_event=events.append) as source:
        before = frame_of(source).sequence
        server.kill()
        wait_for(lambda: "disconnected" in codes())
        with serving(program, port, rtsp.VP8):
            wait_for(lambda: codes().count("connected") == 2)
            assert frame_of(source).sequence > before
            reached = codes()
    assert reached[:2] == ["connected", "disconnected"]
    assert reached[-1] == "connected"


def test_a_wrong_password_is_an_event_that_does_not_show_it(program: rtsp.Server, port: int, capfd: pytest.CaptureFixture[str]) -> None:
    events: list[CameraEvent] = []
    with serving(program, port, rtsp.JPEG, "viewer", "the secret"):
        with camera.open(f"rtsp://viewer:other%20secret@127.0.0.1:{port}/camera", on_event=events.append) as source:
            wait_for(lambda: events)
            assert events[0].code == "disconnected"
            assert "secret" not in repr(events) + repr(vars(source)) + source.uri
        with camera.open(f"rtsp://viewer:the%20secret@127.0.0.1:{port}/camera") as source:
            assert isinstance(frame_of(source).photo, bytes)
    assert "secret" not in "".join(capfd.readouterr())
