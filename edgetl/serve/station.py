"""What the page and the HTTP interface do: one classifier, its camera, its background training, and a way back for every step."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edgetl.camera import CameraEvent, Frame
from edgetl.camera.text import describe_event
from edgetl.classifier import Classifier
from edgetl.errors import PhotoError, ServeError
from edgetl.inbox import Inbox
from edgetl.inbox.sorting import classify
from edgetl.serve import carry, views
from edgetl.serve.hub import Hub
from edgetl.serve.live import Answer, Live
from edgetl.serve.trainer import BackgroundTrainer
from edgetl.session import editing, review, undo
from edgetl.session.reports import Added, FailedPhoto
from edgetl.session.review import Review
from edgetl.stats import Proportion
from edgetl.types import TOP, HeadInfo, NamedPhoto, Photo, Prediction, check_label, to_json

_PROPOSED = 10
"""Frames that the inbox proposes to label next."""
_AT_ONCE = 16
"""Photos of a zip that are stored in one transaction, so that undo knows exactly what was added before an error."""


class Station:
    """The field station; safe to call from several threads, each change complete when its call returns.

    Attributes:
        classifier: the classifier it trains.
        hub: sends what happens to the pages.
        inbox: the frames that the camera was unsure of.
        live: the device's camera.
        trainer: trains in the background.
        steps: what can be taken back.
        cameras: URIs of the device's cameras.
    """

    def __init__(self, classifier: Classifier, hub: Hub, inbox: Inbox, cameras: Sequence[str] = ()) -> None:
        """Takes over an open classifier and inbox, and closes them at the end.

        Args:
            classifier: open for writing.
            hub: sends what happens.
            inbox: of the classifier's store.
            cameras: URIs that the page may switch to; :meth:`start` opens the first.
        """
        self.classifier, self.hub, self.inbox, self.cameras = classifier, hub, inbox, tuple(cameras)
        self.steps = undo.Steps()
        self._changing = threading.RLock()  # so that the order of the steps is the order of the changes
        self._review: tuple[str, Review] | None = None
        self._kept: list[Path] = []
        self._per_class: dict[int, dict[str, Proportion]] = {}
        self.trainer = BackgroundTrainer(classifier.train, self._training_changed)
        self.live = Live(self._classify_frame, self._show, self._camera_event, lambda: hub.closed)
        self.live.watched = lambda: hub.listeners > 0

    def start(self) -> None:
        """Opens the first camera, if any.

        Raises:
            CameraError: it cannot be opened.
        """
        if self.cameras:
            self.live.open(self.cameras[0])

    def switch_camera(self, number: int | None) -> None:
        """Shows another of the device's cameras; None shows none.

        Raises:
            ServeError: there is no such camera (`camera-unknown`).
            CameraError: it cannot be opened.
        """
        if number is not None and not 0 <= number < len(self.cameras):
            raise ServeError(f"there is no camera {number}", code="camera-unknown", number=number)
        self.live.open(None if number is None else self.cameras[number])
        self.publish()

    def close(self) -> None:
        """Ends camera and training, and closes classifier and inbox."""
        self.live.close()
        self.trainer.close()
        self.inbox.close()
        self.classifier.close()
        for bundle in self._kept:
            bundle.unlink(missing_ok=True)

    def state(self) -> dict[str, Any]:
        """What the page shows; JSON-able."""
        return views.state(self)

    def classify(self, photos: Sequence[Photo]) -> list[Prediction | PhotoError]:
        """Classifies photos; the error of a photo that cannot be used in its place.

        Raises:
            NotTrained: no head is active.
        """
        return list(self.classifier.predict_many(photos, top=TOP))

    def add(self, label: str, photos: Sequence[NamedPhoto]) -> tuple[list[Added], list[FailedPhoto]]:
        """Adds labelled photos, durable when it returns, and trains soon after.

        Args:
            label: their class; a new one needs nothing else.
            photos: of one class.

        Raises:
            LabelError: the label is not allowed.
            StoreError: one could not be made durable; those before it were added, and undo removes them.
        """
        label = check_label(label)
        with self._changing, self._adding(label) as added:
            failed = self._add(label, photos, added)
        return added, failed

    def capture(self, label: str) -> list[Added]:
        """Adds the frame that the device's camera shows.

        Raises:
            ServeError: there is no camera, or no frame yet (`camera-off`).
        """
        answer = self.live.answer
        if answer is None:
            raise ServeError("the camera shows nothing. Start it with --camera, or use this device's own.", code="camera-off")
        added, failed = self.add(label, [NamedPhoto(f"frame {answer.frame.sequence}", answer.frame.jpeg())])
        if failed:
            raise PhotoError(failed[0].reason, code=failed[0].code)
        return added

    def relabel(self, sample: int, label: str) -> None:
        """Moves a stored photo to another class.

        Raises:
            LabelError: the label is not allowed.
            StoreError: there is no such sample.
        """
        label = check_label(label)
        with self._changing:
            previous = editing.relabel(self.classifier.session, sample, label)
            if previous != label:
                self.steps.push(f"Move a photo from {previous} to {label}", lambda stored: stored.relabel(sample, previous))
        self._changed(previous != label)

    def discard(self, samples: Sequence[int], text: str | None = None) -> int:
        """Removes stored photos; undo brings them back until the server ends.

        Returns:
            How many there were.
        """
        with self._changing:
            taken = editing.take(self.classifier.session, samples)
            if taken:
                self.steps.push(text or f"Delete {undo.photos(len(taken))}", lambda stored: editing.put_back(stored.session, taken))
        self._changed(len(taken) > 0)
        return len(taken)

    def discard_class(self, label: str) -> int:
        """Removes a class; undo brings it back until the server ends.

        Raises:
            ServeError: there is no such class (`class-unknown`).
        """
        samples = editing.samples_of(self.classifier.session, label)
        if not samples:
            raise ServeError(f"there is no class {label!r}", code="class-unknown", label=label)
        return self.discard(samples, f"Delete the class {label}")

    def upload(self, path: Path, name: str) -> dict[str, Any]:
        """Adds the photos of a zip, and reports the progress as events.

        Args:
            path: the zip.
            name: as it was uploaded.

        Returns:
            How many were added, known or moved, and those that failed; JSON-able.

        Raises:
            ServeError: the zip cannot be used, or the server ends meanwhile (`server-ends`).
        """

        def report(done: int, total: int) -> None:
            self.hub.publish("progress", {"doing": f"Adding the photos of {name}", "done": done, "total": total})

        failed: list[FailedPhoto] = []
        photos = carry.photos_in_zip(path, name)
        with self._adding(name) as added:
            for first in photos:
                if self.hub.closed:
                    raise ServeError(f"the server ends; {len(added)} photos of {name} were added", code="server-ends", added=len(added))
                result = self.classifier.add_many(itertools.chain([first], itertools.islice(photos, _AT_ONCE - 1)))
                added += result.photos
                failed += result.failed
                report(len(added) + len(failed), 0)
        counts = Counter(each.status for each in added)
        return {
            **{status: counts[status] for status in ("added", "known", "relabelled")},
            "failed": [to_json(each) for each in failed],
            "undo": self.steps.newest,
        }

    def merge(self, path: Path, name: str) -> dict[str, Any]:
        """Adds the photos of another device's store.

        Raises:
            StoreError: the file is not a store, damaged, or of another model.
        """
        with self._changing:
            new = carry.merge(self.classifier, path)
            if new:
                self.steps.push(f"Add {undo.photos(len(new))} of {name}", lambda stored: editing.take(stored.session, new))
        self._changed(len(new) > 0)
        return {"added": len(new), "undo": self.steps.newest}

    def train(self) -> None:
        """Asks for a training; returns at once."""
        self.trainer.request()
        self.publish()

    def activate(self, head_id: int) -> HeadInfo:
        """Makes a head of the history the active one.

        Raises:
            StoreError: there is no such head.
        """
        with self._changing:
            before = self.classifier.store.active()
            info = self.classifier.activate(head_id)
            if before is not None and before.id != head_id:
                self.steps.push(f"Activate head {head_id}", lambda stored: stored.activate(before.id))
        self.publish()
        return info

    def rollback(self) -> HeadInfo:
        """Makes the head active that was active before.

        Raises:
            NotTrained: there is none.
        """
        with self._changing:
            before = self.classifier.store.active()
            info = self.classifier.rollback()
            if before is not None:
                self.steps.push(f"Go back to head {info.id}", lambda stored: stored.activate(before.id))
        self.publish()
        return info

    def undo(self) -> str:
        """Takes the newest step back; returns what it was.

        Raises:
            StoreError: there is nothing to undo (`nothing-to-undo`).
        """
        with self._changing:
            undone = self.steps.undo(self.classifier)
        self._changed(undone.differs)
        return undone.text

    def label_inbox(self, ids: Sequence[int], label: str) -> tuple[list[Added], list[FailedPhoto]]:
        """Labels frames of the inbox: they become training photos.

        Raises:
            LabelError: the label is not allowed.
            InboxError: there is no such frame.
        """
        label = check_label(label)
        photos = [NamedPhoto(f"inbox {number}", self.inbox.photo(number)) for number in ids]
        with self._changing:
            with self._adding(label, lambda: self.inbox.restore(ids)) as added:
                failed = self._add(label, photos, added)
                self.inbox.remove(ids)
            if all(each.status == "known" for each in added):  # the step above is of photos, and there is none
                self._push_emptied(ids)
        return added, failed

    def inbox_view(self) -> dict[str, Any]:
        """The frames of the inbox, grouped by likeness and ordered by what teaches most; JSON-able."""
        items, head = self.inbox.items(), self.classifier.session.head
        trained = (batch.embeddings for batch in self.classifier.store.batches())
        ranked = [] if head is None else self.inbox.ranked(items, head, trained, _PROPOSED)
        return views.inbox(items, self.inbox.groups(items), ranked)

    def empty_inbox(self, ids: Sequence[int]) -> None:
        """Removes frames of the inbox."""
        with self._changing:
            self.inbox.remove(ids)
            self._push_emptied(ids)

    def review(self) -> Review:
        """How good the classes are; measured once for each state of the store.

        Raises:
            TrainError: no photo, or a single class.
        """
        known, key = self._review, self.classifier.store.digest()
        if known is not None and known[0] == key:
            return known[1]
        result = self.classifier.review()
        if self.classifier.store.digest() == key:  # otherwise it may be of other photos
            self._review = (key, result)
        return result

    def history(self) -> tuple[list[HeadInfo], list[dict[str, Proportion]]]:
        """The newest heads, oldest first, and the accuracy per class that each had when it was trained."""
        heads = self.classifier.heads()[-views.HISTORY :]
        for info in heads:
            if info.id not in self._per_class:
                (self._per_class[info.id],) = review.per_class(self.classifier.session, [info])
        return heads, [self._per_class[info.id] for info in heads]

    def update_bundle(self, path: Path, name: str) -> None:
        """Puts a newer bundle in the place of the one in use, and uses it; undo brings the old one back until the server ends.

        Args:
            path: the new bundle, on the same disk; it is moved.
            name: as it was uploaded.

        Raises:
            BundleError: it cannot be used, or its model is not the store's.
            ServeError: the bundle in use is a folder (`bundle-is-folder`).
        """
        with self._changing:
            target = self.classifier.embedder.bundle.path
            kept = target.with_name(f".{target.name}.{len(self._kept)}-{os.getpid()}")
            before = self.classifier.store.background_digest()
            carry.update_bundle(self.classifier, path, kept)
            self._kept.append(kept)
            self.steps.push(f"Update the bundle from {name}", lambda stored: carry.update_bundle(self.classifier, kept))
        self._changed(self.classifier.store.background_digest() != before)

    def _push_emptied(self, ids: Sequence[int]) -> None:
        self.steps.push(f"Delete {len(ids)} from the inbox", lambda stored: self.inbox.restore(ids))
        self.publish()

    def publish(self) -> None:
        """Sends the state to the pages."""
        self.hub.publish("state", self.state())

    def _changed(self, differs: bool) -> None:
        """Asks for a training if the photos or their labels differ: otherwise it would replace a head that somebody activated."""
        if differs:
            self.trainer.request()
        self.publish()

    @contextlib.contextmanager
    def _adding(self, to: str, also: Callable[[], object] = lambda: None) -> Iterator[list[Added]]:
        """Collects what is added, and remembers it for undo, also if an error ends it half-way; `also` takes back what else was done."""
        added: list[Added] = []
        try:
            yield added
        finally:
            self.steps.push_added(f"Add {undo.photos(sum(each.status != 'known' for each in added))} to {to}", added, also)
            self._changed(any(each.status != "known" for each in added))

    def _add(self, label: str, photos: Sequence[NamedPhoto], added: list[Added]) -> list[FailedPhoto]:
        failed: list[FailedPhoto] = []
        for photo in photos:
            try:
                added += self.classifier.add(photo, label).photos
            except PhotoError as error:
                failed.append(FailedPhoto.from_error(photo.name, error))
        return failed

    def _training_changed(self) -> None:
        error, report = self.trainer.error, self.trainer.report
        self.hub.publish("training", {"running": self.trainer.running, "error": None if error is None else error.to_json()})
        if not self.trainer.running and error is None and report is not None and report.not_activated_because:
            self.hub.publish("warning", {"code": "not-activated", "message": report.not_activated_because})
        self.publish()

    def _classify_frame(self, frame: Frame) -> Prediction:
        uri = self.live.uri or ""
        predicted, kept = classify(self.classifier, self.inbox, frame.photo, jpeg=frame.jpeg, taken=frame.time, camera=uri)
        if kept is not None:
            self.publish()
        return predicted

    def _show(self, answer: Answer) -> None:
        self.hub.publish("answer", views.answer(answer))

    def _camera_event(self, event: CameraEvent) -> None:
        self.hub.publish("camera", {"code": event.code, "message": describe_event(event)})
