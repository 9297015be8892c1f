"""The only door to nfcpy: one reader, opened once and kept open while it lives, and its library's errors as ours.

What nfcpy leaves to its caller, as seen with 1.0.4: an unplugged serial reader raises termios.error, which is no
OSError; a mute one is seen by its missing acknowledgement; a tag that left or refused a page in the middle of a read
gives `tag.ndef is None`, as a blank tag does. So exchanges that fail are counted where they happen.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import struct
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nfc
import nfc.clf
import nfc.clf.device
import nfc.clf.pn53x
import nfc.clf.pn532
import nfc.clf.transport
import nfc.tag
import serial

from drivers.keeper import ReaderError
from drivers.lines import NdefRecord
from drivers.ndef import NdefError, read_message

logging.getLogger("nfc").setLevel(logging.CRITICAL)  # what matters of it is said as faults

_UsbError = nfc.clf.transport.libusb.USBError

SERIAL_PREFIX = "serial:"
READ_TRIES = 3  # a card held at the edge of the field answers now and then
SLIPS_ALLOWED = 5  # searches in a row that fail although the reader answers

# A frame cut short or garbled makes nfcpy trip over its own indexes; the reader's answer decides what it meant
_SLIPS = (
    nfc.clf.Error, nfc.tag.TagCommandError, nfc.clf.pn53x.Chipset.Error,
    AssertionError, AttributeError, LookupError, TypeError, ValueError, struct.error,
)  # fmt: skip

_BY_ERRNO = {
    errno.EACCES: "reader.not_permitted",
    errno.EPERM: "reader.not_permitted",
    errno.EBUSY: "reader.busy",
    errno.EAGAIN: "reader.busy",  # another program's lock on the serial port
    errno.EIO: "reader.mute",
    errno.ETIMEDOUT: "reader.mute",
}
_WORDS = {
    "reader.not_present": "no such reader on this machine",
    "reader.not_permitted": "this user may not open the reader: add it to the group that owns the device",
    "reader.busy": "the reader is held by another program, or by the kernel's own driver (pn533_usb)",
    "reader.mute": "the reader does not answer: unplug it for five seconds and plug it in directly",
    "reader.gone": "the reader was unplugged",
}


def _error(code: str, detail: object) -> ReaderError:
    return ReaderError(code, f"{_WORDS[code]} ({detail})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A tag in the field. `uid` as it sends it; `target` is nfcpy's."""

    uid: bytes
    kind: str
    target: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What was read of a tag. `state` as `ndef_state` of a reading; `tag` is nfcpy's, None if it says nothing."""

    state: Literal["none", "read", "empty", "torn", "unreadable"]
    records: list[NdefRecord]
    tag: Any


class _Counting(nfc.ContactlessFrontend):  # type: ignore[misc]
    """Counts exchanges that brought no answer, or a refusal (NAK, Type 2 Tag 1.1, 5.1)."""

    failures = 0

    def exchange(self, send_data: bytes, timeout: float) -> bytes | None:
        try:
            answer: bytes | None = super().exchange(send_data, timeout)
        except nfc.clf.CommunicationError:
            self.failures += 1
            raise
        if send_data[0] == 0x30 and answer is not None and len(answer) == 1 and answer[0] & 0xFA == 0:
            self.failures += 1
        return answer


class _LockedTTY(nfc.clf.transport.TTY):  # type: ignore[misc]
    """A serial port that no second program can open meanwhile."""

    def open(self, port: str, baudrate: int = 115_200) -> None:
        self.close()
        self.tty = serial.Serial(port, baudrate, timeout=0.05, exclusive=True)


