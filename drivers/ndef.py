"""NDEF bytes to records, pure. NFC Forum NDEF 1.0, URI RTD 1.0, Text RTD 1.0, Smart Poster RTD 1.1, Type 2 Tag 1.1.

A message that is torn (cut short, begun in the middle, a length that leads nowhere) raises NdefError. It is never
taken for an empty one: a half-written card must be told from a new card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from drivers.lines import NdefRecord

MAX_MESSAGE_BYTES = 8192  # largest tag in use as a card is an NTAG216 (868); so that a reading fits one line
MAX_RECORDS = 64  # likewise

Read = Callable[[int, int], bytes]
"""(offset, count) to exactly that many bytes of a tag's data area."""

URI_PREFIXES = (  # URI RTD 1.0, table 3: identifier codes 0x00 to 0x23
    "", "http://www.", "https://www.", "http://", "https://", "tel:", "mailto:", "ftp://anonymous:anonymous@",
    "ftp://ftp.", "ftps://", "sftp://", "smb://", "nfs://", "ftp://", "dav://", "news:", "telnet://", "imap:",
    "rtsp://", "urn:", "pop:", "sip:", "sips:", "tftp:", "btspp://", "btl2cap://", "btgoep://", "tcpobex://",
    "irdaobex://", "file://", "urn:epc:id:", "urn:epc:tag:", "urn:epc:pat:", "urn:epc:raw:", "urn:epc:", "urn:nfc:",
)  # fmt: skip

EMPTY, WELL_KNOWN, MEDIA, ABSOLUTE_URI, EXTERNAL, UNKNOWN, UNCHANGED, RESERVED = range(8)  # NDEF 1.0, 3.2.6


class NdefError(ValueError):
    """The tag's bytes are not a whole NDEF message; the text says what is wrong with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record with its chunks joined: type name format (0 to 5, 7), type and payload as on the tag."""

    tnf: int
    type: bytes
    payload: bytes


def read_message(message: bytes) -> list[NdefRecord]:
    """The records of a whole message as the line protocol says them; [] for no record or only empty ones.

    Raises NdefError.
    """
    return [_said(record) for record in parse_message(message) if record.tnf != EMPTY]


def parse_message(message: bytes) -> list[Record]:
    """A whole message as records, chunks joined (NDEF 1.0, 2.3.3 and 3.2). b"" has none. Raises NdefError."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise NdefError(f"message of {len(message)} bytes; at most {MAX_MESSAGE_BYTES} are taken")
    records: list[Record] = []
    chunks = _chunks(message)
    for first in chunks:
        if len(records) == MAX_RECORDS:
            raise NdefError(f"more than {MAX_RECORDS} records")
        records.append(_joined(first, chunks))
    return records


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    """One record as it lies on the tag: a whole one, or a piece of one."""

    tnf: int
    goes_on: bool
    type: bytes
    payload: bytes


def _chunks(message: bytes) -> Iterator[_Chunk]:
    """Checks that the first alone is marked as begin, the last alone as end, and that nothing follows."""
    at = 0
    while at < len(message):
        flags = message[at]
        if bool(flags & 0x80) != (at == 0):
            raise NdefError("message begins in the middle" if at else "message without its beginning")
        chunk, at = _chunk(message, at)
        if bool(flags & 0x40) != (at == len(message)):
            raise NdefError("bytes after the last record" if flags & 0x40 else "message without its end")
        yield chunk


def _chunk(message: bytes, at: int) -> tuple[_Chunk, int]:
    """The chunk that starts at `at`, and where the next starts (NDEF 1.0, 3.2)."""
    flags, type_length = _cut(message, at, 2)
    at += 2
    length_bytes = 1 if flags & 0x10 else 4
    length = int.from_bytes(_cut(message, at, length_bytes), "big")
    at += length_bytes
    id_length = 0
    if flags & 0x08:
        (id_length,) = _cut(message, at, 1)
        at += 1
    kind = _cut(message, at, type_length)
    at += type_length + id_length
    payload = _cut(message, at, length)
    tnf = flags & 0x07
    if tnf == EMPTY and (type_length or id_length or length):
        raise NdefError("empty record with something in it")
    if tnf in (UNKNOWN, UNCHANGED) and type_length:
        raise NdefError("record with a type where none may be")
    return _Chunk(tnf=tnf, goes_on=bool(flags & 0x20), type=kind, payload=payload), at + length


def _cut(message: bytes, at: int, count: int) -> bytes:
    if at + count > len(message):
        raise NdefError(f"message of {len(message)} bytes breaks off inside a record")
    return message[at : at + count]


def _joined(first: _Chunk, rest: Iterator[_Chunk]) -> Record:
    """The record that begins with `first`; takes its further chunks from `rest`."""
    if first.tnf == UNCHANGED:
        raise NdefError("chunk without a first chunk")
    payload, last = first.payload, first
    while last.goes_on:
        following = next(rest, None)
        if following is None or following.tnf != UNCHANGED:
            raise NdefError("chunked record without its last chunk")
        payload, last = payload + following.payload, following
    return Record(tnf=first.tnf, type=first.type, payload=payload)


def _said(record: Record) -> NdefRecord:
    match record.tnf, record.type:
        case 1, b"U":
            return NdefRecord(kind="uri", text=uri(record.payload))
        case 1, b"T":
            return NdefRecord(kind="text", text=text(record.payload))
        case 1, b"Sp":
            return NdefRecord(kind="uri", text=_poster_uri(record.payload))
        case _:
            return NdefRecord(kind=_type_name(record))


def _type_name(record: Record) -> str:
    """The type in the form that NDEF 1.0, 3.2.6 gives it, which no `uri` or `text` can be mistaken for."""
    name = record.type.decode("ascii", "backslashreplace")
    match record.tnf:
        case 1:
            return f"urn:nfc:wkt:{name}"
        case 4:
            return f"urn:nfc:ext:{name}"
        case 2 | 3:
            return name
        case _:  # 7 is to be treated as unknown
            return "unknown"


def uri(payload: bytes) -> str:
    """A URI record's payload (URI RTD 1.0, 3.2); a reserved identifier code stands for no prefix. Raises NdefError."""
    if not payload:
        raise NdefError("URI record without content")
    prefix = URI_PREFIXES[payload[0]] if payload[0] < len(URI_PREFIXES) else ""
    return prefix + _decoded(payload[1:], "utf-8")


