"""MQTT: state, camera and availability as retained messages, and commands; found by Home Assistant without configuration (extra `mqtt`)."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any
from urllib.parse import unquote, urlsplit

from edgetl.errors import MqttError

PORT, TLS_PORT = 1883, 8883
RETRY_S = (1, 30)
"""Before a lost broker is tried again, at first and at most."""
_DISCOVERY = "homeassistant"
_HOME_ASSISTANT = f"{_DISCOVERY}/status"
"""Home Assistant says here that it has started."""
_ONCE = 1
"""Quality of service: at least once."""
_CLOSE_S = 5.0


class MqttPublisher:
    """One camera on a broker, under `edgetl/NAME/`: `state`, `camera` and `availability`, all retained.

    Nothing waits for the broker. When it comes back, everything retained is sent again, because it may have forgotten it. Commands come as
    `command/NAME`; one that the broker has retained is old and is not carried out. `result` and `image` are not retained.

    Attributes:
        base: the topics' beginning.
        shown: the broker's URI, without a password.
    """

    def __init__(
        self, uri: str, name: str, commands: Sequence[str] = (), request: Callable[[str, str], None] = lambda command, text: None
    ) -> None:
        """Connects in the background.

        Args:
            uri: `mqtt://` or `mqtts://`, with user and password if the broker wants them.
            name: of the camera.
            commands: that are taken: `image`, `teach`, `undo`, `activate`.
            request: called with each command and its text, in the network's thread.

        Raises:
            MqttError: not such a URI (`mqtt-uri`), or paho-mqtt is missing (`mqtt-needs-extra`).
        """
        try:
            import paho.mqtt.client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise MqttError("MQTT needs the extra: pip install 'edgetl[mqtt]'", code="mqtt-needs-extra") from error
        parts = urlsplit(uri)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port == -1:
            raise MqttError("expected mqtt://HOST or mqtts://USER:PASSWORD@HOST:PORT", code="mqtt-uri")
        self.shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._id = re.sub(r"[^A-Za-z0-9_-]", "-", name)
        self._name, self.base = name, f"edgetl/{self._id}"
        self._commands, self._request = {f"{self.base}/command/{command}": command for command in commands}, request
        self._retained: dict[str, str] = {f"{_DISCOVERY}/device/edgetl-{self._id}/config": json.dumps(self._discovery())}
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"edgetl-{self._id}")
        self._client.on_connect = self._connected
        self._client.on_message = self._received
        self._client.will_set(f"{self.base}/availability", "offline", _ONCE, retain=True)
        self._client.reconnect_delay_set(*RETRY_S)
        if parts.username is not None:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            self._client.tls_set()
        self._client.connect_async(parts.hostname, port or (TLS_PORT if parts.scheme == "mqtts" else PORT))
        self._client.loop_start()

    def publish(self, topic: str, values: Mapping[str, Any]) -> None:
        """Sends retained values as JSON; returns at once, also without a broker.

        Args:
            topic: below `base`: `state` or `camera`.
            values: JSON-able.
        """
        text = _json(values)
        with self._lock:
            self._retained[f"{self.base}/{topic}"] = text
        if self._client.is_connected():
            self._client.publish(f"{self.base}/{topic}", text, _ONCE, retain=True)

    def answer(self, topic: str, content: Mapping[str, Any] | bytes) -> None:
        """Sends what is not retained; lost without a broker.

        Args:
            topic: below `base`: `result` or `image`.
            content: JSON-able, or a JPEG.
        """
        if self._client.is_connected():
            self._client.publish(f"{self.base}/{topic}", content if isinstance(content, bytes) else _json(content), _ONCE)

    def close(self) -> None:
        """Says that the camera is offline, and disconnects."""
        if self._client.is_connected():
            self._client.publish(f"{self.base}/availability", "offline", _ONCE, retain=True).wait_for_publish(_CLOSE_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not reason.is_failure:
            client.subscribe([(topic, _ONCE) for topic in (_HOME_ASSISTANT, *self._commands)])
            self._send_all()

    def _received(self, client: Any, data: Any, message: Any) -> None:
        if message.topic == _HOME_ASSISTANT:
            self._send_all()
        elif message.topic in self._commands and not message.retain:
            self._request(self._commands[message.topic], message.payload.decode("utf-8", "replace"))

    def _send_all(self) -> None:
        with self._lock:
            messages = [*self._retained.items(), (f"{self.base}/availability", "online")]
        for topic, text in messages:
            self._client.publish(topic, text, _ONCE, retain=True)

    def _discovery(self) -> dict[str, Any]:
        """Home Assistant's device-based discovery (https://www.home-assistant.io/integrations/mqtt, "Device discovery payload")."""
        label = "{{ value_json.label or 'unknown' }}"
        parts: dict[str, dict[str, Any]] = {
            "state": {
                "platform": "sensor", "name": "Sees", "icon": "mdi:eye", "state_topic": f"{self.base}/state",
                "value_template": label, "json_attributes_topic": f"{self.base}/state",
            },
            "camera": {
                "platform": "sensor", "name": "Camera", "entity_category": "diagnostic", "state_topic": f"{self.base}/camera",
                "value_template": "{{ value_json.code }}",
            },
            **({"picture": {"platform": "image", "name": "Picture", "image_topic": f"{self.base}/image"}} if self._commands else {}),
            **{command: {**_ENTITIES[command], "command_topic": topic} for topic, command in self._commands.items()},
        }  # fmt: skip
        return {
            "device": {"identifiers": [f"edgetl-{self._id}"], "name": self._name, "manufacturer": "edgetl"},
            "origin": {"name": "edgetl", "sw_version": metadata.version("edgetl")},
            "availability_topic": f"{self.base}/availability",
            "qos": _ONCE,
            "components": {name: {**part, "unique_id": f"edgetl-{self._id}-{name}"} for name, part in parts.items()},
        }


_ENTITIES: Mapping[str, Mapping[str, Any]] = {
    "image": {"platform": "button", "name": "Take a picture", "icon": "mdi:camera"},
    "teach": {"platform": "text", "name": "This is", "icon": "mdi:school", "min": 1, "max": 100},
    "undo": {"platform": "button", "name": "Undo", "icon": "mdi:undo"},
    "activate": {"platform": "number", "name": "Activate head", "min": 1, "max": 999999, "mode": "box", "entity_category": "config"},
}
"""What Home Assistant shows for each command."""


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)
