"""Burns, allowances and returns at the centre: nobody is overdrawn, and what is open is told and paid."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from loyalty import rows as kinds
from loyalty.ids import AccountId
from loyalty.request import Line
from server import allowances, schema
from sync.protocol.messages import Wish
from tests.rigs.centre import Centre, Till, document

RECLAIM_MS = (allowances.EXACT_LIFETIME_S + allowances.RECLAIM_AFTER_S) * 1000


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


@pytest.fixture
def till(centre: Centre) -> Till:
    return centre.enrol()


def owed(centre: Centre, account: AccountId) -> tuple[int, int]:
    """(balance, open debt)"""
    found = centre.account(account)
    return found.balance, found.open_debt


def allowance(centre: Centre) -> tuple[int, int, int, int, bool]:
    """(granted, spent, returned, reclaimed, open) of the only allowance."""
    a = schema.allowances.c
    (found,) = centre.all(sa.select(a.granted, a.spent, a.returned, a.reclaimed, a.is_open))
    return tuple(found)


# -- allowances --------------------------------------------------------------------------------


def test_a_burn_within_its_allowance_takes_the_oldest_lot(centre: Centre, till: Till) -> None:
    account = till.member()
    till.earn(account, 3000)
    grant = till.taken(account, 25)
    row = till.burn(account, 25, grant.allowance)
    till.push()
    assert centre.outcome(row) == ("applied", None, -25)
    assert centre.ledger(row) == {"member": -25, "redeemed": 25}
    assert centre.lots(account) == [(20, 0), (30, 25)]
    assert allowance(centre) == (25, 25, 0, 0, True)
    assert centre.facts(account).balance == 25 and centre.faults() == []


def test_a_wish_is_granted_once_and_the_grant_repeated_until_it_is_listed(centre: Centre, till: Till) -> None:
    account = till.member()
    wish = Wish(id=b"w" * 16, account=account, points=8)
    first, again = till.push(wishes=[wish]), till.push(wishes=[wish])
    assert len(first.grants) == 1 and again.grants == first.grants and again.refused_wishes == []
    held = till.grant(first.grants[0]).allowance
    assert till.push(allowances=[held]).grants == []
    assert till.push().grants == first.grants
    assert allowance(centre) == (8, 0, 0, 0, True)


@pytest.mark.parametrize("points", [21, 0, -3, 2**53])
def test_more_than_is_available_and_less_than_a_point_are_not_granted(centre: Centre, till: Till, points: int) -> None:
    account = till.member()
    if points == 2**53:
        points -= 1
    answer = till.push(wishes=[Wish(id=b"w" * 16, account=account, points=points)])
    assert answer.refused_wishes == [(b"w" * 16, "burn.balance")] and answer.grants == []


def test_a_wish_for_a_member_nobody_knows_is_refused(till: Till) -> None:
    answer = till.push(wishes=[Wish(id=b"w" * 16, account=AccountId(b"x" * 16), points=1)])
    assert answer.refused_wishes == [(b"w" * 16, "burn.unknown")]


def test_what_is_set_aside_cannot_be_granted_to_another(centre: Centre, till: Till) -> None:
    account, other = till.member(), centre.enrol("station")
    till.wish(account, 15)
    answer = other.push(wishes=[Wish(id=b"v" * 16, account=account, points=6)])
    assert answer.refused_wishes == [(b"v" * 16, "burn.balance")]
    assert other.push(wishes=[Wish(id=b"u" * 16, account=account, points=5)]).grants != []
    assert centre.faults() == []


def test_a_burn_above_its_allowance_takes_what_is_available_and_the_outlet_bears_the_rest(
    centre: Centre, till: Till
) -> None:
    account = till.member()
    grant = till.taken(account, 10)
    row = till.burn(account, 35, grant.allowance)
    till.push()
    assert centre.outcome(row) == ("outlet_loss", "burn.uncovered", -20)
    assert centre.ledger(row) == {"member": -20, "redeemed": 35, "outlet_loss": -15}
    assert ("outlet:harbour", "burn.uncovered") in centre.notices(row)
    assert centre.balance(account) == 0 and centre.faults() == []


def test_a_burn_never_takes_what_is_set_aside_for_another_outlet(centre: Centre, till: Till) -> None:
    account, other = till.member(), centre.enrol("station")
    theirs = other.taken(account, 15)
    row = till.burn(account, 20)
    till.push()
    assert centre.outcome(row) == ("outlet_loss", "burn.uncovered", -5)
    burned = other.burn(account, 15, theirs.allowance)
    other.push()
    assert centre.outcome(burned) == ("applied", None, -15)
    assert centre.balance(account) == 0 and centre.faults() == []


def test_the_closing_row_gives_the_rest_back(centre: Centre, till: Till) -> None:
    account = till.member()
    grant = till.taken(account, 15)
    till.burn(account, 5, grant.allowance)
    till.close(grant, 5)
    till.push()
    assert allowance(centre) == (15, 5, 10, 0, False)
    assert till.push(wishes=[Wish(id=b"w" * 16, account=account, points=15)]).grants != []
    assert centre.faults() == []


def test_an_allowance_is_reclaimed_a_month_after_its_lifetime_and_a_late_burn_takes_what_is_there(
    centre: Centre, till: Till
) -> None:
    account, other = till.member(), centre.enrol("station")
    grant = till.taken(account, 15)
    centre.now_ms += RECLAIM_MS
    other.push()
    assert allowance(centre) == (15, 0, 0, 0, True)
    centre.now_ms += 1
    other.push()
    assert allowance(centre) == (15, 0, 0, 15, False)
    assert other.push(wishes=[Wish(id=b"w" * 16, account=account, points=12)]).grants != []
    row = till.burn(account, 15, grant.allowance)
    till.push()
    assert centre.outcome(row) == ("outlet_loss", "burn.uncovered", -8)
    assert centre.faults() == []


def test_a_grant_that_a_put_back_centre_forgot_comes_back_with_its_row(centre: Centre, till: Till) -> None:
    account = till.member()
    till.wish(account, 15)
    centre.execute(schema.allowances.delete())
    _, grant = till.take(till.grants[-1])
    row = till.burn(account, 15, grant.allowance)
    till.push()
    assert centre.outcome(row) == ("applied", None, -15)
    assert allowance(centre) == (15, 15, 0, 0, True) and centre.faults() == []


def test_a_forgotten_grant_whose_wish_was_granted_again_is_taken_as_well(centre: Centre, till: Till) -> None:
    account = till.member()
    signed = till.push(wishes=[Wish(id=b"w" * 16, account=account, points=8)]).grants[0]
    centre.execute(schema.allowances.delete())
    till.push(wishes=[Wish(id=b"w" * 16, account=account, points=8)])
    row, _ = till.take(signed)
    till.push()
    assert centre.outcome(row)[0] == "applied"
    a = schema.allowances.c
    assert centre.all(sa.select(sa.func.sum(a.granted))) == [(16,)] and centre.faults() == []


def test_a_grant_that_another_centre_signed_is_held(centre: Centre, till: Till, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    elsewhere = Centre(tmp_path / "other").enrol()
    elsewhere.wish(elsewhere.member(), 5)
    detail = kinds.AllowanceTaken(allowance=elsewhere.grant(elsewhere.grants[0]).allowance, grant=elsewhere.grants[0])
    row = till.write(detail, till.member())
    till.push()
    assert centre.outcome(row)[:2] == ("held", "allowance.foreign")


# -- returns -----------------------------------------------------------------------------------


def test_a_return_of_unspent_points_takes_them_from_their_own_lot(centre: Centre, till: Till) -> None:
    account = till.member()
    first, second = till.earn(account, 1000), till.earn(account, 2000)
    row = till.reverse(account, second)
    till.push()
    assert centre.outcome(row) == ("applied", None, -20)
    assert centre.lots(account) == [(20, 20), (10, 10), (20, 0)]
    assert centre.facts(account).days["2026-03-02"] == (1, 1000, 10, 10)
    assert centre.outcome(first)[0] == "applied" and centre.faults() == []


def test_a_return_of_spent_points_is_an_open_debt_that_later_credits_pay(centre: Centre, till: Till) -> None:
    account = till.member()
    earned = till.earn(account, 3000)
    till.push()
    grant = till.taken(account, 45)
    till.burn(account, 45, grant.allowance)
    row = till.reverse(account, earned)
    till.push()
    assert centre.outcome(row) == ("applied", None, -30)
    assert owed(centre, account) == (0, 25)
    till.earn(account, 2000)
    till.push()
    assert owed(centre, account) == (0, 5)
    till.goodwill(account, 15)
    till.push()
    assert owed(centre, account) == (10, 0) and centre.faults() == []


def test_what_an_allowance_gives_back_pays_the_open_debt(centre: Centre, till: Till) -> None:
    account = till.member()
    earned = till.earn(account, 3000)
    till.push()
    grant = till.taken(account, 50)
    till.reverse(account, earned)
    till.push()
    assert owed(centre, account) == (50, 30)
    till.close(grant, 0)
    till.push()
    assert owed(centre, account) == (20, 0) and centre.faults() == []


def test_what_is_reclaimed_pays_the_open_debt(centre: Centre, till: Till) -> None:
    account = till.member()
    earned = till.earn(account, 3000)
    till.push()
    till.taken(account, 50)
    till.reverse(account, earned)
    till.push()
    centre.now_ms += RECLAIM_MS + 1
    till.push()
    assert owed(centre, account) == (20, 0) and centre.faults() == []


def test_a_returned_burn_restores_its_lots(centre: Centre, till: Till) -> None:
    account = till.member()
    till.earn(account, 3000)
    till.push()
    grant = till.taken(account, 25)
    burned = till.burn(account, 25, grant.allowance)
    row = till.reverse(account, burned)
    till.push()
    assert centre.outcome(row) == ("applied", None, 25)
    assert centre.lots(account) == [(20, 20), (30, 30)]
    assert allowance(centre) == (25, 25, 0, 0, True)
    assert centre.faults() == []


def test_a_returned_burn_pays_the_open_debt_first(centre: Centre, till: Till) -> None:
    account = till.member()
    earned = till.earn(account, 3000)
    till.push()
    grant = till.taken(account, 50)
    burned = till.burn(account, 50, grant.allowance)
    till.reverse(account, earned)
    till.reverse(account, burned)
    till.push()
    assert owed(centre, account) == (20, 0) and centre.faults() == []


def test_a_burn_that_cost_the_outlet_gives_back_only_what_the_member_paid(centre: Centre, till: Till) -> None:
    account = till.member()
    burned = till.burn(account, 35)
    row = till.reverse(account, burned)
    till.push()
    assert centre.outcome(row)[::2] == ("adjusted", 20)
    assert centre.balance(account) == 20 and centre.faults() == []


def test_a_burn_returned_twice_is_given_back_once(centre: Centre, till: Till) -> None:
    account, other = till.member(), centre.enrol("station")
    grant = till.taken(account, 20)
    burned = till.burn(account, 20, grant.allowance)
    till.reverse(account, burned)
    body = till.rows[-1].body
    again = other.write(body)
    till.push()
    other.push()
    assert centre.outcome(again)[:2] == ("conflict_lost", "reversal.already")
    assert ("outlet:station", "reversal.already") in centre.notices(again)
    assert centre.balance(account) == 20 and centre.faults() == []


def test_more_is_never_given_back_than_was_bought(centre: Centre, till: Till) -> None:
    account, other = till.member(), centre.enrol("station")
    earned = till.earn(account, 1000)
    body = till.reverse(account, earned, amount_minor=600).body
    again = other.write(body)
    till.push()
    other.push()
    assert centre.outcome(again)[:2] == ("conflict_lost", "reversal.too_much")
    assert centre.balance(account) == 24 and centre.faults() == []


def test_a_return_of_what_counted_nothing_takes_nothing(centre: Centre, till: Till) -> None:
    account = till.member()
    till.earn(account, 1000, receipt="R1")
    twice = till.earn(account, 1000, receipt="R1")
    row = till.reverse(account, twice)
    till.push()
    assert centre.outcome(row) == ("adjusted", "earn.receipt_used", 0)
    assert owed(centre, account) == (30, 0) and centre.faults() == []


def test_a_return_that_names_another_member_is_held(centre: Centre, till: Till) -> None:
    account, other = till.member(1), till.member(2)
    earned = till.earn(account, 1000)
    row = till.reverse(other, earned)
    till.push()
    assert centre.outcome(row) == ("held", "reversal.unknown", 0)
    assert (centre.balance(account), centre.balance(other)) == (30, 20) and centre.faults() == []


def test_a_return_by_the_alias_of_a_card_activated_twice_is_the_same_member(centre: Centre, till: Till) -> None:
    account, other = till.member(), centre.enrol("station")
    alias = other.member(1)
    earned = other.earn(alias, 1000)
    row = other.reverse(alias, earned)
    other.push()
    assert centre.outcome(row) == ("applied", None, -10)
    assert centre.balance(account) == 20 and centre.faults() == []


def test_a_large_return_without_the_second_person_it_needs_is_held(centre: Centre, till: Till) -> None:
    account = till.member()
    goodwill = till.goodwill(account, 15)
    body = kinds.read_body(till.reverse(account, goodwill).body)
    till.rows.pop()
    centre.load(document(2).replace(b"points_over = 5000", b"points_over = 5"))
    row = till.write(kinds._encoder.encode(replace(body, basis=replace(body.basis, programme=2))))
    till.push()
    assert centre.outcome(row)[:2] == ("held", "approval.needed")


@settings(max_examples=25)
@given(
    amounts=st.lists(st.integers(1, 5000), min_size=1, max_size=4),
    categories=st.lists(st.sampled_from(["fresh", "tobacco", None]), min_size=4, max_size=4),
    vouchers=st.integers(0, 300),
    data=st.data(),
)
def test_parts_given_back_sum_to_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    amounts: list[int],
    categories: list[str | None],
    vouchers: int,
    data: st.DataObject,
) -> None:
    centre = Centre(tmp_path_factory.mktemp("parts"))
    till = centre.enrol()
    account = till.member()
    lines = tuple(Line(no=n, amount_minor=a, category=categories[n]) for n, a in enumerate(amounts))
    total = sum(amounts)
    earned = till.earn(account, total, lines=lines, vouchers_minor=min(vouchers, total))
    till.push()
    cuts = data.draw(st.sets(st.integers(1, total), max_size=4))
    left = total
    for cut in [*sorted(cuts - {total}), total]:
        part = cut - (total - left)
        row = till.reverse(account, earned, amount_minor=part)
        till.push()
        assert centre.outcome(row)[0] == "applied"
        left -= part
    assert owed(centre, account) == (20, 0)
    assert centre.facts(account).days["2026-03-02"] == (0, 0, 0, 0)
    assert centre.faults() == []
