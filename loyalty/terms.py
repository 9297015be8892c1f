"""The terms of a programme, ready for deciding: what the document says, with names looked up and fractions cleared.

Points are counted in *units*: `Programme.unit` of them make one point, chosen so that every rate, ratio and
multiplier of the document is a whole number of units. So no decision needs a fraction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from loyalty.calendar import Slots

MONTH = 0
"""The window `within = "month"`; other windows are a number of days."""

CALENDAR_YEAR = 0
"""The tier window `calendar_year`; a rolling one is a number of days."""

EVERYTHING = 0
"""The scope of all eligible lines."""

MAX_POINTS = 2**53 - 1
MAX_AMOUNT_MINOR = 10**12

Words = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    id: str
    region: str
    country: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Outlets, regions, countries: any of each list, every list that is given."""

    outlets: frozenset[str] | None = None
    regions: frozenset[str] | None = None
    countries: frozenset[str] | None = None

    def include(self, outlet: Outlet) -> bool:
        return (
            (self.outlets is None or outlet.id in self.outlets)
            and (self.regions is None or outlet.region in self.regions)
            and (self.countries is None or outlet.country in self.countries)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Local bounds, start inside, end outside; None is open."""

    starts: datetime | None = None
    ends: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Lines that either list names; `everything` is all eligible lines."""

    everything: bool = False
    categories: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Earning:
    """Weights are units per minor unit paid."""

    minimum_minor: int
    weight: int
    weights: Mapping[str, int]
    excluded_categories: frozenset[str]
    excluded_products: frozenset[str]
    max_points_per_purchase: int | None
    max_points_per_day: int | None
    visits_per_day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A tier. It adds base x `more` / `per`."""

    id: str
    rule: str
    at: int
    more: int
    per: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    by: str
    days: int
    grace_days: int
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BasketTable:
    scope: int
    quantity: int | None
    amount_minor: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendCondition:
    at_least_minor: int
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitsCondition:
    """`every` is 0 where `at_least` is asked."""

    at_least: int
    every: int
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberConditions:
    """What is asked of the member; nothing of it holds for one who is unknown."""

    new_member_days: int | None = None
    first_purchase: bool = False
    tiers: frozenset[str] | None = None
    birthday_month: bool = False
    tags_any: frozenset[str] | None = None
    tags_none: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A voucher (`what` is the reward) or a discount (`percent` or `amount_minor` of `n`), for another purchase."""

    name: str
    what: str
    n: int
    valid_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gives:
    """All in units: `fixed`; base in scope x `more` / `per`; `per_item`; `extra` per minor paid; at most `most`."""

    fixed: int
    more: int
    per: int
    per_item: int
    extra: int
    scope: int
    most: int | None
    expires_days: int | None
    promises: tuple[Promise, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    per_member: int
    per: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    hard: bool
    points: bool
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """`order` counts from 0 by priority, then id. `batches` None: no code is asked. `asks_more` says whether minimum,
    basket, spend or visits are asked at all."""

    id: str
    rule: str
    order: int
    on: str
    exclusive: bool
    group: str | None
    window: Window
    slots: Slots | None
    places: Places
    member: MemberConditions | None
    minimum_minor: int
    baskets: tuple[BasketTable, ...]
    spend: SpendCondition | None
    visits: VisitsCondition | None
    batches: tuple[str, ...] | None
    gives: Gives
    limit: Limit | None
    budget: Budget | None
    asks_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    at: datetime
    upto: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    from_release: bool
    hours: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    id: str
    use: str
    times: int
    stackable: bool
    personal: bool
    needs_allowance: bool
    releases: tuple[Release, ...]
    flash: Flash | None
    window: Window
    places: Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """`value_minor` and `percent` are for the till; the engine treats all kinds alike."""

    id: str
    rule: str
    kind: str
    name: Words
    points: int
    value_minor: int | None
    percent: int | None
    window: Window
    outlets: frozenset[str] | None
    tiers: frozenset[str] | None
    stock: bool
    thanks: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Burning:
    points: int
    value_minor: int
    minimum_points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """`kind` is none, rolling, active or fixed; of the two rolling ones either `days` or `months` is above 0."""

    kind: str = "none"
    days: int = 0
    months: int = 0
    on_month: int = 12
    on_day: int = 31
    at_least_days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral:
    friend_points: int
    referrer_points: int
    max_per_year: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensation:
    max_points: int
    roles: frozenset[str]
    per_member_month: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustments:
    downward: str = "keep"
    keep_up_to_points: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    points_over: int | None
    amount_over_minor: int | None
    roles: frozenset[str]
    may_hold: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder:
    about: str
    lead_hours: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """One version of a programme. `campaigns` stand in their order, `names` by rule id (`campaign.x`, `tier.gold`,
    `reward.cup`, `programme`); `places` and `shared` remember what was worked out for an outlet and for a zone."""

    id: str
    version: int
    currency: str
    zone: ZoneInfo
    window: Window
    offline_until: datetime
    rounding: str
    stack_limit: int
    unit: int
    outlets: Mapping[str, Outlet]
    categories: frozenset[str]
    category_of: Mapping[str, str]
    earning: Earning
    tiers: Tiers | None
    scopes: tuple[Scope, ...]
    named_products: frozenset[str]
    campaigns: tuple[Campaign, ...]
    max_codes: int
    batches: Mapping[str, Batch]
    rewards: Mapping[str, Reward]
    burning: Burning | None
    expiry: Expiry
    referral: Referral | None
    compensation: Mapping[str, Compensation]
    late_days: int | None
    adjustments: Adjustments
    approvals: Approvals | None
    reminders: tuple[Reminder, ...]
    names: Mapping[str, Words]
    places: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    shared: dict[tuple[str, ...], Any] = field(default_factory=dict, compare=False, repr=False)
