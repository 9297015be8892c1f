"""The centre's feed: which things changed, in commit order, hash-chained, so that a terminal can prove what it saw.

An entry says only what changed; a page carries the content of the instant it is made, with one watermark.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
import sqlalchemy as sa

from loyalty.ids import AccountId, EventId, TerminalId
from server import accounts
from server.schema import batches, codes, feed, programmes, rows
from sync.protocol.messages import (
    CodesItem,
    CodeStateItem,
    FeedItem,
    GoneItem,
    MemberItem,
    Outcome,
    OutcomeItem,
    Page,
    Place,
    ProgrammeItem,
)

GENESIS = hashlib.sha256(b"hff1").digest()
MAX_PAGE_ITEMS = 5_000
MAX_PAGE_BYTES = 1_000_000  # with its largest item and the outcomes well below what a message may carry
CODES_PER_ENTRY = 5_000  # a batch of 50,000 is ten entries, so that no page grows beyond what a message may carry


def codes_key(batch: str, first_serial: int) -> bytes:
    """The key of the entry for CODES_PER_ENTRY codes of a batch."""
    return f"{batch}:{first_serial}".encode()


def end(tx: sa.Connection) -> tuple[int, bytes]:
    """(position, hash) of the last entry."""
    found = tx.execute(sa.select(feed.c.position, feed.c.hash).order_by(feed.c.position.desc()).limit(1)).one_or_none()
    return (found.position, found.hash) if found else (0, GENESIS)


def append(
    tx: sa.Connection, commit: int, kind: str, key: bytes, content: bytes, terminal: TerminalId | None = None
) -> None:
    """One entry; `content` is what its hash covers. Only the holder of the writing transaction may call it."""
    position, previous = end(tx)
    hash_ = hashlib.sha256(b"hff1" + previous + kind.encode() + len(key).to_bytes(4) + key + content).digest()
    tx.execute(
        feed.insert().values(position=position + 1, kind=kind, key=key, terminal=terminal, hash=hash_, commit_no=commit)
    )


def holds(tx: sa.Connection, position: int, hash_: bytes) -> bool:
    """Whether a receipt is of this feed."""
    if position == 0:
        return True
    found = tx.execute(sa.select(feed.c.hash).where(feed.c.position == position)).scalar()
    return found == hash_


def page(tx: sa.Connection, terminal: TerminalId, *, start: int | None, budget_bytes: int, watermark: Place) -> Page:
    """What changed after the cursor, each thing once, where it changed last, up to the budget."""
    position, hash_ = end(tx)
    later = feed.alias()
    again = sa.exists().where(
        later.c.key == feed.c.key, later.c.kind == feed.c.kind, later.c.position > feed.c.position
    )
    mine = sa.or_(feed.c.terminal.is_(None), feed.c.terminal == terminal)
    entries = tx.execute(
        sa.select(feed.c.position, feed.c.kind, feed.c.key)
        .where(feed.c.position > (start or 0), mine, ~again)
        .order_by(feed.c.position)
        .limit(MAX_PAGE_ITEMS)
    ).all()
    items: list[FeedItem] = []
    budget_bytes = min(max(0, budget_bytes), MAX_PAGE_BYTES)
    cursor, size = position, 0
    for entry in entries:
        if size > budget_bytes:
            break
        cursor = entry.position
        item = _CONTENT[entry.kind](tx, entry.key)
        items.append(item)
        size += len(msgspec.msgpack.encode(item))
    more = cursor < position and (size > budget_bytes or len(entries) == MAX_PAGE_ITEMS)
    return Page(
        start=start,
        cursor=cursor if more else position,
        position=position,
        hash=hash_,
        watermark=watermark,
        items=items,
        more=more,
    )


def _member(tx: sa.Connection, key: bytes) -> FeedItem:
    account = accounts.load(tx, AccountId(key))
    if account is None or account.id != key:
        return GoneItem(account=AccountId(key))
    return MemberItem(
        account=account.id,
        no=account.no,
        facts=msgspec.msgpack.encode(account.facts),
        name=account.name,
        cards=accounts.cards_of(tx, account.id),
        aliases=accounts.aliases_of(tx, account.id),
    )


def _programme(tx: sa.Connection, key: bytes) -> FeedItem:
    version = int.from_bytes(key)
    signed = tx.execute(sa.select(programmes.c.signed).where(programmes.c.version == version)).scalar_one()
    return ProgrammeItem(version=version, signed=signed)


def _codes(tx: sa.Connection, key: bytes) -> FeedItem:
    batch_id, first = key.decode().rsplit(":", 1)
    batch = tx.execute(sa.select(batches).where(batches.c.id == batch_id)).one()
    found = tx.execute(
        sa.select(codes.c.stored_hash, codes.c.id, codes.c.serial).where(
            codes.c.batch == batch.id, codes.c.serial.between(int(first), int(first) + CODES_PER_ENTRY - 1)
        )
    )
    return CodesItem(batch=batch.id, purpose=batch.purpose, codes=[(h, i, s) for h, i, s in found])


def _code_state(tx: sa.Connection, key: bytes) -> FeedItem:
    state = tx.execute(sa.select(codes.c.state).where(codes.c.id == key)).scalar_one()
    return CodeStateItem(code_id=key, state=state)


def _outcome(tx: sa.Connection, key: bytes) -> FeedItem:
    return OutcomeItem(outcome=outcome_of(tx.execute(sa.select(rows).where(rows.c.event_id == key)).one()))


def outcome_of(row: sa.Row[tuple[object, ...]]) -> Outcome:
    """The centre's word on a row, as told to its terminal."""
    return Outcome(
        event_id=EventId(row.event_id),
        seq=row.seq,
        outcome=row.outcome,
        revision=row.revision,
        reason=row.reason,
        points=row.points,
    )


_CONTENT: dict[str, Callable[[sa.Connection, bytes], FeedItem]] = {
    "member": _member,
    "programme": _programme,
    "codes": _codes,
    "code_state": _code_state,
    "outcome": _outcome,
}
