"""The keys of a document, schema 1: which there are, of which kind, and which must be there."""

from typing import Any

from loyalty.check_kinds import (
    UNSOUND,
    Spec,
    country,
    currency,
    flag,
    identifier,
    listed,
    local,
    may,
    minor,
    minor_or_zero,
    month_day,
    must,
    one_of,
    percent,
    points,
    points_or_zero,
    rate,
    ratio,
    slot,
    table,
    text,
    time_zone,
    weekday,
    whole,
    words,
)
from loyalty.check_report import Report, Table
from loyalty.toml_lines import Path

PRODUCT = text(1, 40)
LOOK_BACK = whole(1, 400, over="look_back")
ROLES = listed(identifier)
LEVEL_AT = whole(1, 10**12)


def schema_number(report: Report, path: Path, value: Any) -> Any:
    if value == 1 and isinstance(value, int) and not isinstance(value, bool):
        return value
    report.error(path, "schema", f"schema {value!r} is not known here", "write schema = 1")
    return UNSOUND


PROGRAMME: Spec = {
    "schema": must(schema_number),
    "id": must(identifier),
    "version": must(whole(1, 2**31)),
    "name": must(words),
    "currency": must(currency),
    "time_zone": must(time_zone),
    "valid_from": must(local),
    "valid_until": must(local),
    "offline_valid_until": must(local),
    "rounding": may(one_of("down", "half_up", "up")),
    "stack_limit": may(whole(0, 10)),
}
OUTLET: Spec = {
    "id": must(identifier),
    "region": must(identifier),
    "country": must(country),
    "time_zone": may(time_zone),
}
CATEGORY: Spec = {"id": must(identifier), "name": must(words), "products": may(listed(PRODUCT))}
RATE: Spec = {"categories": must(listed(identifier)), "points": must(points), "per_minor": must(minor)}
EARNING: Spec = {
    "points": must(points),
    "per_minor": must(minor),
    "minimum_minor": may(minor_or_zero),
    "excluded_categories": may(listed(identifier)),
    "excluded_products": may(listed(PRODUCT)),
    "max_points_per_purchase": may(points),
    "max_points_per_day": may(points),
    "visits_per_day": may(whole(1, 50)),
    "rates": may(listed(table(RATE))),
}
LEVEL: Spec = {"id": must(identifier), "name": must(words), "at": must(LEVEL_AT), "times": may(ratio)}
TIERS: Spec = {
    "by": must(one_of("spend", "points", "purchases")),
    "window": must(one_of("calendar_year", "rolling")),
    "days": may(LOOK_BACK),
    "grace_days": may(whole(0, 366)),
    "levels": must(listed(table(LEVEL), low=1)),
}
PLACES: Spec = {
    "outlets": may(listed(identifier)),
    "regions": may(listed(identifier)),
    "countries": may(listed(country)),
}
WINDOW: Spec = {"starts": may(local), "ends": may(local)}
WITHIN: Spec = {"days": may(LOOK_BACK), "within": may(one_of("month"))}
SCOPE: Spec = {"categories": may(listed(identifier)), "products": may(listed(PRODUCT))}
BASKET: Spec = SCOPE | {"quantity": may(whole(1, 10**6)), "amount_minor": may(minor)}


def only_true(report: Report, path: Path, value: Any) -> Any:
    if value is True:
        return True
    report.error(path, "type", "can only be true", "write true, or leave the condition out")
    return UNSOUND


