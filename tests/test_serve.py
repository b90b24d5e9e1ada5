"""The field station through its HTTP interface: teaching, undo, the live picture, and requests that cost too much."""

from __future__ import annotations

import contextlib
import errno
import http.client
import io
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pages
import pytest
from click.testing import CliRunner
from field_station import Client, Reply, running, wait_for
from pictures import COLOURS, coloured, encoded, picture
from raising import raises

pytest.importorskip("starlette", reason="the extra serve is not installed: pip install 'edgetl[serve]'")

from edgetl import Classifier
from edgetl.cli import main
from edgetl.errors import ServeError, StoreError, StoreLocked
from edgetl.runtimes import fake
from edgetl.serve import limits
from edgetl.serve import server as server_module
from edgetl.serve.app import ROUTES
from edgetl.serve.hub import Hub
from edgetl.serve.server import Address, Server, Settings
from edgetl.store import Store
from edgetl.types import Prediction


@pytest.fixture
def station(bundle: Path, tmp_path: Path) -> Iterator[Client]:
    with running(bundle, tmp_path / "parts.db") as client:
        yield client


def teach(client: Client, label: str, seeds: range = range(4)) -> list[int]:
    """Adds photos of a class and returns their sample ids."""
    return [client.post(f"/v1/classes/{label}/photos", coloured(label, seed))["photos"][0]["id"] for seed in seeds]


def counts(client: Client) -> dict[str, int]:
    return {each["label"]: each["count"] for each in client.get("/v1/state")["classes"]}


def test_a_photo_is_durable_before_the_answer_and_a_head_is_trained(station: Client, tmp_path: Path) -> None:
    for label in ("red", "green"):
        teach(station, label)
        with Classifier.open_store(tmp_path / "parts.db", read_only=True) as reader:
            assert reader.counts[label] == 4
    state = station.settled()
    assert state["head"]["labels"] == ["green", "red"]
    (prediction,) = station.post("/v1/classify", coloured("red", 9))["predictions"]
    assert prediction["label"] == "red"
    added = teach(station, "blue")
    assert station.settled()["head"]["labels"] == ["blue", "green", "red"]
    assert len(set(added)) == 4


def test_each_step_is_undone_in_turn(station: Client) -> None:
    red = teach(station, "red")
    teach(station, "green")
    before = station.server.station.classifier.store.digest()
    station.post(f"/v1/samples/{red[0]}/label", {"label": "green"})
    assert counts(station) == {"green": 5, "red": 3}
    assert station.send("DELETE", f"/v1/samples/{red[1]}").status == 200
    assert station.send("DELETE", "/v1/classes/green").status == 200
    station.post("/v1/classes/blue/photos", coloured("blue", 0))
    assert counts(station) == {"blue": 1, "red": 2}
    for expected in ({"red": 2}, {"green": 5, "red": 2}, {"green": 5, "red": 3}, {"green": 4, "red": 4}):
        station.post("/v1/undo")
        assert counts(station) == expected
    assert station.server.station.classifier.store.digest() == before
    for _ in range(8):
        station.post("/v1/undo")
    assert counts(station) == {}
    assert station.send("POST", "/v1/undo").code == "nothing-to-undo"


def test_a_step_that_another_change_has_overtaken_does_not_block_the_ones_before_it(station: Client) -> None:
    red = teach(station, "red")
    station.post(f"/v1/samples/{red[0]}/label", {"label": "green"})
    station.server.station.classifier.forget(photo=coloured("red", 0))  # not a step of the page
    before = counts(station)
    assert station.send("POST", "/v1/undo").code == "sample-missing"
    assert counts(station) == before
    for expected in (2, 1, 0, 0):
        station.post("/v1/undo")
        assert counts(station).get("red", 0) == expected


def test_a_photo_that_a_zip_holds_under_two_labels_is_undone(station: Client) -> None:
    (known,) = teach(station, "red", range(1))
    before = station.server.station.classifier.store.digest()
    twice = [(f"{label}/{seed}.jpg", coloured("red", seed)) for label in ("green", "blue") for seed in range(3)]
    assert upload(station, zipped(*twice), "set.zip").json["added"] == 2
    assert counts(station) == {"blue": 3}
    station.post("/v1/undo")
    assert counts(station) == {"red": 1}
    assert station.server.station.classifier.store.label(known) == "red"
    assert station.server.station.classifier.store.digest() == before


def test_a_file_name_of_half_a_character_is_no_error_of_the_server(station: Client) -> None:
    headers = {**station.bearer, "content-type": "multipart/form-data; boundary=x; charset=raw_unicode_escape"}
    body = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="\\ud800.jpg"\r\n\r\nno photo\r\n--x--\r\n'
    reply = station.send("POST", "/v1/classes/red/photos", body, headers)
    assert reply.status < 500, reply


