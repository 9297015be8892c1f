"""From the document, as TOML or JSON gave it, to the terms that decisions read.

Nothing is checked here beyond what cannot be read at all: `check` says what is wrong with a document.
"""

from collections.abc import Iterable, Mapping
from math import lcm
from typing import Any

from loyalty import terms
from loyalty.calendar import local_end, local_start, zone_of
from loyalty.compiling_campaigns import Scopes, campaigns_of, names_listed, places_of, window_of

Table = Mapping[str, Any]


def compiled(document: Table) -> terms.Programme:
    """The programme of a document. Raises KeyError, TypeError or ValueError where it cannot be read."""
    head = document["programme"]
    ratio_unit = lcm(*_ratio_parts(document))
    unit = lcm(*_rate_parts(document)) * ratio_unit
    scopes = Scopes()
    campaigns = campaigns_of(document, unit, scopes)
    return terms.Programme(
        id=head["id"],
        version=head["version"],
        currency=head["currency"],
        zone=zone_of(head["time_zone"]),
        window=window_of(head, "valid_from", "valid_until"),
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
        window=window_of(table),
        places=places_of(table),
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
        window=window_of(table),
        outlets=names_listed(table, "outlets"),
        tiers=names_listed(table, "tiers"),
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
