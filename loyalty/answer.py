"""What a decision says: `Approved` or `Declined`, told apart in JSON by the key `decision`."""

from typing import Any

from msgspec import Struct, json

from loyalty.facts import Counts, Pricing, Taken

RulePoints = tuple[str, int]
"""A line of the breakdown: rule id and points."""

Hint = tuple[str, str, int, int]
"""rule, kind, have, need: `need - have` is what lacks."""

Effect = tuple[str | int, ...]
"""What follows besides points: its name, then its own particulars."""

Lot = tuple[str | None, int]
"""Last day (None: never dies) and points."""


class Approved(Struct, frozen=True, kw_only=True, tag_field="decision", tag="approved"):
    """The request stands. `points` is the sum of the breakdown; `counts` goes into the row as it is.

    `pricing` is given for purchases, codes and activations, `allowance` for burns, `part` for reversals.
    """

    points: int
    breakdown: tuple[RulePoints, ...]
    counts: Counts
    almost: tuple[Hint, ...] = ()
    flags: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    lots: tuple[Lot, ...] = ()
    pricing: Pricing | None = None
    allowance: str | None = None
    part: tuple[Taken, ...] = ()
    reason: None = None


class Declined(Struct, frozen=True, kw_only=True, tag_field="decision", tag="declined"):
    """The request does not stand, for one reason (`area.cause`); nothing is written."""

    reason: str
    almost: tuple[Hint, ...] = ()
    flags: tuple[str, ...] = ()
    points: int = 0
    breakdown: tuple[RulePoints, ...] = ()


Answer = Approved | Declined


def as_json(answer: Answer) -> dict[str, Any]:
    """The answer as plain JSON values, `decision` included; tuples become lists."""
    plain: dict[str, Any] = json.decode(json.encode(answer))
    return plain
