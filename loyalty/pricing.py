"""The lines of an answer that gives points, from exact units to points: one way for decisions and for returns."""

from collections.abc import Sequence

from msgspec import Struct

from loyalty.answer import Effect, RulePoints
from loyalty.calendar import days_later
from loyalty.campaigns import Fired
from loyalty.case import Case
from loyalty.lines import Basket
from loyalty.rounding import caps, shown
from loyalty.terms import Level, Programme

BASE = "earn.base"
REFERRAL = "referral.friend"
REFERRER = "referral.referrer"


class RuleUnits(Struct, frozen=True):
    """One rule's exact units; `expires_days` None follows the programme's expiry."""

    rule: str
    units: int
    expires_days: int | None = None


class Priced(Struct, frozen=True, kw_only=True):
    """`lines` are the rules in order, `cuts` the caps' negative lines."""

    lines: tuple[RulePoints, ...]
    cuts: tuple[RulePoints, ...]
    points: int

    @property
    def breakdown(self) -> tuple[RulePoints, ...]:
        return self.lines + self.cuts

    @property
    def cut(self) -> int:
        return -sum(points for _, points in self.cuts)


def base_rules(
    programme: Programme, basket: Basket, level: Level | None, *, qualifying: bool, referral: bool
) -> list[RuleUnits]:
    """The rules of a purchase before its campaigns: base, tier, referral."""
    if not qualifying:
        return [RuleUnits(BASE, 0)]
    base = basket.all.base
    rules = [RuleUnits(BASE, base)]
    if level is not None and level.more:
        rules.append(RuleUnits(level.rule, base * level.more // level.per))
    if referral and programme.referral is not None:
        rules.append(RuleUnits(REFERRAL, programme.referral.friend_points * programme.unit))
    return rules


def campaign_rules(fired: Sequence[Fired]) -> list[RuleUnits]:
    """The rules of the campaigns taken, in order."""
    return [RuleUnits(one.campaign.rule, one.units, one.campaign.gives.expires_days) for one in fired]


def priced(programme: Programme, rules: Sequence[RuleUnits], *, capped: bool, day_room: int | None) -> Priced:
    """Rounded once, shown line by line, then capped."""
    points = shown([rule.units for rule in rules], programme.unit, programme.rounding)
    total = sum(points)
    cuts = caps(total, programme.earning.max_points_per_purchase, day_room) if capped else []
    return Priced(
        lines=tuple([(rule.rule, n) for rule, n in zip(rules, points, strict=True)]),
        cuts=tuple(cuts),
        points=total + sum(n for _, n in cuts),
    )


def promised(case: Case, fired: Sequence[Fired]) -> list[Effect]:
    """Vouchers and discounts of the campaigns taken, each with its last day."""
    effects: list[Effect] = []
    for one in fired:
        campaign = one.campaign
        for promise in campaign.gives.promises:
            last = days_later(case.moment.today, promise.valid_days)
            what = (promise.what,) if promise.name == "voucher" else (promise.what, promise.n)
            effects.append((promise.name, campaign.rule, *what, last))
    return effects
