"""One round trip at the centre: rows once, forks only where hashes contradict, books that no restore bends."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from loyalty import rows as kinds
from server import feed, schema, store
from server.accept import ContractError
from sync.protocol.chain import event_id
from sync.protocol.messages import Batch, CodesItem, Place, Wish
from tests.rigs.centre import Centre, Till, account_of, document, token


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


@pytest.fixture
def till(centre: Centre) -> Till:
    return centre.enrol()


def how_many(centre: Centre) -> int:
    (found,) = centre.all(sa.select(sa.func.count()).select_from(schema.rows))
    count: int = found[0]
    return count


def test_a_batch_sent_twice_is_applied_once_and_answered_alike(centre: Centre, till: Till) -> None:
    account = till.member()
    till.earn(account, 1000)
    till.write(b"torn")
    asked = till.request()
    first, again = centre.exchange(asked), centre.exchange(asked)
    assert (first.ack, first.outcomes) == (again.ack, again.outcomes) and first.outcomes
    assert how_many(centre) == 3 and centre.balance(account) == 30 and centre.faults() == []


def test_overlapping_batches_apply_only_what_is_new(centre: Centre, till: Till) -> None:
    account = till.member()
    for _ in range(4):
        till.earn(account, 1000)
    till.push(after=0, through=3)
    assert till.push(after=1).ack == till.place(5)
    assert how_many(centre) == 5 and centre.faults() == []


def test_a_batch_beyond_a_gap_applies_nothing(centre: Centre, till: Till) -> None:
    account = till.member()
    for _ in range(3):
        till.earn(account, 1000)
    answer = centre.exchange(till.request(after=2))
    assert answer.ack == till.place(1) and answer.branch is None
    assert how_many(centre) == 1 and centre.balance(account) == 20


def test_an_older_or_shorter_batch_is_no_fork(centre: Centre, till: Till) -> None:
    account = till.member()
    for _ in range(3):
        till.earn(account, 1000)
    old = till.request(after=0, through=2, head=till.place(2))
    till.push()
    answer = centre.exchange(old)
    assert answer.branch is None and answer.probe is None and answer.ack == till.place(4)


def test_a_contradicting_hash_is_a_fork_and_minting_is_idempotent(centre: Centre, till: Till) -> None:
    account = till.member()
    copy = till.clone()
    till.earn(account, 1000)
    copy.earn(account, 2000)
    till.push()
    first, again = centre.exchange(copy.request()), centre.exchange(copy.request())
    assert first.branch == again.branch and first.branch is not None
    assert (first.branch.epoch, first.branch.parent) == (2, copy.place(1))
    assert how_many(centre) == 2 and first.ack is None and first.page is None
    assert len(centre.all(sa.select(schema.notices).where(schema.notices.c.code == "terminal.branched"))) == 1


def test_every_row_of_both_branches_is_kept_once(centre: Centre, till: Till) -> None:
    account = till.member()
    copy = till.clone()
    till.earn(account, 1000)
    lost = copy.earn(account, 2000)
    till.push()
    branch = centre.exchange(copy.request()).branch
    assert branch is not None
    copy.epoch = branch.epoch
    copy.write(kinds.EpochOpened(epoch=2, parent_seq=branch.parent.seq, parent_hash=branch.parent.hash))
    copy.push()
    assert centre.outcome(lost) == ("applied", None, 20)
    till.earn(account, 1000)
    assert till.push().ack == till.place(3)
    assert centre.balance(account) == 70 and centre.faults() == []


def test_rows_of_a_late_request_of_the_old_epoch_belong_to_both_chains(centre: Centre, till: Till) -> None:
    account = till.member()
    for _ in range(3):
        till.earn(account, 1000)
    late = till.request()
    till.epoch = 2
    till.push(through=2)
    assert centre.exchange(late).ack == till.place(4)
    assert till.push().ack == till.place(4)
    till.earn(account, 1000)
    assert till.push().ack == till.place(5)
    assert how_many(centre) == 5 and centre.faults() == []


def test_a_fork_flag_without_a_difference_opens_one_branch_at_the_head(centre: Centre, till: Till) -> None:
    till.member()
    branch = centre.exchange(till.request(fork=True)).branch
    assert branch is not None and branch.parent == till.place(1)


def test_the_common_part_is_found_by_asking_more_densely(centre: Centre, till: Till) -> None:
    account = till.member()
    for _ in range(40):
        till.earn(account, 100)
    till.push()
    copy = till.clone()
    copy.rows = copy.rows[:25]
    for _ in range(9):
        copy.earn(account, 100)
    span = (0, len(copy.rows))
    for _ in range(10):
        step = max(1, (span[1] - span[0]) // 4)
        chain = [copy.place(seq) for seq in sorted({*range(span[0], span[1], step), span[1]}, reverse=True)]
        answer = centre.exchange(copy.request(after=24, chain=chain, fork=True))
        if answer.branch is not None:
            break
        assert answer.probe is not None
        span = (answer.probe.above, answer.probe.below)
    assert answer.branch is not None and answer.branch.parent == copy.place(25)


@pytest.mark.parametrize(
    "change",
    [
        {"head": Place(2**63, b"x" * 32)},
        {"head": Place(-1, b"x" * 32)},
        {"cursor": 2**64 - 1},
        {"cursor": -5},
        {"outcomes_through": -1},
        {"epoch": 2**31},
        {"epoch": 0},
        {"chain": [Place(2**63, b"")]},
        {"protocol": (2, 3)},
        {"batch": Batch(after=Place(2**63, b""), last=b"", packed=b"")},
        {"wishes": [Wish(id=b"", account=b"", points=2**63)]},  # type: ignore[arg-type]
    ],
)
def test_numbers_that_no_terminal_counts_to_are_refused(centre: Centre, till: Till, change: dict[str, object]) -> None:
    till.member()
    before = till.request()
    with pytest.raises(ContractError):
        centre.exchange(msgspec.structs.replace(before, **change))
    assert how_many(centre) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: msgspec.structs.replace(b, last=b"x" * 32),
        lambda b: msgspec.structs.replace(b, packed=b"\xc1"),
        lambda b: msgspec.structs.replace(b, packed=b"\x95\x01\x02\x91\x92\xcf" + b"\xff" * 8 + b"\x01\x90\x90"),
        lambda b: msgspec.structs.replace(b, packed=b""),
    ],
)
def test_a_batch_that_does_not_add_up_applies_nothing(
    centre: Centre, till: Till, spoil: Callable[[Batch], Batch]
) -> None:
    account = till.member()
    till.earn(account, 1000)
    asked = till.request()
    assert asked.batch is not None
    with pytest.raises(ContractError):
        centre.exchange(msgspec.structs.replace(asked, batch=spoil(asked.batch)))
    assert how_many(centre) == 1


# -- the feed and restores ---------------------------------------------------------------------


def put_back(centre: Centre, copy: Path) -> None:
    """The centre's database becomes the copy."""
    centre.store.engine.dispose()
    for name in ("centre.db-wal", "centre.db-shm"):
        (centre.folder / name).unlink(missing_ok=True)
    (centre.folder / "centre.db").write_bytes(copy.read_bytes())


