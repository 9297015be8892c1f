"""What a till asks of the programme."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

Instant = Annotated[datetime, Meta(tz=True)]
"""A moment with its offset; one without is refused when it is read."""

EARN, CODE, ACTIVATE, BURN, REVERSE, ADJUST, LATE = KINDS = (
    "earn",
    "code",
    "activate",
    "burn",
    "reverse",
    "adjust",
    "late",
)


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a basket or of a return. `quantity` not given is 1 of a basket, 0 of a return."""

    no: int
    amount_minor: int
    category: str | None = None
    product: str | None = None
    quantity: int | None = None


class PresentedCode(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bonus code as the terminal's code set resolved it: `batch` is None in no set, `programme` None for ours."""

    id: str
    batch: str | None = None
    serial: int = 1
    programme: str | None = None


class Approval(Struct, frozen=True, kw_only=True):
    """The second pair of eyes: who approved, and in which role."""

    operator: str
    role: str


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request; which fields are read follows from `kind`. Amounts are minor units, instants UTC.

    earn and late: amount_minor, vouchers_minor, lines, receipt; earn and code: codes; late: bought_at;
    burn: reward or points; adjust: reason, points, role; reverse: of, and whole, lines or amount_minor.
    """

    kind: str
    outlet: str = ""
    currency: str | None = None
    operator: str | None = None
    approval: Approval | None = None
    hold: bool = False
    posted: bool = False
    amount_minor: int | None = None
    vouchers_minor: int = 0
    lines: tuple[Line, ...] | None = None
    receipt: str | None = None
    codes: tuple[PresentedCode, ...] = ()
    bought_at: Instant | None = None
    reward: str | None = None
    points: int | None = None
    reason: str | None = None
    role: str | None = None
    of: str | None = None
    whole: bool = False
