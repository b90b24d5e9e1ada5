"""MQTT against a real broker: what is retained, the last will, and a broker that is killed and comes back."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pictures import coloured
from raising import raises

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import debian
import mosquitto
import sysroot

pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed: pip install 'edgetl[mqtt]'")

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edgetl import Classifier
from edgetl.cli import main
from edgetl.errors import MqttError
from edgetl.publish import mqtt
from edgetl.publish.mqtt import MqttPublisher


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


class Broker:
    """A mosquitto on loopback that forgets everything when it is killed."""

    def __init__(self, folder: Path) -> None:
        self.program, self.variables = mosquitto.ready()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.settings = folder / "mosquitto.conf"
        self.settings.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n")
        self.uri = f"mqtt://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        environment = {**os.environ, **self.variables}
        self.process = subprocess.Popen([self.program, "-c", self.settings], env=environment, stderr=subprocess.DEVNULL)
        wait_for(self._listens)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def retained(self) -> dict[str, Any]:
        """Every retained message: topic -> value, JSON parsed."""
        messages: dict[str, Any] = {}
        client = paho.Client(CallbackAPIVersion.VERSION2)

        def keep(client: Any, data: Any, message: Any) -> None:
            text = message.payload.decode()
            messages[message.topic] = json.loads(text) if text.startswith("{") else text

        client.on_message = keep
        client.on_connect = lambda *_: client.subscribe([("edgetl/#", 1), ("homeassistant/#", 1), ("last", 1)])
        client.on_subscribe = lambda *_: client.publish("last", "x", 1)  # comes after what is retained
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        wait_for(lambda: messages.pop("last", None))
        client.disconnect()
        client.loop_stop()
        return messages

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    try:
        started = Broker(tmp_path)
    except (debian.Unreachable, sysroot.Failed) as error:
        pytest.skip(f"no broker: {error}")
    yield started
    started.kill()


@pytest.fixture
def publisher(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[MqttPublisher]:
    monkeypatch.setattr(mqtt, "RETRY_S", (1, 1))
    opened = MqttPublisher(broker.uri, "gate 1")
    yield opened
    opened.close()


@pytest.mark.slow
def test_what_is_published_is_retained_and_found_by_home_assistant(broker: Broker, publisher: MqttPublisher) -> None:
    publisher.publish("state", {"label": "mug ☕", "probability": 0.9})
    wait_for(lambda: "edgetl/gate-1/state" in broker.retained())
    messages = broker.retained()
    assert messages["edgetl/gate-1/state"] == {"label": "mug ☕", "probability": 0.9}
    assert messages["edgetl/gate-1/availability"] == "online"
    discovery = messages["homeassistant/device/edgetl-gate-1/config"]
    assert discovery["device"]["name"] == "gate 1"
    assert discovery["availability_topic"] == "edgetl/gate-1/availability"
    assert {part["state_topic"] for part in discovery["components"].values()} == {"edgetl/gate-1/state", "edgetl/gate-1/camera"}


@pytest.mark.slow
def test_a_broker_that_comes_back_empty_gets_everything_again(broker: Broker, publisher: MqttPublisher) -> None:
    publisher.publish("state", {"label": "red"})
    wait_for(lambda: "edgetl/gate-1/state" in broker.retained())
    broker.kill()
    publisher.publish("state", {"label": "green"})  # nobody hears it now
    broker.start()
    wait_for(lambda: broker.retained().get("edgetl/gate-1/state") == {"label": "green"})
    messages = broker.retained()
    assert messages["edgetl/gate-1/availability"] == "online"
    assert "homeassistant/device/edgetl-gate-1/config" in messages


WATCHING = """
import sys, time
from edgetl.publish.mqtt import MqttPublisher
publisher = MqttPublisher(sys.argv[1], "gate")
publisher.publish("state", {"label": "red"})
time.sleep(600)
"""


@pytest.mark.slow
def test_a_camera_that_dies_is_offline_by_its_last_will(broker: Broker) -> None:
    process = subprocess.Popen([sys.executable, "-c", WATCHING, broker.uri])
    wait_for(lambda: broker.retained().get("edgetl/gate/availability") == "online")
    process.kill()
    process.wait()
    wait_for(lambda: broker.retained().get("edgetl/gate/availability") == "offline")


@pytest.mark.slow
def test_watch_publishes_its_changes_and_says_goodbye(
    broker: Broker, classifier: Classifier, bundle: Path, folder: Path, tmp_path: Path
) -> None:
    classifier.add_many(folder)
    classifier.train()
    (scene := tmp_path / "scene").mkdir()
    for number in range(30):
        (scene / f"{number:02}.jpg").write_bytes(coloured("green", 700 + number))
    words = ["watch", "-m", str(bundle), "-s", str(tmp_path / "parts.db"), "--camera", str(scene), "--mqtt", broker.uri, "--name", "gate"]
    assert CliRunner().invoke(main, words).exit_code == 0
    wait_for(lambda: broker.retained().get("edgetl/gate/availability") == "offline")
    assert broker.retained()["edgetl/gate/state"]["label"] == "green"


class Remote:
    """Another client of the broker, such as Home Assistant: it sends commands and keeps what is answered."""

    def __init__(self, broker: Broker, camera: str) -> None:
        self.base, self.results, self.images = f"edgetl/{camera}", [], []
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = self._keep
        self.client.connect("127.0.0.1", broker.port)
        self.client.subscribe([(f"{self.base}/result", 1), (f"{self.base}/image", 1)])
        self.client.loop_start()

    def _keep(self, client: Any, data: Any, message: Any) -> None:
        if message.topic.endswith("/image"):
            self.images.append(message.payload)
        else:
            self.results.append(json.loads(message.payload))

    def send(self, command: str, text: str = "PRESS", retain: bool = False) -> None:
        self.client.publish(f"{self.base}/command/{command}", text, 1, retain=retain).wait_for_publish(60)

    def ask(self, command: str, text: str = "PRESS") -> dict[str, Any]:
        before = len(self.results)
        self.send(command, text)
        wait_for(lambda: len(self.results) > before)
        return dict(self.results[-1])


@pytest.mark.slow
def test_commands_label_what_the_camera_sees_and_are_undone(
    broker: Broker, open_classifier: Callable[..., Classifier], bundle: Path, folder: Path, tmp_path: Path
) -> None:
    with open_classifier() as classifier:
        classifier.add_many(folder)
        first = classifier.train().head_id
    (scene := tmp_path / "scene").mkdir()
    for number in range(3):
        (scene / f"{number:02}.jpg").write_bytes(coloured("yellow", 700 + number))
    store = tmp_path / "parts.db"
    remote = Remote(broker, "gate")
    remote.send("teach", "retained", retain=True)  # an old command that the broker sends again must not be carried out
    words = ["-m", "edgetl", "watch", "-m", str(bundle), "-s", str(store), "--camera", f"fake://{scene}?fps=20&loop=1"]
    watching = subprocess.Popen([sys.executable, *words, "--mqtt", broker.uri, "--name", "gate", "--commands"], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: broker.retained().get("edgetl/gate/state"))
        wait_for(lambda: remote.send("image") or remote.images)
        assert remote.images[0].startswith(b"\xff\xd8")
        added = remote.ask("teach", "yellow")
        assert (added["ok"], added["label"], added["status"]) == (True, "yellow", "added")
        with Classifier.open_store(store, read_only=True) as reader:
            assert reader.counts == {"blue": 6, "green": 6, "red": 6, "yellow": 1}
        assert remote.ask("activate", str(first))["head"] == first
        assert remote.ask("activate", "x")["error"]["code"] == "head-missing"
        assert remote.ask("undo")["undone"] == f"Activate head {first}"
        assert remote.ask("undo")["undone"] == "Add 1 photo to yellow"
        assert remote.ask("undo")["error"]["code"] == "nothing-to-undo"
        assert remote.ask("teach", " ")["error"]["code"].startswith("label")
        with Classifier.open_store(store, read_only=True) as reader:
            assert reader.counts == {"blue": 6, "green": 6, "red": 6}
        from field_station import running

        with running(bundle, store) as station:  # it has the store now, so it carries the commands out
            assert remote.ask("teach", "yellow")["status"] == "added"
            assert {each["label"]: each["count"] for each in station.get("/v1/state")["classes"]}["yellow"] == 1
            assert remote.ask("teach", "")["ok"] is False
            assert remote.ask("undo")["undone"] == "Add 1 photo to yellow"
            assert remote.ask("activate", str(first))["head"] == first
            assert remote.ask("activate", "999")["error"]["code"] == "head-missing"
    finally:
        watching.terminate()
        watching.wait(60)
    remote.client.disconnect()
    components = broker.retained()["homeassistant/device/edgetl-gate/config"]["components"]
    topics = {name: part["command_topic"] for name, part in components.items() if "command_topic" in part}
    assert topics == {name: f"edgetl/gate/command/{name}" for name in ("image", "teach", "undo", "activate")}


@pytest.mark.parametrize("uri", ["http://host", "mqtt://", "host", "mqtt://host:port"])
def test_a_bad_broker_is_an_error(uri: str) -> None:
    with raises(MqttError, "mqtt-uri"):
        MqttPublisher(uri, "gate")


def test_a_password_is_not_shown_and_an_absent_broker_stops_nothing() -> None:
    publisher = MqttPublisher("mqtt://user:secret@127.0.0.1:9", "gate")
    publisher.publish("state", {"label": "red"})
    assert publisher.shown == "mqtt://127.0.0.1:9"
    publisher.close()
