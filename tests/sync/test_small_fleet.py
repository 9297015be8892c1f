"""Random histories of terminals and centre: whatever is lost, repeated, copied or put back, every fact counts once."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec.structs import replace
from small_fleet import Fleet

from loyalty.ids import AccountId
from server import accept, feed, schema
from sync import exchange
from sync.journal import JournalReader
from sync.protocol.chain import Head, RowHash
from sync.protocol.messages import Answer, Place
from sync.snapshot import Member, SnapshotReader

SEEDS = range(30)  # half a second each
STEPS = 120


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: an fsync is honest there, and free."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="holdfast-fleet-", dir=memory if memory.is_dir() else None))
    yield path
    shutil.rmtree(path)


def live(folder: Path, seed: int) -> None:
    """One history, its healing, and all checks."""
    fleet = Fleet(folder / f"fleet-{seed}", random.Random(seed))
    try:
        for _ in range(STEPS):
            fleet.step()
        fleet.heal()
        fleet.check_end()
    finally:
        fleet.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_after_any_faults_every_fact_is_at_the_centre_once_and_all_agree(folder: Path, seed: int) -> None:
    live(folder, seed)


# -- bugs that the checks above must catch -----------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]


class Anything(bytes):
    """Equal to whatever it is compared with."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


def watermark_without_hash(patch: pytest.MonkeyPatch) -> None:
    """What was told of a member counts as of a number, whatever row has that number now."""
    told = SnapshotReader.member

    def trusting(snapshot: SnapshotReader, account: AccountId) -> Member | None:
        found = told(snapshot, account)
        return found and found._replace(watermark=Head(found.watermark.seq, RowHash(Anything())))

    patch.setattr(SnapshotReader, "member", trusting)


def no_deduplication(patch: pytest.MonkeyPatch) -> None:
    """A row that comes by another stream is decided and posted again."""
    came_by, insert = accept._came_by, accept._insert
    known: list[bool] = []

    def forgotten(tx: sa.Connection, terminal: Any, event: Any) -> None:
        known[:] = [came_by(tx, terminal, event) is not None]

    def only_new(*values: Any) -> None:
        if not known[0]:
            insert(*values)

    patch.setattr(accept, "_came_by", forgotten)
    patch.setattr(accept, "_insert", only_new)


def feed_entry_lost(patch: pytest.MonkeyPatch) -> None:
    """Of every eight entries one is forgotten."""
    append, calls = feed.append, iter(range(1_000_000))

    def leaky(*values: Any) -> None:
        if next(calls) % 8 != 7:
            append(*values)

    patch.setattr(feed, "append", leaky)


def outcomes_not_told(patch: pytest.MonkeyPatch) -> None:
    """The mark moves, the outcomes do not come."""
    patch.setattr(accept, "_outcomes", lambda *_: [])


@pytest.mark.parametrize(
    "plant",
    [
        watermark_without_hash,
        no_deduplication,
        feed_entry_lost,
        outcomes_not_told,
    ],
    ids=lambda plant: plant.__name__,
)
def test_a_planted_bug_is_caught_within_twenty_histories(
    folder: Path, monkeypatch: pytest.MonkeyPatch, plant: Plant
) -> None:
    for seed in range(20):
        with monkeypatch.context() as patch:
            plant(patch)
            try:
                live(folder, seed)
            except Exception:
                return
    pytest.fail(f"{plant.__name__} was not caught")


# -- a fork of equal length, which neither number nor batch betrays ---------------------------------------------------


def acknowledged_hash_not_compared(patch: pytest.MonkeyPatch) -> None:
    """An acknowledgement is believed whatever its hash: two journals of one length are taken for one."""
    apply = exchange.apply

    def trusting(state: Any, asked: Any, answer: Answer, journal: JournalReader) -> Any:
        ours = journal.hash_at(answer.ack.seq) if answer.ack else None
        if answer.ack and ours:
            answer = replace(answer, ack=Place(answer.ack.seq, ours))
        return apply(state, asked, answer, journal)

    patch.setattr(exchange, "apply", trusting)
    patch.setattr(exchange, "forked", lambda state, journal: state.fork)


def put_back_and_grown_to_the_same_length(folder: Path) -> None:
    """The journal loses its last row after the centre has it, and another row takes that number."""
    fleet = Fleet(folder / "twins", random.Random(1), terminals_no=1, is_bad=False)
    till, card = fleet.terminals[0], fleet.tokens[0]
    try:
        till.exchange(2_000)
        till.activate(card)
        till.backup()
        till.earn(card, 5)
        till.exchange(2_000)
        till.restart("journal.db")
        fleet.time.step += 1
        till.earn(card, 7)
        fleet.count("put journal back")
        fleet.heal()
        fleet.check_end()
        with fleet.centre.store.reading() as tx:
            assert tx.execute(sa.select(schema.accounts.c.balance)).scalars().all() == [12]
    finally:
        fleet.close()


def test_a_fork_of_equal_length_loses_neither_row(folder: Path) -> None:
    put_back_and_grown_to_the_same_length(folder)


def test_a_fork_of_equal_length_would_lose_a_row_if_hashes_were_not_compared(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged_hash_not_compared(monkeypatch)
    with pytest.raises(AssertionError):
        put_back_and_grown_to_the_same_length(folder)
