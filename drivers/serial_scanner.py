"""Scanners on a serial port (RS-232, or USB set to virtual COM): a line of text is a reading."""

from __future__ import annotations

import contextlib
import errno
import termios
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from drivers import program
from drivers.keeper import ReaderError
from drivers.lines import Hello
from drivers.program import Ears, LibraryMissingError, Voice
from drivers.typed import MAX_TEXT, Spoiled, TextKeeper

if TYPE_CHECKING:
    import serial

IDLE_END_S = 0.1  # a scanner sends a code in one go: 13 digits take 14 ms at 9600 baud
PARTIAL_S = 1.0  # a line that has not ended by then will not

CURE = "pip install pyserial"

ENDS: dict[str, tuple[bytes, ...]] = {
    "any": (b"\r", b"\n"),
    "cr": (b"\r",),
    "lf": (b"\n",),
    "crlf": (b"\r\n",),
    "tab": (b"\t",),
    "idle": (),
}

_BY_ERRNO = {
    errno.EACCES: ("reader.not_permitted", "this user may not open it: sudo usermod -aG dialout holdfast"),
    errno.EPERM: ("reader.not_permitted", "this user may not open it: sudo usermod -aG dialout holdfast"),
    errno.EBUSY: ("reader.busy", "another program holds it"),
    errno.EAGAIN: ("reader.busy", "another program holds it"),
}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`port`: best the name under /dev/serial/by-id. `terminator`: what the scanner sends after a code.

    any: CR, LF or both; idle: nothing, `IDLE_END_S` of silence ends a code.
    """

    port: Annotated[str, msgspec.Meta(min_length=1)]
    baud: Annotated[int, msgspec.Meta(ge=300, le=4_000_000)] = 9600
    terminator: Literal["any", "cr", "lf", "crlf", "tab", "idle"] = "any"


class Assembler:
    """Bytes to codes, pure; times are seconds of a monotonic clock. Spoiled bytes are given once and forgotten."""

    def __init__(self, terminator: str) -> None:
        self._ends = ENDS[terminator]
        self._pending = b""
        self._fed_s = 0.0
        self._skipping = False  # a code too long goes on until its end

    def feed(self, data: bytes, now_s: float) -> list[str | Spoiled]:
        self._fed_s = now_s
        self._pending += data
        codes: list[str | Spoiled] = []
        while (cut := self._cut()) is not None:
            line, self._pending = cut
            codes += self._line(line)
        if len(self._pending) > MAX_TEXT:
            self._pending = b""
            codes += [] if self._skipping else [Spoiled(f"a code of more than {MAX_TEXT} bytes")]
            self._skipping = True
        return codes

    def _cut(self) -> tuple[bytes, bytes] | None:
        found = [(self._pending.find(end), len(end)) for end in self._ends if end in self._pending]
        if not found:
            return None
        at, length = min(found)
        return self._pending[:at], self._pending[at + length :]

    def _line(self, line: bytes) -> list[str | Spoiled]:
        if self._skipping:
            self._skipping = False
            return []
        return [read_text(line)] if line else []

    def wait_s(self, now_s: float) -> float | None:
        """How long silence may last until it means something; None for ever."""
        if not self._pending and not self._skipping:
            return None
        return max(0.0, self._fed_s + (PARTIAL_S if self._ends else IDLE_END_S) - now_s)

    def silence(self, now_s: float) -> list[str | Spoiled]:
        """What silence up to now means: the end of a code, or that one was cut short."""
        if self.wait_s(now_s) != 0.0:
            return []
        line, self._pending = self._pending, b""
        if self._skipping or not self._ends:
            return self._line(line.strip(b"\r\n"))
        return [Spoiled(f"{len(line)} bytes without an end: set the scanner's suffix, or terminator idle")]


def read_text(line: bytes) -> str | Spoiled:
    """A code's bytes as text: UTF-8 that can be printed."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return Spoiled("bytes that are no text: the baud rate differs from the scanner's")
    return text if text.isprintable() else Spoiled("control characters inside a code")


class Driver(TextKeeper["serial.Serial"]):
    """One port."""

    def __init__(self, options: Options, voice: Voice, ears: Ears, library: Any) -> None:
        super().__init__(options.port, voice, ears)
        self._options, self._library = options, library
        self._assembler = Assembler(options.terminator)

    def open(self) -> serial.Serial:
        try:
            return self._library.Serial(self.scope, self._options.baud, timeout=0, exclusive=True)
        except (self._library.SerialException, OSError, termios.error, ValueError) as error:
            number = getattr(error, "errno", None) or 0
            code, words = _BY_ERRNO.get(number, ("reader.not_present", "no such port, or no serial port"))
            raise ReaderError(code, f"{self.scope}: {words}") from error

    def close(self, device: serial.Serial) -> None:
        with contextlib.suppress(self._library.SerialException, OSError, termios.error):
            device.close()

    def lost(self) -> None:
        self._assembler = Assembler(self._options.terminator)

    def use(self, device: serial.Serial) -> None:
        patience_s = self._assembler.wait_s(time.monotonic())
        data = self._read(device, program.BEAT_S if patience_s is None else patience_s)
        if self.paused:
            return
        now_s = time.monotonic()
        for code in self._assembler.feed(data, now_s) if data else self._assembler.silence(now_s):
            self.say_line(code)

    def rest(self, device: serial.Serial) -> None:
        """What is scanned meanwhile is lost on purpose: nobody wants it later."""
        self._read(device, program.BEAT_S)
        self.lost()

    def _read(self, device: serial.Serial, timeout_s: float) -> bytes:
        ready = self.wait(timeout_s, [device.fileno()])
        try:
            return bytes(device.read(4096)) if ready else b""
        except (self._library.SerialException, OSError, termios.error) as error:
            raise ReaderError("reader.gone", f"{self.scope}: the scanner was unplugged ({error})") from error


def _body(options: Options, voice: Voice, ears: Ears) -> None:
    try:
        import serial
    except ImportError as error:
        raise LibraryMissingError(f"pyserial cannot be loaded ({error}): {CURE}") from error
    Driver(options, voice, ears, serial).run()


def main(argv: list[str]) -> int:
    return program.run(Hello(driver="serial", capabilities=["pause", "self_test"]), Options, argv, _body)
