"""Cameras: every kind gives frames in order, ends when it is closed, comes back when it was lost, and names its errors."""

from __future__ import annotations

import contextlib
import gc
import importlib.machinery
import io
import itertools
import os
import socket
import sys
import threading
import time
import traceback
import tracemalloc
import types
from collections.abc import Callable, Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import COLOURS, coloured, encoded, picture
from PIL import Image
from raising import raises

from edgetl import camera
from edgetl.camera import Camera, CameraEvent, Frame
from edgetl.camera.address import parse
from edgetl.camera.camera import Camera as OpenCamera
from edgetl.camera.health import Health
from edgetl.camera.sources.jetson import JetsonSource
from edgetl.camera.sources.stdin import JpegSplitter, StdinSource
from edgetl.camera.sources.web import PartSplitter
from edgetl.errors import CameraError

PHOTOS = [coloured(label, seed) for seed in range(3) for label in COLOURS]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, content in enumerate(PHOTOS):
        (folder / f"{number:02}.jpg").write_bytes(content)
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'edgetl[camera]'")
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuv420p"
        for number in range(len(PHOTOS)):
            pixels = np.full((80, 96, 3), 20 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


class Web:
    """An HTTP camera; `answer` writes what it says."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None], port: int = 0) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(dict(self.headers))
                with contextlib.suppress(OSError):
                    answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.requests: list[dict[str, str]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], Web]]:
    servers: list[Web] = []

    def serve(answer: Callable[[BaseHTTPRequestHandler], None]) -> Web:
        servers.append(Web(answer))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


def say(handler: BaseHTTPRequestHandler, kind: str, *chunks: bytes, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.end_headers()
    for chunk in chunks:
        handler.wfile.write(chunk)


def stream(handler: BaseHTTPRequestHandler, *, length: bool = True, times: int = 10_000, between: float = 0.01) -> None:
    say(handler, "multipart/x-mixed-replace; boundary=--cut")
    for number in range(times):
        content = PHOTOS[number % len(PHOTOS)]
        size = f"Content-Length: {len(content)}\r\n" if length else ""
        handler.wfile.write(f"--cut\r\nContent-Type: image/jpeg\r\n{size}\r\n".encode() + content + b"\r\n")
        time.sleep(between)


def challenge(handler: BaseHTTPRequestHandler, scheme: str) -> None:
    """Asks for a password."""
    handler.send_response(401)
    handler.send_header("WWW-Authenticate", f'{scheme} realm="camera", nonce="abc", qop="auth"')
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def parts(handler: BaseHTTPRequestHandler, boundary: str, contents: list[bytes], between: bytes = b"--cut\r\n\r\n") -> None:
    """An endless stream of these parts."""
    say(handler, f"multipart/x-mixed-replace{boundary}")
    for content in itertools.cycle(contents):
        handler.wfile.write(between + content + b"\r\n")
        time.sleep(0.005)


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def threads() -> int:
    return sum(thread.name.startswith("edgetl-camera") for thread in threading.enumerate())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(params=["fake", "mjpeg", "snapshots", "stdin"])
def live(request: pytest.FixtureRequest, photos: Path, web: Callable[..., Web]) -> Iterator[Camera]:
    """One camera of each kind that goes on without end."""
    kind = request.param
    if kind == "fake":
        yield camera.open(f"fake://{photos}?fps=100")
    elif kind == "mjpeg":
        yield camera.open(f"http://127.0.0.1:{web(stream).port}/video")
    elif kind == "snapshots":
        yield camera.open(f"http://127.0.0.1:{web(lambda handler: say(handler, 'image/jpeg', PHOTOS[0])).port}/shot.jpg")
    else:
        read, write = os.pipe()
        stop = threading.Event()

        def feed() -> None:
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    os.write(write, PHOTOS[0])
                    time.sleep(0.01)

        thread = threading.Thread(target=feed)
        thread.start()
        yield OpenCamera(StdinSource(read), "-")
        stop.set()
        thread.join()
        os.close(read)
        os.close(write)


def test_frames_come_in_order_with_their_time(live: Camera) -> None:
    with live:
        frames = [next(live) for _ in range(3)]
    assert all(isinstance(frame, Frame) and Image.open(io.BytesIO(frame.jpeg())).size == (96, 80) for frame in frames)
    assert frames[0].sequence < frames[1].sequence < frames[2].sequence
    assert frames[0].monotonic <= frames[2].monotonic
    assert abs(frames[0].time - time.time()) < 3600


def test_closing_from_another_thread_ends_the_wait_and_leaves_nothing(live: Camera) -> None:
    next(live)
    frames: list[Frame] = []
    reader = threading.Thread(target=lambda: frames.extend(live))
    reader.start()
    live.close()
    reader.join(30)
    assert not reader.is_alive()
    live.close()
    assert threads() == 0
    assert next(live, None) is None


def test_a_slow_reader_gets_the_newest_frame(photos: Path) -> None:
    with camera.open(f"fake://{photos}?fps=200") as source:
        first = next(source)
        wait_for(lambda: source._sequence > first.sequence + 20)  # type: ignore[attr-defined]  # what was read meanwhile
        assert next(source).sequence > first.sequence + 15
    with camera.open(f"fake://{photos}?fps=0.001") as source:
        assert source.latest(0.01) is None


def test_a_folder_and_a_video_are_read_once_and_whole(photos: Path, video: Path) -> None:
    for uri in (str(photos), f"file://{photos}"):
        with camera.open(uri) as source:
            frames = []
            for frame in source:
                frames.append(frame.photo)
                time.sleep(0.002)
        assert frames == PHOTOS
    with camera.open(str(video)) as source:
        means = [float(np.mean(frame.photo)) for frame in source]
    assert means == pytest.approx([20 * number for number in range(len(PHOTOS))], abs=4)
    assert threads() == 0


def test_a_stream_with_and_without_lengths_gives_the_same_photos(web: Callable[..., Web]) -> None:
    for length in (True, False):
        server = web(lambda handler, length=length: stream(handler, length=length, between=0.03))
        with camera.open(f"http://127.0.0.1:{server.port}/") as source:
            assert all(next(source).photo in PHOTOS for _ in range(8))


def test_a_lost_camera_comes_back_and_both_are_events(web: Callable[..., Web], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgetl.camera.camera.FIRST_WAIT_S", 0.01)
    events: list[CameraEvent] = []
    server = web(lambda handler: stream(handler, times=3) if "Authorization" in handler.headers else challenge(handler, "Basic"))
    with camera.open(f"http://user:secret@127.0.0.1:{server.port}/", on_event=events.append) as source:
        wait_for(lambda: [event.code for event in events].count("connected") == 2)
        assert next(source).sequence > 0
    codes = [event.code for event in events if event.code in ("connected", "disconnected")]
    assert codes[:3] == ["connected", "disconnected", "connected"]
    assert server.requests[1]["Authorization"].startswith("Basic ")
    assert "secret" not in repr(events) + source.uri


def test_a_web_camera_that_is_switched_off_and_on_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgetl.camera.camera.FIRST_WAIT_S", 0.01)
    monkeypatch.setattr("edgetl.camera.camera.LONGEST_WAIT_S", 0.1)
    events: list[CameraEvent] = []
    on = threading.Event()
    on.set()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        say(handler, "multipart/x-mixed-replace; boundary=cut")
        while on.is_set():
            handler.wfile.write(b"--cut\r\n\r\n" + PHOTOS[0] + b"\r\n")
            time.sleep(0.01)

    first = Web(answer)
    with camera.open(f"http://127.0.0.1:{first.port}/", on_event=events.append) as source:
        before = next(source).sequence
        first.close()
        on.clear()
        wait_for(lambda: sum(event.code == "disconnected" for event in events) >= 3)
        on.set()
        second = Web(answer, first.port)
        wait_for(lambda: sum(event.code == "connected" for event in events) == 2)
        assert next(source).sequence > before
        on.clear()
        second.close()
    assert [event.code for event in events[:4]] == ["connected", "disconnected", "disconnected", "disconnected"]


@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
def test_a_password_is_given_to_the_camera_that_asks_and_to_no_other(scheme: str, web: Callable[..., Web]) -> None:
    def protected(handler: BaseHTTPRequestHandler) -> None:
        answers = handler.headers.get("Authorization", "").startswith(scheme)
        say(handler, "image/jpeg", PHOTOS[0]) if answers else challenge(handler, scheme)

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        if "Authorization" not in handler.headers:
            return challenge(handler, scheme)
        handler.send_response(302)
        handler.send_header("Location", f"http://127.0.0.1:{other.port}/")
        return handler.end_headers()

    other = web(lambda handler: challenge(handler, scheme))
    with camera.open(f"http://user:secret@127.0.0.1:{web(protected).port}/shot.jpg") as source:
        assert next(source).photo == PHOTOS[0]
    events: list[CameraEvent] = []
    with camera.open(f"http://user:secret@127.0.0.1:{web(redirect).port}/", on_event=events.append):
        wait_for(lambda: events)
    assert events[0].code == "disconnected"
    assert other.requests
    assert all("Authorization" not in headers for headers in other.requests)
    with camera.open(f"http://user:secret@127.0.0.1:{other.port}/", on_event=events.append):
        wait_for(lambda: len(events) > 1)
    assert "secret" not in repr(events)


@pytest.mark.parametrize("boundary", ["; boundary=other", "; boundary=a-much-longer-boundary-than-the-line-has", "", '; boundary="--cut"'])
def test_a_wrong_or_missing_boundary_is_corrected(boundary: str, web: Callable[..., Web]) -> None:
    with camera.open(f"http://127.0.0.1:{web(lambda handler: parts(handler, boundary, PHOTOS)).port}/") as source:
        assert all(next(source).photo in PHOTOS for _ in range(5))


def test_half_photos_among_whole_ones_are_left_out(web: Callable[..., Web]) -> None:
    contents = [PHOTOS[0][:900], PHOTOS[1], b"", b"\x89PNG", PHOTOS[2] + bytes(100)]
    with camera.open(f"http://127.0.0.1:{web(lambda handler: parts(handler, '; boundary=cut', contents)).port}/") as source:
        photos = [next(source).photo for _ in range(6)]
    assert all(photo in (PHOTOS[1], PHOTOS[2] + bytes(100)) for photo in photos)


@pytest.mark.parametrize(
    "answer",
    [
        lambda handler: parts(handler, "; boundary=cut", [PHOTOS[0][:900]]),
        lambda handler: parts(handler, "; boundary=cut", [b"\x89PNG"]),
        lambda handler: parts(handler, "; boundary=cut", [b"drip"], between=b""),
        lambda handler: parts(handler, "", [b"drip"], between=b""),
        lambda handler: parts(handler, "; boundary=cut", [b"--cut\r\nContent-Length: 100000\r\n\r\n", *[b"drip"] * 10_000], between=b""),
        lambda handler: say(handler, "image/jpeg", *itertools.repeat(b"\xff\xd8" + bytes(1000), 10**5)),
    ],
)
def test_a_stream_without_photos_is_given_up_and_tried_again(
    answer: Callable[..., None], web: Callable[..., Web], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgetl.camera.sources.web._TIMEOUT_S", 0.3)
    monkeypatch.setattr("edgetl.camera.camera.FIRST_WAIT_S", 0.01)
    events: list[CameraEvent] = []
    server = web(answer)
    with camera.open(f"http://127.0.0.1:{server.port}/", on_event=events.append) as source:
        wait_for(lambda: len(server.requests) > 1)
        assert source.latest(0) is None
    assert {event.code for event in events} == {"disconnected"}


def test_a_photo_that_breaks_off_is_not_a_frame(web: Callable[..., Web]) -> None:
    def half(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "image/jpeg")
        handler.send_header("Content-Length", str(len(PHOTOS[0])))
        handler.end_headers()
        handler.wfile.write(PHOTOS[0][:900])

    events: list[CameraEvent] = []
    with camera.open(f"http://127.0.0.1:{web(half).port}/", on_event=events.append) as source:
        wait_for(lambda: events)
        assert source.latest(0) is None
    assert events[0].code == "disconnected"


@pytest.mark.parametrize(
    "answer",
    [
        lambda handler: say(handler, "text/html", b"<p>hello"),
        lambda handler: say(handler, "image/jpeg", b"no jpeg"),
        lambda handler: say(handler, "multipart/x-mixed-replace", b"--x\r\n\r\n"),
        lambda handler: say(handler, "text/plain", status=404),
        lambda handler: say(handler, "text/plain", status=401),
        lambda handler: say(handler, "multipart/x-mixed-replace; boundary=x", b"--x\r\n\r\n" + b"y" * (20 * 2**20)),
        lambda handler: handler.wfile.write(b"not http"),
    ],
)
def test_what_is_not_a_camera_is_reported_and_tried_again(answer: Callable[..., None], web: Callable[..., Web]) -> None:
    events: list[CameraEvent] = []
    with camera.open(f"http://127.0.0.1:{web(answer).port}/", on_event=events.append):
        wait_for(lambda: events)
    assert events[0].code == "disconnected"
    assert events[0].values["seconds"] > 0


def test_nobody_at_the_address_is_an_event_with_a_growing_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgetl.camera.camera.FIRST_WAIT_S", 0.001)
    events: list[CameraEvent] = []
    with camera.open("http://127.0.0.1:9/", on_event=events.append):
        wait_for(lambda: len(events) > 4)
    waits = [event.values["seconds"] for event in events[:5]]
    assert waits == sorted(waits)
    assert waits[4] == pytest.approx(16 * waits[0])


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("nonsense://x", "camera-uri"),
        ("http://[", "camera-uri"),
        ("http://", "camera-uri"),
        ("rtsp://host:port/", "camera-uri"),
        ("file://[", "camera-uri"),
        ("csi://x", None),
        ("/no/such/folder", "camera-unavailable"),
        ("file:///no/such.mp4", "camera-unavailable"),
        (__file__, "camera-uri"),
    ],
)
def test_a_bad_uri_is_an_error(uri: str, code: str | None) -> None:
    with pytest.raises(CameraError) as caught:
        camera.open(uri)
    assert code is None or caught.value.code == code
    assert threads() == 0


def test_a_missing_device_an_empty_folder_and_a_broken_video_are_errors(tmp_path: Path) -> None:
    with raises(CameraError, "camera-unavailable"):
        camera.open(str(tmp_path))
    with raises(CameraError, "camera-uri", option="fps"):
        (tmp_path / "a.jpg").write_bytes(PHOTOS[0])
        camera.open(f"fake://{tmp_path}?fps=-1")
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'edgetl[camera]'")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with camera.open(str(tmp_path / "broken.mp4")) as source, raises(CameraError, "camera-unavailable"):
        next(source)
    events: list[CameraEvent] = []
    with camera.open("/dev/video97", on_event=events.append):
        wait_for(lambda: events)
    assert events[0].code == "disconnected"


def test_a_password_is_never_shown() -> None:
    address = parse("rtsp://user:secret@host:554/stream?x=1")
    assert address.shown == "rtsp://host:554/stream?x=1"
    assert address.target == "rtsp://user:secret@host:554/stream?x=1"
    assert "secret" not in repr(address)


@pytest.mark.parametrize(
    "password", ["secret/x", "12/34secret", "secret#x", "secret?x", "x@secret", "[secret", "secret]", ":secret:", "%secret"]
)
@pytest.mark.parametrize("scheme", ["http", "RTSP"])
def test_a_password_with_any_character_is_never_shown(password: str, scheme: str) -> None:
    texts = []
    try:
        texts.append(repr(parse(f"{scheme}://user:{password}@host:80/stream")))
    except CameraError as error:
        texts += [*traceback.format_exception(error), repr(error.to_json())]
    assert texts
    assert "secret" not in "".join(texts)


def test_a_frozen_a_covered_and_a_dark_camera_are_events() -> None:
    health, now = Health(), 0.0

    def look(photo: bytes, seconds: float) -> list[str]:
        nonlocal now
        codes = []
        for _ in range(round(10 * seconds)):
            now += 0.1
            change = health.check(photo, now)
            codes += [] if change is None else [change[0]]
        return codes

    assert look(PHOTOS[0], 4) == []
    assert look(PHOTOS[0], 3) == ["frozen"]
    assert look(PHOTOS[1], 2) == ["normal"]
    assert look(encoded(Image.new("RGB", (96, 80), (2, 2, 2))), 2) == ["covered"]
    assert look(encoded(picture(seed=3).point(lambda value: value // 5)), 2) == ["night"]
    assert look(PHOTOS[2], 2) == ["normal"]
    assert look(b"\xff\xd8no jpeg", 2) == []


@pytest.mark.parametrize(("level", "code"), [(30, "night"), (12, "covered")])
def test_light_that_flickers_about_a_limit_is_one_event(level: int, code: str) -> None:
    health, codes = Health(), []
    for second in range(20):
        gray = np.full((80, 96, 3), level - 1 + 2 * (second % 2), np.uint8)
        change = health.check(gray, float(second))
        codes += [] if change is None else [change[0]]
    assert codes == [code]


def test_closing_does_not_wait_for_a_camera_that_is_mute() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        events: list[CameraEvent] = []
        source = camera.open(f"http://127.0.0.1:{mute.getsockname()[1]}/", on_event=events.append)
        with mute.accept()[0] as connection:
            connection.recv(1)
            source.close()
            assert threads() == 0
        assert events == []  # it did not time out


def test_a_video_without_the_library_is_an_error(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for uri in (str(video), "rtsp://host/", "/dev/video0"):
        with raises(CameraError, "camera-needs-extra"):
            camera.open(uri)


class Failing:
    """A live source whose driver fails after each frame."""

    ends = False

    def frames(self, stop: threading.Event) -> Generator[bytes, None, None]:
        yield PHOTOS[0]
        raise RuntimeError("the driver")

    def close(self) -> None:
        pass


def test_a_driver_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgetl.camera.camera.FIRST_WAIT_S", 0.001)
    events: list[CameraEvent] = []
    with OpenCamera(Failing(), "x", events.append) as source:
        assert next(source).sequence < next(source).sequence
        wait_for(lambda: len(events) > 3)
    assert [event.code for event in events[:4]] == ["connected", "disconnected"] * 2
    assert "RuntimeError" in events[1].values["reason"]


def test_what_the_listener_raises_reaches_who_waits_for_a_frame(photos: Path) -> None:
    def listen(event: CameraEvent) -> None:
        raise KeyError(event.code)

    with camera.open(f"fake://{photos}?fps=100", on_event=listen) as source, pytest.raises(KeyError):
        for _ in source:
            pass
    assert threads() == 0


def test_motion_jpeg_in_a_file_is_handed_on_undecoded(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'edgetl[camera]'")
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuvj420p"
        for photo in PHOTOS:
            frame = av.VideoFrame.from_image(Image.open(io.BytesIO(photo)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with camera.open(str(path)) as source:
        frames = [frame.photo for frame in source]
    assert len(frames) == len(PHOTOS)
    for frame, photo in zip(frames, PHOTOS, strict=True):
        assert isinstance(frame, bytes)
        assert mean_colour(frame) == pytest.approx(mean_colour(photo), abs=6)


def mean_colour(jpeg: bytes) -> list[float]:
    return [float(value) for value in np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).mean((0, 1))]


def test_a_damaged_packet_does_not_end_a_video(video: Path) -> None:
    content = bytearray(video.read_bytes())
    start = content.index(b"mdat") + 4
    content[start + len(content) // 4 : start + len(content) // 4 + 24] = bytes(24)
    video.write_bytes(content)
    with camera.open(str(video)) as source:
        assert len(list(source)) >= len(PHOTOS) // 2


class FakePicamera2(types.ModuleType):
    """Stands in for the library that only a Raspberry Pi has; its arrays are as libcamera names the formats."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__("picamera2")
        self.open = 0
        outer = self

        class Picamera2:
            def __init__(self, number: int) -> None:
                if number > 0:
                    raise IndexError("list index out of range")
                outer.open += 1

            def create_video_configuration(self, main: dict[str, Any]) -> dict[str, Any]:
                return main

            def configure(self, main: dict[str, Any]) -> None:
                self._main = main

            def start(self) -> None:
                pass

            def capture_array(self, name: str) -> Any:
                time.sleep(0.01)
                width, height = self._main["size"]
                red = (255, 0, 0) if self._main["format"] == "BGR888" else (0, 0, 255)
                return np.full((height, width, 3), red, np.uint8)

            def close(self) -> None:
                outer.open -= 1

        self.Picamera2 = Picamera2
        monkeypatch.setitem(sys.modules, "picamera2", self)


def test_a_csi_camera_gives_rgb_and_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakePicamera2(monkeypatch)
    with camera.open("csi://0") as source:
        photo = next(source).photo
    assert isinstance(photo, np.ndarray)
    assert photo[0, 0].tolist() == [255, 0, 0]
    assert library.open == 0
    events: list[CameraEvent] = []
    with camera.open("csi://1", on_event=events.append):
        wait_for(lambda: events)
    assert events[0].code == "disconnected"
    with raises(CameraError, "camera-uri"):
        camera.open("csi://front")
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with raises(CameraError, "camera-needs-extra"):
        camera.open("csi://0")


class FakeJetsonUtils(types.ModuleType):
    """Stands in for the library that only a Jetson has: one buffer that is filled again and again, in GPU memory there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__("jetson_utils")
        self.__spec__ = importlib.machinery.ModuleSpec("jetson_utils", None)
        self.open, self.frames_left, self.uris = 0, 3, list[str]()
        outer, buffer = self, np.zeros((48, 64, 3), np.uint8)

        class VideoSource:
            def __init__(self, uri: str) -> None:
                outer.uris.append(uri)
                if uri != "csi://0":
                    raise Exception("failed to create videoSource device")
                outer.open += 1

            def Capture(self, format: str, timeout: int) -> Any:
                assert format == "rgb8"
                if not outer.frames_left:
                    return None
                outer.frames_left -= 1
                buffer[:] = 10 * outer.frames_left + 50
                return buffer

            def Close(self) -> None:
                outer.open -= 1

        self.videoSource, self.cudaToNumpy, self.cudaDeviceSynchronize = VideoSource, lambda image: image, lambda: None
        monkeypatch.setitem(sys.modules, "jetson_utils", self)


def test_a_jetson_camera_gives_frames_of_their_own_and_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeJetsonUtils(monkeypatch)
    source = JetsonSource(parse("csi://0"))
    photos = []
    with raises(CameraError, "camera-unavailable"):
        photos.extend(source.frames(threading.Event()))
    assert [int(photo[0, 0, 0]) for photo in photos] == [70, 60, 50]
    assert library.open == 0
    events: list[CameraEvent] = []
    with camera.open("csi://1", on_event=events.append):
        wait_for(lambda: events)
    assert events[0].code == "disconnected"
    assert library.uris[-1] == "csi://1"


@pytest.mark.parametrize(
    "noise",
    [
        b"\xff\xd8\xff\xe0\x00\x02Z" * 9000,
        b"\xff\xd8\xff" * 20_000,
        b"\xff" * 60_000,
        b"\xff\xd8\xff\xe0\x00\x00" * 9000 + b"Z",
        bytes(60_000),
    ],
)
def test_a_jpeg_comes_out_after_noise(noise: bytes) -> None:
    splitter = JpegSplitter()
    assert [jpeg for chunk in (noise, b"Z", *[PHOTOS[0]] * 3) for jpeg in splitter.feed(chunk)][-1] == PHOTOS[0]


@given(
    cuts=st.lists(st.integers(0, sum(map(len, PHOTOS[:3]))), max_size=12),
    between=st.binary(max_size=8).filter(lambda junk: b"\xff" not in junk),
)
def test_jpegs_come_out_of_any_chunks(cuts: list[int], between: bytes) -> None:
    thumbnailed = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "\xff\xd8 in a description"
    Image.open(io.BytesIO(PHOTOS[0])).save(thumbnailed, "JPEG", exif=exif)
    jpegs = [thumbnailed.getvalue(), *PHOTOS[1:3]]
    whole = between.join([b"", *jpegs])
    edges = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    splitter = JpegSplitter()
    assert [jpeg for start, end in itertools.pairwise(edges) for jpeg in splitter.feed(whole[start:end])] == jpegs


@given(keep=st.integers(0, len(PHOTOS[0]) - 1))
def test_half_a_jpeg_is_dropped_and_the_next_ones_come_out(keep: int) -> None:
    later = [*PHOTOS, *PHOTOS] * (2**16 // sum(map(len, PHOTOS)) + 1)  # a cut length field swallows 64 KiB at most
    jpegs = list(JpegSplitter().feed(PHOTOS[0][:keep] + b"".join(later)))
    assert jpegs[-8:] == later[-8:]
    in_scan = keep > PHOTOS[0].index(b"\xff\xda") + 14
    assert not in_scan or jpegs == later


@given(cuts=st.lists(st.integers(0, 30_000), max_size=12), lengths=st.booleans(), dashes=st.sampled_from(["", "--"]))
def test_parts_come_out_of_any_chunks(cuts: list[int], lengths: bool, dashes: str) -> None:
    whole = b""
    for photo in PHOTOS[:3]:
        size = b"content-length: %d\r\n" % len(photo) if lengths else b""
        whole += b"--cut\r\nContent-Type: image/jpeg\r\n" + size + b"\r\n" + photo + b"\r\n"
    whole += b"--cut\r\n"
    edges = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    splitter = PartSplitter(f"{dashes}cut")
    assert [part for start, end in itertools.pairwise(edges) for part in splitter.feed(whole[start:end])] == PHOTOS[:3]


def test_a_thousand_frames_leave_no_descriptor_and_no_thread(photos: Path, web: Callable[..., Web]) -> None:
    server = web(lambda handler: stream(handler, between=0))
    before = descriptors()
    for _ in range(3):
        with camera.open(f"http://127.0.0.1:{server.port}/") as source:
            for _ in range(300):
                next(source)
    wait_for(lambda: descriptors() <= before + 1)
    assert threads() == 0


def test_memory_stays_flat_over_thousands_of_frames(photos: Path) -> None:
    def memory() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    with camera.open(f"fake://{photos}?fps=100000") as source:
        tracemalloc.start()
        try:
            for _ in range(200):
                next(source)
            before, files = memory(), descriptors()
            for _ in range(3000):
                next(source)
            assert memory() - before < 2**17
            assert descriptors() <= files + 1  # a photo may be open
        finally:
            tracemalloc.stop()


def test_a_video_opened_again_and_again_leaves_no_descriptor(video: Path) -> None:
    with camera.open(str(video)) as source:
        next(source)
    before = descriptors()
    for _ in range(20):
        with camera.open(str(video)) as source:
            next(source)
    assert descriptors() == before
    assert threads() == 0
