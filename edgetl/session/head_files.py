"""Heads as files: copied out of a store, and into another one of the same model."""

from __future__ import annotations

import os
from pathlib import Path

from edgetl.errors import FingerprintMismatch, HeadError, StoreError
from edgetl.heads import Head
from edgetl.session.workspace import Memory
from edgetl.stats import Proportion


def write_head(memory: Memory, path: str | os.PathLike[str], head: int | None) -> int:
    """Writes a head, the active one where none is named, to a file, whole or not at all; returns its number.

    Raises:
        NotTrained: none is active.
        StoreError: there is no such head, or the file cannot be written.
    """
    if head is None:
        memory.trained()
        active = memory.store.active()
        assert active is not None
        head = active.id
    content, target = memory.store.head_bytes(head), Path(path)
    draft = target.with_name(target.name + ".new")
    try:
        draft.write_bytes(content)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    return head


def read_head(memory: Memory, path: str | os.PathLike[str]) -> int:
    """Adds a head from a file and makes it active; returns its number. Within a change of the memory.

    Raises:
        HeadError: the file is missing, or is no head.
        FingerprintMismatch: it reads the embeddings of another model.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise HeadError(f"{path}: {error.strerror}; write one with: edgetl head export -o FILE") from error
    made, store = Head.from_bytes(content, os.fspath(path)), memory.store
    if made.fingerprint != store.fingerprint.digest:
        raise FingerprintMismatch(
            f"{path} reads the embeddings of another model (fingerprint {made.fingerprint[:12] or 'none'}, {store.path} has "
            f"{store.fingerprint.digest[:12]}); export it from a store of the same bundle and variant"
        )
    why = f"from the file {Path(path).name}"
    report = {"asked": "auto", "reason": why}
    head = store.add_head(
        kind=made.kind, labels=made.labels, samples=sum(made.counts), accuracy=Proportion(0, 0), weights=content, report=report
    )
    memory.use_active()
    store.log("import", why, head)
    return head