WHEN: Spec = (
    WINDOW
    | PLACES
    | {
        "weekdays": may(listed(weekday)),
        "hours": may(listed(slot)),
        "new_member_days": may(whole(1, 400)),
        "first_purchase": may(only_true),
        "tiers": may(listed(identifier)),
        "birthday_month": may(only_true),
        "tags_any": may(listed(text())),
        "tags_none": may(listed(text())),
        "minimum_minor": may(minor),
        "basket": may(listed(table(BASKET), high=5)),
        "spend": may(table(WITHIN | {"at_least_minor": must(minor)})),
        "visits": may(table(WITHIN | {"at_least": may(whole(1, 10**6)), "every": may(whole(2, 100))})),
        "code_batches": may(listed(identifier)),
    }
)
VALID_DAYS = whole(1, 3660)
GIVES: Spec = SCOPE | {
    "points": may(points),
    "times": may(ratio),
    "per_item": may(points),
    "extra_rate": may(rate),
    "voucher": may(table({"reward": must(identifier), "valid_days": must(VALID_DAYS)})),
    "discount": may(table({"percent": may(percent), "amount_minor": may(minor), "valid_days": must(VALID_DAYS)})),
    "max_points": may(points_or_zero),
    "expires_days": may(VALID_DAYS),
}
CAMPAIGN: Spec = {
    "id": must(identifier),
    "name": must(words),
    "on": may(one_of("purchase", "activation", "code")),
    "priority": may(whole(-1000, 1000)),
    "stacking": may(one_of("stackable", "exclusive")),
    "group": may(identifier),
    "when": may(table(WHEN)),
    "gives": must(table(GIVES)),
    "limits": may(table({"per_member": must(whole(1, 1000)), "per": may(one_of("campaign", "month", "day"))})),
    "budget": may(
        table(
            {
                "kind": must(one_of("hard", "soft")),
                "unit": must(one_of("points", "times")),
                "total": must(points),
                "per_outlet": may(points),
            }
        )
    ),
}
BATCH: Spec = PLACES | {
    "id": must(identifier),
    "use": must(one_of("once", "times", "per_member")),
    "times": may(whole(1, 10**6)),
    "stackable": may(flag),
    "releases": must(listed(table({"at": must(local), "upto": must(whole(1, 10**9))}), low=1)),
    "flash": may(table({"from": must(one_of("release", "activation")), "hours": must(whole(1, 720))})),
    "ends": may(local),
    "personal": may(flag),
    "offline": may(one_of("accept", "allowance")),
}
REWARD: Spec = WINDOW | {
    "id": must(identifier),
    "name": must(words),
    "kind": must(identifier),
    "points": must(points),
    "value_minor": may(minor),
    "percent": may(percent),
    "outlets": may(listed(identifier)),
    "tiers": may(listed(identifier)),
    "stock": may(flag),
    "thanks": may(words),
}
EXPIRY: Spec = {
    "kind": must(one_of("none", "rolling", "active", "fixed")),
    "days": may(whole(1, 3660)),
    "months": may(whole(1, 120)),
    "on": may(month_day),
    "at_least_days": may(whole(0, 366)),
}
DOCUMENT: Spec = {
    "programme": must(table(PROGRAMME)),
    "outlets": must(listed(table(OUTLET), low=1)),
    "categories": may(listed(table(CATEGORY))),
    "earning": must(table(EARNING)),
    "tiers": may(table(TIERS)),
    "campaigns": may(listed(table(CAMPAIGN))),
    "codes": may(table({"max_per_purchase": may(whole(1, 10))})),
    "batches": may(listed(table(BATCH))),
    "rewards": may(listed(table(REWARD))),
    "burning": may(table({"points": must(points), "value_minor": must(minor), "minimum_points": may(points)})),
    "expiry": may(table(EXPIRY)),
    "referral": may(
        table({"friend_points": must(points), "referrer_points": must(points), "max_per_year": may(whole(1, 1000))})
    ),
    "compensation": may(
        listed(
            table(
                {
                    "reason": must(identifier),
                    "max_points": must(points),
                    "roles": must(ROLES),
                    "per_member_month": may(whole(1, 100)),
                }
            )
        )
    ),
    "late_claims": may(table({"days": must(whole(1, 60))})),
    "adjustments": may(table({"downward": may(one_of("keep", "post")), "keep_up_to_points": may(points_or_zero)})),
    "approvals": may(
        table(
            {
                "points_over": may(points_or_zero),
                "amount_over_minor": may(minor_or_zero),
                "roles": may(listed(one_of("supervisor", "owner"))),
                "offline": may(one_of("ask", "hold")),
            }
        )
    ),
    "reminders": may(
        listed(
            table(
                {
                    "about": must(one_of("lot_expiry", "offer_expiry", "code_expiry", "tier_review")),
                    "lead_hours": must(listed(whole(1, 8760), low=1)),
                }
            )
        )
    ),
}


def sound_document(report: Report, document: Table) -> Table:
    """What of the document is of the right kinds; the rest is reported and left out."""
    sound: Table = table(DOCUMENT)(report, (), document)
    return sound
