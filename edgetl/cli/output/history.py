"""The texts of `rollback`, `head` and `store log`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetl.cli.output.common import listed, number, size, when
from edgetl.heads.text import kind_name
from edgetl.tables import render
from edgetl.types import HeadInfo

if TYPE_CHECKING:
    from edgetl.session.deployment import TrainerHead
    from edgetl.store import Event


def active(info: HeadInfo) -> list[str]:
    """Which head is active."""
    return [f"Head {info.id} is active: {kind_name(info.kind)}, {_classes(info.labels)}."]


def heads(history: Sequence[HeadInfo]) -> list[str]:
    """A row per head; `*` is the active one, `saved` was never activated."""
    if not history:
        return ["No head was trained yet.", "next: edgetl add PHOTOS -l CLASS, then edgetl train"]
    rows = [
        (
            "*" if info.active else "saved" if info.not_activated_because else "",
            *(info.id, info.kind, len(info.labels), info.samples),
            *(str(info.accuracy).replace(" %", "") if info.accuracy.n else "-", when(info.created)),
        )
        for info in history
    ]
    return [render(("", "head", "algorithm", "classes", "photos", "accuracy, %", "when"), rows)]


def exported(path: str, info: HeadInfo) -> list[str]:
    """A head that was written to a file."""
    return [f"{path}: head {info.id}, {kind_name(info.kind)}, {size(info.size)}, {_classes(info.labels)}."]


def converted(path: str, head: TrainerHead) -> list[str]:
    """A head file made of what an app has learned."""
    return [
        f"{path}: {number(sum(head.counts), 'photo')}, {_classes(head.labels)}.",
        f"next: edgetl head import {path} -s STORE",
    ]


def events(log: Sequence[Event]) -> list[str]:
    """A row per entry of the log."""
    if not log:
        return ["The log is empty.", "next: edgetl add PHOTOS -l CLASS"]
    rows = [(event.id, when(event.clock), event.who, event.what, event.head_id or "", event.why) for event in log]
    return [render(("event", "when", "who", "what", "head", "why"), rows)]


def _classes(labels: Sequence[str]) -> str:
    return f"{number(len(labels), 'class', 'classes')}: {listed(labels)}"
