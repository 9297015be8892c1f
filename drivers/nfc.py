"""Reads NFC tags of types 1 to 4 through nfcpy: PN532 and PN533 boards, ACR122U, Sony RC-S380 and the like.

The loop is: open the reader, look for a tag one technology at a time, read it whole, wait until it has left. A tag that
left in the middle gives a fault and no reading: to the till it was never there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from drivers import program
from drivers.keeper import Keeper
from drivers.lines import Hello, Reading, Removed
from drivers.program import Ears, LibraryMissingError, Voice

if TYPE_CHECKING:
    from drivers.nfc_frontend import Content, Frontend, Seen

IDLE_S = 0.1  # between searches of an empty field
HELD_S = 0.2  # between looks whether the tag is still there

CURE = "sudo apt-get install libusb-1.0-0, then: pip install nfcpy"


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`path`: as nfcpy has it (`usb`, `usb:072f:2200`, `tty:USB0:pn532`, `udp:localhost:54321`) or `serial:/dev/…`."""

    path: Annotated[str, msgspec.Meta(min_length=1)] = "usb"
    technologies: Annotated[list[Literal["106A", "106B", "212F", "424F"]], msgspec.Meta(min_length=1, max_length=4)] = (
        msgspec.field(default_factory=lambda: ["106A", "106B", "212F"])
    )


class Driver(Keeper["Frontend"]):
    """One reader, kept open as long as it lives: an ACR122U that was closed may not open again."""

    def __init__(self, options: Options, voice: Voice, ears: Ears, frontend: type[Frontend]) -> None:
        super().__init__(options.path, voice, ears)
        self._technologies, self._frontend = options.technologies, frontend
        self.counts["torn"] = 0

    def open(self) -> Frontend:
        return self._frontend(self.scope)

    def close(self, device: Frontend) -> None:
        device.close()

    def model(self, device: Frontend) -> str:
        return device.model

    def check(self, device: Frontend) -> str:
        device.check()
        return device.model

    def rest(self, device: Frontend) -> None:
        device.quiet()
        self.wait(program.BEAT_S)

    def lost(self) -> None:
        if self.card:
            self.card = False
            self.voice.say(Removed(scope=self.scope))

    def use(self, device: Frontend) -> None:
        for technology in self._technologies:
            seen = device.sense(technology)
            if seen is not None:
                self._meet(device, seen)
                return
            self.wait(0.0)
            if self.ears.closed or self.paused:
                return
        self.wait(IDLE_S)

    def _meet(self, device: Frontend, seen: Seen) -> None:
        self.voice.over("a tag is in the field again", scope=self.scope)
        begun_s = time.monotonic()
        content = device.read(seen)
        if content is None:
            self.counts["torn"] += 1
            self.voice.fault("reader.read_failed", "a card was taken away before it was read", self.scope)
            return
        self.counts["readings"] += 1
        self.card = True
        self.voice.say(self._reading(seen, content, (time.monotonic() - begun_s) * 1000))
        self._hold(device, seen, content)

    def _reading(self, seen: Seen, content: Content, elapsed_ms: float) -> Reading:
        return Reading(
            kind="card",
            scope=self.scope,
            uid=seen.uid.hex(),
            tag=seen.kind,
            ndef=content.records,
            ndef_state=content.state,
            elapsed_ms={"read": round(elapsed_ms, 1)},
        )

    def _hold(self, device: Frontend, seen: Seen, content: Content) -> None:
        while not self.ears.closed and not self.paused and device.is_held(seen, content):
            self.wait(HELD_S)
        self.lost()


def _body(options: Options, voice: Voice, ears: Ears) -> None:
    try:
        from drivers import nfc_frontend
    except (ImportError, OSError) as error:
        raise LibraryMissingError(f"nfcpy cannot be loaded ({error}): {CURE}") from error
    Driver(options, voice, ears, nfc_frontend.Frontend).run()


def main(argv: list[str]) -> int:
    return program.run(Hello(driver="nfcpy", capabilities=["pause", "self_test"]), Options, argv, _body)
