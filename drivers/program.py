"""What driver programs share: hello first, faults once per change, heartbeats in time, commands without waiting.

A driver is one loop in one thread: `ears.hear` sleeps until a command, data or the next heartbeat. No thread beats the
heart, so a call that hangs in a library silences it and the agent starts the driver anew.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from typing import IO, TypeVar

from drivers import lines
from drivers.lines import Command, Fault, Health, Hello, Result, Said

T = TypeVar("T")

BEAT_S = lines.HEARTBEAT_S / 2  # said twice as often as owed: one late turn of the loop is not a missed heartbeat
EXIT_ENDED, EXIT_OPTIONS, EXIT_LIBRARY = 0, 2, 3


class LibraryMissingError(Exception):
    """A Python library or a native part that the driver needs is not on this machine; the message is the cure."""


class Voice:
    """Says lines; remembers which faults are open, so that each is said once and its end once."""

    def __init__(self, out: IO[bytes] | None = None) -> None:
        self._out = out
        self._open: set[tuple[str, str | None]] = set()
        self._health: Health | None = None
        self._beat_at_s = 0.0

    def say(self, message: Said) -> None:
        lines.say(message, self._out)

    def fault(self, code: str, text: str, scope: str | None = None) -> None:
        """Says a lasting fault, unless it is open already."""
        if (code, scope) not in self._open:
            self._open.add((code, scope))
            self.say(Fault(code=code, text=text, scope=scope))

    def over(self, text: str, *, scope: str | None = None, but: str | None = None) -> None:
        """Ends every open fault of `scope`, except the one called `but`."""
        ended = sorted(code for code, where in self._open if where == scope and code != but)
        for code in ended:
            self._open.discard((code, scope))
            self.say(Fault(code=code, text=text, scope=scope, over=True))

    def beat(self, health: Health) -> None:
        """Says how things are: at once when that changed (counts aside), else when the heartbeat is due."""
        last, now_s = self._health, time.monotonic()
        changed = last is None or _face(last) != _face(health)
        if changed or now_s - self._beat_at_s >= BEAT_S:
            self._health, self._beat_at_s = health, now_s
            self.say(health)


def _face(health: Health) -> tuple[object, ...]:
    return health.state, health.code, health.text, health.devices


class Ears:
    """Commands from standard input, heard without ever blocking on it."""

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        self._pending = b""
        self.closed = False  # the agent closed the pipe or said stop: end within a second

    def hear(self, timeout_s: float, others: Sequence[int] = ()) -> tuple[list[Command], set[int]]:
        """Commands come in, and which of the `others` (file descriptors) can be read, after `timeout_s` at most."""
        ready, _, _ = select.select([self._fd, *others], [], [], max(0.0, timeout_s))
        heard = self._read() if self._fd in ready else []
        return heard, set(ready) - {self._fd}

    def _read(self) -> list[Command]:
        data = os.read(self._fd, 65_536)
        if not data:
            self.closed = True
        *whole, self._pending = (self._pending + data).split(b"\n")
        self._pending = self._pending[: lines.MAX_LINE_BYTES + 1]
        return self._understood(whole)

    def _understood(self, whole: list[bytes]) -> list[Command]:
        heard: list[Command] = []
        for line in whole:
            try:
                command = lines.decode_command(line)
            except lines.LineError:
                continue
            if command.command == "stop":
                self.closed = True
                return heard
            heard.append(command)
        return heard


def refuse(voice: Voice, commands: list[Command]) -> None:
    """Answers commands that a driver does not understand, as the protocol asks."""
    for command in commands:
        voice.say(Result(id=command.id, ok=False, text=f"this driver has no {command.command}"))


Run = Callable[[T, Voice, Ears], None]


def run(hello: Hello, shape: type[T], argv: list[str], body: Run[T]) -> int:
    """A driver's whole life. `body` returns when `ears.closed`; returns the process's exit code."""
    voice, ears = Voice(), Ears()
    try:
        voice.say(hello)
        body(lines.read_options(argv, shape), voice, ears)
    except lines.OptionsError as error:
        return _end(voice, "config.reader_options", str(error), EXIT_OPTIONS)
    except LibraryMissingError as error:
        return _end(voice, "reader.library_missing", str(error), EXIT_LIBRARY)
    except BrokenPipeError:
        sys.stdout = None  # the agent is gone: nothing is left to flush to, and nobody to tell
    except KeyboardInterrupt:
        pass
    return EXIT_ENDED


def _end(voice: Voice, code: str, text: str, exit_code: int) -> int:
    voice.fault(code, text)
    voice.beat(Health(state="faulty", code=code, text=text))
    return exit_code
