"""Events to the pages: everyone who listens hears each one; who is too slow is cut off, not waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

MAX_WAITING = 1_000


class Event(NamedTuple):
    """A server-sent event: its name and JSON."""

    name: str
    data: bytes

    def text(self) -> bytes:
        """As it goes over the wire (WHATWG HTML, 9.2)."""
        return b"event: " + self.name.encode() + b"\ndata: " + self.data + b"\n\n"


class Hub:
    """Used from the event loop only."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[Event | None]] = set()

    def publish(self, name: str, data: Any) -> None:
        """Tells everyone now."""
        if not self._listeners:
            return
        event = Event(name, msgspec.json.encode(data))
        for queue in list(self._listeners):
            if queue.full():
                self._listeners.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[Event | None]]:
        """A queue of events from now on; None in it means: too slow, connect again."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(MAX_WAITING)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    def close(self) -> None:
        """Ends every stream, so that the server can stop."""
        for queue in list(self._listeners):
            self._listeners.discard(queue)
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
