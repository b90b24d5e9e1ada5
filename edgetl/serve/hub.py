"""Sends what happens to every page that listens, from any thread."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

from edgetl.types import to_json

HEARTBEAT_S = 15.0
"""A comment is sent after this long without an event, so that a lost connection is noticed."""
RETRY_MS = 1000
"""How long a page waits before it connects again."""
_KEPT = frozenset({"warning"})


class Hub:
    """Events by name; of each name a slow listener gets only the newest, except warnings, which are all kept.

    Attributes:
        closed: whether every listener has been ended.
    """

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self.closed = False

    @property
    def listeners(self) -> int:
        """How many pages listen."""
        return len(self._listeners)

    def publish(self, name: str, data: Any) -> None:
        """Sends an event to every listener; safe to call from any thread.

        Args:
            name: the event's name.
            data: anything that :func:`edgetl.types.to_json` takes.
        """
        with self._lock:
            number, listeners = next(self._ids), list(self._listeners)
        if listeners:
            text = f"id: {number}\nevent: {name}\ndata: {json.dumps(to_json(data), separators=(',', ':'))}\n\n"
            for listener in listeners:
                listener.offer(f"{name} {number}" if name in _KEPT else name, text)

    def close(self) -> None:
        """Ends every listener."""
        with self._lock:
            self.closed, listeners = True, list(self._listeners)
        for listener in listeners:
            listener.offer("end", "")

    async def listen(self, *first: tuple[str, Any]) -> AsyncIterator[str]:
        """Yields events as server-sent text, after the ones given, until the listener goes away.

        Args:
            first: (name, data) of events that only this listener gets, at once.
        """
        listener = _Listener(asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
        try:
            yield f"retry: {RETRY_MS}\n\n"
            for name, data in first:
                yield f"event: {name}\ndata: {json.dumps(to_json(data), separators=(',', ':'))}\n\n"
            while not self.closed:
                yield await listener.next()
        finally:
            with self._lock:
                self._listeners.discard(listener)


class _Listener:
    """The events that one listener has not read yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._waiting = loop, asyncio.Event()
        self._pending: dict[str, str] = {}
        self._lock = threading.Lock()

    def offer(self, key: str, text: str) -> None:
        with self._lock:
            self._pending[key] = text
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._waiting.set)

    async def next(self) -> str:
        """All that is pending; a heartbeat if nothing happens."""
        try:
            await asyncio.wait_for(self._waiting.wait(), HEARTBEAT_S)
        except asyncio.TimeoutError:
            return ": still here\n\n"
        self._waiting.clear()
        with self._lock:
            text = "".join(self._pending.values())
            self._pending.clear()
        return text
