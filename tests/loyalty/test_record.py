"""What is kept of an approved answer, and what a reversal reads of it later."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

from loyalty.answer import Approved
from loyalty.decide import decide
from loyalty.facts import Allowance, Facts, StockFacts
from loyalty.programme import from_document
from loyalty.record import entry, own_row
from loyalty.request import Line, PresentedCode, Request
from loyalty.since import OwnRows, balance_after, facts_now

NOW = datetime(2026, 4, 5, 11, tzinfo=UTC)
FOLDER = Path(__file__).parent / "vectors"
GROCER = from_document(tomllib.loads((FOLDER / "grocer.toml").read_text()))
CAFE = from_document(tomllib.loads((FOLDER / "cafe.toml").read_text()))
FACTS = Facts(
    known=True,
    as_of=40,
    member="m1",
    balance=3000,
    allowances=(Allowance(id="a1", as_of=40, left=5000),),
    stock={"basket": StockFacts(as_of=40, left=1)},
)


def approved(request: Request, facts: Facts = FACTS) -> Approved:
    answer = decide(CAFE if request.outlet == "tunis-1" else GROCER, facts, [], request, NOW)
    assert isinstance(answer, Approved), answer
    return answer


def test_a_purchase_is_an_earned_row_with_its_counts_and_receipt() -> None:
    request = Request(kind="earn", outlet="roma-1", amount_minor=1000, receipt="R-1")
    row = own_row(approved(request), request, seq=41, member="m1")
    assert (row.kind, row.seq, row.member, row.receipt) == ("earned", 41, "m1", "R-1")
    assert (row.day, row.visits, row.spend_minor, row.balance) == ("2026-04-05", 1, 1000, 10)


def test_a_burn_is_a_row_that_takes_allowance_and_stock() -> None:
    request = Request(kind="burn", outlet="roma-1", reward="basket")
    row = own_row(approved(request), request, seq=41, member="m1")
    assert (row.kind, row.reward, row.quantity, row.allowance, row.points) == ("burned", "basket", 1, "a1", -2500)
    again = decide(GROCER, FACTS, [row], request, NOW)
    assert again.reason == "burn.stock"
    other = decide(GROCER, FACTS, [row], Request(kind="burn", outlet="roma-1", reward="five_off"), NOW)
    assert isinstance(other, Approved)
    assert balance_after(FACTS, [row]) == 500


def test_goodwill_and_its_reversal_are_rows() -> None:
    request = Request(kind="adjust", outlet="roma-1", reason="service", points=50, role="owner")
    answer = approved(request)
    row = own_row(answer, request, seq=41, member="m1")
    assert (row.kind, row.reason, row.balance) == ("adjusted", "service", 50)
    assert decide(GROCER, FACTS, [row], request, NOW).reason == "compensation.limit"
    kept = entry(answer, request, as_of=41)
    assert kept is not None
    assert (kept.kind, kept.points, kept.rule) == ("adjust", 50, "goodwill.service")


def test_a_code_is_a_row_that_names_it_and_is_reversed_by_its_first_rule() -> None:
    request = Request(kind="code", outlet="tunis-1", codes=(PresentedCode(id="p", batch="poster"),))
    answer = approved(request)
    row = own_row(answer, request, seq=41, member="m1")
    assert (row.kind, row.codes, row.campaigns) == ("code_used", ("p",), {"poster": (1, 8)})
    kept = entry(answer, request, as_of=41)
    assert kept is not None
    assert (kept.rule, kept.campaigns) == ("campaign.poster", {"poster": (1, 8)})


def test_the_entry_of_a_purchase_keeps_what_a_return_reads_and_no_more() -> None:
    lines = (Line(no=1, amount_minor=600, category="pasta", quantity=2), Line(no=2, amount_minor=400))
    request = Request(
        kind="earn", outlet="roma-1", amount_minor=1000, vouchers_minor=10, lines=lines, receipt="R-1", operator="o1"
    )
    kept = entry(approved(request), request, as_of=41)
    assert kept is not None
    assert kept.request == Request(kind="earn", amount_minor=1000, vouchers_minor=10, lines=lines)
    assert kept.pricing is not None
    assert kept.pricing.day_room == 800
    assert entry(approved(request), Request(kind="reverse"), as_of=41) is None


def test_a_card_that_an_own_row_activated_is_active() -> None:
    asleep = Facts(known=True, member="m1", as_of=40, status="none")
    activation = Request(kind="activate", outlet="tunis-1")
    row = own_row(approved(activation, asleep), activation, seq=41, member="m1")
    assert row.kind == "activated"
    awake = facts_now(asleep, OwnRows([row]))
    assert (awake.status, awake.as_of) == ("active", 41)
    assert facts_now(awake, [row]) == awake
