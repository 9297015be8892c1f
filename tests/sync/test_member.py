"""What a terminal shows of a member counts each of its rows exactly once, or is shown as unknown."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from written import BASIS, MEMBER, add, earned, moment, opened_journal

from loyalty import rows as kinds
from loyalty.facts import Facts
from loyalty.ids import AccountId, CardToken, Generation
from loyalty.rows import Answered, Counted
from loyalty.since import facts_now
from sync.member import account_of, standing
from sync.protocol.chain import Head, RowHash, event_id
from sync.snapshot import Member, Snapshot, State

ALIAS = AccountId(bytes([8]) * 16)
CARD = CardToken(b"c" * 9)
points = st.lists(st.tuples(st.integers(1, 50), st.sampled_from([MEMBER, ALIAS])), max_size=8)


def told(snapshot: Snapshot, balance: int, watermark: Head) -> None:
    facts = msgspec.msgpack.encode(Facts(known=True, member=MEMBER.hex(), balance=balance))
    with snapshot.writing():
        snapshot.put_member(Member(MEMBER, 1, facts, "Ida", watermark), 1, [(CARD, "active")], [ALIAS])


@given(bought=points, through=st.integers(0, 8), elsewhere=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_wherever_the_watermark_stands_each_row_counts_once(
    bought: list[tuple[int, AccountId]], through: int, elsewhere: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal, snapshot = opened_journal(Path(folder)), Snapshot.open_or_create(Path(folder))
        with journal.deciding():
            for amount, account in bought:
                journal.append(earned(amount, account=account), points=amount, account=account)
        seq = min(through, len(bought))
        counted = sum(amount for amount, _ in bought[:seq])
        told(snapshot, elsewhere + counted, Head(seq, journal.hash_at(seq) or RowHash(b"")))
        for account in (MEMBER, ALIAS):
            found = standing(snapshot, journal, account)
            assert found.facts.known and found.account == MEMBER
            now = facts_now(found.facts, found.own_rows)
            assert now.balance == elsewhere + sum(amount for amount, _ in bought)
        snapshot.close()
        journal.close()


def test_a_watermark_that_is_not_on_our_chain_makes_the_member_unknown(tmp_path: Path) -> None:
    journal, snapshot = opened_journal(tmp_path, 3), Snapshot.open_or_create(tmp_path)
    for watermark in (Head(2, RowHash(b"x" * 32)), Head(9, journal.head().hash)):
        told(snapshot, 10, watermark)
        found = standing(snapshot, journal, MEMBER)
        assert (found.facts.known, found.name, found.own_rows) == (False, "Ida", ())
    snapshot.close()
    journal.close()


def activated() -> bytes:
    none = Counted(day="2026-09-21", visits=0, spend_minor=0, base=0, points_counted=0, balance=0)
    detail = kinds.Activated(
        outlet="rome",
        way="assisted",
        code=None,
        first_name=None,
        approval=None,
        answer=Answered(points=0, breakdown=(), counts=none),
    )
    return kinds.encode(detail, moment=moment(), basis=BASIS, card=CARD)


def test_a_member_born_here_is_known_until_the_centre_has_its_activation(tmp_path: Path) -> None:
    journal, snapshot = opened_journal(tmp_path, 1), Snapshot.open_or_create(tmp_path)
    assert account_of(snapshot, journal, CARD) is None
    with journal.deciding():
        row = journal.append(activated())
        born = AccountId(event_id(row.hash))
        journal.append(earned(7, account=born), points=7, account=born)
    assert account_of(snapshot, journal, CARD) == (born, "active")
    assert not standing(snapshot, journal, born).facts.known  # nothing was heard of the centre yet: who knows
    life = State(generation=Generation(b"g" * 16), epoch=1, ack_seq=1, ack_hash=journal.hash_at(1) or b"")
    with snapshot.writing():
        snapshot.put_state(life)
    found = standing(snapshot, journal, born)
    assert found.facts.known and facts_now(found.facts, found.own_rows).balance == 7
    with snapshot.writing():
        snapshot.put_state(msgspec.structs.replace(life, ack_seq=2, ack_hash=row.hash))
    assert not standing(snapshot, journal, born).facts.known
    snapshot.close()
    journal.close()


def test_a_card_of_a_member_that_was_brought_to_life_here_too_keeps_its_rows(tmp_path: Path) -> None:
    journal, snapshot = opened_journal(tmp_path), Snapshot.open_or_create(tmp_path)
    with journal.deciding():
        born = AccountId(event_id(journal.append(activated()).hash))
        journal.append(earned(7, account=born), points=7, account=born)
    add(journal, 1, points=5)
    facts = msgspec.msgpack.encode(Facts(known=True, member=MEMBER.hex(), balance=100))
    with snapshot.writing():  # the centre knows the card by an activation elsewhere, and has not heard of ours
        snapshot.put_member(Member(MEMBER, 1, facts, None, Head(0, journal.genesis)), 1, [(CARD, "active")])
    found = standing(snapshot, journal, MEMBER)
    assert [row.seq for row in found.own_rows] == [2, 3]
    assert facts_now(found.facts, found.own_rows).balance == 100 + 7 + 5
    snapshot.close()
    journal.close()