def test_heads_are_activated_rolled_back_and_undone(station: Client) -> None:
    teach(station, "red")
    teach(station, "green")
    first = station.settled()["head"]["id"]
    teach(station, "blue")
    second = station.settled()["head"]["id"]
    assert station.post("/v1/rollback")["id"] < second
    station.post("/v1/undo")
    assert station.settled()["head"]["labels"] == ["blue", "green", "red"]
    assert station.post(f"/v1/heads/{first}/activate")["id"] == first
    assert station.send("POST", "/v1/heads/999/activate").code == "head-missing"


def test_undo_takes_the_changes_of_two_pages_back_in_their_order(station: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, added = station.server.station.steps, threading.Event()
    push = steps.push_added

    def push_late(*words: Any) -> None:
        added.set()
        time.sleep(0.5)
        push(*words)

    monkeypatch.setattr(steps, "push_added", push_late)
    adding = threading.Thread(target=teach, args=(station, "red", range(1)))
    adding.start()
    assert added.wait(60)
    assert station.send("DELETE", "/v1/classes/red").status == 200
    adding.join(60)
    assert station.post("/v1/undo")["undone"] == "Delete the class red"
    assert counts(station) == {"red": 1}
    station.post("/v1/undo")
    assert counts(station) == {}


def test_undo_brings_a_frame_back_whose_photo_was_there_already(station: Client) -> None:
    teach(station, "red")
    teach(station, "green")
    station.settled()
    box, photo = station.server.station.inbox, coloured("red", 0)
    number = box.offer(
        lambda: photo,
        np.ones(station.server.station.classifier.store.fingerprint.dim, np.float32),
        Prediction("red", 0.3, (("red", 0.3),)),
        taken=0.0,
    )
    answer = station.post("/v1/inbox/label", {"ids": [number], "label": "red"})
    assert [each["status"] for each in answer["photos"]] == ["known"]
    assert station.get("/v1/state")["inbox"] == 0
    assert answer["undo"] == station.post("/v1/undo")["undone"] == "Delete 1 from the inbox"
    assert station.get("/v1/state")["inbox"] == 1
    assert counts(station) == {"green": 4, "red": 4}


def test_a_head_that_was_activated_stays_until_the_photos_change(station: Client) -> None:
    for label in ("red", "green"):
        teach(station, label)
    first = station.settled()["head"]["id"]
    teach(station, "blue")
    second = station.settled()["head"]["id"]
    for head in (first, second):
        station.post(f"/v1/heads/{head}/activate")
    station.post("/v1/undo")
    assert station.settled()["head"]["id"] == first
    station.post("/v1/classes/red/photos", coloured("red", 0))  # it is there already
    assert station.send("DELETE", "/v1/samples/999").status == 404
    assert station.settled()["head"]["id"] == first
    station.post("/v1/classes/red/photos", coloured("red", 9))
    assert station.settled()["head"]["id"] > second


def test_a_training_that_fails_does_not_stop_the_next_one(station: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = station.server.station.trainer
    for label in ("red", "green"):
        teach(station, label)
    station.settled()

    def fail() -> Any:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(trainer, "_train", fail)
        station.post("/v1/train")
        assert station.settled()["training"]["error"]["code"] == "internal"
    with contextlib.closing(sqlite3.connect(tmp_path / "parts.db.inbox")) as inbox:
        inbox.execute("ALTER TABLE frame RENAME TO hidden")
        assert station.send("GET", "/v1/state").code == "inbox-failed"
        trainer.request()
        assert trainer.wait(60)
        inbox.execute("ALTER TABLE hidden RENAME TO frame")
    teach(station, "blue")
    assert station.settled()["head"]["labels"] == ["blue", "green", "red"]


def test_the_accuracy_view_names_the_photos_behind_each_number(station: Client) -> None:
    for label in ("red", "green", "blue"):
        teach(station, label, range(6))
    wrong = teach(station, "yellow", range(6, 7)), station.post("/v1/classes/red/photos", coloured("blue", 77))["photos"][0]["id"]
    worth = station.get("/v1/worth")
    labels, rows = worth["confusion"]["labels"], worth["confusion"]["counts"]
    for label, row in zip(labels, rows):
        for answer, count in zip(labels, row):
            assert len(station.get(f"/v1/confusion/{label}/{answer}")["samples"]) == count
    assert sum(map(sum, rows)) == 20
    assert [suspect["id"] for suspect in worth["suspects"]] == [wrong[1]]
    assert worth["suspects"][0]["looks_like"] == "blue"


def test_a_photo_that_arrives_during_the_review_is_not_in_it_after_undo(station: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for label in ("red", "green"):
        teach(station, label)
    station.settled()
    classifier = station.server.station.classifier
    review = classifier.review

    def review_late() -> Any:
        teach(station, "blue", range(1))
        return review()

    with monkeypatch.context() as busy:
        busy.setattr(classifier, "review", review_late)
        assert "blue" in station.get("/v1/worth")["classes"]
    station.post("/v1/undo")
    assert "blue" not in station.get("/v1/worth")["classes"]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/inbox/label", b'{"ids": [99999999999999999999], "label": "red"}', "field-wrong"),
        ("/v1/inbox/label", b'{"ids": [-1], "label": "red"}', "field-wrong"),
        ("/v1/inbox/label", b'{"ids": [NaN], "label": "red"}', "field-wrong"),
        ("/v1/inbox/label", b'{"ids": [true], "label": "red"}', "field-wrong"),
        ("/v1/inbox/label", b'{"ids": [], "label": "red"}', "field-wrong"),
        ("/v1/inbox/label", b'{"ids": [1], "label": "\\ud800"}', "upload-malformed"),
        ("/v1/samples/1/label", b'{"label": "\\ud800"}', "upload-malformed"),
        ("/v1/samples/1/label", b'{"label": "a\\u202eb"}', "label-invisible-character"),
        ("/v1/samples/1/label", b"[]", "upload-malformed"),
        ("/v1/samples/1/label", b"\xff\xfe", "upload-malformed"),
        ("/v1/samples/1/label", b"[" * 60_000, "upload-malformed"),
        ("/v1/samples/9223372036854775807/label", b'{"label": "red"}', "not-found"),
        ("/v1/camera", b'{"number": "x"}', "field-wrong"),
        ("/v1/camera", b'{"number": 999999999999999999999}', "camera-unknown"),
    ],
)
def test_an_odd_body_is_an_error_of_the_request(station: Client, path: str, body: bytes, code: str) -> None:
    reply = station.send("POST", path, body, {**station.bearer, "content-type": "application/json"})
    assert (reply.status < 500, reply.code) == (True, code)


def test_a_stored_photo_is_explained_and_each_class_has_a_history(station: Client) -> None:
    red = teach(station, "red")
    teach(station, "green")
    first = station.settled()["head"]["id"]
    teach(station, "red", range(4, 8))
    last = station.settled()["head"]["id"]
    history = {each["head"]: each["accuracy"]["n"] for each in station.get("/v1/worth")["classes"]["red"]["history"]}
    assert (history[first], history[last]) == (4, 5)  # near-duplicates count once
    explanation = station.get(f"/v1/samples/{red[0]}/explanation")
    assert explanation["label"] == "red"
    assert red[0] not in [each["id"] for each in explanation["neighbours"]]
    assert {each["label"] for each in explanation["neighbours"]} == {"red"}
    assert station.send("GET", "/v1/samples/999/explanation").code == "sample-missing"


def test_a_newer_bundle_takes_the_place_of_the_old_one_and_undo_brings_it_back(bundle: Path, tmp_path: Path) -> None:
    file = fake.write_bundle(str(tmp_path / "file.edgetl"), encoded(picture(seed=9))).path
    newer = fake.write_bundle(str(tmp_path / "newer.edgetl"), encoded(picture(seed=10))).path.read_bytes()
    other = fake.write_bundle(str(tmp_path / "other.edgetl"), encoded(picture(seed=9)), seed=1).path.read_bytes()
    before = file.read_bytes()
    headers = {"content-type": "application/octet-stream"}
    with running(file, tmp_path / "parts.db") as station:
        headers |= station.bearer
        teach(station, "red")
        teach(station, "green")
        station.settled()
        assert station.send("POST", "/v1/bundle", b"no bundle", headers).code == "bundle-damaged"
        assert station.send("POST", "/v1/bundle", other, headers).code == "model-mismatch"
        assert file.read_bytes() == before
        assert station.send("POST", "/v1/bundle", newer, headers).status == 200
        assert file.read_bytes() == newer
        assert station.post("/v1/classify", coloured("red", 9))["predictions"][0]["label"] == "red"
        station.post("/v1/undo")
        assert file.read_bytes() == before
        assert station.send("POST", "/v1/bundle", newer, headers).status == 200
    assert sorted(path.name for path in tmp_path.glob("*file.edgetl*")) == ["file.edgetl"]


def test_a_bundle_is_updated_after_a_killed_server_left_its_old_one(bundle: Path, tmp_path: Path) -> None:
    file = fake.write_bundle(str(tmp_path / "file.edgetl"), encoded(picture(seed=9))).path
    newer = fake.write_bundle(str(tmp_path / "newer.edgetl"), encoded(picture(seed=10))).path.read_bytes()
    (tmp_path / f".file.edgetl.0-{os.getpid()}").write_bytes(b"old")
    with running(file, tmp_path / "parts.db") as station:
        assert upload(station, newer, "newer.edgetl", "/v1/bundle").status == 200
        assert file.read_bytes() == newer
    assert sorted(path.name for path in tmp_path.glob("*file.edgetl*")) == ["file.edgetl"]


def test_a_form_with_several_photos_reports_each(station: Client) -> None:
    parts = [("a.jpg", coloured("red", 0)), ("broken.jpg", b"\xff\xd8no photo"), ("b.jpg", coloured("red", 1))]
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="photo"; filename="%s"\r\n\r\n%s\r\n' % (name.encode(), content)
        for name, content in parts
    )
    headers = {**station.bearer, "content-type": "multipart/form-data; boundary=x"}
    answer = station.send("POST", "/v1/classes/red/photos", body + b"--x--\r\n", headers).json
    assert [photo["status"] for photo in answer["photos"]] == ["added", "added"]
    assert [failed["source"] for failed in answer["failed"]] == ["broken.jpg"]


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", "image/jpeg", "upload-empty"),
        (b"x", "text/plain", "upload-type"),
        (b"not a form", "multipart/form-data; boundary=x", None),
        (b"--x--\r\n", "multipart/form-data; boundary=x", "upload-empty"),
    ],
)
def test_what_is_not_a_photo_is_an_error(station: Client, body: bytes, kind: str, code: str | None) -> None:
    reply = station.send("POST", "/v1/classify", body, {**station.bearer, "content-type": kind})
    assert 400 <= reply.status < 500
    assert code is None or reply.code == code


