"""What each row becomes at the centre: postings, lots, facts, feed and outcome, on a real database file."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from loyalty import rows as kinds
from loyalty.facts import Facts
from loyalty.ids import AccountId
from server import schema
from sync.protocol.chain import event_id
from tests.rigs.centre import Centre, Till, account_of, document, known, presented, token


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


@pytest.fixture
def till(centre: Centre) -> Till:
    return centre.enrol()


def test_an_activation_makes_a_card_an_account_and_the_welcome(centre: Centre, till: Till) -> None:
    row = till.activate(token(1), name="Ada")
    answer = till.push()
    account = account_of(row)
    assert centre.outcome(row) == ("applied", None, 20)
    assert centre.balance(account) == 20 and centre.lots(account) == [(20, 20)]
    assert centre.ledger(row) == {"member": 20, "issued": -20}
    assert centre.facts(account).campaigns["welcome"]["total"] == 1
    assert answer.outcomes == []
    assert till.members[account].name == "Ada" and till.members[account].cards == [(token(1), "active")]
    assert centre.faults() == []


def test_a_purchase_is_posted_to_lots_facts_and_feed(centre: Centre, till: Till) -> None:
    account = till.member()
    row = till.earn(account, 1250, receipt="R1")
    answer = till.push()
    assert answer.ack == till.place(2)
    assert centre.outcome(row) == ("applied", None, 12)
    assert centre.ledger(row) == {"member": 12, "issued": -12}
    assert centre.lots(account) == [(20, 20), (12, 12)]
    facts = centre.facts(account)
    assert (facts.purchases, facts.balance) == (1, 32)
    assert facts.days["2026-03-02"] == (1, 1250, 12, 12)
    assert answer.counts == {int(kinds.Kind.activated): (1, 20), int(kinds.Kind.earned): (1, 12)}
    assert centre.faults() == []


def test_a_purchase_that_the_till_undervalued_is_adjusted_upwards(centre: Centre, till: Till) -> None:
    account = till.member()
    rows = [till.earn(account, 1000, receipt=f"R{n}") for n in range(3)]
    till.push()
    assert centre.outcome(rows[2]) == ("adjusted", "fact.visits", 20)
    assert till.outcomes[event_id(rows[2].hash)].points == 20
    assert centre.balance(account) == 20 + 30 + 10
    assert centre.faults() == []


def test_visits_at_another_till_count_here(centre: Centre, till: Till) -> None:
    account, other = till.member(), centre.enrol("station")
    other.earn(account, 1000)
    other.earn(account, 1000)
    other.push()
    row = till.earn(account, 1000, facts=Facts(known=False, member=account.hex()))
    till.push()
    assert centre.outcome(row) == ("adjusted", "fact.member", 20)


def test_what_the_till_promised_too_much_is_kept_at_the_campaigns_cost(centre: Centre, till: Till) -> None:
    account = till.member()
    row = till.earn(account, 1000, promised=25)
    till.push()
    assert centre.outcome(row) == ("applied", None, 25)
    assert centre.ledger(row) == {"member": 25, "issued": -10, "campaign_cost": -15}
    assert ("outlet:harbour", "fact.kept") in centre.notices(row)
    assert centre.faults() == []


def test_a_promise_beyond_what_may_be_kept_is_held(centre: Centre, till: Till) -> None:
    account = till.member()
    row = till.earn(account, 1000, promised=1_000_000)
    till.push()
    assert centre.outcome(row) == ("held", "fact.kept", 10)
    assert centre.balance(account) == 30
    assert ("operations", "fact.kept") in centre.notices(row)
    assert centre.faults() == []


def test_a_welcome_that_was_promised_higher_is_kept_too(centre: Centre, till: Till) -> None:
    till.activate(token(1))
    body = kinds.read_body(till.rows[0].body)
    detail = kinds.read_detail(body)
    assert isinstance(detail, kinds.Activated)
    till.rows.clear()
    row = till.write(replace(detail, answer=replace(detail.answer, points=50)), card=token(1))
    till.push()
    assert centre.balance(account_of(row)) == 50
    assert ("outlet:harbour", "fact.kept") in centre.notices(row)
    assert centre.faults() == []


def test_goodwill_is_posted_and_without_the_role_held(centre: Centre, till: Till) -> None:
    account = till.member()
    good, bad = till.goodwill(account, 15), till.goodwill(account, 15, role="cashier")
    till.push()
    assert centre.outcome(good) == ("applied", None, 15)
    assert centre.outcome(bad) == ("held", "compensation.role", 0)
    assert centre.balance(account) == 35 and centre.facts(account).compensations == {"spilt": {"2026-03": 1}}
    assert centre.faults() == []


def test_a_purchase_without_the_second_person_it_needed_is_held(centre: Centre, till: Till) -> None:
    account = till.member()
    row = till.earn(account, 600_000, hold=True)
    till.push()
    assert centre.outcome(row) == ("held", "approval.needed", 0)
    assert centre.balance(account) == 20


@pytest.mark.parametrize(("operator", "role"), [("ada", "supervisor"), ("bea", "cashier")])
def test_an_approval_by_oneself_or_by_a_wrong_role_is_held(
    centre: Centre, till: Till, operator: str, role: str
) -> None:
    account = till.member()
    till.earn(account, 600_000, hold=True)
    body = kinds.read_body(till.rows.pop().body)
    detail = kinds.read_detail(body)
    assert isinstance(detail, kinds.Earned)
    detail = replace(detail, held=False, approval=kinds.Approved(operator=operator, role=role))
    row = till.write(kinds.encode(detail, moment=body.moment, basis=body.basis, operator="ada", account=account))
    till.push()
    assert centre.outcome(row)[0] == "held" and centre.balance(account) == 20


def test_a_receipt_counts_once_in_an_outlet(centre: Centre, till: Till) -> None:
    account = till.member()
    first, second = till.earn(account, 1000, receipt="R1"), till.earn(account, 1000, receipt="R1")
    other = centre.enrol("station")
    elsewhere = other.earn(account, 1000, receipt="R1")
    till.push()
    other.push()
    assert centre.outcome(first)[0] == "applied"
    assert centre.outcome(second) == ("adjusted", "earn.receipt_used", 0)
    assert centre.outcome(elsewhere)[0] == "applied"
    assert centre.balance(account) == 40 and centre.faults() == []


def test_a_request_that_a_caller_repeats_is_a_duplicate(centre: Centre, till: Till) -> None:
    account, caller = till.member(), kinds.Caller(pos_key="pos", key="k1")
    first = till.earn(account, 1000, caller=caller)
    again = till.earn(account, 1000, caller=caller)
    other = till.earn(account, 2000, caller=caller)
    third = till.earn(account, 1000, caller=caller)
    till.push()
    assert [centre.outcome(row)[0] for row in (first, again, other, third)] == [
        "applied",
        "duplicate",
        "held",
        "duplicate",
    ]
    assert centre.balance(account) == 30


def test_rows_of_tomorrow_with_one_key_do_not_stop_the_queue(centre: Centre, till: Till) -> None:
    account, caller = till.member(), kinds.Caller(pos_key="pos", key="k1")
    row = till.earn(account, 1000, caller=caller)
    body = replace(kinds.read_body(till.rows.pop().body), kind=99)
    bytes_ = kinds._encoder.encode(body)
    first, second = till.write(bytes_), till.write(bytes_)
    row = till.earn(account, 1000)
    till.push()
    assert [centre.outcome(r)[0] for r in (first, second, row)] == ["quarantined", "duplicate", "applied"]


# -- cards and codes ---------------------------------------------------------------------------


def test_a_card_activated_twice_is_merged_into_the_first(centre: Centre, till: Till) -> None:
    other = centre.enrol("station")
    first, second = till.activate(token(1)), other.activate(token(1))
    later = other.earn(account_of(second), 1000)
    till.push()
    other.push()
    assert centre.outcome(second) == ("merged", "card.activated_twice", 0)
    assert centre.balance(account_of(first)) == 30
    assert centre.row(later).account == account_of(first)
    assert {("outlet:station", "card.activated_twice"), ("support", "card.activated_twice")} <= centre.notices(second)
    assert account_of(second) not in other.members
    assert centre.faults() == []


def test_an_activation_code_used_twice_is_the_outlets_loss_and_the_card_lives(centre: Centre, till: Till) -> None:
    (code,) = centre.issue("welcome", 1, "activation")
    other = centre.enrol("station")
    first, second = till.activate(token(1), code), other.activate(token(2), code)
    till.push()
    other.push()
    assert centre.outcome(first)[0] == "applied"
    assert centre.outcome(second)[:2] == ("outlet_loss", "code.used")
    assert centre.balance(account_of(second)) == 20
    assert ("outlet:station", "code.used") in centre.notices(second)
    assert centre.faults() == []


def test_a_bonus_code_used_twice_is_the_outlets_loss_and_the_member_keeps_it(centre: Centre, till: Till) -> None:
    (code,) = centre.issue("leaflet", 1, "bonus")
    account, other = till.member(), centre.enrol("station")
    first, second = till.use_code(account, code), other.use_code(account, code)
    till.push()
    other.push()
    assert centre.outcome(first) == ("applied", None, 40)
    assert centre.outcome(second) == ("outlet_loss", "code.used", 40)
    assert centre.ledger(second) == {"member": 40, "outlet_loss": -40}
    assert ("outlet:station", "code.used") in centre.notices(second)
    assert centre.balance(account) == 100 and centre.faults() == []


def test_a_bonus_code_on_a_purchase_is_used_up(centre: Centre, till: Till) -> None:
    (code,) = centre.issue("leaflet", 1, "bonus")
    account = till.member()
    row = till.earn(account, 1000, codes=(presented(code),))
    again = till.earn(account, 1000, codes=(presented(code),))
    till.push()
    c = schema.codes.c
    assert centre.outcome(row) == ("applied", None, 50)
    assert centre.all(sa.select(c.state, c.used_by)) == [("used", event_id(row.hash))]
    assert centre.outcome(again)[:2] == ("outlet_loss", "code.used")
    assert centre.faults() == []


@pytest.mark.parametrize("code_id", ["not hex", "", "ff" * 500])
def test_a_code_that_is_none_of_ours_stops_no_queue(centre: Centre, till: Till, code_id: str) -> None:
    till.activate(token(1))
    detail = kinds.read_detail(kinds.read_body(till.rows.pop().body))
    assert isinstance(detail, kinds.Activated)
    used = kinds.UsedCode(id=code_id, batch=None, serial=1, programme="harbour")
    row = till.write(replace(detail, code=used), card=token(1))
    till.push()
    assert centre.outcome(row)[0] == "outlet_loss"


def test_a_blocked_cards_earning_waits_and_its_burn_is_the_outlets(centre: Centre, till: Till) -> None:
    account = till.member()
    centre.execute(schema.cards.update().values(status="blocked"))
    grant = till.taken(account, 10)
    earned, burned = till.earn(account, 1000, card=token(1)), till.burn(account, 10, grant.allowance, card=token(1))
    till.push()
    assert centre.outcome(earned) == ("suspense", "card.blocked", 0)
    assert centre.outcome(burned) == ("outlet_loss", "card.blocked", 0)
    assert ("risk", "card.blocked") in centre.notices(burned)
    assert ("outlet:harbour", "card.blocked") in centre.notices(burned)
    assert centre.balance(account) == 20 and centre.faults() == []


# -- what cannot be read -----------------------------------------------------------------------


def test_what_cannot_be_read_is_quarantined_and_the_rows_behind_it_are_posted(centre: Centre, till: Till) -> None:
    account = till.member()
    torn = till.write(b"\x93\x01")
    tomorrow = till.write(kinds._encoder.encode(replace(kinds.read_body(till.rows[0].body), kind=77, account=account)))
    row = till.earn(account, 1000)
    till.push()
    assert centre.outcome(torn)[0] == "quarantined"
    assert centre.outcome(tomorrow)[0] == "quarantined"
    assert centre.outcome(row)[0] == "applied"
    assert ("operations", "row.quarantined") in centre.notices(torn)
    assert till.outcomes[event_id(torn.hash)].outcome == "quarantined"
    assert centre.faults() == []


def mad(till: Till, account: AccountId) -> list[kinds.Detail | bytes]:
    """Rows that are well formed and mean nothing."""
    template = till.earn(account, 1000)
    body = kinds.read_body(till.rows.pop().body)
    earned = kinds.read_detail(body)
    assert isinstance(earned, kinds.Earned) and template is not None
    huge = replace(earned, answer=replace(earned.answer, points=2**63))
    lines = replace(earned, lines=(kinds.Line(no=1, amount_minor=-(2**63)),))
    day = replace(earned, bought_at="yesterday")
    long_ago = replace(body, moment=replace(body.moment, wall_ms=-(10**18)))
    far = replace(body, kind=2**40)
    return [huge, lines, day, kinds._encoder.encode(long_ago), kinds._encoder.encode(far)]


@pytest.mark.parametrize("which", range(5))
def test_a_row_that_breaks_the_decision_is_quarantined_alone(centre: Centre, till: Till, which: int) -> None:
    account = till.member()
    before, row = till.earn(account, 1000), till.write(mad(till, account)[which], account)
    after = till.earn(account, 1000)
    till.push()
    assert centre.outcome(row)[0] in ("quarantined", "held")
    assert centre.outcome(before)[0] == "applied" and centre.outcome(after)[0] in ("applied", "adjusted")
    assert centre.balance(account) in (40, 60) and centre.faults() == []


def test_an_activation_without_a_card_is_quarantined(centre: Centre, till: Till) -> None:
    till.activate(token(1))
    detail = kinds.read_detail(kinds.read_body(till.rows.pop().body))
    row = till.write(detail)
    till.push()
    assert centre.outcome(row)[0] == "quarantined"


@pytest.mark.parametrize("points", [0, -5])
def test_a_burn_of_nothing_or_less_makes_no_points(centre: Centre, till: Till, points: int) -> None:
    account = till.member()
    row = till.burn(account, points)
    till.push()
    assert centre.outcome(row)[:2] == ("held", "points.range")
    assert centre.balance(account) == 20 and centre.faults() == []


def test_a_clock_far_ahead_is_clamped_to_the_receipt(centre: Centre, till: Till) -> None:
    account = till.member()
    till.behind_ms = -400 * 86_400_000
    till.earn(account, 1000)
    till.push()
    assert list(centre.facts(account).days) == ["2026-03-02"]


# -- waiting -----------------------------------------------------------------------------------


def test_rows_before_the_activation_wait_and_are_decided_when_it_arrives(centre: Centre, till: Till) -> None:
    other = centre.enrol("station")
    account = account_of(till.activate(token(1)))
    earned, burned = other.earn(account, 1000), other.burn(account, 25)
    other.push()
    assert centre.outcome(earned) == ("suspense", "account.unknown", 0)
    assert other.outcomes[event_id(earned.hash)].outcome == "suspense"
    till.push()
    assert centre.outcome(earned) == ("applied", None, 10)
    assert centre.outcome(burned) == ("applied", None, -25)
    assert centre.balance(account) == 5
    other.push()
    assert other.outcomes[event_id(earned.hash)].outcome == "applied"
    assert other.outcomes[event_id(earned.hash)].revision == 2
    assert centre.faults() == []


def test_a_waiting_rows_loss_is_its_own_outlets(centre: Centre, till: Till) -> None:
    other = centre.enrol("station")
    account = account_of(till.activate(token(1)))
    burned = other.burn(account, 25)
    other.push()
    till.push()
    assert centre.outcome(burned)[:2] == ("outlet_loss", "burn.uncovered")
    p = schema.postings.c
    assert centre.all(sa.select(p.outlet, p.points).where(p.ledger == "outlet_loss")) == [("station", -5)]
    assert ("outlet:station", "burn.uncovered") in centre.notices(burned)


def test_a_reversal_before_its_earning_waits_and_is_decided_when_that_arrives(centre: Centre, till: Till) -> None:
    account, other = till.member(), centre.enrol("station")
    earned = till.earn(account, 1000)
    other.rows.append(earned)
    reversed_ = other.reverse(account, earned)
    other.rows.clear()
    reversed_ = other.write(reversed_.body)
    other.push()
    assert centre.outcome(reversed_) == ("suspense", "reversal.unknown", 0)
    till.push()
    assert centre.outcome(reversed_) == ("applied", None, -10)
    assert centre.balance(account) == 20 and centre.faults() == []


def test_a_reversal_an_earning_and_an_activation_that_arrive_backwards_are_all_decided(
    centre: Centre, till: Till
) -> None:
    second, third = centre.enrol("station"), centre.enrol()
    account = account_of(till.activate(token(1)))
    earned = second.earn(account, 1000)
    third.rows.append(earned)
    body = third.reverse(account, earned).body
    third.rows.clear()
    reversed_ = third.write(body)
    third.push()
    second.push()
    till.push()
    assert centre.outcome(earned)[0] == "applied"
    assert centre.outcome(reversed_) == ("applied", None, -10)


def test_a_taken_allowance_waits_for_its_account_too(centre: Centre, till: Till, tmp_path: Path) -> None:
    account, row = till.member(), till.rows[0]
    grant = till.taken(account, 15)
    burned = till.burn(account, 15, grant.allowance)
    centre.execute(schema.rows.delete())
    for table in (schema.accounts, schema.cards, schema.lots, schema.postings, schema.allowances, schema.streams):
        centre.execute(table.delete())
    till.rows.remove(row)
    moved = centre.enrol()
    for one in till.rows:
        moved.write(one.body)
    moved.push()
    assert centre.outcome(moved.rows[0])[0] == "suspense"
    assert burned.body == moved.rows[1].body


# -- programmes --------------------------------------------------------------------------------


def test_a_row_is_decided_by_the_version_it_names(centre: Centre, till: Till) -> None:
    account = till.member()
    row = till.earn(account, 1000)
    centre.load(document(2).replace(b"points = 1\nper_minor = 100\n", b"points = 5\nper_minor = 100\n"))
    newer = till.earn(account, 1000)
    till.push()
    assert [centre.outcome(r)[2] for r in (row, newer)] == [10, 50]


def test_a_return_is_priced_by_the_version_of_its_purchase(centre: Centre, till: Till) -> None:
    account = till.member()
    row = till.earn(account, 1000)
    till.push()
    body = till.reverse(account, row).body
    till.rows.pop()
    centre.load(document(2).replace(b"points = 1\nper_minor = 100\n", b"points = 5\nper_minor = 100\n"))
    read = kinds.read_body(body)
    back = till.write(kinds._encoder.encode(replace(read, basis=replace(read.basis, programme=2))))
    till.push()
    assert centre.outcome(back) == ("applied", None, -10)
    assert centre.balance(account) == 20 and centre.faults() == []


def test_a_member_nobody_knows_is_unknown(centre: Centre, till: Till) -> None:
    row = till.earn(AccountId(b"x" * 16), 1000, facts=known(AccountId(b"x" * 16)))
    till.push()
    assert centre.outcome(row) == ("suspense", "account.unknown", 0)
