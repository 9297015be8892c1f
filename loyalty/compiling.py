"""From the document, as TOML or JSON gave it, to the terms that decisions read.

Nothing is checked here beyond what cannot be read at all: `check` says what is wrong with a document.
"""

from collections.abc import Iterable, Mapping
from math import lcm
from typing import Any

from loyalty import terms
from loyalty.calendar import local_end, local_start, week_slots, zone_of

Table = Mapping[str, Any]


def compiled(document: Table) -> terms.Programme:
    """The programme of a document. Raises KeyError, TypeError or ValueError where it cannot be read."""
    head = document["programme"]
    ratio_unit = lcm(*_ratio_parts(document))
    unit = lcm(*_rate_parts(document)) * ratio_unit
    scopes = _Scopes()
    campaigns = _campaigns(document, unit, scopes)
    return terms.Programme(
        id=head["id"],
        version=head["version"],
        currency=head["currency"],
        zone=zone_of(head["time_zone"]),
        window=_window(head, "valid_from", "valid_until"),
        offline_until=local_end(head["offline_valid_until"]),
        rounding=head.get("rounding", "down"),
        stack_limit=head.get("stack_limit", 3),
        unit=unit,
        outlets=_outlets(document),
        categories=frozenset(c["id"] for c in document.get("categories", ())),
        category_of={p: c["id"] for c in document.get("categories", ()) for p in c.get("products", ())},
        earning=_earning(document["earning"], unit),
        tiers=_tiers(document.get("tiers")),
        scopes=scopes.found(),
        named_products=scopes.products(),
        campaigns=campaigns,
        max_codes=document.get("codes", {}).get("max_per_purchase", 1),
        batches={b["id"]: _batch(b) for b in document.get("batches", ())},
        rewards={r["id"]: _reward(r) for r in document.get("rewards", ())},
        burning=_burning(document.get("burning")),
        expiry=_expiry(document.get("expiry")),
        referral=_referral(document.get("referral")),
        compensation={c["reason"]: _compensation(c) for c in document.get("compensation", ())},
        late_days=document["late_claims"]["days"] if document.get("late_claims") else None,
        adjustments=terms.Adjustments(**document.get("adjustments", {})),
        approvals=_approvals(document.get("approvals")),
        reminders=tuple(
            terms.Reminder(about=r["about"], lead_hours=tuple(r["lead_hours"])) for r in document.get("reminders", ())
        ),
        names=_names(document),
    )


def _rate_parts(document: Table) -> Iterable[int]:
    earning = document["earning"]
    yield earning["per_minor"]
    yield from (rate["per_minor"] for rate in earning.get("rates", ()))
    for campaign in document.get("campaigns", ()):
        if "extra_rate" in campaign["gives"]:
            yield campaign["gives"]["extra_rate"][1]


def _ratio_parts(document: Table) -> Iterable[int]:
    for level in (document.get("tiers") or {}).get("levels", ()):
        yield level.get("times", (1, 1))[1]
    for campaign in document.get("campaigns", ()):
        yield campaign["gives"].get("times", (1, 1))[1]


class _Scopes:
    """Gives each distinct scope a number, so that a decision adds up its lines once for all rules that share it."""

    def __init__(self) -> None:
        self._numbers = {terms.Scope(everything=True): terms.EVERYTHING}

    def number(self, table: Table) -> int:
        if "categories" not in table and "products" not in table:
            return terms.EVERYTHING
        scope = terms.Scope(
            categories=frozenset(table.get("categories", ())), products=frozenset(table.get("products", ()))
        )
        return self._numbers.setdefault(scope, len(self._numbers))

    def found(self) -> tuple[terms.Scope, ...]:
        return tuple(self._numbers)

    def products(self) -> frozenset[str]:
        return frozenset(product for scope in self._numbers for product in scope.products)


def _window(table: Table, starts: str = "starts", ends: str = "ends") -> terms.Window:
    return terms.Window(
        starts=local_start(table[starts]) if starts in table else None,
        ends=local_end(table[ends]) if ends in table else None,
    )


def _names_listed(table: Table, key: str) -> frozenset[str] | None:
    return frozenset(table[key]) if key in table else None


def _places(table: Table) -> terms.Places:
    return terms.Places(
        outlets=_names_listed(table, "outlets"),
        regions=_names_listed(table, "regions"),
        countries=_names_listed(table, "countries"),
    )


