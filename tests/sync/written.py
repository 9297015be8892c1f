"""A journal and rows for tests that do not care what the rows say."""

from __future__ import annotations

from pathlib import Path

from loyalty import rows as kinds
from loyalty.ids import AccountId, CardToken, Generation, TerminalId
from loyalty.rows import Answered, Basis, Caller, Counted, Moment
from sync.journal import Journal
from sync.protocol.chain import Head, Row

TERMINAL = TerminalId(bytes(range(16)))
ENROLMENT = bytes(range(16, 32))
MEMBER = AccountId(bytes([9]) * 16)
BASIS = Basis(generation=Generation(bytes(16)), programme=1, block_list=0, feed=0)


def moment(at: int = 0) -> Moment:
    return Moment(wall_ms=1_790_000_000_000 + at, boot_id=bytes(16), boottime_ms=at, nonce=bytes(8))


def earned(points: int, day: str = "2026-09-21", *, account: AccountId = MEMBER, caller: Caller | None = None) -> bytes:
    """The body of a purchase of so many points."""
    counts = Counted(day=day, visits=1, spend_minor=points * 100, base=points, points_counted=points, balance=points)
    answer = Answered(points=points, breakdown=(("base", points),), counts=counts)
    detail = kinds.Earned(
        outlet="rome",
        amount_minor=points * 100,
        currency="EUR",
        lines=(),
        vouchers_minor=0,
        receipt=None,
        codes=(),
        bought_at=None,
        approval=None,
        held=False,
        answer=answer,
    )
    card = CardToken(bytes(9))
    return kinds.encode(detail, moment=moment(points), basis=BASIS, account=account, card=card, caller=caller)


def opened_journal(folder: Path, rows: int = 0) -> Journal:
    """A journal with so many purchases."""
    journal = Journal.open_or_create(folder, TERMINAL, ENROLMENT)
    add(journal, rows)
    return journal


def add(journal: Journal, rows: int, points: int = 1) -> list[Row]:
    with journal.deciding():
        return [journal.append(earned(points), points=points, account=MEMBER) for _ in range(rows)]


def open_epoch(journal: Journal, epoch: int, parent: Head) -> Row:
    detail = kinds.EpochOpened(epoch=epoch, parent_seq=parent.seq, parent_hash=parent.hash)
    with journal.deciding():
        return journal.append(kinds.encode(detail, moment=moment(), basis=BASIS), epoch=epoch)
