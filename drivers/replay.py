"""Plays a recording, or says what is written to a socket: the demonstration's virtual counter, and tests of the agent.

A recording is JSON lines of the protocol, each with `after_s`: the pause since the line before it, in seconds.
A socket (`listen`) takes lines of the protocol as they are, from any number of writers at once; each is said as if it
had been read.
"""

from __future__ import annotations

import contextlib
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from drivers import lines, program
from drivers.lines import Health, Hello, LineError, OptionsError, Said
from drivers.program import Ears, Voice

SOCKET_PATH_BYTES = 107  # sun_path of Linux, less the closing zero: unix(7)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`file`: a recording ("-" or null: none). `listen`: the UNIX stream socket to make. At least one is needed."""

    file: str | None = None
    listen: str | None = None
    speed: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    loop: bool = False


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a recording: said `after_s` seconds after the line before it."""

    after_s: float
    said: Said


class _Pause(msgspec.Struct, frozen=True):
    after_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0


def read_recording(path: Path) -> list[Moment]:
    """A recording's lines; empty ones are skipped. Raises OptionsError, which names the line that makes no sense."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise OptionsError(f"file: {path} cannot be read: {error.strerror}") from error
    return [_moment(path, number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _moment(path: Path, number: int, line: bytes) -> Moment:
    try:
        said = lines.decode_said(line)
        return Moment(after_s=msgspec.json.decode(line, type=_Pause).after_s, said=said)
    except (LineError, msgspec.DecodeError) as error:
        raise OptionsError(f"file: {path}, line {number}: {error}") from error


class Player:
    """Says the lines of a recording when their time has come."""

    def __init__(self, moments: list[Moment], *, speed: float, loop: bool, now_s: float) -> None:
        if loop and not any(moment.after_s for moment in moments):
            raise OptionsError("loop: the recording has no pause (after_s), it would be said without end at once")
        self._moments, self._speed, self._loop = moments, speed, loop
        self._next = 0
        self._due_s = now_s + moments[0].after_s / speed if moments else None

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next line, at most a heartbeat."""
        return program.BEAT_S if self._due_s is None else min(program.BEAT_S, max(0.0, self._due_s - now_s))

    def due(self, now_s: float) -> Iterator[Said]:
        while self._due_s is not None and self._due_s <= now_s:
            yield self._moments[self._next].said
            self._advance()

    def _advance(self) -> None:
        self._next += 1
        if self._next == len(self._moments) and self._loop:
            self._next = 0
        if self._next == len(self._moments):
            self._due_s = None
        elif self._due_s is not None:
            self._due_s += self._moments[self._next].after_s / self._speed


class Counter:
    """The socket that writers put lines into. Reading never waits for a writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writers: dict[int, tuple[socket.socket, bytes]] = {}
        self._door = _listen(path)

    def fds(self) -> list[int]:
        return [self._door.fileno(), *self._writers]

    def take(self, ready: set[int]) -> Iterator[bytes]:
        """Whole lines that have come in on the `ready` descriptors."""
        for fd in ready & self._writers.keys():
            yield from self._read(fd)
        if self._door.fileno() in ready:
            writer, _ = self._door.accept()
            writer.setblocking(False)
            self._writers[writer.fileno()] = (writer, b"")

    def _read(self, fd: int) -> list[bytes]:
        writer, pending = self._writers[fd]
        try:
            data = writer.recv(65_536)
        except OSError:
            data = b""
        *whole, pending = (pending + data).split(b"\n")
        if data and len(pending) <= lines.MAX_LINE_BYTES:
            self._writers[fd] = (writer, pending)
            return whole
        del self._writers[fd]  # closed, or writing without end: what is whole counts, a last line without newline too
        writer.close()
        return [*whole, pending]

    def close(self) -> None:
        for writer, _ in self._writers.values():
            writer.close()
        self._door.close()
        self._path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    if len(str(path).encode()) > SOCKET_PATH_BYTES:
        raise OptionsError(f"listen: {path} is longer than {SOCKET_PATH_BYTES} bytes")
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()  # left by a driver that was killed
        door.bind(str(path))
        path.chmod(0o600)
        door.listen()
    except OSError as error:
        door.close()
        raise OptionsError(f"listen: {path}: {error.strerror}") from error
    return door


class Replay:
    """The loop: says what is due and what comes in, and keeps the heartbeat as the last health line said it is."""

    def __init__(self, player: Player, counter: Counter | None, voice: Voice) -> None:
        self._player, self._counter, self._voice = player, counter, voice
        self._health = Health(state="ready")
        self._counts = {"said": 0, "refused": 0}

    def run(self, ears: Ears) -> None:
        self._beat()
        while not ears.closed:
            fds = self._counter.fds() if self._counter else []
            commands, ready = ears.hear(self._player.wait_s(time.monotonic()), fds)
            program.refuse(self._voice, commands)
            for said in self._player.due(time.monotonic()):
                self._say(said)
            if self._counter:
                for line in self._counter.take(ready):
                    self._hand_on(line)
            self._beat()

    def _hand_on(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            self._say(lines.decode_said(line))
        except LineError:
            self._counts["refused"] += 1

    def _say(self, said: Said) -> None:
        if isinstance(said, Hello):
            return  # ours has been said
        if isinstance(said, Health):
            self._health = said
            return
        self._counts["said"] += 1
        self._voice.say(said)

    def _beat(self) -> None:
        health = self._health
        self._voice.beat(msgspec.structs.replace(health, counts={**health.counts, **self._counts}))


def _body(options: Options, voice: Voice, ears: Ears) -> None:
    file = None if options.file == "-" else options.file
    if file is None and options.listen is None:
        raise OptionsError("file or listen: say what to play, or which socket to listen on")
    moments = read_recording(Path(file)) if file is not None else []
    player = Player(moments, speed=options.speed, loop=options.loop, now_s=time.monotonic())
    with contextlib.ExitStack() as stack:
        counter = Counter(Path(options.listen)) if options.listen is not None else None
        if counter:
            stack.callback(counter.close)
        Replay(player, counter, voice).run(ears)


def main(argv: list[str]) -> int:
    return program.run(Hello(driver="replay"), Options, argv, _body)
