"""One round trip as a pure function: which answers count, and what they change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from written import TERMINAL, add, open_epoch, opened_journal

from loyalty.ids import EventId, Generation
from sync.exchange import (
    Applied,
    Branched,
    Dropped,
    Noted,
    acknowledged,
    apply,
    forked,
    is_unread,
    request,
)
from sync.journal import Journal
from sync.protocol import packing
from sync.protocol.chain import Head, RowHash
from sync.protocol.messages import Answer, Branch, Clock, Outcome, Page, Place, Probe, Request
from sync.snapshot import State

LIFE = Generation(b"1" * 16)
NEXT_LIFE = Generation(b"2" * 16)
CLOCK = Clock(wall_ms=1_790_000_000_000, boottime_ms=1, boot_id=bytes(16))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Ten rows."""
    opened = opened_journal(tmp_path, 10)
    yield opened
    opened.close()


def place(journal: Journal, seq: int) -> Place:
    return Place(seq, journal.hash_at(seq) or b"?" * 32)


def acked(journal: Journal, seq: int, **more: object) -> State:
    """The state after an answer that acknowledged `seq`."""
    at = place(journal, seq)
    state = State(generation=LIFE, epoch=1, commit=5, ack_seq=seq, ack_hash=at.hash, outcomes_through=seq, number=20)
    return replace(state, **more)


def asked_of(state: State, journal: Journal, number: int = 21) -> Request:
    return request(state, journal, number=number, clock=CLOCK)


def answer(journal: Journal, seq: int, **more: object) -> Answer:
    plain = Answer(number=21, epoch=1, generation=LIFE, commit=6, centre_time_ms=0, ack=place(journal, seq))
    return replace(plain, **more)


def page(start: int | None, cursor: int = 9) -> Page:
    return Page(start=start, cursor=cursor, position=12, hash=b"p" * 32, watermark=Place(0, b""))


def step(state: State, journal: Journal, said: Answer) -> object:
    return apply(state, asked_of(state, journal), said, journal)


# -- what is asked -----------------------------------------------------------------------------------------------------


def test_rows_above_the_acknowledgement_are_pushed_after_the_hash_before_them(journal: Journal) -> None:
    asked = asked_of(acked(journal, 4), journal)
    assert asked.batch is not None and asked.batch.after == place(journal, 4)
    rows = packing.unpack(asked.batch.packed, previous=RowHash(asked.batch.after.hash), terminal=TERMINAL)
    assert rows == journal.rows_after(4, 100)
    assert (asked.head, asked.batch.last) == (place(journal, 10), journal.head().hash)
    assert asked.outcomes_through == 4 and asked.chain == [] and not asked.fork


def test_with_nothing_to_push_only_the_feed_is_asked_for(journal: Journal) -> None:
    asked = asked_of(acked(journal, 10), journal)
    assert asked.batch is None and asked.head == place(journal, 10)


def test_an_acknowledgement_that_is_not_on_our_chain_is_declared_a_fork(journal: Journal) -> None:
    state = acked(journal, 4, ack_hash=b"x" * 32)
    assert forked(state, journal) and acknowledged(state, journal) == 0
    asked = asked_of(state, journal)
    assert asked.fork and asked.batch is None
    assert [p.seq for p in asked.chain] == [10, 9, 7, 3, 0]


def test_an_acknowledgement_above_our_head_is_declared_a_fork(journal: Journal) -> None:
    assert forked(acked(journal, 4, ack_seq=11), journal)


def test_an_unknown_acknowledgement_is_no_fork_and_all_is_pushed_again(journal: Journal) -> None:
    asked = asked_of(State(), journal)
    assert not asked.fork and asked.batch is not None and asked.batch.after == Place(0, journal.genesis)
    assert asked.chain[0] == place(journal, 10) and asked.chain[-1] == Place(0, journal.genesis)


def test_a_probe_is_answered_with_hashes_of_its_span(journal: Journal) -> None:
    asked = asked_of(acked(journal, 4, probe=(3, 7)), journal)
    assert [p.seq for p in asked.chain][:5] == [7, 6, 5, 4, 3]


def test_on_a_new_branch_the_feed_is_asked_from_its_beginning(journal: Journal) -> None:
    state = acked(journal, 10, cursor=7)
    open_epoch(journal, 2, Head(10, journal.head().hash))
    asked = asked_of(state, journal)
    assert (asked.epoch, asked.cursor, asked.outcomes_through) == (2, 0, 0)


# -- which answers count -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "old",
    [
        pytest.param({"epoch": 2}, id="of another branch"),
        pytest.param({"number": 20}, id="to another request"),
        pytest.param({"commit": 4}, id="of an older commit"),
        pytest.param({"ack": None}, id="that says nothing"),
    ],
)
def test_an_answer_is_dropped(journal: Journal, old: dict[str, object]) -> None:
    assert isinstance(step(acked(journal, 4), journal, answer(journal, 10, **old)), Dropped)


def test_an_answer_from_before_the_last_change_is_dropped(journal: Journal) -> None:
    assert isinstance(step(acked(journal, 4, floor=21), journal, answer(journal, 10)), Dropped)


def test_an_answer_moves_acknowledgement_commit_and_safe_seq(journal: Journal) -> None:
    done = step(acked(journal, 4), journal, answer(journal, 8, safe_seq=3))
    assert isinstance(done, Applied)
    assert (done.state.ack_seq, done.state.commit, done.state.safe_seq, list(done.acked)) == (8, 6, 3, [5, 6, 7, 8])
    assert acknowledged(done.state, journal) == 8


