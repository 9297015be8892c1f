"""Reads NFC tags of types 1 to 4 through nfcpy: PN532 and PN533 boards, ACR122U, Sony RC-S380 and the like.

The loop is: open the reader, look for a tag one technology at a time, read it whole, wait until it has left. A tag that
left in the middle gives a fault and no reading: to the till it was never there.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from drivers import program
from drivers.lines import Command, Device, Health, Hello, Reading, Removed, Result, State
from drivers.program import Ears, LibraryMissingError, Voice

if TYPE_CHECKING:
    from drivers.nfc_frontend import Content, Frontend, ReaderError, Seen

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0  # between tries to open a reader; each is twice the one before
IDLE_S = 0.1  # between searches of an empty field
HELD_S = 0.2  # between looks whether the tag is still there

CURE = "sudo apt-get install libusb-1.0-0, then: pip install nfcpy"


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`path`: as nfcpy takes it (`usb`, `usb:072f:2200`, `tty:USB0:pn532`, `udp:localhost:54321`) or `serial:/dev/x`."""

    path: Annotated[str, msgspec.Meta(min_length=1)] = "usb"
    technologies: Annotated[list[Literal["106A", "106B", "212F", "424F"]], msgspec.Meta(min_length=1, max_length=4)] = (
        msgspec.field(default_factory=lambda: ["106A", "106B", "212F"])
    )


class Driver:
    """One reader, for as long as the agent wants it."""

    def __init__(self, options: Options, voice: Voice, ears: Ears, library: Any) -> None:
        self._options, self._voice, self._ears, self._library = options, voice, ears, library
        self._scope = options.path
        self._reader: Frontend | None = None
        self._trouble: ReaderError | None = None
        self._pause_s = FIRST_PAUSE_S
        self._paused = False
        self._card = False
        self._counts = {"readings": 0, "torn": 0, "reconnects": 0}

    def run(self) -> None:
        try:
            while not self._ears.closed:
                self._turn()
        finally:
            if self._reader is not None:
                self._reader.close()

    def _turn(self) -> None:
        reader = self._reader
        if reader is None:
            self._open()
        elif self._paused:
            self._wait(program.BEAT_S)
        else:
            try:
                self._look(reader)
            except self._library.ReaderError as error:
                self._lose(reader, error)

    # The reader comes and goes

    def _open(self) -> None:
        try:
            self._reader = self._library.Frontend(self._options.path)
        except self._library.ReaderError as error:
            self._fail(error)
            self._wait(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            return
        self._counts["reconnects"] += self._trouble is not None
        self._trouble, self._pause_s = None, FIRST_PAUSE_S
        self._voice.over("the reader answers again", scope=self._scope)
        self._beat()

    def _fail(self, error: ReaderError) -> None:
        """Says what is wrong, once; a reader that was unplugged stays `gone` while it is merely not there."""
        if self._trouble is not None and error.code == "reader.not_present" and self._trouble.code == "reader.gone":
            return
        self._trouble = error
        self._voice.over("another fault took its place", scope=self._scope, but=error.code)
        self._voice.fault(error.code, str(error), self._scope)

    def _lose(self, reader: Frontend, error: ReaderError) -> None:
        reader.close()
        self._reader = None
        self._leave()
        self._fail(error)
        self._beat()

    # The field

    def _look(self, reader: Frontend) -> None:
        for technology in self._options.technologies:
            seen = reader.sense(technology)
            if seen is not None:
                self._meet(reader, seen)
                return
            self._wait(0.0)
            if self._ears.closed or self._paused:
                return
        self._wait(IDLE_S)

    def _meet(self, reader: Frontend, seen: Seen) -> None:
        self._voice.over("a tag is in the field again", scope=self._scope)
        begun_s = time.monotonic()
        content = reader.read(seen)
        if content is None:
            self._counts["torn"] += 1
            text = "a card was taken away before it was read"
            self._voice.fault("reader.read_failed", text, self._scope)
            return
        self._counts["readings"] += 1
        self._card = True
        self._voice.say(self._reading(seen, content, (time.monotonic() - begun_s) * 1000))
        self._hold(reader, seen, content)

    def _reading(self, seen: Seen, content: Content, elapsed_ms: float) -> Reading:
        return Reading(
            kind="card",
            scope=self._scope,
            uid=seen.uid.hex(),
            tag=seen.kind,
            ndef=content.records,
            ndef_state=content.state,
            elapsed_ms={"read": round(elapsed_ms, 1)},
        )

    def _hold(self, reader: Frontend, seen: Seen, content: Content) -> None:
        while not self._ears.closed and not self._paused and reader.is_held(seen, content):
            self._wait(HELD_S)
        self._leave()

    def _leave(self) -> None:
        if self._card:
            self._card = False
            self._voice.say(Removed(scope=self._scope))

    # The agent

    def _wait(self, seconds: float) -> None:
        """Sleeps, beating; hears commands meanwhile."""
        until_s = time.monotonic() + seconds
        while True:
            self._beat()
            left_s = until_s - time.monotonic()
            commands, _ = self._ears.hear(min(max(0.0, left_s), program.BEAT_S))
            for command in commands:
                self._obey(command)
            if self._ears.closed or left_s <= program.BEAT_S:
                return

    def _obey(self, command: Command) -> None:
        if command.command in ("pause", "resume"):
            self._paused = command.command == "pause"
            if self._paused and self._reader is not None:
                with contextlib.suppress(self._library.ReaderError):  # the next turn meets it again
                    self._reader.quiet()
            self._voice.say(Result(id=command.id, ok=True))
        elif command.command == "self_test":
            self._voice.say(self._self_test(command.id))
        else:
            program.refuse(self._voice, [command])

    def _self_test(self, number: int) -> Result:
        if self._reader is None:
            return Result(id=number, ok=False, text=str(self._trouble or "the reader is not open yet"))
        try:
            self._reader.check()
        except self._library.ReaderError as error:
            return Result(id=number, ok=False, text=str(error))
        return Result(id=number, ok=True, text=self._reader.model)

    def _beat(self) -> None:
        state, code, text = self._state()
        model = self._reader.model if self._reader is not None else None
        device = Device(scope=self._scope, state=state, card=self._card, model=model)
        self._voice.beat(Health(state=state, code=code, text=text, devices=[device], counts=dict(self._counts)))

    def _state(self) -> tuple[State, str | None, str | None]:
        if self._trouble is not None:
            searching = self._trouble.code in ("reader.gone", "reader.not_present")
            return "searching" if searching else "faulty", self._trouble.code, str(self._trouble)
        if self._reader is None:
            return "searching", None, None
        return "paused" if self._paused else "ready", None, None


def _body(options: Options, voice: Voice, ears: Ears) -> None:
    try:
        from drivers import nfc_frontend
    except (ImportError, OSError) as error:
        raise LibraryMissingError(f"nfcpy cannot be loaded ({error}): {CURE}") from error
    Driver(options, voice, ears, nfc_frontend).run()


def main(argv: list[str]) -> int:
    return program.run(Hello(driver="nfcpy", capabilities=["pause", "self_test"]), Options, argv, _body)
