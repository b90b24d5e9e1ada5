"""Heads as files: copied out of a store, and into another one of the same model."""

from __future__ import annotations

import os
from pathlib import Path

from edgetl import durable, regular
from edgetl.errors import FingerprintMismatch, HeadError, StoreError
from edgetl.heads import Head
from edgetl.session.workspace import Session
from edgetl.stats import Proportion

LARGEST = 256 * 2**20
"""The largest head file that is read, bytes: 1,000 classes of 1280 values take 13 MB."""


def write_head(session: Session, path: str | os.PathLike[str], head_id: int | None) -> int:
    """Writes a head to a file, whole or not at all; returns its id. None is the active head.

    Raises:
        NotTrained: none is active.
        StoreError: there is no such head, or the file cannot be written.
    """
    if head_id is None:
        session.trained()
        active = session.store.active()
        assert active is not None
        head_id = active.id
    content = session.store.head_bytes(head_id)
    try:
        durable.write(Path(path), content)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", code="not-writable", path=os.fspath(path)) from error
    return head_id


def read_head(session: Session, path: str | os.PathLike[str]) -> int:
    """Adds a head from a file and makes it active; returns its number. Within a change of the session.

    Raises:
        HeadError: the file is missing, or is not a head.
        FingerprintMismatch: it reads the embeddings of another model.
    """
    try:
        content = regular.read(Path(path), LARGEST)
    except OSError as error:
        raise HeadError(
            f"{path}: {error.strerror}. Write one: edgetl head export -o FILE", code="head-file-missing", path=os.fspath(path)
        ) from error
    head, store = Head.from_bytes(content, os.fspath(path)), session.store
    if head.fingerprint != store.fingerprint.digest:
        raise FingerprintMismatch(
            f"{path} reads the embeddings of another model (fingerprint {head.fingerprint[:12] or 'none'}, {store.path} has "
            f"{store.fingerprint.digest[:12]}). Export it from a store of the same bundle and variant.",
            path=os.fspath(path), store=str(store.path), fingerprint=head.fingerprint, expected=store.fingerprint.digest,
        )  # fmt: skip
    why = f"from the file {Path(path).name}"
    report = {"asked": "auto", "reason": why}
    head_id = store.add_head(
        kind=head.kind, labels=head.labels, samples=sum(head.counts), accuracy=Proportion(0, 0), weights=content, report=report
    )
    session.use_active()
    store.log("import", why, head_id)
    return head_id