def backup(centre: Centre, to: Path) -> Path:
    """A copy as a backup makes it."""
    source, target = sqlite3.connect(centre.folder / "centre.db"), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()
    return to


def test_a_centre_put_back_in_silence_mints_a_generation_and_has_all_again(
    centre: Centre, till: Till, tmp_path: Path
) -> None:
    account = till.member()
    copy = backup(centre, tmp_path / "copy")
    till.earn(account, 1000)
    before = till.push()
    put_back(centre, copy)
    answer = till.push()
    assert answer.generation != before.generation and answer.page is not None and answer.page.start is None
    assert answer.ack == till.place(1)
    till.push()
    assert centre.balance(account) == 30 and centre.faults() == []
    assert len(centre.all(sa.select(schema.notices).where(schema.notices.c.code == "centre.put_back"))) == 1


def test_a_centre_put_back_to_before_idle_exchanges_is_not_older_than_its_answers(
    centre: Centre, till: Till, tmp_path: Path
) -> None:
    till.member()
    copy = backup(centre, tmp_path / "copy")
    before = [till.push() for _ in range(5)][-1]
    put_back(centre, copy)
    answer = till.push()
    assert answer.generation != before.generation or answer.commit >= before.commit


def test_no_generation_is_minted_without_a_restore(centre: Centre, till: Till) -> None:
    other = centre.enrol("station")
    generations = set()
    for n in range(5):
        account = account_of(till.activate(token(n)))
        till.earn(account, 1000)
        generations |= {till.push().generation, other.push().generation, till.push(cursor=0).generation}
    assert len(generations) == 1