def test_the_latest_acknowledgement_counts_also_where_it_is_lower(journal: Journal) -> None:
    done = step(acked(journal, 8), journal, answer(journal, 2))
    assert isinstance(done, Applied)
    assert (done.state.ack_seq, done.state.outcomes_through, list(done.acked)) == (2, 2, [])


# -- forks -------------------------------------------------------------------------------------------------------------


def test_a_fork_of_equal_length_is_noticed_by_the_hash(journal: Journal) -> None:
    done = step(acked(journal, 4), journal, answer(journal, 10, ack=Place(10, b"x" * 32)))
    assert isinstance(done, Noted) and done.state.fork and done.state.ack_seq == 4


def test_rows_at_the_centre_above_our_head_are_a_fork(journal: Journal) -> None:
    done = step(acked(journal, 10), journal, answer(journal, 11))
    assert isinstance(done, Noted) and done.state.fork


def test_a_branch_ends_the_fork_and_nothing_older_counts_afterwards(journal: Journal) -> None:
    state = acked(journal, 4, fork=True)
    done = step(state, journal, answer(journal, 4, branch=Branch(epoch=2, parent=place(journal, 3))))
    assert isinstance(done, Branched) and done.branch.epoch == 2
    assert (done.state.fork, done.state.floor, done.state.outcomes_through) == (False, 21, 3)


@pytest.mark.parametrize("branch", [(1, 3, None), (2, 3, b"x" * 32), (2, 99, None)])
def test_a_branch_that_is_not_ours_to_open_is_dropped(journal: Journal, branch: tuple[int, int, bytes | None]) -> None:
    epoch, seq, hash_ = branch
    parent = Place(seq, hash_ or place(journal, seq).hash)
    said = answer(journal, 4, branch=Branch(epoch=epoch, parent=parent))
    assert isinstance(step(acked(journal, 4, fork=True), journal, said), Dropped)


def test_a_probe_is_kept_until_it_is_answered(journal: Journal) -> None:
    done = step(acked(journal, 4), journal, answer(journal, 4, probe=Probe(above=0, below=10)))
    assert isinstance(done, Noted) and done.state.probe == (0, 10)
    done = step(done.state, journal, answer(journal, 10))
    assert isinstance(done, Applied) and done.state.probe is None


# -- generations, pages, outcomes --------------------------------------------------------------------------------------


def test_a_new_generation_begins_the_feed_anew_and_asks_again_for_outcomes(journal: Journal) -> None:
    state = acked(journal, 8, cursor=7, position=9, position_hash=b"old")
    done = step(state, journal, answer(journal, 6, generation=NEXT_LIFE, commit=1, page=page(None)))
    assert isinstance(done, Applied) and done.new_generation and done.page is not None
    assert (done.state.generation, done.state.commit, done.state.floor) == (NEXT_LIFE, 1, 21)
    assert (done.state.cursor, done.state.position, done.state.outcomes_through) == (9, 12, 6)


def test_a_new_generation_without_a_page_leaves_no_receipt_of_the_old_one(journal: Journal) -> None:
    state = acked(journal, 8, cursor=7, position=9, position_hash=b"old")
    done = step(state, journal, answer(journal, 6, generation=NEXT_LIFE, commit=1))
    assert isinstance(done, Applied)
    receipt = asked_of(done.state, journal, 22).receipt
    assert (receipt.generation, receipt.position, receipt.hash) == (NEXT_LIFE, 0, b"")


def test_outcomes_that_begin_above_our_mark_do_not_move_it(journal: Journal) -> None:
    told = Outcome(event_id=EventId(bytes(16)), seq=9, outcome="held")
    state = acked(journal, 8, outcomes_through=3)
    done = step(state, journal, answer(journal, 10, outcomes_from=8, outcomes=[told]))
    assert isinstance(done, Applied)
    assert (done.outcomes, done.state.outcomes_through) == ([], 3)
    assert is_unread(done.state)
    done = step(state, journal, answer(journal, 10, outcomes_from=3, outcomes=[told]))
    assert isinstance(done, Applied)
    assert (done.outcomes, done.state.outcomes_through) == ([told], 10)


@pytest.mark.parametrize(("start", "counts"), [(5, True), (4, False), (6, False), (None, False)])
def test_a_page_counts_only_from_where_the_cursor_stands(journal: Journal, start: int | None, counts: bool) -> None:
    done = step(acked(journal, 4, cursor=5), journal, answer(journal, 10, page=page(start)))
    assert isinstance(done, Applied)
    assert (done.page is not None) == counts
    assert done.state.cursor == (9 if counts else 5)


def test_counts_that_differ_from_the_centres_are_seen(journal: Journal) -> None:
    same = step(acked(journal, 4), journal, answer(journal, 10, counts=journal.counts(10)))
    other = step(acked(journal, 4), journal, answer(journal, 10, counts={3: (9, 9)}))
    assert isinstance(same, Applied) and not same.state.counts_differ
    assert isinstance(other, Applied) and other.state.counts_differ


def test_two_requests_without_an_answer_between_say_the_same(journal: Journal) -> None:
    state = acked(journal, 4)
    assert asked_of(state, journal) == asked_of(state, journal)
    add(journal, 1)
    assert asked_of(state, journal).batch != asked_of(acked(journal, 11), journal).batch
