"""What terminal and centre say to each other in one exchange, and its bytes: msgpack maps under zstd.

Maps, so that a later version adds keys and an earlier one ignores them. Sizes are bounded before anything is read.
"""

from __future__ import annotations

import sys
from typing import Any, TypeVar

import msgspec

from loyalty.ids import AccountId, AllowanceId, CardToken, EventId, Generation, TerminalId

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PROTOCOL = 1
OLDEST_PROTOCOL = 1
MEDIA_TYPE = "application/vnd.holdfast.exchange+zstd"
MAX_WIRE_BYTES = 2 * 1024 * 1024
MAX_PLAIN_BYTES = 16 * 1024 * 1024
MAX_BATCH_BYTES = 256 * 1024
_LEVEL = 9  # 3 is 6 % larger on a batch of 1,000 rows; 19 is 2 % smaller and five times slower


class _Said(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    pass


class Place(msgspec.Struct, array_like=True, frozen=True):
    """(seq, hash) on a terminal's chain."""

    seq: int
    hash: bytes


class Batch(_Said, frozen=True, kw_only=True):
    """Consecutive rows: `after` is the row before the first, `last` the last one's hash, `packed` as in packing."""

    after: Place
    last: bytes
    packed: bytes


class Receipt(_Said, frozen=True, kw_only=True):
    """The centre's feed as this terminal last saw it: whether the centre was put back shows here."""

    generation: Generation
    position: int = 0
    hash: bytes = b""


class Wish(_Said, frozen=True, kw_only=True):
    """Asks for an allowance. The id makes it granted once, however often it is asked."""

    id: bytes
    account: AccountId
    points: int
    exact: bool = False  # true: a burn now, lifetime 60 s; nothing less than `points` will do


class Clock(_Said, frozen=True, kw_only=True):
    """The terminal's clocks at the sending of this request."""

    wall_ms: int
    boottime_ms: int
    boot_id: bytes


class Request(_Said, frozen=True, kw_only=True):
    """Push rows, pull changes. `number` rises with every request of a terminal."""

    number: int
    terminal: TerminalId
    epoch: int
    head: Place
    clock: Clock
    receipt: Receipt
    protocol: tuple[int, int] = (OLDEST_PROTOCOL, PROTOCOL)
    batch: Batch | None = None
    fork: bool = False
    chain: list[Place] = []  # places on the own chain, newest first, from which the centre finds the common part
    outcomes_through: int = 0
    cursor: int = 0
    budget_bytes: int = 1_000_000
    allowances: list[AllowanceId] = []  # open ones that are held here
    wishes: list[Wish] = []
    counts: dict[int, tuple[int, int]] = {}  # kind: rows and points, of the whole journal
    health: dict[str, Any] = {}


class Outcome(_Said, frozen=True, kw_only=True):
    """The centre's word on a row. `points` is what the centre counts instead of what the till said."""

    event_id: EventId
    seq: int
    outcome: str
    revision: int = 1
    reason: str | None = None
    points: int | None = None


class MemberItem(_Said, tag="member", frozen=True, kw_only=True):
    """All that a terminal may know of a member: counts by day and not answers, least personal data."""

    account: AccountId
    no: int
    facts: bytes  # msgpack of loyalty.facts.Facts
    name: str | None = None
    cards: list[tuple[CardToken, str]] = []
    aliases: list[AccountId] = []  # accounts that count to this one: the terminal may have rows that name them


class GoneItem(_Said, tag="gone", frozen=True, kw_only=True):
    """A member that left the region or was erased."""

    account: AccountId


class ProgrammeItem(_Said, tag="programme", frozen=True, kw_only=True):
    """A version of the programme document as the centre signed it (COSE_Sign1 over the TOML's bytes)."""

    version: int
    signed: bytes


class CodesItem(_Said, tag="codes", frozen=True, kw_only=True):
    """Typed codes of a batch, each as its stored hash with its serial."""

    batch: str
    purpose: str  # activation or bonus
    codes: list[tuple[bytes, bytes, int]]  # stored hash, code id, serial


class CodeStateItem(_Said, tag="code_state", frozen=True, kw_only=True):
    """A code that was used or voided."""

    code_id: bytes
    state: str


class OutcomeItem(_Said, tag="outcome", frozen=True, kw_only=True):
    """A changed outcome of one of this terminal's rows."""

    outcome: Outcome


FeedItem = MemberItem | GoneItem | ProgrammeItem | CodesItem | CodeStateItem | OutcomeItem


class Page(_Said, frozen=True, kw_only=True):
    """A page of the feed: current content, one watermark (this terminal's head at that instant)."""

    start: int | None  # the cursor the request stood at; None: the feed was begun anew
    cursor: int
    position: int  # end of the feed
    hash: bytes  # chain hash at `position`
    watermark: Place
    items: list[FeedItem] = []
    more: bool = False


class Branch(_Said, frozen=True, kw_only=True):
    """The answer to a fork: go on under this epoch, from this place."""

    epoch: int
    parent: Place


class Probe(_Said, frozen=True, kw_only=True):
    """The common part ends between these two seqs: send the hashes in between."""

    above: int
    below: int


class Answer(_Said, frozen=True, kw_only=True):
    """The centre's answer. With `branch` or `probe` nothing else of it counts."""

    number: int
    epoch: int
    generation: Generation
    commit: int
    centre_time_ms: int
    ack: Place | None = None
    safe_seq: int = 0
    outcomes_from: int = 0
    outcomes: list[Outcome] = []
    page: Page | None = None
    grants: list[bytes] = []  # open allowances of this terminal that it did not list, as COSE_Sign1
    refused_wishes: list[tuple[bytes, str]] = []
    branch: Branch | None = None
    probe: Probe | None = None
    next_poll_s: float | None = None
    max_rows: int = 2_000
    counts: dict[int, tuple[int, int]] = {}


class Grant(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """The payload of a signed allowance."""

    version: int = 1
    allowance: AllowanceId
    account: AccountId
    outlet: str
    terminal: TerminalId
    epoch: int
    points: int
    granted_at_ms: int
    lifetime_s: int
    reclaim_at_ms: int
    wish: bytes


class Hello(_Said, frozen=True, kw_only=True):
    """The centre's signed answer to anybody: who it is, what time it has, which protocol it speaks."""

    centre: str
    time_ms: int
    protocol: tuple[int, int] = (OLDEST_PROTOCOL, PROTOCOL)


ENROL_CONTEXT = b"holdfast-enrol-1"  # signed before the code: the proof is good for nothing else


class Enrol(_Said, frozen=True, kw_only=True):
    """A terminal joins: its key, a proof that it has the private half, and the single-use code."""

    code: str
    public_key: bytes
    proof: bytes  # signature over ENROL_CONTEXT + code
    label: str | None = None


class Enrolled(_Said, frozen=True, kw_only=True):
    """What a new terminal needs to know. `keys` are the centre's public keys by kid, each for one purpose."""

    terminal: TerminalId
    enrolment: bytes
    outlet: str
    centre: str
    keys: dict[str, bytes]
    token_key: bytes
    token_key_id: int
    code_key: bytes  # hashes typed codes


class MessageError(ValueError):
    """Bytes that are no message of the exchange: torn, too large, of a wrong shape. Nothing of it was used."""


M = TypeVar("M", bound=msgspec.Struct)
_encoder = msgspec.msgpack.Encoder()


def pack_message(message: msgspec.Struct) -> bytes:
    """The bytes that travel."""
    return zstd.compress(_encoder.encode(message), level=_LEVEL)


def read_message(data: bytes, shape: type[M]) -> M:
    """A message from outside, at most MAX_WIRE_BYTES and unpacked MAX_PLAIN_BYTES; raises MessageError."""
    if len(data) > MAX_WIRE_BYTES:
        raise MessageError(f"{len(data)} bytes; at most {MAX_WIRE_BYTES} are read")
    try:
        decompressor = zstd.ZstdDecompressor()
        plain = decompressor.decompress(data, max_length=MAX_PLAIN_BYTES)
        if not decompressor.eof or decompressor.unused_data:
            raise MessageError("truncated, or larger than allowed when unpacked")
        return msgspec.msgpack.decode(plain, type=shape)
    except zstd.ZstdError as error:
        raise MessageError(f"not compressed as agreed: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"not a {shape.__name__}: {error}") from error
