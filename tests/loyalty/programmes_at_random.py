"""Programmes, members and purchases at random, for laws that must hold of all of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from msgspec import convert

from loyalty.facts import Facts
from loyalty.request import Approval, Line, PresentedCode, Request

NOW = datetime(2026, 5, 12, 16, 30, tzinfo=UTC)
NAME = {"en": "Name", "fr": "Nom", "it": "Nome"}
CATEGORIES = ["bread", "milk", "tobacco", "wine"]
PRODUCTS = ["p1", "p2", "p3"]
OUTLETS = ["roma-1", "siena-1"]

minor = st.integers(1, 20_000)
points = st.integers(1, 500)
ratios = st.sampled_from([[3, 2], [2, 1], [5, 4], [7, 3], [1000, 999]])
listed = st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=3, unique=True)
products = st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=2, unique=True)
windows = st.one_of(st.fixed_dictionaries({"days": st.integers(1, 60)}), st.just({"within": "month"}))


@st.composite
def scopes(draw: st.DrawFn) -> dict[str, Any]:
    return draw(st.fixed_dictionaries({}, optional={"categories": listed, "products": products}))


@st.composite
def baskets(draw: st.DrawFn) -> dict[str, Any]:
    table = draw(st.fixed_dictionaries({"categories": listed}, optional={"products": products}))
    measure = draw(
        st.one_of(
            st.fixed_dictionaries({"quantity": st.integers(1, 4)}),
            st.fixed_dictionaries({"amount_minor": st.integers(1, 5000)}),
        )
    )
    return table | measure


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    visits = st.one_of(
        st.tuples(windows, st.integers(2, 5)).map(lambda t: t[0] | {"at_least": t[1]}),
        st.tuples(windows, st.integers(2, 5)).map(lambda t: t[0] | {"every": t[1]}),
    )
    return draw(
        st.fixed_dictionaries(
            {},
            optional={
                "starts": st.sampled_from(["2026-05-01", "2026-05-12T18:30:00", "2026-05-13"]),
                "ends": st.sampled_from(["2026-05-12", "2026-05-31T12:00:00"]),
                "weekdays": st.just(["tue", "wed"]),
                "hours": st.sampled_from([[["18:00", "20:00"]], [["22:00", "02:00"]]]),
                "outlets": st.just(["roma-1"]),
                "first_purchase": st.just(True),
                "tags_any": st.just(["vip"]),
                "minimum_minor": minor,
                "basket": st.lists(baskets(), min_size=1, max_size=2),
                "spend": st.tuples(windows, minor).map(lambda t: t[0] | {"at_least_minor": t[1]}),
                "visits": visits,
            },
        ).filter(lambda when: len(when) <= 3)
    )


@st.composite
def effects(draw: st.DrawFn) -> dict[str, Any]:
    given = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "points": points,
                "times": ratios,
                "per_item": st.integers(1, 20),
                "extra_rate": st.tuples(points, minor).map(list),
                "voucher": st.just({"reward": "cup", "valid_days": 30}),
                "discount": st.just({"percent": 10, "valid_days": 14}),
            },
        ).filter(bool)
    )
    more = st.fixed_dictionaries({}, optional={"max_points": points, "expires_days": st.integers(1, 90)})
    return given | draw(scopes()) | draw(more)


@st.composite
def campaigns(draw: st.DrawFn, name: str) -> dict[str, Any]:
    table: dict[str, Any] = {"id": name, "name": NAME, "gives": draw(effects()), "when": draw(conditions())}
    table |= draw(
        st.fixed_dictionaries(
            {"priority": st.integers(-2, 2)},
            optional={
                "stacking": st.just("exclusive"),
                "group": st.sampled_from(["g", "h"]),
                "limits": st.fixed_dictionaries(
                    {"per_member": st.integers(1, 2), "per": st.sampled_from(["campaign", "month", "day"])}
                ),
                "budget": st.fixed_dictionaries(
                    {
                        "kind": st.sampled_from(["hard", "soft"]),
                        "unit": st.sampled_from(["points", "times"]),
                        "total": points,
                    }
                ),
            },
        )
    )
    if draw(st.booleans()):
        table["on"] = draw(st.sampled_from(["purchase", "code", "activation"]))
        if table["on"] != "activation":
            table["when"]["code_batches"] = [f"b-{name}"]
    return table


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A document in its JSON form, of at most five campaigns, each code campaign with a batch of its own."""
    chosen = [draw(campaigns(name)) for name in draw(st.lists(st.sampled_from("abcde"), unique=True, max_size=5))]
    batches = [
        {"id": batch, "use": "per_member", "times": 2, "stackable": True, "releases": [{"at": "2026-01-01", "upto": 9}]}
        for campaign in chosen
        for batch in campaign["when"].get("code_batches", ())
    ]
    earning = draw(
        st.fixed_dictionaries(
            {"points": st.integers(1, 5), "per_minor": st.integers(1, 300), "minimum_minor": st.integers(0, 2000)},
            optional={
                "max_points_per_purchase": points,
                "max_points_per_day": points,
                "rates": st.just([{"categories": ["milk"], "points": 3, "per_minor": 70}]),
            },
        )
    )
    return {
        "programme": {
            "schema": 1,
            "id": "any",
            "version": 1,
            "name": NAME,
            "currency": "EUR",
            "time_zone": "Europe/Rome",
            "valid_from": "2026-01-01",
            "valid_until": "2026-12-31",
            "offline_valid_until": draw(st.sampled_from(["2026-12-31", "2026-05-12T12:00:00"])),
            "rounding": draw(st.sampled_from(["down", "half_up", "up"])),
            "stack_limit": draw(st.integers(0, 4)),
        },
        "outlets": [{"id": name, "region": name, "country": "IT"} for name in OUTLETS],
        "categories": [{"id": name, "name": NAME} for name in CATEGORIES],
        "earning": earning | {"excluded_categories": ["tobacco"], "visits_per_day": draw(st.integers(1, 2))},
        "tiers": {
            "by": draw(st.sampled_from(["spend", "points", "purchases"])),
            "window": "rolling",
            "days": 30,
            "levels": [
                {"id": "low", "name": NAME, "at": 3, "times": draw(ratios)},
                {"id": "high", "name": NAME, "at": 3000, "times": [3, 1]},
            ],
        },
        "campaigns": chosen,
        "codes": {"max_per_purchase": 3},
        "batches": batches,
        "rewards": [{"id": "cup", "kind": "goods", "name": NAME, "points": 50}],
        "burning": {"points": 10, "value_minor": 100, "minimum_points": 20},
        "expiry": draw(
            st.sampled_from(
                [
                    {"kind": "none"},
                    {"kind": "rolling", "months": 6},
                    {"kind": "fixed", "on": "02-29", "at_least_days": 10},
                ]
            )
        ),
        "referral": {"friend_points": 25, "referrer_points": 40},
        "compensation": [{"reason": "sorry", "max_points": 50, "roles": ["cashier"], "per_member_month": 1}],
        "late_claims": {"days": 20},
    }


