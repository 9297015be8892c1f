"""Allowances: points set aside for one outlet to burn offline, held by one of its terminals.

Remaining = granted - spent - returned - reclaimed. Points come back only by the closing row, or at reclaim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from loyalty.cose import sign1
from loyalty.ids import AccountId, AllowanceId, EventId, TerminalId
from server import accounts
from server.schema import allowances
from sync.protocol.messages import Grant, Wish
from sync.protocol.signing import cose_kid

EXACT_LIFETIME_S = 60
RECLAIM_AFTER_S = 30 * 86_400


class Signer(NamedTuple):
    """The key that signs grants, and its kid."""

    kid: str
    key: Ed25519PrivateKey


def _left() -> sa.ColumnElement[int]:
    a = allowances.c
    return a.granted - a.spent - a.returned - a.reclaimed


def grant(
    tx: sa.Connection,
    wish: Wish,
    *,
    terminal: TerminalId,
    outlet: str,
    epoch: int,
    now_ms: int,
    signer: Signer,
    new_id: Callable[[], bytes],
) -> str | None:
    """Grants a wish once; None, or the reason why not."""
    if tx.execute(sa.select(allowances.c.id).where(allowances.c.wish == wish.id)).first():
        return None
    account = accounts.load(tx, wish.account)
    if account is None:
        return "burn.unknown"
    if not 0 < wish.points <= accounts.available(tx, account):
        return "burn.balance"
    made = Grant(
        allowance=AllowanceId(new_id()),
        account=account.id,
        outlet=outlet,
        terminal=terminal,
        epoch=epoch,
        points=wish.points,
        granted_at_ms=now_ms,
        lifetime_s=EXACT_LIFETIME_S,
        reclaim_at_ms=now_ms + (EXACT_LIFETIME_S + RECLAIM_AFTER_S) * 1000,
        wish=wish.id,
    )
    _insert(tx, made, account.id, made.points, sign1(msgspec.msgpack.encode(made), signer.key, cose_kid(signer.kid)))
    return None


def register(tx: sa.Connection, grant_: Grant, account: AccountId, room: int, signed: bytes) -> None:
    """A grant this centre does not know, since it was put back: again as much of it as is available."""
    a = allowances.c
    if tx.execute(sa.select(a.id).where(a.id == grant_.allowance)).first() is not None:
        return
    if tx.execute(sa.select(a.id).where(a.wish == grant_.wish)).first() is not None:
        grant_ = replace(grant_, wish=grant_.allowance)  # the wish was granted again after the centre was put back
    _insert(tx, grant_, account, min(grant_.points, room), signed)


def _insert(tx: sa.Connection, grant_: Grant, account: AccountId, points: int, signed: bytes) -> None:
    tx.execute(
        allowances.insert().values(
            id=grant_.allowance,
            wish=grant_.wish,
            account=account,
            terminal=grant_.terminal,
            epoch=grant_.epoch,
            granted=points,
            spent=0,
            returned=0,
            reclaimed=0,
            is_open=True,
            reclaim_ms=grant_.reclaim_at_ms,
            signed=signed,
        )
    )


def not_held(tx: sa.Connection, terminal: TerminalId, epoch: int, held: Sequence[AllowanceId]) -> list[bytes]:
    """Open allowances of this stream that the terminal did not list: sent again, whatever was lost on the way."""
    a = allowances.c
    found = tx.execute(
        sa.select(a.id, a.signed).where(a.terminal == terminal, a.epoch == epoch, a.is_open.is_(True)).order_by(a.id)
    )
    listed = set(held)
    return [row.signed for row in found if row.id not in listed]


def spend(tx: sa.Connection, allowance: AllowanceId, account: AccountId, points: int) -> int:
    """How much of a burn its allowance covers; that much is spent of it."""
    found = tx.execute(
        sa.select(_left().label("left"), allowances.c.account, allowances.c.is_open).where(allowances.c.id == allowance)
    ).one_or_none()
    if found is None or not found.is_open or found.account != account:
        return 0
    covered = min(points, found.left)
    tx.execute(allowances.update().where(allowances.c.id == allowance).values(spent=allowances.c.spent + covered))
    return int(covered)


def close(tx: sa.Connection, allowance: AllowanceId, event: EventId) -> AccountId | None:
    """The closing row: what remains is the member's again, or fills what it owes. Returns whose it was."""
    found = tx.execute(sa.select(allowances.c.account).where(allowances.c.id == allowance)).scalar()
    if found is None:
        return None
    where = sa.and_(allowances.c.id == allowance, allowances.c.is_open.is_(True))
    tx.execute(allowances.update().where(where).values(returned=allowances.c.returned + _left(), is_open=False))
    accounts.settle(tx, AccountId(found), event)
    return AccountId(found)


def reclaim_due(tx: sa.Connection, now_ms: int) -> list[AccountId]:
    """Frees what no closing row freed, a month after its lifetime; returns whose."""
    where = sa.and_(allowances.c.is_open.is_(True), allowances.c.reclaim_ms < now_ms)
    due = tx.execute(sa.select(allowances.c.id, allowances.c.account).where(where)).all()
    if due:
        tx.execute(allowances.update().where(where).values(reclaimed=allowances.c.reclaimed + _left(), is_open=False))
    for allowance, account in due:
        accounts.settle(tx, AccountId(account), EventId(allowance))
    return [AccountId(account) for _, account in due]
