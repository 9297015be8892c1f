"""Laws of the rule, whatever the programme, the member and the purchase."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from random import Random
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec import json, msgpack
from msgspec.structs import replace
from programmes_at_random import NOW, anything, documents, members, purchases

from loyalty.answer import Answer, Approved, Declined
from loyalty.decide import decide
from loyalty.facts import Entry, Facts, OwnRow
from loyalty.programme import from_document
from loyalty.record import entry, own_row
from loyalty.request import Line, Request
from loyalty.since import OwnRows, balance_after, facts_now

laws = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@laws
@given(documents(), members(), anything)
def test_a_decision_never_raises_and_a_declined_one_gives_nothing(
    document: dict[str, Any], facts: Facts, request: Request
) -> None:
    entries = {"e1": Entry(kind="earn", day="2026-05-01", request=Request(kind="earn", amount_minor=900))}
    entries["b1"] = Entry(kind="burn", day="2026-05-01", points=-50, rule="reward.cup")
    answer = decide(from_document(document), replace(facts, entries=entries), [], request, NOW)
    if isinstance(answer, Declined):
        assert (answer.points, answer.breakdown) == (0, ())
        assert answer.reason
    else:
        assert answer.points == sum(points for _, points in answer.breakdown) == answer.counts.balance


@laws
@given(documents(), members(), purchases())
def test_points_are_the_sum_of_lines_and_of_lots(document: dict[str, Any], facts: Facts, request: Request) -> None:
    programme = from_document(document)
    answer = decide(programme, facts, [], request, NOW)
    assume(isinstance(answer, Approved))
    assert isinstance(answer, Approved)
    assert answer.points == sum(points for _, points in answer.breakdown)
    assert answer.points == sum(points for _, points in answer.lots)
    assert answer.points >= 0
    assert all(points > 0 for _, points in answer.lots)
    assert all(points >= 0 for rule, points in answer.breakdown if not rule.startswith("cap."))
    most = programme.earning.max_points_per_purchase
    assert most is None or answer.points <= most
    assert len(answer.almost) <= 3
    assert len(answer.counts.campaigns) <= programme.stack_limit


@laws
@given(documents(), members(), purchases())
def test_base_points_are_exact_fractions_rounded_once(document: dict[str, Any], facts: Facts, request: Request) -> None:
    answer = decide(from_document(document), facts, [], request, NOW)
    assume(isinstance(answer, Approved) and answer.counts.visits)
    assert isinstance(answer, Approved)
    earning = document["earning"]
    rates = {None: Fraction(earning["points"], earning["per_minor"])}
    for table in earning.get("rates", ()):
        rates |= {name: Fraction(table["points"], table["per_minor"]) for name in table["categories"]}
    lines = request.lines or (Line(no=1, amount_minor=request.amount_minor or 0),)
    exact = sum(
        paid * rates.get(line.category, rates[None])
        for line, paid in zip(lines, _paid(request, lines), strict=True)
        if line.category != "tobacco"
    )
    half = Fraction(1, 2)
    rounded = {"down": floor(exact), "up": ceil(exact), "half_up": floor(exact + half)}
    assert answer.counts.base == rounded[document["programme"]["rounding"]]


def _paid(request: Request, lines: Sequence[Line]) -> list[int]:
    """What vouchers left to pay of each line: one unit at a time to the line that is owed most."""
    amounts = [line.amount_minor for line in lines]
    ideal = [Fraction(request.vouchers_minor * amount, sum(amounts)) for amount in amounts]
    given = [floor(share) for share in ideal]
    for _ in range(request.vouchers_minor - sum(given)):
        owed = [share - got for share, got in zip(ideal, given, strict=True)]
        given[owed.index(max(owed))] += 1
    return [amount - got for amount, got in zip(amounts, given, strict=True)]


@laws
@given(documents(), members(), purchases(), st.randoms(use_true_random=False))
def test_a_purchase_returned_in_random_parts_comes_to_zero(
    document: dict[str, Any], facts: Facts, request: Request, chance: Random
) -> None:
    programme = from_document(document)
    facts = replace(facts, status="active")
    bought = decide(programme, facts, [], request, NOW)
    assume(isinstance(bought, Approved))
    assert isinstance(bought, Approved)
    kept = entry(bought, request, as_of=40)
    assert kept is not None
    known = replace(facts, entries={"e1": kept})
    rows = [own_row(bought, request, seq=41, member="m1")]
    while True:
        part = _some_part(request, rows, chance)
        back = decide(programme, known, rows, part, NOW)
        if isinstance(back, Declined):
            assert back.reason in ("reversal.already", "reversal.too_much"), back
            if back.reason == "reversal.already":
                break
            continue
        assert back.points <= 0
        rows.append(own_row(back, part, seq=41 + len(rows), member="m1"))
    _assert_nothing_is_left(rows)
    assert balance_after(facts, rows) == facts.balance


def _some_part(request: Request, rows: list[OwnRow], chance: Random) -> Request:
    back = Request(kind="reverse", outlet=request.outlet, of="e1")
    way = chance.randrange(4)
    if way == 0 or len(rows) > 8:
        return replace(back, whole=True)
    if way == 1:
        return replace(back, amount_minor=chance.randint(1, request.amount_minor or 1))
    first = request.lines or (Line(no=1, amount_minor=request.amount_minor or 0),)
    line = chance.choice(first)
    amount = chance.randint(0, line.amount_minor)
    return replace(back, lines=(Line(no=line.no, amount_minor=amount, quantity=chance.randint(0, 1)),))


def _assert_nothing_is_left(rows: list[OwnRow]) -> None:
    for name in ("visits", "spend_minor", "base", "points_counted", "balance"):
        assert sum(getattr(row, name) for row in rows) == 0, name
    times: Counter[str] = Counter()
    points: Counter[str] = Counter()
    for row in rows:
        for campaign, (n, shown) in row.campaigns.items():
            times[campaign] += n
            points[campaign] += shown
    assert not any(times.values())
    assert not any(points.values())


@laws
@given(documents(), members(), purchases(), st.randoms(use_true_random=False))
def test_the_order_in_the_document_changes_nothing(
    document: dict[str, Any], facts: Facts, request: Request, chance: Random
) -> None:
    shuffled = dict(document)
    for key in ("campaigns", "batches", "outlets", "categories"):
        shuffled[key] = chance.sample(document[key], len(document[key]))
    first = decide(from_document(document), facts, [], request, NOW)
    assert decide(from_document(shuffled), facts, [], request, NOW) == first


@laws
@given(documents(), members(), st.lists(purchases(), max_size=4), purchases(), st.integers(0, 5))
def test_own_rows_count_once_wherever_the_centre_has_got_to(
    document: dict[str, Any], facts: Facts, earlier: list[Request], request: Request, counted: int
) -> None:
    """The facts as of any row, with the rows after it, are the same member."""
    programme = from_document(document)
    rows = []
    for seq, purchase in enumerate(earlier, 41):
        answer = decide(programme, facts, rows, purchase, NOW)
        if isinstance(answer, Approved):
            rows.append(own_row(answer, purchase, seq=seq, member="m1"))
    ahead = facts_now(facts, rows[:counted])
    assert facts_now(ahead, rows) == replace(facts_now(facts, rows), as_of=facts_now(ahead, rows).as_of)
    assert facts_now(facts_now(facts, rows), rows) == facts_now(facts, rows)
    assert balance_after(ahead, rows) == facts.balance + sum(row.balance for row in rows)
    assert decide(programme, facts, OwnRows(rows), request, NOW) == decide(programme, facts, rows, request, NOW)


@laws
@given(documents(), members(), purchases())
def test_at_the_centre_only_the_request_itself_declines(
    document: dict[str, Any], facts: Facts, request: Request
) -> None:
    posted = decide(from_document(document), facts, [], replace(request, posted=True), NOW)
    at_the_till = decide(from_document(document), facts, [], replace(request, posted=False), NOW)
    assert isinstance(posted, Approved)
    if isinstance(at_the_till, Approved):
        assert posted == at_the_till
    else:
        assert at_the_till.reason in posted.flags


@laws
@given(documents(), members(), anything)
def test_what_is_asked_known_and_answered_travels_as_json_and_msgpack(
    document: dict[str, Any], facts: Facts, request: Request
) -> None:
    answer: Answer = decide(from_document(document), facts, [], request, NOW)
    for value, kind in ((request, Request), (facts, Facts), (answer, Answer)):
        assert json.decode(json.encode(value), type=kind) == value
        assert msgpack.decode(msgpack.encode(value), type=kind) == value


def test_rows_added_later_are_found_like_those_given_at_first() -> None:
    row = OwnRow(
        seq=1,
        kind="burned",
        member="m1",
        receipt="R",
        codes=("c",),
        campaigns={"k": (1, 5)},
        allowance="a",
        reward="cup",
    )
    rows = OwnRows()
    for ask in (rows.of, rows.with_receipt, rows.naming, rows.applying, rows.burning, rows.taking, rows.reversing):
        assert ask("x") == ()
    rows.add(row)
    assert [rows.of("m1"), rows.with_receipt("R"), rows.naming("c"), rows.applying("k")] == [[row]] * 4
    rows.add(replace(row, seq=2, kind="reversed", of="e"))
    assert rows.burning("a") == rows.taking("cup") == [row]
    assert [found.seq for found in rows.reversing("e")] == [2]
    assert len(rows.of("m1")) == len(rows) == 2
