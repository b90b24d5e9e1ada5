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
    from edgetl.store.care import Health, Salvaged


def rolled_back(info: HeadInfo) -> list[str]:
    """Which head is active again, and that the photos are still there."""
    return [*active(info), "The photos stay for the next training; `edgetl forget` removes some."]


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


def health(result: Health) -> list[str]:
    """Whether a store is sound."""
    whole = f"{number(result.samples, 'photo')} and {number(result.heads, 'head')} are whole"
    if not result.damaged:
        return [f"{result.path}: sound; {whole}."]
    cure = "repair -s" if set(result.damaged) <= {"index", "pages"} else "salvage -o NEW -s"
    return [f"{result.path}: damaged; {whole}.", f"Damaged: {listed(result.damaged)}", f"next: edgetl store {cure} {result.path}"]


def salvaged(result: Salvaged) -> list[str]:
    """What was saved of a damaged store."""
    numbers = ", ".join(map(str, result.lost[:5])) + (", ..." if len(result.lost) > 5 else "")
    lost = f"Lost: {number(len(result.lost), 'photo')} (sample {numbers})."
    return [
        f"{result.target}: {number(result.samples, 'photo')} and {number(result.heads, 'head')} saved.",
        lost if result.lost else "No photo was lost.",
        f"next: edgetl train -s {result.target}",
    ]


def backed_up(path: str, health: Health) -> list[str]:
    """A copy of a store."""
    return [f"{path}: {number(health.samples, 'photo')} and {number(health.heads, 'head')} copied and verified."]


def _classes(labels: Sequence[str]) -> str:
    return f"{number(len(labels), 'class', 'classes')}: {listed(labels)}"
