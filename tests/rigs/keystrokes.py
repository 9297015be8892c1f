"""Keyboard events as the kernel gives them, made from a transcript of keys: `30 +42 30 -42 enter`."""

from __future__ import annotations

import os

from drivers.keys import EV_KEY, EV_SYN, EVENT, KEY_ENTER, KeyEvent, parse_events


def event(kind: int, code: int, value: int) -> bytes:
    return EVENT.pack(1_764_000_000, 123_456, kind, code, value)


def keys(transcript: str) -> bytes:
    """`30`: pressed and released; `+42`, `-42`: pressed, released; `enter`. Each with its report."""
    data = b""
    for word in transcript.replace("enter", str(KEY_ENTER)).split():
        values = {"+": (1,), "-": (0,)}.get(word[0], (1, 0))
        for value in values:
            data += event(4, 4, 0x7001E) + event(EV_KEY, int(word.lstrip("+-")), value) + event(EV_SYN, 0, 0)
    return data


class Recorded:
    """A keyboard whose events come through a pipe; unplugged when that is closed."""

    name = "Recorded scanner"

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def type(self, data: bytes) -> None:
        os.write(self._writer, data)

    def unplug(self) -> None:
        os.close(self._writer)

    def fileno(self) -> int:
        return self._reader

    def read(self) -> list[KeyEvent]:
        data = os.read(self._reader, 64 * EVENT.size)
        if not data:
            raise OSError(19, "No such device")  # as the kernel says of a device that has gone
        return parse_events(data)

    def close(self) -> None:
        os.close(self._reader)
