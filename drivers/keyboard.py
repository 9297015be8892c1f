"""Scanners that play a keyboard (USB HID), and number pads: read from the kernel's input events, kept from the desktop.

The device is grabbed: what it types comes here and nowhere else. Not run on real hardware yet: docs/drivers.md.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec

from drivers import keys, program
from drivers.keeper import ReaderError
from drivers.keys import KeyEvent, Layout, Typist
from drivers.lines import Hello, OptionsError
from drivers.program import Ears, LibraryMissingError, Voice
from drivers.typed import TextKeeper

SYSFS = Path("/sys/class/input")
CURE = "sudo apt-get install gcc python3-dev, then: pip install evdev"

_BY_ERRNO = {
    errno.EACCES: ("reader.not_permitted", "this user may not open it: sudo usermod -aG input holdfast"),
    errno.EPERM: ("reader.not_permitted", "this user may not open it: sudo usermod -aG input holdfast"),
    errno.EBUSY: ("reader.busy", "another program has grabbed it"),
}

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`device`: best a path under /dev/input/by-id; or `name`: a part of the name the device gives itself.

    `layout`: the one the scanner is set to.
    """

    device: NonEmpty | None = None
    name: NonEmpty | None = None
    layout: Layout = "us"


class Keys(Protocol):
    """An open keyboard: a stream of the kernel's input events."""

    name: str

    def fileno(self) -> int: ...

    def read(self) -> list[KeyEvent]:
        """What has been typed; called when there is something. Raises OSError when the device has gone."""
        ...

    def close(self) -> None: ...


class Grabbed:
    """A keyboard of this machine, through evdev. Raises OSError."""

    def __init__(self, library: Any, path: str) -> None:
        self._device = library.InputDevice(path, readonly=True)
        self.name: str = self._device.name
        try:
            self._device.grab()
        except OSError:
            self._device.close()
            raise

    def fileno(self) -> int:
        number: int = self._device.fd
        return number

    def read(self) -> list[KeyEvent]:
        return keys.parse_events(os.read(self.fileno(), 64 * keys.EVENT.size))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._device.close()


def find_by_name(name: str, sysfs: Path = SYSFS) -> str:
    """The path of the first device whose name contains `name` and which has the keys 1 and Enter. Raises OSError.

    Names come from sysfs, which every user may read: a device that may not be opened is told from an absent one.
    """
    for entry in sorted(sysfs.glob("event*/device/name"), key=lambda path: int(path.parts[-3][5:])):
        if name.lower() in entry.read_text().lower() and _types_numbers(entry.parent / "capabilities" / "key"):
            return f"/dev/input/{entry.parts[-3]}"
    raise OSError(errno.ENODEV, f"no keyboard whose name contains {name!r}")


def _types_numbers(capabilities: Path) -> bool:
    """A bit per key in words of hex, the lowest word last (Documentation/input: sysfs); scanners have buttons too."""
    lowest = int(capabilities.read_text().split()[-1], 16)
    return bool(lowest >> 2 & 1 and lowest >> keys.KEY_ENTER & 1)


class Driver(TextKeeper[Keys]):
    """One keyboard. `opener` opens it; raises OSError."""

    def __init__(self, options: Options, voice: Voice, ears: Ears, opener: Callable[[], Keys]) -> None:
        super().__init__(options.device or options.name or "", voice, ears)
        self._layout, self._opener = options.layout, opener
        self._typist = Typist(options.layout)

    def open(self) -> Keys:
        try:
            return self._opener()
        except OSError as error:
            words = f"no such keyboard ({error.strerror or error})"
            code, words = _BY_ERRNO.get(error.errno or 0, ("reader.not_present", words))
            raise ReaderError(code, f"{self.scope}: {words}") from error

    def close(self, device: Keys) -> None:
        device.close()

    def model(self, device: Keys) -> str:
        return device.name

    def lost(self) -> None:
        self._typist = Typist(self._layout)

    def use(self, device: Keys) -> None:
        events = self._read(device)
        if self.paused:
            return
        now_s = time.monotonic()
        for event in events:
            line = self._typist.press(event, now_s)
            if line is not None:
                self.say_line(line)

    def rest(self, device: Keys) -> None:
        """What is scanned meanwhile is lost on purpose: nobody wants it later."""
        self._read(device)
        self.lost()

    def _read(self, device: Keys) -> list[KeyEvent]:
        ready = self.wait(program.BEAT_S, [device.fileno()])
        try:
            return device.read() if ready else []
        except OSError as error:
            raise ReaderError("reader.gone", f"{self.scope}: the scanner was unplugged ({error.strerror})") from error


def _body(options: Options, voice: Voice, ears: Ears) -> None:
    device, name = options.device, options.name
    if (device is None) == (name is None):
        raise OptionsError("device or name: give one of them")
    try:
        import evdev
    except (ImportError, OSError) as error:
        raise LibraryMissingError(f"evdev cannot be loaded ({error}): {CURE}") from error
    Driver(options, voice, ears, lambda: Grabbed(evdev, device or find_by_name(name or ""))).run()


def main(argv: list[str]) -> int:
    return program.run(Hello(driver="keyboard", capabilities=["pause", "self_test"]), Options, argv, _body)