def test_a_page_is_cut_at_its_budget_and_loses_nothing(centre: Centre, till: Till) -> None:
    for n in range(30):
        till.activate(token(n))
    till.push()
    reader, pages = centre.enrol("station"), 0
    more = True
    while more:
        page = reader.push(budget_bytes=500).page
        assert page is not None
        pages, more = pages + 1, page.more
    assert len(reader.members) == 30 and pages > 5


@pytest.mark.parametrize("budget", [0, -1, -(2**60)])
def test_a_budget_of_nothing_loses_nothing(centre: Centre, till: Till, budget: int) -> None:
    till.member()
    reader = centre.enrol("station")
    for _ in range(10):
        page = reader.push(budget_bytes=budget).page
        assert page is not None
        if not page.more:
            break
    assert len(reader.members) == 1


def test_no_page_is_larger_than_a_message_whatever_is_asked(centre: Centre) -> None:
    for n in range(8):
        batch = f"batch{n}"
        centre.issue(batch, 1, "activation")
        lines = [
            {"id": id_, "batch": batch, "serial": serial, "stored_hash": id_ * 2, "state": "issued"}
            for serial in range(2, 5_001)
            for id_ in [random.randbytes(16)]
        ]
        with centre.store.writing() as tx:
            tx.execute(schema.codes.insert(), lines)
    page = centre.enrol().push(budget_bytes=2**60).page
    assert page is not None and page.more
    assert sum(isinstance(item, CodesItem) for item in page.items) < 8


def test_feed_positions_have_no_gaps_and_their_hashes_chain(centre: Centre, till: Till) -> None:
    account = till.member()
    till.earn(account, 1000)
    till.push()
    centre.load(document(2))
    found = centre.all(sa.select(schema.feed.c.position, schema.feed.c.hash).order_by(schema.feed.c.position))
    assert [position for position, _ in found] == list(range(1, len(found) + 1))
    with centre.store.reading() as tx:
        assert feed.end(tx) == tuple(found[-1])
        assert all(feed.holds(tx, position, hash_) for position, hash_ in found)
        assert not feed.holds(tx, found[-1][0] + 1, found[-1][1]) and not feed.holds(tx, 1, b"x")


# -- several writers ---------------------------------------------------------------------------


def test_tills_in_many_threads_and_two_servers_on_one_file_lose_and_double_nothing(centre: Centre, till: Till) -> None:
    account = till.member()
    second = Centre.__new__(Centre)
    second.__dict__ |= centre.__dict__
    second.store = store.Store.open(f"sqlite:///{centre.folder / 'centre.db'}")
    tills = [centre.enrol() for _ in range(6)]
    for at, one in enumerate(tills):
        one.centre = second if at % 2 else centre
    failed: list[BaseException] = []

    def shop(one: Till) -> None:
        try:
            for _ in range(8):
                one.earn(account, 100)
                asked = one.request()
                one.centre.exchange(asked)
                one.keep(one.centre.exchange(asked))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=shop, args=(one,)) for one in tills]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    second.store.engine.dispose()
    assert failed == []
    assert how_many(centre) == 1 + 48 and centre.facts(account).purchases == 48
    assert centre.balance(account) == 20 + 48 + 16 * 10
    positions = centre.all(sa.select(schema.feed.c.position, schema.feed.c.commit_no).order_by(schema.feed.c.position))
    assert [p for p, _ in positions] == list(range(1, len(positions) + 1))
    assert [c for _, c in positions] == sorted(c for _, c in positions)
    assert centre.faults() == []