days = st.dictionaries(
    st.integers(0, 40).map(lambda n: (NOW.date() - timedelta(days=n)).isoformat()),
    st.tuples(st.integers(0, 3), st.integers(0, 9000), st.integers(0, 90), st.integers(0, 200)),
    max_size=6,
)


@st.composite
def members(draw: st.DrawFn) -> Facts:
    plain = draw(
        st.fixed_dictionaries(
            {"known": st.sampled_from([True, True, True, False])},
            optional={
                "purchases": st.integers(0, 3),
                "balance": st.integers(0, 300),
                "tags": st.just(["vip"]),
                "tier": st.just({"id": "low", "until": "2026-12-31"}),
                "referred_by": st.just("m9"),
                "days": days,
                "campaigns": st.just({"a": {"total": 1, "2026-05": 1}}),
                "budgets": st.dictionaries(
                    st.sampled_from("abcde"),
                    st.fixed_dictionaries({"left": st.integers(0, 400), "used": st.integers(0, 500)}),
                ),
                "allowances": st.just([{"id": "x", "left": 100}]),
                "status": st.sampled_from(["active", "active", "none", "blocked"]),
            },
        )
    )
    return convert(plain | {"member": "m1", "as_of": 40}, Facts)


@st.composite
def baskets_of_lines(draw: st.DrawFn) -> tuple[Line, ...]:
    rows = st.tuples(
        st.integers(0, 9000),
        st.none() | st.sampled_from([*CATEGORIES, "bricks"]),
        st.none() | st.sampled_from([*PRODUCTS, "p9"]),
        st.none() | st.integers(1, 5),
    )
    drawn = draw(st.lists(rows, min_size=1, max_size=5).filter(lambda found: any(row[0] for row in found)))
    return tuple(
        Line(no=no, amount_minor=amount, category=category, product=product, quantity=quantity)
        for no, (amount, category, product, quantity) in enumerate(drawn, 1)
    )


codes = st.lists(
    st.builds(
        PresentedCode, id=st.sampled_from("uvw"), batch=st.sampled_from([f"b-{n}" for n in "abcde"]), serial=st.just(3)
    ),
    max_size=2,
).map(tuple)


@st.composite
def purchases(draw: st.DrawFn) -> Request:
    """A well-formed purchase, as the till or (posted) as the centre asks it."""
    lines = draw(st.none() | baskets_of_lines())
    amount = draw(st.integers(1, 20_000)) if lines is None else sum(line.amount_minor for line in lines)
    return Request(
        kind="earn",
        outlet=draw(st.sampled_from(OUTLETS)),
        amount_minor=amount,
        vouchers_minor=draw(st.just(0) | st.integers(0, amount)),
        lines=lines,
        codes=draw(codes),
        posted=draw(st.booleans()),
    )


anything = st.builds(
    Request,
    kind=st.sampled_from(["earn", "code", "activate", "burn", "reverse", "adjust", "late", "gift"]),
    outlet=st.sampled_from([*OUTLETS, "nowhere"]),
    currency=st.sampled_from([None, "EUR", "USD"]),
    operator=st.sampled_from([None, "o1"]),
    approval=st.none() | st.builds(Approval, operator=st.just("o1"), role=st.just("owner")),
    hold=st.booleans(),
    posted=st.booleans(),
    amount_minor=st.none() | st.integers(-5, 10**13),
    vouchers_minor=st.integers(-5, 5000),
    lines=st.none() | baskets_of_lines() | st.just(()),
    receipt=st.sampled_from([None, "R"]),
    codes=codes,
    bought_at=st.none() | st.integers(-40, 2).map(lambda days: NOW + timedelta(days=days)),
    reward=st.sampled_from([None, "cup", "yacht"]),
    points=st.none() | st.integers(-20, 200),
    reason=st.sampled_from([None, "sorry", "rain"]),
    role=st.sampled_from([None, "cashier"]),
    of=st.sampled_from([None, "e1", "b1"]),
    whole=st.booleans(),
)