def _outlets(document: Table) -> dict[str, terms.Outlet]:
    default = document["programme"]["time_zone"]
    return {
        o["id"]: terms.Outlet(
            id=o["id"],
            region=o.get("region", ""),
            country=o.get("country", ""),
            zone=zone_of(o.get("time_zone", default)),
        )
        for o in document["outlets"]
    }


def _earning(table: Table, unit: int) -> terms.Earning:
    return terms.Earning(
        minimum_minor=table.get("minimum_minor", 0),
        weight=table["points"] * unit // table["per_minor"],
        weights={
            category: rate["points"] * unit // rate["per_minor"]
            for rate in table.get("rates", ())
            for category in rate["categories"]
        },
        excluded_categories=frozenset(table.get("excluded_categories", ())),
        excluded_products=frozenset(table.get("excluded_products", ())),
        max_points_per_purchase=table.get("max_points_per_purchase"),
        max_points_per_day=table.get("max_points_per_day"),
        visits_per_day=table.get("visits_per_day", 1),
    )


def _tiers(table: Table | None) -> terms.Tiers | None:
    if not table:
        return None
    return terms.Tiers(
        by=table["by"],
        days=terms.CALENDAR_YEAR if table["window"] == "calendar_year" else table["days"],
        grace_days=table.get("grace_days", 0),
        levels=tuple(_level(level) for level in table["levels"]),
    )


def _level(table: Table) -> terms.Level:
    n, d = table.get("times", (1, 1))
    return terms.Level(id=table["id"], rule=f"tier.{table['id']}", at=table["at"], more=n - d, per=d)


def _campaigns(document: Table, unit: int, scopes: _Scopes) -> tuple[terms.Campaign, ...]:
    tables = document.get("campaigns", ())
    in_order = sorted(tables, key=lambda c: (-c.get("priority", 0), c["id"].encode()))
    return tuple(_campaign(c, order, unit, scopes) for order, c in enumerate(in_order))


def _campaign(table: Table, order: int, unit: int, scopes: _Scopes) -> terms.Campaign:
    when = table.get("when", {})
    return terms.Campaign(
        id=table["id"],
        rule=f"campaign.{table['id']}",
        order=order,
        on=table.get("on", "purchase"),
        exclusive=table.get("stacking", "stackable") == "exclusive",
        group=table.get("group"),
        window=_window(when),
        slots=week_slots(when.get("weekdays"), when.get("hours")),
        places=_places(when),
        member=_member_conditions(when),
        minimum_minor=when.get("minimum_minor", 0),
        baskets=tuple(
            terms.BasketTable(scope=scopes.number(b), quantity=b.get("quantity"), amount_minor=b.get("amount_minor"))
            for b in when.get("basket", ())
        ),
        spend=_spend(when.get("spend")),
        visits=_visits(when.get("visits")),
        batches=tuple(when["code_batches"]) if "code_batches" in when else None,
        gives=_gives(table["gives"], unit, scopes),
        limit=_limit(table.get("limits")),
        budget=_budget(table.get("budget")),
        asks_more=any(when.get(key) for key in ("minimum_minor", "basket", "spend", "visits")),
    )


def _member_conditions(when: Table) -> terms.MemberConditions | None:
    asked = terms.MemberConditions(
        new_member_days=when.get("new_member_days"),
        first_purchase=when.get("first_purchase", False),
        tiers=_names_listed(when, "tiers"),
        birthday_month=when.get("birthday_month", False),
        tags_any=_names_listed(when, "tags_any"),
        tags_none=_names_listed(when, "tags_none"),
    )
    return None if asked == terms.MemberConditions() else asked


def _days(table: Table) -> int:
    return int(table.get("days", terms.MONTH))


def _spend(table: Table | None) -> terms.SpendCondition | None:
    if not table:
        return None
    return terms.SpendCondition(at_least_minor=table["at_least_minor"], days=_days(table))


def _visits(table: Table | None) -> terms.VisitsCondition | None:
    if not table:
        return None
    return terms.VisitsCondition(at_least=table.get("at_least", 0), every=table.get("every", 0), days=_days(table))


