"""Reading a card by APDU, pure: every function takes a `Transmit` and can be fed a transcript.

PC/SC 2, part 3, 3.2.2 (GET DATA, READ BINARY); NFC Forum Type 2 Tag 1.1 and Type 4 Tag 2.0; ISO 7816-4 status words;
the buzzer and light command that ACS made common.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from drivers.atr import MemoryCard, ProcessorCard
from drivers.lines import NdefRecord
from drivers.ndef import MAX_MESSAGE_BYTES, NdefError, read_message, seek_message

Transmit = Callable[[bytes], tuple[bytes, int]]
"""APDU to (data, SW1 SW2 as one number). What it raises, the functions here pass on."""

NdefState = Literal["none", "read", "empty", "torn", "unreadable"]
Pattern = Literal["yes", "no", "look"]

OK = 0x9000
PAGE_BYTES, CC_PAGE, CC_BYTES = 4, 3, 4  # Type 2 Tag 1.1, 2.1
READ_BYTES = 16  # one Type 2 READ
LE_MAX = 240  # an ACR122U's frame is 255 bytes with its own headers
UID_LENGTHS = (4, 7, 8, 10)  # ISO 14443-3 6.5.4 and type B; FeliCa and ISO 15693 have 8

GET_UID = bytes.fromhex("FFCA000000")
SELECT_NDEF_APPLICATION = bytes.fromhex("00A4040007D276000085010100")
SELECT_CC = bytes.fromhex("00A4000C02E103")

MEANINGS = {  # ISO 7816-4, table 6; readers' own 6300 is PC/SC part 3's "operation failed"
    0x6300: "the operation failed",
    0x6700: "wrong length",
    0x6982: "locked by a key or password",
    0x6A81: "not supported",
    0x6A82: "not found",
    0x6D00: "unknown instruction",
    0x6E00: "unknown class",
}
UNKNOWN_COMMAND_SW1 = (0x67, 0x68, 0x6A, 0x6B, 0x6D, 0x6E)  # "I do not do this", not "this failed"


class StatusError(Exception):
    """The card or reader answered a command with an unwanted status word `sw`."""

    def __init__(self, sw: int) -> None:
        super().__init__(f"answer {sw:04X}: {MEANINGS.get(sw, 'no success')}")
        self.sw = sw


class NoIdentityError(Exception):
    """This card and reader give no UID, however often one asks."""


class TornReadError(Exception):
    """What was read cannot be believed: a part of a UID, or another card than a moment ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a card is and holds: tag type as the line protocol names it, and its NDEF message."""

    tag: str
    state: NdefState
    records: list[NdefRecord] = field(default_factory=list)


def read_uid(transmit: Transmit) -> bytes:
    """The UID, 4, 7, 8 or 10 bytes in the order the card sends them (PC/SC part 3, 3.2.2.1.3).

    Raises NoIdentityError, TornReadError for a UID of an impossible shape, StatusError.
    """
    try:
        uid = _ask(transmit, GET_UID)
    except StatusError as error:
        if error.sw >> 8 in UNKNOWN_COMMAND_SW1:
            raise NoIdentityError(f"the reader gives no UID for it ({error})") from error
        raise
    if _is_partial(uid):
        raise TornReadError(f"{len(uid)} bytes that are no whole UID")
    return uid


def _is_partial(uid: bytes) -> bool:
    """Cheap readers give a UID after a broken anticollision: `04A651FFFFFFFF`, or four bytes led by a cascade tag."""
    if len(uid) not in UID_LENGTHS or not any(uid):
        return True
    return uid.endswith(b"\xff" * 4) or (len(uid) == 4 and uid[0] == 0x88)


def read_content(card: MemoryCard | ProcessorCard, uid: bytes, transmit: Transmit) -> Content:
    """Tag type and NDEF message of the card that gave `uid`.

    Some readers answer for a card that is no longer there with a status word, so a message that could not be read is
    reported (torn, unreadable) only after the card gave its UID again; else TornReadError, StatusError.
    """
    tag = card.tag if isinstance(card, MemoryCard) else "type4"
    try:
        return _content(card, transmit)
    except NdefError:
        failed = Content(tag=tag, state="torn")
    except StatusError as error:
        failed = Content(tag=tag, state="unreadable")
        if isinstance(error, _NoApplicationError):
            failed = Content(tag="iso14443", state="none")
    if read_uid(transmit) != uid:
        raise TornReadError("another card answers now")
    return failed


class _NoApplicationError(StatusError):
    """A processor card without the NDEF application: a bank card, a passport, a badge."""


def _content(card: MemoryCard | ProcessorCard, transmit: Transmit) -> Content:
    """Raises NdefError, StatusError."""
    match card:
        case ProcessorCard():
            return _read("type4", _type4_message(transmit))
        case MemoryCard(tag="type2"):
            return _type2(transmit)
        case MemoryCard(tag=tag):  # needs keys (Classic) or commands that not every reader passes on
            return Content(tag=tag, state="unreadable")


def _read(tag: str, message: bytes | None) -> Content:
    if message is None:
        return Content(tag=tag, state="none")
    records = read_message(message)
    return Content(tag=tag, state="read" if records else "empty", records=records)


def _ask(transmit: Transmit, apdu: bytes) -> bytes:
    """The answer's data. A reader that names the right length (6Cxx) is asked once more. Raises StatusError."""
    data, sw = transmit(apdu)
    if sw >> 8 == 0x6C:
        data, sw = transmit(apdu[:-1] + bytes([sw & 0xFF]))
    if sw != OK:
        raise StatusError(sw)
    return data


