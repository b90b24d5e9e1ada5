"""The store against dictionaries and a list: any order of changes, reopened anywhere, gives the same state."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgetl.errors import NotTrained, StoreError
from edgetl.stats import Proportion
from edgetl.store import NewSample, Store
from edgetl.types import Capture, Fingerprint, ImageSpec

FINGERPRINT = Fingerprint("a" * 64, ImageSpec(224, 224, 256), "fake", "int8", 4)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # where waiting for the disk costs nothing
LABELS = st.sampled_from(["mug", "cup", "茶壶"])
PHOTOS = st.integers(0, 9)


def digest(photo: int) -> bytes:
    return hashlib.sha256(b"%d" % photo).digest()


def embedding(photo: int) -> np.ndarray:
    return np.array([127, photo, -photo, 0], np.float32)  # int8 keeps it exactly


def capture(photo: int) -> Capture | None:
    """Some photos were not measured, some have no thumbnail, and some thumbnails fill several pages."""
    taken = None if photo % 4 == 1 else 1e9 + photo
    return Capture(photo, 480, 1.5, 2.5, 3.5, -0.5, taken, random.Random(photo).randbytes(photo % 3 * 3000)) if photo % 4 else None


class StoreModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY))
        self.store = Store.open(self.folder / "parts.db", FINGERPRINT)
        self.samples: dict[int, tuple[int, str]] = {}
        self.heads: dict[int, bytes] = {}
        self.actives: list[int | None] = []
        self.given = 0
        self.events: list[tuple[str, str]] = []

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    @property
    def active(self) -> int | None:
        return self.actives[-1] if self.actives else None

    @rule(photos=st.lists(PHOTOS, max_size=4), label=LABELS)
    def add(self, photos: list[int], label: str) -> None:
        known = {photo for photo, _ in self.samples.values()}
        new = [NewSample(digest(photo), label, embedding(photo), str(photo), capture(photo)) for photo in photos]
        if len(set(photos)) < len(photos) or known & set(photos):
            with contextlib.suppress(StoreError):
                raise AssertionError(f"a photo was added twice: {self.store.add(new)}")
            return
        ids = list(range(self.given + 1, self.given + 1 + len(photos)))
        assert self.store.add(new) == ids
        if ids:
            self.events.append(("add", self.store.events(1)[0].why))
        self.given += len(photos)
        self.samples.update({row: (photo, label) for row, photo in zip(ids, photos, strict=True)})

    @precondition(lambda self: self.samples)
    @rule(data=st.data(), label=LABELS)
    def relabel(self, data: st.DataObject, label: str) -> None:
        row = data.draw(st.sampled_from(sorted(self.samples)))
        self.store.relabel(row, label)
        self.samples[row] = (self.samples[row][0], label)

    @rule(label=st.none() | LABELS, photo=PHOTOS, by_photo=st.booleans())
    def remove(self, label: str | None, photo: int, by_photo: bool) -> None:
        by_photo = by_photo or label is None
        fits = {
            row: kept[1] for row, kept in self.samples.items() if (label is None or kept[1] == label) and (not by_photo or kept[0] == photo)
        }
        removed = self.store.remove(label=label, digest=digest(photo) if by_photo else None)
        assert removed == fits
        assert self.store.purge(removed) == 0
        for row in fits:
            del self.samples[row]

    @rule(activate=st.booleans(), weights=st.binary(max_size=9))
    def train(self, activate: bool, weights: bytes) -> None:
        head = self.store.add_head(
            kind="ncm", labels=["a"], samples=1, accuracy=Proportion(1, 1), weights=weights, report={}, activate=activate
        )
        assert head == len(self.heads) + 1
        self.heads[head] = weights
        if activate:
            self.actives.append(head)

    @rule(data=st.data())
    def activate(self, data: st.DataObject) -> None:
        head = data.draw(st.sampled_from([None, *self.heads]))
        self.store.activate(head)
        if head != self.active:
            self.actives.append(head)

    @rule()
    def rollback(self) -> None:
        earlier = [step for step, head in enumerate(self.actives) if head is not None and head != self.active]
        if not earlier:
            with contextlib.suppress(NotTrained):
                raise AssertionError(f"went back to {self.store.rollback()}")
            return
        self.actives = self.actives[: earlier[-1] + 1]
        assert self.store.rollback().id == self.active

    @rule()
    def log(self) -> None:
        self.store.log("train", "a sentence", len(self.heads) or None)
        self.events.append(("train", "a sentence"))

    @rule()
    def vacuum(self) -> None:
        assert self.store.vacuum() >= 0

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.folder / "parts.db", None)

    @invariant()
    def same_state(self) -> None:
        kept = self.store.samples()
        photos = {row: self.samples[row][0] for row in sorted(self.samples)}
        assert kept.ids.tolist() == list(photos)
        assert kept.labels == [self.samples[row][1] for row in kept.ids.tolist()]
        assert kept.embeddings.tolist() == [embedding(photo).tolist() for photo in photos.values()]
        assert self.store.counts() == Counter(label for _, label in self.samples.values())
        measured = {row: capture(photo) for row, photo in photos.items()}
        assert [self.store.preview(row) for row in photos] == [(seen and seen.thumbnail) or b"" for seen in measured.values()]
        captures = {row: seen for batch in self.store.batches() for row, seen in zip(batch.ids.tolist(), batch.captures)}
        assert captures == {row: seen and dataclasses.replace(seen, thumbnail=b"") for row, seen in measured.items()}
        taken = [(seen and seen.taken) or np.nan for seen in map(measured.__getitem__, kept.ids.tolist())]
        assert np.array_equal(kept.taken, taken, equal_nan=True)
        assert self.store.sources(photos) == [str(photo) for photo in photos.values()]
        events = [(event.id, event.what, event.why) for event in self.store.events()]
        assert events == [(k, *event) for k, event in enumerate(self.events, 1)]
        assert {info.id: self.store.head_bytes(info.id) for info in self.store.heads()} == self.heads
        assert [info.id for info in self.store.heads() if info.active] == [self.active] * (self.active is not None)
        active = self.store.active()
        assert (active and active.id) == self.active


TestStoreModel = StoreModel.TestCase
TestStoreModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