def _gives(table: Table, unit: int, scopes: _Scopes) -> terms.Gives:
    n, d = table.get("times", (1, 1))
    points, per_minor = table.get("extra_rate", (0, 1))
    most = table.get("max_points")
    return terms.Gives(
        fixed=table.get("points", 0) * unit,
        more=n - d,
        per=d,
        per_item=table.get("per_item", 0) * unit,
        extra=points * unit // per_minor,
        scope=scopes.number(table),
        most=None if most is None else most * unit,
        expires_days=table.get("expires_days"),
        promises=tuple(_promises(table)),
    )


def _promises(gives: Table) -> Iterable[terms.Promise]:
    voucher, discount = gives.get("voucher"), gives.get("discount")
    if voucher:
        yield terms.Promise(name="voucher", what=voucher["reward"], n=0, valid_days=voucher["valid_days"])
    if discount:
        what = "percent" if "percent" in discount else "amount_minor"
        yield terms.Promise(name="discount", what=what, n=discount[what], valid_days=discount["valid_days"])


def _limit(table: Table | None) -> terms.Limit | None:
    if not table:
        return None
    return terms.Limit(per_member=table["per_member"], per=table.get("per", "campaign"))


def _budget(table: Table | None) -> terms.Budget | None:
    if not table:
        return None
    return terms.Budget(hard=table["kind"] == "hard", points=table["unit"] == "points", total=table["total"])


def _batch(table: Table) -> terms.Batch:
    flash = table.get("flash")
    return terms.Batch(
        id=table["id"],
        use=table["use"],
        times=table.get("times", 1),
        stackable=table.get("stackable", False),
        personal=table.get("personal", False),
        needs_allowance=table.get("offline", "accept") == "allowance",
        releases=tuple(terms.Release(at=local_start(r["at"]), upto=r["upto"]) for r in table["releases"]),
        flash=terms.Flash(from_release=flash["from"] == "release", hours=flash["hours"]) if flash else None,
        window=_window(table),
        places=_places(table),
    )


def _reward(table: Table) -> terms.Reward:
    return terms.Reward(
        id=table["id"],
        rule=f"reward.{table['id']}",
        kind=table.get("kind", ""),
        name=table.get("name", {}),
        points=table["points"],
        value_minor=table.get("value_minor"),
        percent=table.get("percent"),
        window=_window(table),
        outlets=_names_listed(table, "outlets"),
        tiers=_names_listed(table, "tiers"),
        stock=table.get("stock", False),
        thanks=table.get("thanks", {}),
    )


def _burning(table: Table | None) -> terms.Burning | None:
    if not table:
        return None
    return terms.Burning(
        points=table["points"],
        value_minor=table["value_minor"],
        minimum_points=table.get("minimum_points", 0),
    )


def _expiry(table: Table | None) -> terms.Expiry:
    if not table:
        return terms.Expiry()
    month, _, day = table.get("on", "12-31").partition("-")
    return terms.Expiry(
        kind=table["kind"],
        days=table.get("days", 0),
        months=table.get("months", 0),
        on_month=int(month),
        on_day=int(day),
        at_least_days=table.get("at_least_days", 0),
    )


def _referral(table: Table | None) -> terms.Referral | None:
    if not table:
        return None
    return terms.Referral(
        friend_points=table.get("friend_points", 0),
        referrer_points=table.get("referrer_points", 0),
        max_per_year=table.get("max_per_year"),
    )


def _compensation(table: Table) -> terms.Compensation:
    return terms.Compensation(
        max_points=table["max_points"],
        roles=frozenset(table["roles"]),
        per_member_month=table.get("per_member_month", 1),
    )


def _approvals(table: Table | None) -> terms.Approvals | None:
    if not table:
        return None
    return terms.Approvals(
        points_over=table.get("points_over"),
        amount_over_minor=table.get("amount_over_minor"),
        roles=frozenset(table.get("roles", ())),
        may_hold=table.get("offline", "ask") == "hold",
    )


def _names(document: Table) -> dict[str, terms.Words]:
    lists = (
        ("campaign", document.get("campaigns", ())),
        ("tier", (document.get("tiers") or {}).get("levels", ())),
        ("reward", document.get("rewards", ())),
        ("category", document.get("categories", ())),
    )
    names = {f"{kind}.{t['id']}": t["name"] for kind, tables in lists for t in tables if "name" in t}
    head = document["programme"]
    return names | ({"programme": head["name"]} if "name" in head else {})