def text(payload: bytes) -> str:
    """A text record's payload without its language (Text RTD 1.0, 3.2); UTF-16 is big-endian unless marked.

    Raises NdefError.
    """
    if not payload:
        raise NdefError("text record without content")
    language_length = payload[0] & 0x3F
    if 1 + language_length > len(payload):
        raise NdefError("text record breaks off inside its language")
    content = payload[1 + language_length :]
    if not payload[0] & 0x80:
        return _decoded(content, "utf-8")
    marked = content[:2] in (b"\xfe\xff", b"\xff\xfe")
    return _decoded(content, "utf-16" if marked else "utf-16-be")


def _poster_uri(payload: bytes) -> str:
    """A smart poster holds exactly one URI record among titles and actions (Smart Poster RTD 1.1, 3.3)."""
    uris = [record.payload for record in parse_message(payload) if (record.tnf, record.type) == (1, b"U")]
    if len(uris) != 1:
        raise NdefError(f"smart poster with {len(uris)} URIs")
    return uri(uris[0])


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise NdefError(f"text that is not {encoding}") from error


def find_message(area: bytes) -> bytes | None:
    """The message in a Type 2 data area held whole in memory. See `seek_message`."""
    return seek_message(lambda at, count: area[at : at + count], len(area))


def seek_message(read: Read, size: int) -> bytes | None:
    """The first NDEF TLV's value in a Type 2 data area of `size` bytes (Type 2 Tag 1.1, 2.3); None if there is none.

    Reads no more than it needs. Lock control, memory control, proprietary and unknown blocks are skipped; lengths
    may take three bytes. b"" is a tag made ready for NDEF with nothing on it. Raises NdefError for a block that
    runs past the area; passes on what `read` raises.
    """
    at = 0
    while at < size:
        tag = read(at, 1)[0]
        if tag == 0xFE:  # terminator
            return None
        if tag == 0x00:  # NULL has no length
            at += 1
            continue
        start, length = _tlv_length(read, at + 1, size)
        if start + length > size:
            raise NdefError(f"block of {length} bytes runs past the tag's {size}")
        if tag == 0x03:
            return _message_at(read, start, length)
        at = start + length
    return None


def _tlv_length(read: Read, at: int, size: int) -> tuple[int, int]:
    """Where the value starts, and its length in bytes."""
    if at + 1 > size:
        raise NdefError("block without a length")
    (short,) = read(at, 1)
    if short != 0xFF:
        return at + 1, short
    if at + 3 > size:
        raise NdefError("block without a length")
    return at + 3, int.from_bytes(read(at + 1, 2), "big")


def _message_at(read: Read, start: int, length: int) -> bytes:
    if length > MAX_MESSAGE_BYTES:
        raise NdefError(f"message of {length} bytes; at most {MAX_MESSAGE_BYTES} are taken")
    return read(start, length) if length else b""