class Frontend:
    """One open reader. Every method may raise ReaderError; then close it and open another."""

    def __init__(self, path: str) -> None:
        """Opens nfcpy's `path`, or `serial:/dev/...` for a PN532 on any serial port. Raises ReaderError."""
        self._clf = _Counting()
        self._slips = 0
        try:
            self._open(path)
        except OSError as error:
            code = _BY_ERRNO.get(error.errno or 0, "reader.not_present")
            raise _error(code, f"{path}: {error.strerror or error}") from error
        except (termios.error, _UsbError) as error:
            raise _error("reader.not_present", f"{path}: {error}") from error
        except _SLIPS as error:
            raise _error("reader.mute", f"{path}: {error!r}") from error

    def _open(self, path: str) -> None:
        if path.startswith(SERIAL_PREFIX):
            self._clf.device = _pn532_on(path.removeprefix(SERIAL_PREFIX))
            return
        paths = _usb_paths(path) if path.startswith("usb") else [path]
        failed: OSError | None = None
        for exact in paths:
            try:
                if self._clf.open(exact):
                    return
            except OSError as error:
                failed = failed or error
        raise failed or OSError(errno.ENODEV, "not found")

    @property
    def model(self) -> str:
        device = self._clf.device
        return " ".join(filter(None, (device.vendor_name, device.product_name, device.chipset_name)))

    def close(self) -> None:
        """Gives the port back, whatever state the reader is in."""
        transport = getattr(getattr(self._clf.device, "chipset", None), "transport", None)
        with contextlib.suppress(OSError, termios.error, *_SLIPS):
            self._clf.close()
        with contextlib.suppress(OSError, termios.error):
            if transport is not None and getattr(transport, "tty", None):
                transport.tty.close()

    def check(self) -> None:
        """Raises ReaderError unless the reader answers when asked for its firmware (UDP has none to ask)."""
        ask = getattr(getattr(self._clf.device, "chipset", None), "get_firmware_version", None)
        try:
            if ask:
                ask()
        except termios.error as error:
            raise _error("reader.gone", error) from error
        except OSError as error:
            code = "reader.mute" if error.errno in (errno.EIO, errno.ETIMEDOUT) else "reader.gone"
            raise _error(code, error) from error
        except (_UsbError, *_SLIPS) as error:
            raise _error("reader.mute", repr(error)) from error

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Lets a failure pass when the reader still answers: then it was the tag, or noise."""
        try:
            yield
            self._slips = 0
        except (OSError, termios.error, _UsbError, *_SLIPS) as error:
            self.check()
            self._slips += 1
            if self._slips >= SLIPS_ALLOWED:
                raise _error("reader.mute", repr(error)) from error

    def sense(self, technology: str) -> Seen | None:
        """A tag of that technology (`106A`, ...) in the field, if there is one."""
        with self._asking():
            target = self._clf.sense(nfc.clf.RemoteTarget(technology))
            return None if target is None else _seen(target)
        return None

    def quiet(self) -> None:
        """Switches the field off."""
        with self._asking():
            self._clf.sense()

    def read(self, seen: Seen) -> Content | None:
        """The tag's content; None when the tag went away before it was whole."""
        for _ in range(READ_TRIES):
            content = self._try(seen)
            if content is not None:
                return content
            again = self.sense(seen.target.brty)
            if again is None or again.uid != seen.uid:
                return None
            seen = again
        return Content(state="unreadable", records=[], tag=None)

    def _try(self, seen: Seen) -> Content | None:
        if seen.kind in ("mifare_classic", "iso14443"):  # nothing in it is read without keys: the UID is all
            return Content(state="none", records=[], tag=None)
        with self._asking():
            tag = nfc.tag.activate(self._clf, seen.target)
            if tag is None:
                return None
            self._clf.failures = 0
            ndef = tag.ndef
            if ndef is None:
                return None if self._clf.failures else Content(state="none", records=[], tag=tag)
            return _content(tag, ndef.octets)
        return None

    def is_held(self, seen: Seen, content: Content) -> bool:
        """Whether that same tag is still in the field. A random UID is a new one once the field was off."""
        with self._asking():
            if content.tag is not None and content.tag.is_present:
                return True
        for _ in range(2):
            again = self.sense(seen.target.brty)
            if again is not None:
                return again.uid == seen.uid
            time.sleep(0.02)
        return False


def _pn532_on(port: str) -> Any:
    """A PN532 on a serial port that nfcpy's paths cannot say (by-id links, pseudo-terminals)."""
    port = str(Path(port).resolve())
    if not re.fullmatch(r"[\w/.:+-]+", port):  # nfcpy hands it to a shell
        raise OSError(errno.EINVAL, "a port's path may have letters, digits and /._:+- only")
    tty = _LockedTTY(port)
    try:
        device = nfc.clf.pn532.init(tty)
    except BaseException:
        tty.close()
        raise
    device._path = port
    return device


def _usb_paths(path: str) -> list[str]:
    """The readers that a path may mean, each named exactly: only then does nfcpy say why one does not open."""
    found = nfc.clf.transport.USB.find(path) or []
    known = [place for place in found if place[:2] in nfc.clf.device.usb_device_map]
    return [f"usb:{bus:03}:{number:03}" for _, _, bus, number in known]


def _seen(target: Any) -> Seen:
    if target.brty.endswith("F"):
        return Seen(uid=bytes(target.sensf_res[1:9]), kind="type3", target=target)  # IDm, JIS X 6319-4
    if target.brty.endswith("B"):
        return Seen(uid=bytes(target.sensb_res[1:5]), kind="type4", target=target)  # PUPI, ISO/IEC 14443-3, 7.9.2
    if target.rid_res:
        return Seen(uid=bytes(target.rid_res[2:6]), kind="type1", target=target)  # after the header, Type 1 Tag 1.2
    return Seen(uid=bytes(target.sdd_res), kind=_kind_by_sak(target.sel_res[0]), target=target)


def _kind_by_sak(sak: int) -> str:
    """ISO/IEC 14443-3, 6.5.3, and NXP AN10833 for bit 4."""
    if sak & 0x20:
        return "type4"
    if sak & 0x08:
        return "mifare_classic"
    return "iso14443" if sak & 0x40 else "type2"


def _content(tag: Any, message: bytes) -> Content:
    try:
        records = read_message(message)
    except NdefError:
        return Content(state="torn", records=[], tag=tag)
    return Content(state="read" if records else "empty", records=records, tag=tag)
