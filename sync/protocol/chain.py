"""The chain of a terminal's journal: every row's hash covers the one before it, so that a copy cannot be told apart
from the original but a change can. The vectors in tests/golden/1/ fix this for ever.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple, NewType

from loyalty.ids import EventId, TerminalId

RowHash = NewType("RowHash", bytes)  # 32 bytes

FIRST_EPOCH = 1
MAX_BODY_BYTES = 16_384
_FIXED = struct.Struct(">32s16sIQI")


class Row(NamedTuple):
    """One line of a journal: `body` is the exact bytes as journalled, never changed."""

    seq: int
    epoch_born: int
    hash: RowHash
    body: bytes


class Head(NamedTuple):
    """A place on a chain. It holds only where the journal has that hash at that seq."""

    seq: int
    hash: RowHash


def genesis(terminal: TerminalId, enrolment: bytes) -> RowHash:
    """The hash before row 1; `enrolment` is the 16 bytes that the centre drew when the terminal joined."""
    return RowHash(hashlib.sha256(terminal + enrolment).digest())


def row_hash(previous: RowHash, terminal: TerminalId, epoch_born: int, seq: int, body: bytes) -> RowHash:
    """SHA-256 of "hf1", the hash before, terminal (16), epoch (u32), seq (u64), length (u32), all big-endian, body."""
    fixed = _FIXED.pack(previous, terminal, epoch_born, seq, len(body))
    return RowHash(hashlib.sha256(b"hf1" + fixed + body).digest())


def event_id(hash_: bytes) -> EventId:
    """What makes a row unique everywhere: derived at both ends, it costs nothing on the wire."""
    return EventId(hash_[:16])
