"""The kinds of journal row and their bytes: positional msgpack, version and kind first.

Fields are only ever added at the end. A reader ignores what it does not know, and since the journal and the centre keep
the bytes themselves, nothing unknown is lost. See tests/golden/1/rows.json.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from loyalty.ids import AccountId, AllowanceId, CardToken, EventId, Generation

VERSION = 1


class Kind(enum.IntEnum):
    """What happened. Numbers are never used again for something else."""

    epoch_opened = 1
    activated = 2
    earned = 3
    burned = 4
    code_used = 5
    reversed = 6
    adjusted = 7
    profile_patched = 8
    card_replaced = 9
    card_blocked = 10
    allowance_taken = 11
    allowance_closed = 12
    operator_acted = 13


class Basis(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What the terminal had heard from the centre when it decided. Cursors compare only within one generation."""

    generation: Generation
    programme: int  # version; 0: none
    block_list: int  # feed position through which blocked cards were known
    feed: int  # feed position through which members were known


class Moment(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """When, by three clocks: the wall, the time since this boot, and which boot and process it was."""

    wall_ms: int  # Unix time
    boot_id: bytes  # 16 bytes of the kernel's boot id
    boottime_ms: int  # CLOCK_BOOTTIME
    nonce: bytes  # 8 random bytes of this process


class Caller(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """The POS key and the Idempotency-Key of a request that came from outside: unique per outlet at the centre."""

    pos_key: str
    key: str


class Body(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One row as journalled. `account` is None where no member is concerned, and in the row that makes an account."""

    version: int = VERSION
    kind: int
    moment: Moment
    basis: Basis
    operator: str | None
    account: AccountId | None
    card: CardToken | None
    caller: Caller | None
    detail: msgspec.Raw


class Line(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A line of a basket; `amount_minor` after discounts."""

    no: int
    amount_minor: int
    category: str | None = None
    product: str | None = None
    quantity: int = 1


class UsedCode(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A code as the terminal resolved it."""

    id: str
    batch: str | None
    serial: int
    programme: str


class Part(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What of a line a reversal takes back."""

    no: int
    amount_minor: int
    quantity: int = 0


class Counted(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """`counts` of a decision: what this row adds to a member's facts. `day` is ISO text of the outlet's local date."""

    day: str
    visits: int
    spend_minor: int
    base: int
    points_counted: int
    balance: int
    campaigns: dict[str, tuple[int, int]] = {}
    codes: tuple[str, ...] = ()


class Priced(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """How a purchase was priced: all that a later return needs besides its lines."""

    purchase: bool
    capped: bool
    tier: str | None
    fired: tuple[str, ...]
    referral: bool
    spend_before: dict[str, int]
    day_room: int | None


class Answered(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What the till decided, as said to the cashier."""

    points: int
    breakdown: tuple[tuple[str, int], ...]
    counts: Counted
    lots: tuple[tuple[str | None, int], ...] = ()
    flags: tuple[str, ...] = ()
    effects: tuple[tuple[str | int | None, ...], ...] = ()
    pricing: Priced | None = None


class Approved(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """The second pair of eyes."""

    operator: str
    role: str


class Earned(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A purchase, or a late claim of one (`bought_at` is then ISO text in UTC)."""

    outlet: str
    amount_minor: int
    currency: str
    lines: tuple[Line, ...]
    vouchers_minor: int
    receipt: str | None
    codes: tuple[UsedCode, ...]
    bought_at: str | None
    approval: Approved | None
    held: bool
    answer: Answered


class Activated(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A card brought to life: the new account's id is this row's event id. One of the three ways is given."""

    outlet: str
    way: str  # signed, typed, assisted
    code: UsedCode | None
    first_name: str | None
    approval: Approved | None
    answer: Answered


class CodeUsed(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A bonus code without a purchase."""

    outlet: str
    codes: tuple[UsedCode, ...]
    approval: Approved | None
    held: bool
    answer: Answered


class Burned(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Points spent, against one allowance."""

    outlet: str
    reward: str | None
    points: int
    allowance: AllowanceId
    approval: Approved | None
    held: bool
    answer: Answered


class Reversed(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """An entry taken back, wholly or in part; the parts of all its reversals never exceed it."""

    outlet: str
    of: EventId
    whole: bool
    lines: tuple[Part, ...]
    amount_minor: int | None
    reason: str | None
    part: tuple[Part, ...]
    approval: Approved | None
    held: bool
    answer: Answered


class Adjusted(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Goodwill points."""

    outlet: str
    reason: str
    role: str
    points: int
    approval: Approved | None
    held: bool
    answer: Answered


class EpochOpened(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A branch of the journal: rows after `parent_seq` are pushed under `epoch`, with the numbers they have."""

    epoch: int
    parent_seq: int
    parent_hash: bytes


class AllowanceTaken(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """The centre's signed grant, kept here so that neither a lost snapshot nor a restored centre makes a burn name
    something unknown. `grant` is the COSE_Sign1 message."""

    allowance: AllowanceId
    grant: bytes


class AllowanceClosed(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """No burn after this row names the allowance; `spent` is what burns before it took."""

    allowance: AllowanceId
    spent: int


Decided = Earned | Activated | CodeUsed | Burned | Reversed | Adjusted
Detail = Decided | EpochOpened | AllowanceTaken | AllowanceClosed

_KINDS: dict[Kind, type[Any]] = {
    Kind.epoch_opened: EpochOpened,
    Kind.activated: Activated,
    Kind.earned: Earned,
    Kind.burned: Burned,
    Kind.code_used: CodeUsed,
    Kind.reversed: Reversed,
    Kind.adjusted: Adjusted,
    Kind.allowance_taken: AllowanceTaken,
    Kind.allowance_closed: AllowanceClosed,
}
_BY_TYPE = {shape: kind for kind, shape in _KINDS.items()}
_encoder = msgspec.msgpack.Encoder()
_body = msgspec.msgpack.Decoder(Body)
_details = {int(kind): msgspec.msgpack.Decoder(shape) for kind, shape in _KINDS.items()}


class RowError(ValueError):
    """Bytes that are not a row this version can read. The bytes themselves are kept by whoever holds them."""


class UnknownKindError(RowError):
    """A row of a newer version or kind: it travels as it is, and is read again after an upgrade."""


def encode(
    detail: Detail,
    *,
    moment: Moment,
    basis: Basis,
    operator: str | None = None,
    account: AccountId | None = None,
    card: CardToken | None = None,
    caller: Caller | None = None,
) -> bytes:
    """The exact bytes of a row's body; equal input gives equal bytes."""
    body = Body(
        kind=_BY_TYPE[type(detail)],
        moment=moment,
        basis=basis,
        operator=operator,
        account=account,
        card=card,
        caller=caller,
        detail=msgspec.Raw(_encoder.encode(detail)),
    )
    return _encoder.encode(body)


def read_body(data: bytes) -> Body:
    """The part that all kinds share; raises RowError."""
    try:
        body = _body.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RowError(f"not a row: {error}") from error
    if body.version > VERSION:
        raise UnknownKindError(f"row of version {body.version}; this software reads up to {VERSION}")
    return body


def read_detail(body: Body) -> Detail:
    """What the row says beyond the shared part; raises RowError, of it UnknownKindError for a kind of tomorrow."""
    decoder = _details.get(body.kind)
    if decoder is None:
        raise UnknownKindError(f"row of kind {body.kind}, which this software does not know")
    try:
        detail: Detail = decoder.decode(body.detail)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RowError(f"not a row of kind {Kind(body.kind).name}: {error}") from error
    return detail