# -- the books ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_the_books_are_right_after_any_shop_day(tmp_path: Path, seed: int) -> None:
    chance, centre = random.Random(seed), Centre(tmp_path)
    tills = [centre.enrol(outlet) for outlet in ("harbour", "station", "harbour")]
    members = [account_of(tills[0].activate(token(n))) for n in range(4)]
    members.append(account_of(tills[1].activate(token(0))))
    earned = [[] for _ in tills]  # type: ignore[var-annotated]
    for _ in range(60):
        at = chance.randrange(len(tills))
        till, account = tills[at], chance.choice(members)
        match chance.randrange(9):
            case 0 | 1 | 2:
                receipt = f"R{chance.randrange(15)}"
                promised = chance.choice([None, None, 90])
                earned[at].append(
                    (till.earn(account, chance.randrange(1, 6000), receipt=receipt, promised=promised), account)
                )
            case 3 if till.grants:
                till.burn(account, chance.randrange(1, 40), till.grant(chance.choice(till.grants)).allowance)
            case 3 | 4:
                till.burn(account, chance.randrange(1, 30))
            case 5:
                points = chance.randrange(1, 20)
                till.push(wishes=[Wish(id=chance.randbytes(16), account=account, points=points)])
                for signed in till.grants[-1:]:
                    till.take(signed)
            case 6 if till.grants:
                till.close(till.grant(chance.choice(till.grants)), 0)
            case 7 if earned[at]:
                row, owner = earned[at].pop()
                till.reverse(owner, row)
            case _:
                centre.now_ms += chance.choice([1_000, 86_400_000, 40 * 86_400_000])
                till.push()
                if chance.random() < 0.3:
                    centre.exchange(till.request(after=chance.randrange(len(till.rows) + 1)))
    for till in tills:
        till.push()
    assert centre.faults() == []
    kept = {event_id(row.hash) for till in tills for row in till.rows}
    assert {row for (row,) in centre.all(sa.select(schema.rows.c.event_id))} == kept
    a = schema.accounts.c
    for id_, balance, debt in centre.all(sa.select(a.id, a.balance, a.open_debt).where(a.alias_of.is_(None))):
        r = schema.rows.c
        ((points,),) = centre.all(sa.select(sa.func.sum(r.points)).where(r.account == id_))
        assert balance - debt == points


def corrupt(centre: Centre, table: sa.Table, **values: object) -> None:
    """Changes one line of a table by hand."""
    key = next(iter(table.primary_key.columns))
    first = sa.select(key).limit(1).scalar_subquery()
    centre.execute(table.update().where(key == first).values(**values))


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("I1", lambda c: c.execute(schema.accounts.update().values(balance=-1))),
        ("I2", lambda c: c.execute(schema.allowances.update().values(granted=10_000))),
        ("I3", lambda c: corrupt(c, schema.postings, points=1)),
        ("I4", lambda c: c.execute(schema.allowances.update().values(spent=10_000))),
        ("I4", lambda c: c.execute(schema.allowances.update().values(is_open=False))),
        ("I7", lambda c: c.execute(schema.rows.delete().where(schema.rows.c.seq == 2))),
        ("I7", lambda c: c.execute(schema.rows.update().where(schema.rows.c.seq == 2).values(body=b"other"))),
        ("I7", lambda c: c.execute(schema.streams.update().values(head_seq=1))),
        ("I11", lambda c: corrupt(c, schema.lots, remaining=1)),
        ("I11", lambda c: c.execute(schema.accounts.update().values(balance=21))),
        ("I11", lambda c: c.execute(schema.postings.delete().where(schema.postings.c.ledger != "x"))),
    ],
)
def test_a_hand_in_the_books_is_found(centre: Centre, till: Till, name: str, spoil: Callable[[Centre], None]) -> None:
    account = till.member()
    till.earn(account, 1000)
    till.taken(account, 10)
    assert centre.faults() == []
    spoil(centre)
    assert name in {fault.split(":")[0] for fault in centre.faults()}
