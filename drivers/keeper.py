"""Keeps one device open for a driver: opens it again with growing pauses, says what is wrong once, obeys pauses."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from drivers import program
from drivers.lines import Command, Device, Health, Result, State
from drivers.program import Ears, Voice

H = TypeVar("H")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0  # between tries to open a device; each is twice the one before


class ReaderError(Exception):
    """The device cannot be used now: closed at once, opened again later. `code` is the finding's."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Keeper(ABC, Generic[H]):
    """A driver of one device; `H` is the open device. Fill in `open`, `close`, `use`; sleep by `wait` only."""

    def __init__(self, scope: str, voice: Voice, ears: Ears) -> None:
        self.scope, self.voice, self.ears = scope, voice, ears
        self.device: H | None = None
        self.paused = False
        self.card = False  # in the field now
        self.counts: dict[str, int] = {"readings": 0, "reconnects": 0}
        self._trouble: ReaderError | None = None
        self._pause_s = FIRST_PAUSE_S

    @abstractmethod
    def open(self) -> H:
        """Opens the device. Raises ReaderError."""

    @abstractmethod
    def close(self, device: H) -> None:
        """Gives the device back, whatever state it is in. Raises nothing."""

    @abstractmethod
    def use(self, device: H) -> None:
        """One turn: looks for something to read, says it, waits a little. Raises ReaderError."""

    def rest(self, device: H) -> None:
        """One turn while paused. Raises ReaderError."""
        self.wait(program.BEAT_S)

    def check(self, device: H) -> str:
        """The self-test: asks the device something and returns its model. Raises ReaderError."""
        return self.model(device)

    def model(self, device: H) -> str:
        return ""

    def lost(self) -> None:
        """The device has just gone."""

    def run(self) -> None:
        """Until the agent closes the pipe."""
        try:
            while not self.ears.closed:
                self._turn()
        finally:
            if self.device is not None:
                self.close(self.device)

    def _turn(self) -> None:
        device = self.device
        if device is None:
            self._try_to_open()
            return
        try:
            self.rest(device) if self.paused else self.use(device)
        except ReaderError as error:
            self.close(device)
            self.device = None
            self.lost()
            self._fail(error)

    def _try_to_open(self) -> None:
        try:
            self.device = self.open()
        except ReaderError as error:
            self._fail(error)
            self.wait(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            return
        self.counts["reconnects"] += self._trouble is not None
        self._trouble, self._pause_s = None, FIRST_PAUSE_S
        self.voice.over("the reader answers again", scope=self.scope)
        self.beat()

    def _fail(self, error: ReaderError) -> None:
        """Says what is wrong, once; a device that was unplugged stays `gone` while it is merely not there."""
        known = self._trouble.code if self._trouble is not None else None
        if not (error.code == "reader.not_present" and known == "reader.gone"):
            self._trouble = error
            self.voice.over("another fault took its place", scope=self.scope, but=error.code)
            self.voice.fault(error.code, str(error), self.scope)
        self.beat()

    def wait(self, seconds: float, fds: Sequence[int] = ()) -> set[int]:
        """Sleeps, beating and hearing commands, until one of `fds` can be read; returns those that can."""
        until_s = time.monotonic() + seconds
        while True:
            self.beat()
            left_s = until_s - time.monotonic()
            commands, ready = self.ears.hear(min(left_s, program.BEAT_S), fds)
            for command in commands:
                self._obey(command)
            if ready or self.ears.closed or left_s <= program.BEAT_S:
                return ready

    def _obey(self, command: Command) -> None:
        match command.command:
            case "pause" | "resume":
                self.paused = command.command == "pause"
                self.voice.say(Result(id=command.id, ok=True))
            case "self_test":
                self.voice.say(self._self_test(command.id))
            case _:
                program.refuse(self.voice, [command])

    def _self_test(self, number: int) -> Result:
        if self.device is None:
            return Result(id=number, ok=False, text=str(self._trouble or "the reader is not open yet"))
        try:
            return Result(id=number, ok=True, text=self.check(self.device))
        except ReaderError as error:
            return Result(id=number, ok=False, text=str(error))

    def beat(self) -> None:
        """Says how things are, if that is due."""
        state, trouble = self._state(), self._trouble
        model = self.model(self.device) if self.device is not None else None
        self.voice.beat(
            Health(
                state=state,
                code=trouble.code if trouble else None,
                text=str(trouble) if trouble else None,
                devices=[Device(scope=self.scope, state=state, card=self.card, model=model or None)],
                counts=dict(self.counts),
            )
        )

    def _state(self) -> State:
        if self._trouble is not None:
            return "searching" if self._trouble.code in ("reader.gone", "reader.not_present") else "faulty"
        if self.device is None:
            return "searching"
        return "paused" if self.paused else "ready"
