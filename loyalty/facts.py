"""What is known of a member, and this terminal's own rows since.

Facts come in blocks, each with its own `as_of`: the number of this terminal's last row that the centre had counted in
it. Facts are raw counts by day, never answers. Days are ISO text (`2026-03-05`), months `2026-03`, years `2026`.
"""

from msgspec import Struct, field

from loyalty.request import Instant, Request

DayCounts = tuple[int, int, int, int]
"""visits, spend_minor, base, points of one local day."""

YearCounts = tuple[int, int, int]
"""visits, spend_minor, base of one calendar year."""

Taken = tuple[int, int, int]
"""line number, amount in minor units, quantity."""


class HeldTier(Struct, frozen=True, kw_only=True):
    """A tier the centre granted; `until` is its last day."""

    id: str
    until: str


class CodeFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One code as the centre knows it. A code without facts is unused, bound to nobody, not allowed here."""

    as_of: int = 0
    uses: int = 0
    uses_by_member: int = 0
    state: str | None = None
    member: str | None = None
    allowed_here: bool = False


class BudgetFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`left` of the outlet's allowance for a hard budget, `used` by all outlets for a soft one."""

    as_of: int = 0
    left: int = 0
    used: int = 0


class Allowance(Struct, frozen=True, kw_only=True):
    """Points of the member set aside for this outlet to burn."""

    id: str
    as_of: int = 0
    left: int = 0


class StockFacts(Struct, frozen=True, kw_only=True):
    """How many of a reward this outlet has left."""

    as_of: int = 0
    left: int = 0


class Pricing(Struct, frozen=True, kw_only=True):
    """How a purchase was priced: with its lines, all that a later return needs."""

    purchase: bool = True
    capped: bool = True
    tier: str | None = None
    fired: tuple[str, ...] = ()
    referral: bool = False
    spend_before: dict[str, int] = field(default_factory=dict)
    day_room: int | None = None


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ledger entry that may be reversed: of a purchase (`request`, `pricing`, `taken`), or of a burn, code,
    activation or goodwill (`points`, `rule`, and what was given back or which campaigns it used)."""

    kind: str
    as_of: int = 0
    day: str = ""
    request: Request | None = None
    pricing: Pricing | None = None
    taken: tuple[Taken, ...] = ()
    points: int = 0
    rule: str = ""
    taken_points: int = 0
    campaigns: dict[str, tuple[int, int]] = field(default_factory=dict)


class Counts(Struct, frozen=True, kw_only=True):
    """What a decision adds to the counters; a return writes the same keys, negative, on the day it undoes."""

    day: str
    visits: int = 0
    spend_minor: int = 0
    base: int = 0
    points_counted: int = 0
    balance: int = 0
    campaigns: dict[str, tuple[int, int]] = field(default_factory=dict)
    codes: tuple[str, ...] = ()


class Facts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that one decision may know of a member, and of the codes, budgets, allowances and entries it touches."""

    known: bool
    as_of: int = 0
    member: str = ""
    status: str = "active"
    activated_at: Instant | None = None
    purchases: int = 0
    balance: int = 0
    birth_month: int | None = None
    tags: tuple[str, ...] = ()
    tier: HeldTier | None = None
    referred_by: str | None = None
    receipts: tuple[str, ...] = ()
    compensations: dict[str, dict[str, int]] = field(default_factory=dict)
    days: dict[str, DayCounts] = field(default_factory=dict)
    years: dict[str, YearCounts] = field(default_factory=dict)
    campaigns: dict[str, dict[str, int]] = field(default_factory=dict)
    codes: dict[str, CodeFacts] = field(default_factory=dict)
    budgets: dict[str, BudgetFacts] = field(default_factory=dict)
    allowances: tuple[Allowance, ...] = ()
    stock: dict[str, StockFacts] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)


class OwnRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of this terminal's own rows, as far as decisions read it: its counts, and what its kind needs.

    `kind` is `earned`, `code_used`, `activated`, `burned`, `reversed` or `adjusted`.
    """

    seq: int
    kind: str
    member: str = ""
    day: str = ""
    visits: int = 0
    spend_minor: int = 0
    base: int = 0
    points_counted: int = 0
    balance: int = 0
    campaigns: dict[str, tuple[int, int]] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    receipt: str | None = None
    reward: str | None = None
    quantity: int = 0
    allowance: str | None = None
    points: int = 0
    reason: str | None = None
    of: str | None = None
    lines: tuple[Taken, ...] = ()
