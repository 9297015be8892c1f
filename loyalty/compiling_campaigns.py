"""From a document's campaigns to their terms: conditions, effects, and the scopes that rules share."""

from collections.abc import Iterable, Mapping
from typing import Any

from loyalty import terms
from loyalty.calendar import local_end, local_start, week_slots

Table = Mapping[str, Any]


class Scopes:
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


def window_of(table: Table, starts: str = "starts", ends: str = "ends") -> terms.Window:
    return terms.Window(
        starts=local_start(table[starts]) if starts in table else None,
        ends=local_end(table[ends]) if ends in table else None,
    )


def names_listed(table: Table, key: str) -> frozenset[str] | None:
    return frozenset(table[key]) if key in table else None


def places_of(table: Table) -> terms.Places:
    return terms.Places(
        outlets=names_listed(table, "outlets"),
        regions=names_listed(table, "regions"),
        countries=names_listed(table, "countries"),
    )


def campaigns_of(document: Table, unit: int, scopes: Scopes) -> tuple[terms.Campaign, ...]:
    tables = document.get("campaigns", ())
    in_order = sorted(tables, key=lambda c: (-c.get("priority", 0), c["id"].encode()))
    return tuple(_campaign(c, order, unit, scopes) for order, c in enumerate(in_order))


def _campaign(table: Table, order: int, unit: int, scopes: Scopes) -> terms.Campaign:
    when = table.get("when", {})
    return terms.Campaign(
        id=table["id"],
        rule=f"campaign.{table['id']}",
        order=order,
        on=table.get("on", "purchase"),
        exclusive=table.get("stacking", "stackable") == "exclusive",
        group=table.get("group"),
        window=window_of(when),
        slots=week_slots(when.get("weekdays"), when.get("hours")),
        places=places_of(when),
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
        tiers=names_listed(when, "tiers"),
        birthday_month=when.get("birthday_month", False),
        tags_any=names_listed(when, "tags_any"),
        tags_none=names_listed(when, "tags_none"),
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


def _gives(table: Table, unit: int, scopes: Scopes) -> terms.Gives:
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
