"""A camera as a sensor: when the state changes, what is events, and that a frame is decoded and embedded once."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from field_station import wait_for
from hypothesis import given
from hypothesis import strategies as st
from pictures import coloured, encoded, picture

from edgetl import Classifier, camera
from edgetl.camera import Frame
from edgetl.cli import main
from edgetl.inbox import Inbox
from edgetl.machine import systemd
from edgetl.watch import Commands, Decision, WatchSettings, watch
from edgetl.watch.watch import Stillness, crop


def answers(decision: Decision, labels: str, probability: float = 1.0, step: float = 1.0) -> str:
    """The state after each answer, one letter a class, `.` for unknown."""
    states = []
    for number, label in enumerate(labels):
        decision.update(None if label == "." else label, probability, number * step)
        states.append(decision.label or ".")
    return "".join(states)


def test_the_state_changes_when_enough_of_the_last_answers_agree() -> None:
    decision = Decision(3, 5)
    assert answers(decision, "aba") == "..."
    assert answers(decision, "a") == "a"
    assert answers(decision, "bb") == "ab"
    assert answers(decision, "a.b") == "bbb"


def test_a_state_lasts_its_time_and_an_unlikely_answer_is_unknown() -> None:
    assert answers(Decision(1, 1, dwell=3.0), "aaaabab") == "...aaab"
    assert answers(Decision(1, 1, threshold=0.9), "ab", probability=0.8) == ".."


@given(labels=st.text("ab.", max_size=60), of=st.integers(1, 7), data=st.data())
def test_every_state_had_its_majority_and_changes_are_told_once(labels: str, of: int, data: st.DataObject) -> None:
    agree = data.draw(st.integers(of // 2 + 1, of))
    decision, state = Decision(agree, of), None
    for number, label in enumerate(labels):
        change = decision.update(None if label == "." else label, 1.0, float(number))
        if change is not None:
            window = labels[max(0, number - of + 1) : number + 1]
            assert window.count(change.label or ".") == change.agreed >= agree
            assert (change.previous, change.label) == (state, decision.label)
            assert change.label != state
            state = change.label
        assert decision.label == state


@pytest.mark.parametrize("numbers", [(2, 4), (0, 1), (3, 2)])
def test_numbers_that_contradict_each_other_are_an_error(numbers: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="agree"):
        Decision(*numbers)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Frames of a red thing, then of a green one."""
    folder = tmp_path / "scene"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.jpg").write_bytes(coloured("red" if number < 6 else "green", 500 + number))
    return folder


@pytest.fixture
def trained(classifier: Classifier, folder: Path) -> Classifier:
    classifier.add_many(folder)
    classifier.train()
    return classifier


@pytest.fixture
def box(trained: Classifier) -> Iterator[Inbox]:
    opened = Inbox.open(trained.store.path, trained.store.fingerprint)
    yield opened
    opened.close()


def run(classifier: Classifier, inbox: Inbox, uri: Path, **settings: Any) -> tuple[list[tuple[str, Any]], int]:
    events: list[tuple[str, Any]] = []
    with camera.open(str(uri)) as source:
        count = watch(classifier, source, inbox, WatchSettings(**settings), lambda kind, values: events.append((kind, values)))
    return events, count


def test_each_change_is_told_and_each_frame_embedded_once(trained: Classifier, box: Inbox, scene: Path) -> None:
    passes = trained.embedder.passes
    events, count = run(trained, box, scene, agree=2, of=3)
    assert [(kind, values["label"], values["previous"]) for kind, values in events] == [("state", "red", None), ("state", "green", "red")]
    assert count == trained.embedder.passes - passes == 12


def test_only_what_moved_is_classified(trained: Classifier, box: Inbox, scene: Path) -> None:
    for path in sorted(scene.iterdir())[1:6]:
        path.write_bytes((scene / "00.jpg").read_bytes())
    passes = trained.embedder.passes
    events, count = run(trained, box, scene, agree=1, of=1, motion=1.0)
    assert count == trained.embedder.passes - passes == 7
    assert [values["label"] for _, values in events] == ["red", "green"]


@pytest.mark.parametrize("settings", [{}, {"motion": 0.01}, {"region": (0.0, 0.0, 0.5, 0.5)}])
@pytest.mark.parametrize("kept", [0, 1 / 2])
def test_a_damaged_frame_is_passed_over(trained: Classifier, box: Inbox, scene: Path, settings: dict[str, Any], kept: float) -> None:
    content = (scene / "03.jpg").read_bytes()
    (scene / "03.jpg").write_bytes(content[: int(kept * len(content))] or b"\xff\xd8\xff damaged")
    assert run(trained, box, scene, **settings)[1] == 11


@pytest.mark.parametrize("number", ["9" * 15, "9" * 19, "9" * 5000, "", "-1", "１"])
def test_a_command_after_an_odd_one_is_carried_out(trained: Classifier, bundle: Path, number: str) -> None:
    trained.store.close()
    results: list[Any] = []
    with Classifier.open(bundle, trained.store.path, read_only=True) as reader:
        commands = Commands(reader, results.append)
        commands.request("activate", number)
        commands.request("undo", "")
        commands.close()
    assert [result["error"]["code"] for result in results] == ["head-missing", "nothing-to-undo"]


