"""The snapshot: the centre's newest word, all of an answer or nothing of it, and thrown away rather than trusted."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from written import MEMBER

from loyalty.ids import AccountId, AllowanceId, CardToken, EventId
from sync.files import StorageError
from sync.protocol.chain import Head, RowHash
from sync.protocol.messages import Outcome
from sync.snapshot import Held, Member, Snapshot, SnapshotReader, State

CARD = CardToken(b"c" * 9)
EVENT = EventId(b"e" * 16)


def told(facts: bytes) -> Member:
    return Member(MEMBER, 1, facts, None, Head(3, RowHash(bytes(32))))


def outcome(name: str, revision: int) -> Outcome:
    return Outcome(event_id=EVENT, seq=3, outcome=name, revision=revision)


def test_an_older_commit_never_replaces_a_newer_one(tmp_path: Path) -> None:
    snapshot = Snapshot.open_or_create(tmp_path)
    with snapshot.writing():
        snapshot.put_member(told(b"new"), 8, [(CARD, "active")])
        snapshot.put_member(told(b"old"), 7, [])
    assert snapshot.member(MEMBER).facts == b"new"  # type: ignore[union-attr]
    assert snapshot.card(CARD) is not None
    with snapshot.writing():
        snapshot.put_member(told(b"same commit"), 8, [])
    assert snapshot.member(MEMBER).facts == b"same commit"  # type: ignore[union-attr]
    assert snapshot.card(CARD) is None
    snapshot.close()


def test_after_a_new_generation_any_commit_replaces(tmp_path: Path) -> None:
    snapshot = Snapshot.open_or_create(tmp_path)
    with snapshot.writing():
        snapshot.put_member(told(b"old life"), 1000, [])
        snapshot.put_outcomes([outcome("held", 4)])
    with snapshot.writing():
        snapshot.begin_generation()
        snapshot.put_member(told(b"new life"), 1, [])
    assert snapshot.member(MEMBER).facts == b"new life"  # type: ignore[union-attr]
    assert snapshot.outcome(EVENT) is None
    snapshot.close()


def test_the_newest_revision_of_an_outcome_stands_and_applied_is_no_line(tmp_path: Path) -> None:
    snapshot = Snapshot.open_or_create(tmp_path)
    with snapshot.writing():
        snapshot.put_outcomes([outcome("suspense", 2), outcome("held", 1)])
    assert snapshot.outcome(EVENT).outcome == "suspense"  # type: ignore[union-attr]
    with snapshot.writing():
        snapshot.put_outcomes([outcome("applied", 3)])
    assert snapshot.outcome(EVENT) is None
    assert snapshot.outcomes() == []
    snapshot.close()


def test_an_allowance_keeps_the_time_it_was_first_asked_for(tmp_path: Path) -> None:
    snapshot = Snapshot.open_or_create(tmp_path)
    first = Held(AllowanceId(bytes(16)), MEMBER, 5, 1, b"w", bytes(16), 1_000, 2_000, 60, b"")
    with snapshot.writing():
        snapshot.put_allowance(first)
        snapshot.put_allowance(first._replace(sent_boottime_ms=9_000))
    assert snapshot.allowances(MEMBER) == [first]
    with snapshot.writing():
        snapshot.drop_allowances([first.id])
    assert snapshot.allowances() == []
    snapshot.close()


def test_a_member_that_left_takes_its_cards_and_aliases_along(tmp_path: Path) -> None:
    snapshot, alias = Snapshot.open_or_create(tmp_path), AccountId(bytes([7]) * 16)
    with snapshot.writing():
        snapshot.put_member(told(b"f"), 1, [(CARD, "active")], [alias])
    assert (snapshot.target(alias), snapshot.aliases(MEMBER), snapshot.tokens(MEMBER)) == (MEMBER, [alias], [CARD])
    with snapshot.writing():
        snapshot.forget_member(MEMBER)
    assert (snapshot.target(alias), snapshot.aliases(MEMBER), snapshot.tokens(MEMBER)) == (alias, [], [])
    snapshot.close()


def test_a_reader_hears_of_every_change_but_not_within_one_view(tmp_path: Path) -> None:
    snapshot, alias = Snapshot.open_or_create(tmp_path), AccountId(bytes([7]) * 16)
    reader = SnapshotReader.open(tmp_path)
    assert (reader.target(alias), reader.aliases(MEMBER), reader.state()) == (alias, [], State())
    with reader.view():
        with snapshot.writing():
            snapshot.put_member(told(b"f"), 1, [], [alias])
            snapshot.put_state(State(commit=1))
        assert (reader.target(alias), reader.member(MEMBER), reader.state()) == (alias, None, State())
    assert (reader.target(alias), reader.aliases(MEMBER), reader.state()) == (MEMBER, [alias], State(commit=1))
    reader.close()
    snapshot.close()


def test_an_answer_is_written_wholly_or_not_at_all(tmp_path: Path) -> None:
    snapshot = Snapshot.open_or_create(tmp_path)
    with pytest.raises(RuntimeError), snapshot.writing():
        snapshot.put_state(State(commit=5))
        snapshot.put_member(told(b"f"), 5, [])
        raise RuntimeError("killed")
    assert snapshot.state() == State()
    assert snapshot.members() == 0
    snapshot.close()


def test_a_reader_sees_the_change_of_another_process_at_its_next_question(tmp_path: Path) -> None:
    snapshot = Snapshot.open_or_create(tmp_path)
    reader = SnapshotReader.open(tmp_path)
    assert reader.state() == State()
    with snapshot.writing():
        snapshot.put_state(State(commit=5))
        snapshot.put_programme(3, b"signed")
    assert (reader.state().commit, list(reader.programme_versions())) == (5, [3])
    with reader.view():
        assert reader.state().commit == 5
        with snapshot.writing():
            snapshot.put_state(State(commit=6))
        assert reader.state().commit == 5
    assert reader.state().commit == 6
    reader.close()
    snapshot.close()


@pytest.mark.parametrize("content", [b"no database at all" * 300, b"SQLite format 3\0" + bytes(5_000)])
def test_a_damaged_snapshot_is_set_aside_and_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "snapshot.db").write_bytes(content)
    snapshot = Snapshot.open_or_create(tmp_path)
    assert snapshot.state() == State()
    assert (tmp_path / "snapshot.db.damaged").read_bytes() == content
    snapshot.close()


def test_a_snapshot_whose_state_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    Snapshot.open_or_create(tmp_path).close()
    with sqlite3.connect(tmp_path / "snapshot.db") as tampered:
        tampered.execute("INSERT OR REPLACE INTO state VALUES (1, x'c1')")
    tampered.close()
    snapshot = Snapshot.open_or_create(tmp_path)
    assert snapshot.state() == State()
    assert (tmp_path / "snapshot.db.damaged").exists()
    snapshot.close()


def test_a_snapshot_of_a_newer_version_is_refused_and_left_untouched(tmp_path: Path) -> None:
    Snapshot.open_or_create(tmp_path).close()
    with sqlite3.connect(tmp_path / "snapshot.db") as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    before = (tmp_path / "snapshot.db").read_bytes()
    with pytest.raises(StorageError) as refused:
        Snapshot.open_or_create(tmp_path)
    assert refused.value.code == "storage.newer_schema"
    assert (tmp_path / "snapshot.db").read_bytes() == before
