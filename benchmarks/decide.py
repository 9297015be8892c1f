"""How long one decision takes: one line of a member of the last days against four campaigns, and 60 lines of an old
member, with own rows, against 200 campaigns that are all live.

The baseline is the rule's arithmetic done the plain way, a Fraction for every line and campaign.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from statistics import median
from time import perf_counter
from typing import Any

from loyalty.decide import decide
from loyalty.facts import BudgetFacts, Facts, HeldTier, OwnRow
from loyalty.programme import Programme, from_document
from loyalty.request import Line, Request
from loyalty.since import OwnRows

RUNS = 7
NOW = datetime(2026, 5, 11, 16, 30, tzinfo=UTC)
SIMPLE_AIM_US = 60.0
LARGE_AIM_US = 1000.0
CATEGORIES = 20


def run() -> dict[str, dict[str, Any]]:
    """Median microseconds of one decision, of seven runs interleaved with their baselines."""
    simple, large = _programme(4), _programme(200)
    small_basket, large_basket = _purchase(1), _purchase(60)
    facts, recent, rows = _facts(days=40), _facts(days=6), OwnRows(_rows())
    return {
        "decide.simple": _figure(
            lambda: decide(simple, recent, OwnRows(), small_basket, NOW),
            lambda: _plainly(simple, small_basket),
            times=400,
            aim=SIMPLE_AIM_US,
        ),
        "decide.200x60": _figure(
            lambda: decide(large, facts, rows, large_basket, NOW),
            lambda: _plainly(large, large_basket),
            times=20,
            aim=LARGE_AIM_US,
        ),
    }


def _figure(
    measured: Callable[[], object], baseline: Callable[[], object], *, times: int, aim: float
) -> dict[str, Any]:
    ours, theirs = [], []
    for _ in range(RUNS):
        ours.append(_each_us(measured, times))
        theirs.append(_each_us(baseline, max(1, times // 10)))
    value, base = median(ours), median(theirs)
    return {
        "value": round(value, 1),
        "unit": "us",
        "baseline": round(base, 1),
        "ratio": round(value / base, 3),
        "aim": aim,
        "met": value <= aim,
        "runs": RUNS,
    }


def _each_us(work: Callable[[], object], times: int) -> float:
    """The median of single calls: what a cashier waits, not what a loop averages."""
    spent = []
    for _ in range(times):
        started = perf_counter()
        work()
        spent.append(perf_counter() - started)
    return median(spent) * 1e6


def _plainly(programme: Programme, request: Request) -> Fraction:
    total = Fraction(0)
    for campaign in programme.campaigns:
        times = Fraction(campaign.gives.more, campaign.gives.per)
        for line in request.lines or ():
            total += Fraction(line.amount_minor, 100) * times
    return total


def _programme(campaigns: int) -> Programme:
    name = {"en": "Name", "fr": "Nom", "it": "Nome"}
    return from_document(
        {
            "programme": {
                "schema": 1,
                "id": "bench",
                "version": 1,
                "name": name,
                "currency": "EUR",
                "time_zone": "Europe/Rome",
                "valid_from": date(2026, 1, 1),
                "valid_until": date(2026, 12, 31),
                "offline_valid_until": date(2026, 12, 31),
                "stack_limit": 10,
            },
            "outlets": [{"id": "roma-1", "region": "lazio", "country": "IT"}],
            "categories": [{"id": f"c{i}", "name": name} for i in range(CATEGORIES)],
            "earning": {"points": 1, "per_minor": 100, "minimum_minor": 500, "max_points_per_day": 10_000},
            "tiers": {"by": "points", "window": "rolling", "days": 90, "levels": [{"id": "t", "name": name, "at": 10}]},
            "campaigns": [_campaign(i, name) for i in range(campaigns)],
            "expiry": {"kind": "rolling", "months": 12},
        }
    )


def _campaign(i: int, name: dict[str, str]) -> dict[str, Any]:
    """Twenty kinds of condition and effect in turn, all of them live at NOW."""
    category = f"c{i % CATEGORIES}"
    conditions: list[dict[str, Any]] = [
        {"minimum_minor": 1000},
        {"weekdays": ["mon"], "hours": [["18:00", "20:00"]]},
        {"spend": {"at_least_minor": 5000, "days": 7 + i % 60}},
        {"visits": {"at_least": 3, "within": "month"}},
        {"tiers": ["t"], "tags_any": ["vip"]},
        {"basket": [{"categories": [category], "quantity": 2}, {"products": [f"p{i % 50}"], "amount_minor": 100}]},
        {"birthday_month": True, "tags_none": ["staff"]},
    ]
    gives: list[dict[str, Any]] = [
        {"times": [3, 2], "categories": [category]},
        {"points": 20 + i},
        {"per_item": 2, "products": [f"p{i % 50}"], "max_points": 50},
        {"extra_rate": [1, 200], "categories": [category, f"c{(i + 1) % CATEGORIES}"]},
        {"times": [2, 1]},
    ]
    campaign = {
        "id": f"k{i}",
        "name": name,
        "priority": i % 9,
        "when": {"starts": date(2026, 5, 1), "ends": date(2026, 5, 31)} | conditions[i % len(conditions)],
        "gives": gives[i % len(gives)],
    }
    if i % 3 == 0:
        campaign["limits"] = {"per_member": 2, "per": "month"}
    if i % 10 == 0:
        campaign["budget"] = {"kind": "hard", "unit": "points", "total": 10_000, "per_outlet": 10_000}
    return campaign


def _purchase(lines: int) -> Request:
    basket = tuple(
        Line(
            no=i + 1,
            amount_minor=500 + 37 * i,
            category=f"c{i % CATEGORIES}",
            product=f"p{i}",
            quantity=1 + i % 3,
        )
        for i in range(lines)
    )
    return Request(
        kind="earn",
        outlet="roma-1",
        amount_minor=sum(line.amount_minor for line in basket),
        lines=basket,
        receipt="R-1",
        operator="o1",
    )


def _facts(*, days: int) -> Facts:
    today = NOW.date()
    return Facts(
        known=True,
        as_of=40,
        member="m1",
        activated_at=datetime(2026, 1, 10, tzinfo=UTC),
        purchases=40,
        balance=900,
        birth_month=5,
        tags=("vip",),
        tier=HeldTier(id="t", until="2026-12-31"),
        days={(today - timedelta(days=2 * i)).isoformat(): (1, 2500, 25, 25) for i in range(1, days)},
        budgets={f"k{i}": BudgetFacts(as_of=40, left=10_000) for i in range(0, 200, 10)},
    )


def _rows() -> list[OwnRow]:
    """Two hundred rows of a shop without a line, two of them this member's."""
    day = NOW.date().isoformat()
    return [
        OwnRow(
            seq=41 + i,
            kind="earned",
            member="m1" if i % 100 == 0 else f"x{i}",
            day=day,
            visits=1,
            spend_minor=1200,
            base=12,
            points_counted=12,
            balance=12,
            receipt=f"A-{i}",
        )
        for i in range(200)
    ]
