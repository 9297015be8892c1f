"""What is allowed and yet likely not meant: campaigns that meet, points worth too much or too little."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations

from loyalty.calendar import local_end, local_start, week_slots
from loyalty.check_names import tables_at
from loyalty.check_report import Report, Table
from loyalty.check_terms import rates, times_of
from loyalty.check_windows import outlets_of
from loyalty.toml_lines import Path

MOST_WORTH = Fraction(20, 100)
MONTH_DAYS = 30


def check_warnings(report: Report, document: Table) -> None:
    campaigns = tables_at(document, "campaigns")
    outlets = [_outlets(document, campaign) for campaign in campaigns]
    for (i, one), (n, other) in combinations(enumerate(campaigns), 2):
        if not outlets[i].isdisjoint(outlets[n]) and _may_meet(one, other):
            _check_tie(report, n, one, other)
            _check_overlap(report, document, n, one, other)
    for i, campaign in enumerate(campaigns):
        for other in campaigns:
            _check_shadow(report, i, campaign, other)
    _check_worth(report, document)
    _check_rewards(report, document)
    _check_unused(report, document)


def _outlets(document: Table, campaign: Table) -> frozenset[str | None]:
    return frozenset(outlet.get("id") for outlet in outlets_of(document, campaign.get("when", {})))


def _may_meet(one: Table, other: Table) -> bool:
    """Whether two campaigns of one place can run on one purchase: same kind, common dates and hours."""
    if (one.get("on") == "activation") != (other.get("on") == "activation"):
        return False
    first, second = one.get("when", {}), other.get("when", {})
    return _dates_meet(first, second) and _hours_meet(first, second)


def _dates_meet(first: Table, second: Table) -> bool:
    for one, other in ((first, second), (second, first)):
        if "starts" in one and "ends" in other and local_start(one["starts"]) >= local_end(other["ends"]):
            return False
    return True


def _hours_meet(first: Table, second: Table) -> bool:
    one = week_slots(first.get("weekdays"), first.get("hours"))
    other = week_slots(second.get("weekdays"), second.get("hours"))
    if one is None or other is None:
        return True
    return any(a < d and c < b for a, b in one for c, d in other)


def _check_tie(report: Report, i: int, one: Table, other: Table) -> None:
    if one.get("priority", 0) != other.get("priority", 0):
        return
    grouped = "group" in one and one["group"] == other.get("group")
    exclusive = "exclusive" in (one.get("stacking"), other.get("stacking"))
    if grouped or exclusive:
        names = sorted((one.get("id", ""), other.get("id", "")))
        text = f"{names[0]!r} and {names[1]!r} have the same priority: {names[0]!r} wins by its id"
        report.warn(("campaigns", i), "campaign_tie", text, "give them different priorities")


def _check_overlap(report: Report, document: Table, i: int, one: Table, other: Table) -> None:
    both = (one.get("gives", {}), other.get("gives", {}))
    apart = "group" in one or "group" in other or "exclusive" in (one.get("stacking"), other.get("stacking"))
    if apart or not all("times" in gives for gives in both) or not _lines_meet(document, *both):
        return
    text = f"{one.get('id')!r} and {other.get('id')!r} may multiply the same lines at once: they add"
    report.warn(("campaigns", i), "overlap", text, "put them in one group if only one should count")


def _lines_meet(document: Table, one: Table, other: Table) -> bool:
    first, second = _lines(document, one), _lines(document, other)
    return first is None or second is None or not first.isdisjoint(second)


def _lines(document: Table, gives: Table) -> set[str] | None:
    """The categories and products that a scope covers; None for all lines."""
    if not gives.keys() & {"categories", "products"}:
        return None
    named = set(gives.get("categories", ()))
    inside = [c.get("products", ()) for c in tables_at(document, "categories") if c.get("id") in named]
    return {*named, *gives.get("products", ()), *(product for products in inside for product in products)}


def _check_shadow(report: Report, i: int, campaign: Table, exclusive: Table) -> None:
    """An exclusive one that comes first and asks nothing that this does not ask as well."""
    if (
        campaign is exclusive
        or exclusive.get("stacking") != "exclusive"
        or "limits" in exclusive
        or "budget" in exclusive
    ):
        return
    if exclusive.get("on", "purchase") != campaign.get("on", "purchase") or _order(exclusive) > _order(campaign):
        return
    asked, gives = campaign.get("when", {}), exclusive.get("gives", {})
    wider = all(asked.get(key) == value for key, value in exclusive.get("when", {}).items())
    if wider and (gives.keys() & {"points", "voucher", "discount"} or not gives.keys() & {"categories", "products"}):
        text = f"{campaign.get('id')!r} never applies: {exclusive.get('id')!r} is exclusive and comes first"
        report.warn(("campaigns", i), "shadowed", text, "raise its priority, or narrow the other")


def _order(campaign: Table) -> tuple[int, bytes]:
    return -campaign.get("priority", 0), str(campaign.get("id", "")).encode()


def _check_worth(report: Report, document: Table) -> None:
    """Points worth more than a fifth of spend, with the best tier and all multipliers that may add up unlimited.
    Exclusive campaigns and those with a budget are left out: they stand alone, or their cost is set."""
    value = max(_values(document), default=Fraction(0))
    categories = {None, *(category.get("id") for category in tables_at(document, "categories"))}
    worth = max(value * _most_points(document, category) for category in categories)
    if worth > MOST_WORTH:
        text = f"points may be worth {float(worth):.0%} of spend under all multipliers"
        report.warn(("earning", "points"), "generous", text, "lower the rate, group the campaigns, or set a cap")


def _most_points(document: Table, category: str | None) -> Fraction:
    """Points per minor unit of a line of this category when everything applies to it."""
    base = rates(document)
    times = max([times_of(level) for level in tables_at(document, "tiers", "levels")], default=Fraction(1))
    extra = Fraction(0)
    groups: dict[str, Fraction] = {}
    for campaign in tables_at(document, "campaigns"):
        gives = campaign.get("gives", {})
        apart = campaign.get("stacking") == "exclusive" or "budget" in campaign
        if apart or not _covers(document, gives, category):
            continue
        more = times_of(gives) - 1
        if "group" in campaign:
            groups[campaign["group"]] = max(more, groups.get(campaign["group"], Fraction(0)))
        else:
            times += more
        if "extra_rate" in gives and "max_points" not in gives:
            extra += Fraction(*gives["extra_rate"])
    return base.get(category, base[None]) * (times + sum(groups.values(), Fraction(0))) + extra


def _covers(document: Table, gives: Table, category: str | None) -> bool:
    lines = _lines(document, gives)
    return lines is None or category in lines


def _values(document: Table) -> Iterator[Fraction]:
    """What a point is worth, in minor units, by each way to spend it."""
    for table in (document.get("burning", {}), *tables_at(document, "rewards")):
        if "points" in table and "value_minor" in table:
            yield Fraction(table["value_minor"], table["points"])


def _check_rewards(report: Report, document: Table) -> None:
    earning, expiry = document.get("earning", {}), document.get("expiry", {})
    if "points" not in earning or "per_minor" not in earning:
        return
    least = Fraction(earning.get("minimum_minor", 0) * earning["points"], earning["per_minor"])
    rewards = [(i, r["points"]) for i, r in enumerate(tables_at(document, "rewards")) if "points" in r]
    for i, points in rewards:
        if points < least:
            path: Path = ("rewards", i, "points")
            text = f"one purchase of the minimum gives {int(least):,} points, the reward asks {points:,}"
            report.warn(path, "almost_free", text, "ask more points, or lower the rate")
    days = _life_days(expiry)
    usual = max(least, Fraction(earning["points"]))  # a day's purchase of the minimum, or of one step of the rate
    if days is not None and rewards and usual * days < min(points for _, points in rewards):
        text = f"{days} days of small purchases do not reach the first reward before points die"
        report.warn(("expiry",), "expiry_before_use", text, "let points live longer, or add a smaller reward")


def _life_days(expiry: Table) -> int | None:
    if expiry.get("kind") == "fixed":
        least: int = expiry.get("at_least_days", 0)
        return max(1, least)
    if "months" in expiry:
        months: int = expiry["months"]
        return months * MONTH_DAYS
    days: int | None = expiry.get("days")
    return days


def _check_unused(report: Report, document: Table) -> None:
    """Categories that no rule names and no product belongs to; tiers that give nothing and open nothing; rewards
    that nobody can be given."""
    named = set(document.get("earning", {}).get("excluded_categories", ()))
    tiers: set[str] = set()
    given: set[str] = set()
    for rate in tables_at(document, "earning", "rates"):
        named.update(rate.get("categories", ()))
    for campaign in tables_at(document, "campaigns"):
        when, gives = campaign.get("when", {}), campaign.get("gives", {})
        for table in (gives, *when.get("basket", ())):
            named.update(table.get("categories", ()))
        tiers.update(when.get("tiers", ()))
        given.add(gives.get("voucher", {}).get("reward", ""))
    for reward in tables_at(document, "rewards"):
        tiers.update(reward.get("tiers", ()))
    _warn_unused(report, document, named, tiers, given)


def _warn_unused(report: Report, document: Table, named: set[str], tiers: set[str], given: set[str]) -> None:
    cure = "leave it out, or name it where it should count"
    for i, category in enumerate(tables_at(document, "categories")):
        if category.get("id") not in named and not category.get("products"):
            report.warn(("categories", i), "unused", f"nothing names category {category.get('id')!r}", cure)
    for i, level in enumerate(tables_at(document, "tiers", "levels")):
        if level.get("id") not in tiers and times_of(level) == 1:
            report.warn(("tiers", "levels", i), "unused", f"tier {level.get('id')!r} gives and opens nothing", cure)
    for i, reward in enumerate(tables_at(document, "rewards")):
        closed = reward.get("outlets") == [] or reward.get("tiers") == []
        if closed and reward.get("id") not in given:
            report.warn(("rewards", i), "unused", f"nobody can get reward {reward.get('id')!r}", cure)
