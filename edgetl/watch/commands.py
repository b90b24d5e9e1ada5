"""Commands to a camera that is watched: label what it sees, undo, activate a head; carried out beside the watching, one at a time."""

from __future__ import annotations

import http.client
import json
import logging
import queue
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from edgetl.classifier import Classifier
from edgetl.errors import EdgetlError, StoreLocked, TrainError, WatchError
from edgetl.session import undo
from edgetl.store import Store

COMMANDS = ("teach", "undo", "activate")
_MOST_WAITING = 16
_TIMEOUT_S = 60.0

log = logging.getLogger("edgetl")
Result = Mapping[str, Any]


class Commands:
    """Carries out commands on the store that a camera is watched with.

    The store is open for writing only while a command runs. If the field station has it open, the command is handed to the station.
    """

    def __init__(self, reader: Classifier, report: Callable[[Result], None]) -> None:
        """Starts the thread that carries them out.

        Args:
            reader: the classifier of the watched camera, open for reading; its runtime embeds the photos.
            report: called with what became of each command, in that thread.
        """
        self._reader, self._report = reader, report
        self._steps = undo.Steps()
        self._jpeg: Callable[[], bytes] | None = None
        self._waiting: queue.Queue[tuple[str, str, Callable[[], bytes] | None] | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="edgetl-commands", daemon=True)
        self._thread.start()

    def saw(self, jpeg: Callable[[], bytes]) -> None:
        """Remembers the newest classified frame, which `teach` labels."""
        self._jpeg = jpeg

    @property
    def newest(self) -> bytes | None:
        """The newest classified frame, a JPEG; None before the first."""
        return None if self._jpeg is None else self._jpeg()

    def request(self, command: str, text: str) -> None:
        """Asks for a command; returns at once, from any thread.

        Args:
            command: one of :data:`COMMANDS`.
            text: the class for `teach`, the head id for `activate`.
        """
        try:
            self._waiting.put_nowait((command, text, self._jpeg))
        except queue.Full:
            self._report(_failed(command, WatchError("too many commands wait. Send it again.", code="server-busy", most=_MOST_WAITING)))

    def close(self) -> None:
        """Ends after the commands that were requested."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (request := self._waiting.get()) is not None:
            command, text, jpeg = request
            try:
                self._report({"command": command, "ok": True, **self._carry_out(command, text, jpeg)})
            except EdgetlError as error:
                self._report(_failed(command, error))
            except Exception as error:  # the next command must find this thread alive
                log.error("error: the command %s failed", command, exc_info=error)
                self._report(_failed(command, WatchError("This failed; the log says why.", code="internal")))

    def _carry_out(self, command: str, text: str, jpeg: Callable[[], bytes] | None) -> Result:
        photo = None
        if command == "teach":
            if jpeg is None:
                raise WatchError("the camera has shown nothing yet", code="camera-off")
            photo = jpeg()
        if command == "activate" and not (text.isascii() and text.isdigit() and len(text) < 16):
            raise WatchError(f"{text[:40]!r} is not a head id", code="head-missing", given=text[:40])
        try:
            with Store.open(self._reader.store.path, None) as store:
                return self._change(Classifier(self._reader.embedder, store), command, text, photo)
        except StoreLocked as error:
            if error.values.get("url") is None:
                raise
            return self._hand_over(str(error.values["url"]), command, text, photo)

    def _change(self, classifier: Classifier, command: str, text: str, photo: bytes | None) -> Result:
        if command == "undo":
            undone = self._steps.undo(classifier)
            head = _train(classifier) if undone.differs else {"head": classifier.store.active_id()}
            return {"undone": undone.text, **head}
        if command == "activate":
            before = classifier.store.active()
            info = classifier.activate(int(text))
            if before is not None:
                self._steps.push(f"Activate head {info.id}", lambda stored: stored.activate(before.id))
            return {"head": info.id}
        assert photo is not None
        (added,) = classifier.add(photo, text).photos
        self._steps.push_added(f"Add 1 photo to {added.label}", [added])
        return {"label": added.label, "status": added.status, "findings": [each.code for each in added.findings], **_train(classifier)}

    def _hand_over(self, url: str, command: str, text: str, photo: bytes | None) -> Result:
        """Sends the command to the field station that has the store open."""
        path = {"teach": f"v1/classes/{quote(text, safe='')}/photos", "undo": "v1/undo", "activate": f"v1/heads/{text}/activate"}[command]
        store = self._reader.store.path
        certificate = store.with_name(store.name + ".crt")
        try:
            token = store.with_name(store.name + ".token").read_text("ascii").strip()
            context = None
            if url.startswith("https:"):
                context = ssl.create_default_context(cafile=str(certificate))
                context.check_hostname = False  # only this one certificate is trusted, and the machine may have another address by now
            request = urllib.request.Request(
                url + path, data=photo or b"", headers={"authorization": f"Bearer {token}", "content-type": "image/jpeg"}, method="POST"
            )
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
            with opener.open(request, timeout=_TIMEOUT_S) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            values = _error_of(error)
            raise WatchError(str(values.get("message", error)), code=str(values.get("code", "station-failed")), url=url) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise WatchError(f"{url} does not answer ({error})", code="station-failed", url=url, reason=str(error)) from error
        if command == "teach":
            for failed in answer["failed"]:
                raise WatchError(failed["reason"], code=failed["code"], url=url)
            (added,) = answer["photos"]
            return {"label": added["label"], "status": added["status"], "findings": [each["code"] for each in added["findings"]]}
        return {"undone": answer["undone"]} if command == "undo" else {"head": answer["id"]}


def _train(classifier: Classifier) -> Result:
    """The head that is active now; with the reason if no head could be trained."""
    try:
        report = classifier.train()
    except TrainError as error:
        return {"head": classifier.store.active_id(), "not_trained": error.to_json()}
    return {"head": classifier.store.active_id(), **({"not_activated": report.not_activated_because} if not report.active else {})}


def _error_of(response: urllib.error.HTTPError) -> Mapping[str, Any]:
    """What the station says of an error; empty if its HTTP server answered itself, which it does when too many are connected."""
    try:
        values: Mapping[str, Any] = json.load(response)["error"]
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return {}
    return values


def _failed(command: str, error: EdgetlError) -> Result:
    return {"command": command, "ok": False, "error": error.to_json()}