def test_bad_fields_and_bad_labels_are_errors(station: Client) -> None:
    (red, *_) = teach(station, "red")
    assert station.send("POST", f"/v1/samples/{red}/label", {"label": 3}).code == "field-wrong"
    assert station.send("POST", f"/v1/samples/{red}/label", {"label": " red"}).code == "label-blank"
    assert station.send("POST", "/v1/samples/999/label", {"label": "x"}).code == "sample-missing"
    assert station.send("POST", "/v1/inbox/delete", {"ids": ["1"]}).code == "field-wrong"
    assert station.send("POST", "/v1/camera", {"number": 7}).code == "camera-unknown"
    assert station.send("DELETE", "/v1/classes/nothing").code == "class-unknown"
    assert station.send("POST", "/v1/classify", coloured("red", 5)).code == "not-trained"


def test_names_are_text_and_never_markup(station: Client) -> None:
    label = "<img src=x onerror=alert(1)>"
    station.post("/v1/classes/%3Cimg%20src=x%20onerror=alert(1)%3E/photos", coloured("red", 0))
    assert counts(station) == {label: 1}
    page = station.send("GET", "/", headers={})
    assert b"onerror" not in page.content


def test_what_is_too_large_is_not_read_to_its_end(station: Client) -> None:
    headers = {**station.bearer, "content-type": "image/jpeg", "content-length": str(limits.PHOTO_BYTES + 1)}
    assert station.send("POST", "/v1/classify", b"x", headers).code == "upload-too-large"
    with socket.create_connection(("127.0.0.1", station.port)) as endless:
        lines = ["POST /v1/classify HTTP/1.1", f"Host: 127.0.0.1:{station.port}", f"Authorization: {station.bearer['authorization']}",
                 "Content-Type: image/jpeg", "Transfer-Encoding: chunked", "", ""]  # fmt: skip
        endless.sendall("\r\n".join(lines).encode())
        sent = 0
        try:
            while sent < 4 * limits.PHOTO_BYTES:
                endless.sendall(b"100000\r\n" + b"x" * 2**20 + b"\r\n")
                sent += 2**20
        except OSError:
            pass
        assert sent < 4 * limits.PHOTO_BYTES
    assert station.get("/healthz") == {"ok": True}


