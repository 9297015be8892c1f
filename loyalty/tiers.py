"""Tiers: what is held, what was reached, what comes next. Terminals never lower a tier."""

from datetime import date, timedelta

from loyalty.answer import Hint
from loyalty.calendar import Moment, days_later
from loyalty.facts import Facts
from loyalty.terms import CALENDAR_YEAR, Level, Programme, Tiers

VISITS, SPEND, BASE = 0, 1, 2
COUNTED = {"purchases": VISITS, "spend": SPEND, "points": BASE}


def effective_level(programme: Programme, facts: Facts, moment: Moment) -> tuple[Level | None, int]:
    """The higher of the tier held and the one reached before this purchase, none for an unknown member; and the
    progress before this purchase."""
    tiers = programme.tiers
    if tiers is None or not facts.known:
        return None, 0
    before = progress(tiers, facts, moment)
    index = max(_held(tiers, facts, moment), _reached(tiers, before))
    return tiers.levels[index] if index >= 0 else None, before


def progress(tiers: Tiers, facts: Facts, moment: Moment) -> int:
    """What counts towards a tier in its window, before this purchase."""
    which = COUNTED[tiers.by]
    if tiers.days == CALENDAR_YEAR:
        year = facts.years.get(moment.year)
        return 0 if year is None else year[which]
    first = days_later(moment.today, 1 - tiers.days)
    return sum([counts[which] for day, counts in facts.days.items() if first <= day <= moment.day])


def after_purchase(
    tiers: Tiers, effective: Level | None, before: int, added: tuple[int, int, int]
) -> tuple[Level | None, Hint | None]:
    """The level that this qualifying purchase of a known member reaches, or else the hint of the next one from four
    fifths on. `before` is the progress before it, `added` what it counts: visits, spend_minor, base."""
    have = before + added[COUNTED[tiers.by]]
    held = tiers.levels.index(effective) if effective is not None else -1
    reached = _reached(tiers, have)
    if reached > held:
        return tiers.levels[reached], None
    following = tiers.levels[held + 1 : held + 2]
    if following and have * 5 >= following[0].at * 4:
        return None, (following[0].rule, "tier", have, following[0].at)
    return None, None


def _held(tiers: Tiers, facts: Facts, moment: Moment) -> int:
    held = facts.tier
    if held is None or moment.today > date.fromisoformat(held.until) + timedelta(days=tiers.grace_days):
        return -1
    return next((i for i, level in enumerate(tiers.levels) if level.id == held.id), -1)


def _reached(tiers: Tiers, have: int) -> int:
    return sum([level.at <= have for level in tiers.levels]) - 1