def _type2(transmit: Transmit) -> Content:
    """Type 2 Tag 1.1, 6.1: magic number E1, version 1.x, size in 8 bytes, access. Raises NdefError, StatusError."""
    pages = _Pages(transmit)
    magic, version, size, access = pages.read(0, CC_BYTES)
    if magic != 0xE1:
        return Content(tag="type2", state="none")
    if version >> 4 != 1 or access >> 4:
        return Content(tag="type2", state="unreadable")
    return _read("type2", seek_message(lambda at, count: pages.read(CC_BYTES + at, count), size * 8))


class _Pages:
    """A Type 2 tag's bytes from its capability container on, fetched 16 at a time as they are needed."""

    def __init__(self, transmit: Transmit) -> None:
        self._transmit = transmit
        self._blocks: dict[int, bytes] = {}

    def read(self, at: int, count: int) -> bytes:
        """Raises NdefError if the tag ends sooner than it says, StatusError."""
        first, last = at // READ_BYTES, (at + count - 1) // READ_BYTES
        joined = b"".join(self._block(n) for n in range(first, last + 1))
        start = at - first * READ_BYTES
        return joined[start : start + count]

    def _block(self, n: int) -> bytes:
        if n not in self._blocks:
            page = CC_PAGE + n * READ_BYTES // PAGE_BYTES
            data = _ask(self._transmit, bytes([0xFF, 0xB0, page >> 8, page & 0xFF, READ_BYTES]))
            self._blocks[n] = _whole(data, READ_BYTES)
        return self._blocks[n]


def _type4_message(transmit: Transmit) -> bytes:
    """Type 4 Tag 2.0, 5.4: application, capability container, NDEF file. Raises NdefError, StatusError."""
    try:
        _ask(transmit, SELECT_NDEF_APPLICATION)
    except StatusError as error:
        raise _NoApplicationError(error.sw) from error
    _ask(transmit, SELECT_CC)
    container = _container(_binary(transmit, 0, 15))
    _ask(transmit, SELECT_CC[:-2] + container.file)
    length = int.from_bytes(_binary(transmit, 0, 2), "big")
    if length > min(container.size - 2, MAX_MESSAGE_BYTES):
        raise NdefError(f"message of {length} bytes in a file of {container.size}")
    parts = range(2, 2 + length, container.le)
    return b"".join(_binary(transmit, at, min(container.le, 2 + length - at)) for at in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Container:
    """Type 4's capability container: the NDEF file's id, its size in bytes, and the most bytes to read at once."""

    file: bytes
    size: int
    le: int


def _container(cc: bytes) -> _Container:
    """Type 4 Tag 2.0, 5.1. Raises NdefError for a container that is none, StatusError 6982 for a locked file."""
    le = int.from_bytes(cc[3:5], "big")
    if cc[2] >> 4 not in (1, 2, 3) or cc[7:9] != b"\x04\x06" or le < 15:
        raise NdefError("capability container that makes no sense")
    if cc[13]:
        raise StatusError(0x6982)
    return _Container(file=cc[9:11], size=int.from_bytes(cc[11:13], "big"), le=min(le, LE_MAX))


def _binary(transmit: Transmit, at: int, count: int) -> bytes:
    """READ BINARY (ISO 7816-4, 7.2.3). Raises NdefError for a file that ends early, StatusError."""
    return _whole(_ask(transmit, bytes([0x00, 0xB0, at >> 8, at & 0xFF, count])), count)


def _whole(data: bytes, count: int) -> bytes:
    if len(data) < count:
        raise NdefError(f"{len(data)} bytes where {count} were asked for")
    return data[:count]


def signal(pattern: Pattern, *, sound: bool) -> bytes:
    """ACR122U API 2.04, 6.2: bi-colour light and buzzer. Beeps one long, three or two short; lights green, red, both.

    The reader answers 90xx (xx: the lights now) when it has played the pattern, 0.8 s at most.
    """
    lights = {"yes": 0xA8, "no": 0x54, "look": 0xFC}[pattern]
    on, off, times = {"yes": (3, 1, 1), "no": (1, 1, 3), "look": (1, 1, 2)}[pattern]
    if sound:
        return bytes([0xFF, 0x00, 0x40, 0x00, 0x04, on, off, times, 0x01])
    return bytes([0xFF, 0x00, 0x40, lights, 0x04, on, off, times, 0x00])


def is_played(sw: int) -> bool:
    """Whether a reader took `signal`: it answers 90 and the state of its lights."""
    return sw >> 8 == OK >> 8