def test_a_picture_of_too_many_pixels_is_an_error_of_that_photo(station: Client) -> None:
    teach(station, "red")
    bomb = encoded(picture(8, 8).resize((9000, 9000)), "PNG")
    answer = station.send("POST", "/v1/classes/red/photos", bomb, {**station.bearer, "content-type": "image/png"}).json
    assert [failed["code"] for failed in answer["failed"]] == ["photo-too-large"]


def test_a_phones_photo_is_taken_and_a_video_or_heic_is_an_error_of_that_file(station: Client) -> None:
    phone = encoded(picture(400, 300).resize((4000, 3000)))
    assert [photo["status"] for photo in station.post("/v1/classes/red/photos", phone)["photos"]] == ["added"]
    for content in (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(200)):
        failed = station.send("POST", "/v1/classes/red/photos", content).json["failed"]
        assert [each["code"] for each in failed] == ["photo-format-unknown"]
    assert counts(station) == {"red": 1}


def test_events_arrive_as_they_happen(station: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", station.port, timeout=60)
    connection.request("GET", "/v1/events", headers=station.bearer)
    response = connection.getresponse()
    assert response.headers["content-type"].startswith("text/event-stream")
    teach(station, "red", range(1))
    names, photos = [], 0
    while photos < 1:
        line = response.readline().decode()
        if line.startswith("event: "):
            names.append(line.removeprefix("event: ").strip())
        elif line.startswith("data: ") and names[-1] == "state":
            photos = json.loads(line.removeprefix("data: "))["photos"]
    assert names[0] == "state"
    connection.close()


def test_a_slow_listener_gets_the_newest_answer_and_every_warning() -> None:
    import asyncio

    async def listen() -> str:
        hub = Hub()
        events = hub.listen()
        assert (await events.__anext__()).startswith("retry:")
        for number in range(5):
            hub.publish("answer", {"number": number})
            hub.publish("warning", {"number": number})
        text = await events.__anext__()
        await events.aclose()
        assert hub.listeners == 0
        return text

    text = asyncio.run(listen())
    assert text.count("event: answer") == 1
    assert '{"number":4}' in text.split("event: answer")[1]
    assert text.count("event: warning") == 5


def test_the_document_of_the_interface_names_every_route() -> None:
    import edgetl.serve.app as app

    document = json.loads((Path(app.__file__).parent / "openapi.json").read_text("utf-8"))
    documented = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    assert documented == {(method, path) for method, path, _ in ROUTES}


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, label in enumerate(COLOURS):
        (folder / f"{number}.jpg").write_bytes(coloured(label, 50 + number))
    return folder


def test_the_live_picture_shows_the_frames_that_were_classified(bundle: Path, tmp_path: Path, frames: Path) -> None:
    with running(bundle, tmp_path / "parts.db", cameras=(f"fake://{frames}?fps=20&loop=1",)) as client:
        wait_for(lambda: client.server.station.live.answer is not None)
        shown = [path.read_bytes() for path in sorted(frames.iterdir())]
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
        connection.request("GET", "/v1/stream", headers=client.bearer)
        response = connection.getresponse()
        for _ in range(3):
            assert response.readline().strip() == b"--edgetl-frame"
            headers = dict(line.decode().strip().lower().split(": ") for line in iter(response.readline, b"\r\n"))
            assert response.read(int(headers["content-length"])) in shown
            response.readline()
        connection.close()
        captured = client.post("/v1/classes/red/photos?from=camera")
        assert [photo["status"] for photo in captured["photos"]] == ["added"]
        assert client.get("/v1/state")["camera"]["uri"].startswith("fake://")
        client.post("/v1/camera", {"number": None})
        assert client.send("POST", "/v1/classes/red/photos?from=camera").code == "camera-off"
        client.post("/v1/camera", {"number": 0})
        assert client.get("/v1/state")["camera"] is not None


def zipped(*photos: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in photos:
            archive.writestr(name, content)
    return file.getvalue()


def upload(station: Client, content: bytes, name: str, path: str = "/v1/upload") -> Reply:
    return station.send("POST", f"{path}?name={name}", content, {**station.bearer, "content-type": "application/zip"})


def test_a_zip_of_class_folders_and_one_of_teachable_machine_become_photos(station: Client) -> None:
    folders = zipped(
        *((f"set/{label}/{seed}.jpg", coloured(label, seed)) for label in ("red", "green") for seed in range(3)),
        ("set/red/broken.jpg", b"no photo"),
        ("__MACOSX/set/red/._0.jpg", b"x"),
        ("../../etc/0.jpg", coloured("blue", 0)),
    )
    reply = upload(station, folders, "set.zip").json
    assert (reply["added"], [(each["source"], each["code"]) for each in reply["failed"]]) == (
        6,
        [("set/red/broken.jpg", "photo-format-unknown")],
    )
    assert counts(station) == {"green": 3, "red": 3}
    plain = zipped(*((f"{seed}.jpg", coloured("yellow", seed)) for seed in range(2)))
    assert upload(station, plain, "Class%201-samples.zip").json["added"] == 2
    assert counts(station)["Class 1"] == 2
    station.post("/v1/undo")
    assert "Class 1" not in counts(station)


def test_class_folders_of_windows_and_macos_zips_keep_their_names(station: Client) -> None:
    windows = zipped(("set\\red\\0.jpg", coloured("red", 0)), ("set\\red\\.hidden.jpg", b"x"))
    macos = bytearray(zipped(("Grün/0.jpg", coloured("green", 0))))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # local and central header (APPNOTE.TXT, 4.3.7 and 4.3.12)
        macos[macos.find(mark) + flags + 1] &= ~0x08
    for content in (windows, bytes(macos)):
        assert upload(station, content, "set.zip").json["added"] == 1
    assert counts(station) == {"Grün": 1, "red": 1}


def test_photos_before_an_error_are_trained_and_undone(station: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = zipped(*((f"red/{seed}.jpg", coloured("red", seed)) for seed in range(40)), ("red/40.jpg", b"damage"))
    assert upload(station, damaged.replace(b"damage", b"Damage"), "x.zip").code == "archive-unusable"
    assert counts(station) == {"red": 32}
    assert station.settled()["undo"] == "Add 32 photos to x.zip"
    station.post("/v1/undo")
    assert counts(station) == {}

    classifier, stored = station.server.station.classifier, iter(range(3))
    add = classifier.add

    def add_two(photo: Any, label: str) -> Any:
        if next(stored) == 2:
            raise StoreError("the disk is full", code="store-failed")
        return add(photo, label)

    monkeypatch.setattr(classifier, "add", add_two)
    parts = b"".join(b'--x\r\nContent-Disposition: form-data; name="p"; filename="p"\r\n\r\n%s\r\n' % coloured("red", n) for n in range(3))
    headers = {**station.bearer, "content-type": "multipart/form-data; boundary=x"}
    assert station.send("POST", "/v1/classes/red/photos", parts + b"--x--\r\n", headers).status == 507
    assert counts(station) == {"red": 2}
    assert station.post("/v1/undo")["undone"] == "Add 2 photos to red"
    assert counts(station) == {}


def test_a_server_that_ends_does_not_wait_for_all_photos_of_a_zip(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = zipped(*((f"red/{seed}.jpg", coloured("red", seed)) for seed in range(320)))
    with running(bundle, tmp_path / "parts.db") as station:
        classifier = station.server.station.classifier
        add_many = classifier.add_many

        def add_slowly(*words: Any, **named: Any) -> Any:
            time.sleep(0.2)
            return add_many(*words, **named)

        monkeypatch.setattr(classifier, "add_many", add_slowly)

        def send() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                upload(station, photos, "x.zip")

        sending = threading.Thread(target=send)
        sending.start()
        wait_for(lambda: counts(station))
    sending.join(60)
    with Classifier.open_store(tmp_path / "parts.db", read_only=True) as reader:
        assert 16 <= reader.counts["red"] < 320


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"no zip", "archive-unusable"),
        (zipped(("readme.txt", b"x")), "archive-empty"),
        (zipped(("a/0.jpg", b"\0" * 30_000_000), method=zipfile.ZIP_DEFLATED), "upload-too-large"),
        (zipped(("a/0.jpg", coloured("red", 0)))[:-40], "archive-unusable"),
        (b"", "upload-empty"),
    ],
)
def test_a_bad_zip_is_an_error_and_leaves_no_file(station: Client, content: bytes, code: str, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    assert upload(station, content, "x.zip").code == code
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert counts(station) == {}


def test_another_devices_store_is_merged_and_undone(station: Client, bundle: Path, tmp_path: Path) -> None:
    teach(station, "red")
    with Classifier.open(bundle, tmp_path / "other.db") as other:
        other.add(coloured("red", 0), "red")
        for seed in range(3):
            other.add(coloured("green", seed), "green")
    reply = upload(station, (tmp_path / "other.db").read_bytes(), "other.db", "/v1/merge").json
    assert reply["added"] == 3
    assert counts(station) == {"green": 3, "red": 4}
    assert station.settled()["head"]["labels"] == ["green", "red"]
    station.post("/v1/undo")
    assert counts(station) == {"red": 4}
    assert upload(station, b"x" * 5000, "other.db", "/v1/merge").code == "not-a-store"
    strange = fake.write_bundle(str(tmp_path / "strange.edgetl"), encoded(picture(seed=9)), seed=1).path
    with Classifier.open(strange, tmp_path / "strange.db") as other:
        other.add(coloured("blue", 0), "blue")
    assert upload(station, (tmp_path / "strange.db").read_bytes(), "strange.db", "/v1/merge").code == "model-mismatch"


def test_the_store_and_the_head_are_downloaded_whole(station: Client, bundle: Path, tmp_path: Path) -> None:
    assert station.send("GET", "/v1/download/head").code == "not-trained"
    for label in ("red", "green"):
        teach(station, label)
    station.settled()
    (tmp_path / "copy.db").write_bytes(station.send("GET", "/v1/download/store").content)
    (tmp_path / "head").write_bytes(station.send("GET", "/v1/download/head").content)
    with Classifier.open(bundle, tmp_path / "copy.db") as copy:
        assert copy.counts == {"green": 4, "red": 4}
        assert copy.predict(coloured("red", 30)).label == "red"
        copy.import_head(tmp_path / "head")
    assert station.send("GET", "/v1/download/everything").code == "download-unknown"


def test_metrics_are_prometheus_text(station: Client) -> None:
    teach(station, "red")
    teach(station, "green")
    station.settled()
    lines = station.send("GET", "/metrics").content.decode().splitlines()
    assert 'edgetl_photos{class="red"} 4.0' in lines
    assert "edgetl_training 0.0" in lines
    assert "edgetl_inferences_total 8.0" in lines


def test_the_commands_of_the_documentation_work(station: Client, tmp_path: Path) -> None:
    pages.lay_out(tmp_path)
    (block,) = [block["code"] for block in pages.blocks("docs/how-to/field-station.md") if "curl" in block["code"]]
    environment = {**os.environ, "URL": station.server.address.url.rstrip("/")}
    done = subprocess.run(["bash", "-euc", block], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert station.settled()["photos"] == 3
    assert (tmp_path / "copy.db").read_bytes().startswith(b"SQLite format 3")


@contextlib.contextmanager
def started(bundle: Path, store: Path) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """A server in a process of its own, and a client that knows its token."""
    command = [sys.executable, "-m", "edgetl", "serve", "-m", str(bundle), "-s", str(store), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n") and (line := process.stdout.readline()):
            text += line
        try:
            server: Any = SimpleNamespace(address=Address(json.loads(text)["url"], "", store.with_name(store.name + ".token")))
            yield process, Client(server)
        finally:
            process.kill()


@pytest.mark.slow
def test_no_acknowledged_photo_is_lost_when_the_server_is_killed(bundle: Path, tmp_path: Path) -> None:
    store = tmp_path / "parts.db"
    for start in (0, 100, 200):
        with started(bundle, store) as (process, client):
            acknowledged = []
            threading.Timer(0.5, process.kill).start()
            with contextlib.suppress(OSError, http.client.HTTPException):
                for seed in range(start, start + 100_000):
                    label = ("red", "green")[seed % 2]
                    photo = coloured(label, seed)
                    if client.send("POST", f"/v1/classes/{label}/photos", photo).status == 200:
                        acknowledged.append(sha256(photo).digest())
        with Store.open(store, None) as after:
            assert acknowledged
            assert all(after.find(digest) is not None for digest in acknowledged)


def test_the_server_runs_without_its_file_beside_the_store(bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "parts.db.serve").mkdir()  # cannot be written, as on a full disk
    with running(bundle, tmp_path / "parts.db") as station:
        teach(station, "red")
    assert "parts.db.serve: cannot be written" in caplog.text


def test_no_room_for_temporary_files_is_an_error_of_the_request(station: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*words: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("starlette.formparsers.SpooledTemporaryFile", fail)
    monkeypatch.setattr("edgetl.serve.app.tempfile.TemporaryDirectory", fail)
    headers = {**station.bearer, "content-type": "multipart/form-data; boundary=x"}
    body = b'--x\r\nContent-Disposition: form-data; name="p"; filename="p"\r\n\r\n%s\r\n--x--\r\n' % coloured("red", 0)
    for reply in (station.send("POST", "/v1/classify", body, headers), station.send("GET", "/v1/download/store")):
        assert (reply.status, reply.code) == (507, "disk-full")


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_what_was_acknowledged_stays(bundle: Path, tmp_path: Path) -> None:
    store = tmp_path / "parts.db"
    acknowledged, codes = [], []
    limit = (600_000, 600_000)  # bytes of one file: as a full disk, writing fails
    with started(bundle, store) as (process, client):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limit)
        for seed in range(2000):
            label = ("red", "green")[seed % 2]
            photo = coloured(label, seed)
            reply = client.send("POST", f"/v1/classes/{label}/photos", photo)
            if reply.status == 200:
                acknowledged.append(sha256(photo).digest())
                continue
            assert reply.status == 507
            codes.append(reply.code)
            if len(codes) == 3:
                break
        assert set(codes) <= {"store-failed", "disk-failed-before"}
        assert client.send("GET", "/healthz").status == 200
        assert len(acknowledged) == client.get("/v1/state")["photos"] > 10
        assert client.send("POST", "/v1/classify", coloured("red", 5)).status in (200, 409)
        assert process.poll() is None
    with started(bundle, store) as (_, client):  # there is room again
        client.post("/v1/classes/red/photos", coloured("red", 5000))
        assert client.get("/v1/state")["photos"] == len(acknowledged) + 1
    with Store.open(store, None) as after:
        assert all(after.find(digest) is not None for digest in acknowledged)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_in_order(bundle: Path, tmp_path: Path, number: signal.Signals) -> None:
    store = tmp_path / "parts.db"
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from edgetl.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "-m", str(bundle), "-s", str(store), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n") and (line := process.stdout.readline()):
            text += line
        url = urlsplit(json.loads(text)["url"])
        wait_for(lambda: _answers(url.port or 0))
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith((".serve", "-wal"))]


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    return False


def test_a_store_in_use_or_of_another_bundle_is_an_error_at_the_start(station: Client, bundle: Path, tmp_path: Path) -> None:
    def code(*words: str) -> str:
        done = CliRunner().invoke(main, ["serve", "--port", "0", "--json", *words])
        assert done.exit_code == 1
        return str(json.loads(done.stdout)["error"]["code"])

    assert code("-m", str(bundle), "-s", str(tmp_path / "parts.db")) == "store-locked"
    with raises(StoreLocked, pid=os.getpid(), url=station.server.address.url):
        Store.open(tmp_path / "parts.db", None)
    strange = fake.write_bundle(str(tmp_path / "strange.edgetl"), encoded(picture(seed=9)), seed=1).path
    Classifier.open(strange, tmp_path / "strange.db").close()
    assert code("-m", str(bundle), "-s", str(tmp_path / "strange.db")) == "model-mismatch"
    assert code("-m", str(bundle), "-s", str(tmp_path / "new.db"), "--port", str(station.port)) == "port-taken"
    assert code("-m", str(bundle), "-s", str(tmp_path / "new.db"), "--camera", "nonsense") == "camera-unavailable"


def test_a_machine_whose_name_begins_with_a_digit_gets_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: it makes the certificate")
    monkeypatch.setattr(socket, "gethostname", lambda: "3dprinter")
    certificate, _ = server_module._certificate(tmp_path / "parts.db")
    text = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-text"], capture_output=True, text=True, check=True).stdout
    assert "DNS:3dprinter," in text


def test_a_damaged_certificate_is_an_error_at_the_start(bundle: Path, tmp_path: Path) -> None:
    for suffix in ("crt", "key"):
        (tmp_path / f"parts.db.{suffix}").write_bytes(b"")  # as a power failure leaves them
    with Classifier.open(bundle, tmp_path / "parts.db") as classifier, raises(ServeError, "certificate-failed"):
        Server(classifier, Settings(port=0, tls=True))


def test_tls_shows_the_fingerprint_of_a_certificate_that_is_made_once(bundle: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: it makes the certificate")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    prints = []
    for _ in range(2):
        server = Server(Classifier.open(bundle, tmp_path / "parts.db"), Settings(port=0, tls=True))
        thread = threading.Thread(target=server.run)
        thread.start()
        port = urlsplit(server.address.url).port
        with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            certificate = connection.sock.getpeercert(binary_form=True)
        prints.append(":".join(f"{byte:02X}" for byte in sha256(certificate).digest()))
        assert server.address.fingerprint == prints[-1]
        server.stop()
        thread.join(60)
    assert prints[0] == prints[1]
    assert stat.S_IMODE((tmp_path / "parts.db.key").stat().st_mode) == 0o600


@pytest.mark.slow
def test_frigates_folder_and_a_classifier_are_downloaded(lite0: Path, cell_photos: list[Path], tmp_path: Path) -> None:
    with running(lite0, tmp_path / "parts.db", variant="tflite-int8") as client:
        headers = {**client.bearer, "content-type": "image/png"}
        for number, photo in enumerate(cell_photos[:24]):
            client.send("POST", f"/v1/classes/{('even', 'odd')[number % 2]}/photos", photo.read_bytes(), headers)
        client.settled()
        for kind, suffixes in (("frigate", {".tflite", ".txt"}), ("classifier", None)):
            reply = client.send("GET", f"/v1/download/{kind}")
            assert reply.status == 200, reply
            names = zipfile.ZipFile(io.BytesIO(reply.content)).namelist()
            assert names
            assert suffixes is None or {Path(name).suffix for name in names} >= suffixes, names