def test_a_station_that_answers_with_text_is_an_error_of_the_command(
    trained: Classifier, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(b"Service Unavailable")

        def log_message(self, *words: object) -> None:
            pass

    results: list[Any] = []
    with http.server.HTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        trained.store.path.with_name("parts.db.serve").write_text(json.dumps({"pid": os.getpid(), "url": url}))
        trained.store.path.with_name("parts.db.token").write_text("t" * 40)
        with Classifier.open(bundle, trained.store.path, read_only=True) as reader:
            commands = Commands(reader, results.append)
            commands.request("undo", "")
            commands.close()
        server.shutdown()
    assert [result["error"]["code"] for result in results] == ["station-failed"]


def test_a_command_reaches_a_station_whose_certificate_has_another_address(
    trained: Classifier, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("starlette", reason="the extra serve is not installed: pip install 'edgetl[serve]'")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: it makes the certificate")
    from edgetl.serve import server as serving

    with monkeypatch.context() as before:
        before.setattr(serving, "LOOPBACK", ("192.0.2.7",))
        before.setattr(serving, "_names", lambda: ())
        serving._certificate(trained.store.path)
    results: list[Any] = []
    trained.store.close()
    server = serving.Server(Classifier.open(bundle, trained.store.path), serving.Settings(port=0, tls=True))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(trained.store.path.with_name("parts.db.serve").exists)
    with Classifier.open(bundle, trained.store.path, read_only=True) as reader:
        commands = Commands(reader, results.append)
        commands.request("undo", "")
        commands.close()
    server.stop()
    thread.join(60)
    assert [result["error"]["code"] for result in results] == ["nothing-to-undo"]


def test_a_region_is_cut_from_pixels_and_from_a_jpeg() -> None:
    pixels = np.asarray(picture(80, 60).convert("RGB"))
    region = (0.25, 0.5, 0.5, 0.25)
    for photo in (pixels, encoded(picture(80, 60), "PNG")):
        np.testing.assert_array_equal(crop(Frame(photo, 0, 0.0, 0.0), region), pixels[30:45, 20:60])
    assert crop(Frame(pixels, 0, 0.0, 0.0), (0.999, 0.999, 0.0001, 0.0001)).shape == (1, 1, 3)


def test_the_same_view_is_still_and_another_size_is_not() -> None:
    still = Stillness(2.0)
    assert [still.check(coloured("red", 0)), still.check(coloured("red", 0)), still.check(coloured("blue", 0))] == [False, True, False]
    assert not still.check(encoded(picture(200, 100)))
    assert not Stillness(0.0).check(coloured("red", 0))


@pytest.fixture
def command(trained: Classifier, bundle: Path, tmp_path: Path) -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(main, ["watch", "-m", str(bundle), "-s", str(tmp_path / "parts.db"), *map(str, words)])


def test_the_command_prints_lines_of_json_beside_a_writer(command: Callable[..., Result], scene: Path) -> None:
    done = command("--camera", scene, "--agree", "2/3", "--frames")
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["label"] for event in events if event["event"] == "state"] == ["red", "green"]
    assert sum(event["event"] == "frame" for event in events) == events[-1]["classified"] == 12


@pytest.mark.parametrize(
    "words", [("--agree", "2/4"), ("--agree", "x"), ("--region", "0,0,2,1"), ("--region", "1,2"), ("--threshold", "2")]
)
def test_a_wrong_option_ends_with_2(command: Callable[..., Result], scene: Path, words: tuple[str, str]) -> None:
    assert command("--camera", scene, *words).exit_code == 2


def test_a_missing_camera_and_an_untrained_store_are_errors(
    command: Callable[..., Result], bundle: Path, tmp_path: Path, scene: Path
) -> None:
    assert command("--camera", tmp_path / "nowhere").exit_code == 1
    Classifier.open(bundle, tmp_path / "new.db").close()
    assert command("--camera", scene, "-s", tmp_path / "new.db").exit_code == 1


def test_systemd_hears_that_it_is_ready_and_alive(
    command: Callable[..., Result], scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        def listen() -> None:
            while not heard or heard[-1] != b"end":
                heard.append(manager.recv(100))

        listener = threading.Thread(target=listen)
        listener.start()
        assert command("--camera", scene).exit_code == 0
        systemd.notify("end")
        listener.join()
    assert heard[:2] == [b"READY=1", b"WATCHDOG=1"]
    assert heard.count(b"WATCHDOG=1") >= 12


@pytest.mark.slow
def test_it_ends_with_a_signal_and_says_how_much_it_saw(trained: Classifier, bundle: Path, tmp_path: Path, scene: Path) -> None:
    words = [sys.executable, "-m", "edgetl", "watch", "-m", str(bundle), "-s", str(tmp_path / "parts.db")]
    process = subprocess.Popen([*words, "--camera", f"fake://{scene}?fps=50", "--every", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["event"] != "state":
        pass
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(output.splitlines()[-1])["classified"] > 0
