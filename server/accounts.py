"""Accounts, lots and postings: what the centre holds to be true of a member's points.

Every event's postings sum to zero. A balance is never below zero, nor below what is set aside in open allowances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from loyalty.facts import Facts, OwnRow
from loyalty.ids import AccountId, CardToken, EventId
from loyalty.since import facts_now
from server.schema import accounts, allowances, cards, lot_uses, lots, postings

DAYS_KEPT = 420  # the longest look-back of a programme is 400

_facts = msgspec.msgpack.Decoder(Facts)


class Account(NamedTuple):
    """One account as stored."""

    id: AccountId
    no: int
    name: str | None
    balance: int
    open_debt: int
    facts: Facts


def load(tx: sa.Connection, account: AccountId) -> Account | None:
    """The account, or the one it is an alias of."""
    found = tx.execute(sa.select(accounts).where(accounts.c.id == account)).one_or_none()
    if found is None:
        return None
    if found.alias_of is not None:
        return load(tx, AccountId(found.alias_of))
    return Account(found.id, found.no, found.name, found.balance, found.open_debt, _facts.decode(found.facts))


def of_card(tx: sa.Connection, token: CardToken) -> tuple[AccountId, str] | None:
    """(account, status) of a card."""
    found = tx.execute(sa.select(cards.c.account, cards.c.status).where(cards.c.token == token)).one_or_none()
    return (AccountId(found.account), found.status) if found else None


def cards_of(tx: sa.Connection, account: AccountId) -> list[tuple[CardToken, str]]:
    """(token, status) of every card of an account."""
    found = tx.execute(sa.select(cards.c.token, cards.c.status).where(cards.c.account == account))
    return [(CardToken(token), status) for token, status in found]


def aliases_of(tx: sa.Connection, account: AccountId) -> list[AccountId]:
    """Accounts that count to this one, since their card was activated twice."""
    found = tx.execute(sa.select(accounts.c.id).where(accounts.c.alias_of == account).order_by(accounts.c.id))
    return [AccountId(alias) for alias in found.scalars()]


def create(tx: sa.Connection, account: AccountId, facts: Facts, name: str | None) -> Account:
    """A new account, with the next number."""
    no = (tx.execute(sa.select(sa.func.max(accounts.c.no))).scalar() or 0) + 1
    facts = replace(facts, member=account.hex())
    tx.execute(
        accounts.insert().values(
            id=account, no=no, name=name, balance=0, open_debt=0, facts=msgspec.msgpack.encode(facts)
        )
    )
    return Account(account, no, name, 0, 0, facts)


def create_alias(tx: sa.Connection, account: AccountId, target: AccountId) -> None:
    """A second activation of one card: what names it counts to the first."""
    no = (tx.execute(sa.select(sa.func.max(accounts.c.no))).scalar() or 0) + 1
    empty = msgspec.msgpack.encode(Facts(known=False))
    tx.execute(accounts.insert().values(id=account, no=no, alias_of=target, balance=0, open_debt=0, facts=empty))


def set_aside(tx: sa.Connection, account: AccountId) -> int:
    """Points in open allowances."""
    a = allowances.c
    left = a.granted - a.spent - a.returned - a.reclaimed
    return tx.execute(sa.select(sa.func.sum(left)).where(a.account == account, a.is_open.is_(True))).scalar() or 0


def available(tx: sa.Connection, account: Account) -> int:
    """What is neither spent nor set aside."""
    return account.balance - set_aside(tx, account.id)


def count(tx: sa.Connection, account: Account, row: OwnRow | None) -> None:
    """Writes balance, debt and facts after an event; `row` is what it adds to the counters."""
    facts = account.facts
    if row is not None:
        counted = replace(row, seq=1, member=facts.member, balance=0)
        facts = replace(facts_now(replace(facts, as_of=0), [counted]), as_of=0)
    facts = replace(_recent(facts), balance=account.balance)
    tx.execute(
        accounts.update()
        .where(accounts.c.id == account.id)
        .values(balance=account.balance, open_debt=account.open_debt, facts=msgspec.msgpack.encode(facts))
    )


def _recent(facts: Facts) -> Facts:
    if len(facts.days) <= DAYS_KEPT:
        return facts
    kept = sorted(facts.days)[-DAYS_KEPT:]
    return replace(facts, days={day: facts.days[day] for day in kept})


def credit(
    tx: sa.Connection,
    account: Account,
    event: EventId,
    points: int,
    dies: Sequence[tuple[str | None, int]],
    source: str,
    outlet: str | None = None,
) -> Account:
    """Points in, from the ledger `source`, as lots by last day; an open debt is filled from them first."""
    if points == 0:
        return account
    _post(tx, event, account.id, points, source, outlet)
    paid = min(account.open_debt, points)
    if paid:
        _post(tx, event, account.id, -paid, "issued")
    left = points - paid
    for last_day, amount in _cut(dies or [(None, points)], left):
        tx.execute(
            lots.insert().values(account=account.id, event_id=event, earned=amount, remaining=amount, last_day=last_day)
        )
    return account._replace(balance=account.balance + left, open_debt=account.open_debt - paid)


def _cut(dies: Sequence[tuple[str | None, int]], points: int) -> list[tuple[str | None, int]]:
    """Lots of exactly `points` in all: the last to die are cut, or lengthened, first."""
    cut, left = [], points
    for last_day, amount in dies:
        taken = min(amount, left)
        if taken > 0:
            cut.append((last_day, taken))
        left -= taken
    if left > 0:
        last_day = dies[-1][0]
        cut.append((last_day, left))
    return cut


def take(tx: sa.Connection, account: Account, event: EventId, points: int, target: str) -> Account:
    """Points out to the ledger `target`, soonest expiry first. `points` is at most the balance."""
    left = points
    order = (lots.c.last_day.is_(None), lots.c.last_day, lots.c.id)
    for lot in tx.execute(
        sa.select(lots.c.id, lots.c.remaining)
        .where(lots.c.account == account.id, lots.c.remaining > 0)
        .order_by(*order)
    ).all():
        taken = min(lot.remaining, left)
        if taken:
            _take_lot(tx, event, lot.id, taken)
        left -= taken
        if not left:
            break
    if points:
        _post(tx, event, account.id, -points, target)
    return account._replace(balance=account.balance - points)


def take_back(tx: sa.Connection, account: Account, event: EventId, of: EventId, points: int) -> Account:
    """Takes back what `of` earned: at most the available part of its own lots; the rest stays an open debt."""
    left = min(points, max(0, available(tx, account)))
    taken_in_all = 0
    for lot in tx.execute(
        sa.select(lots.c.id, lots.c.remaining)
        .where(lots.c.account == account.id, lots.c.event_id == of, lots.c.remaining > 0)
        .order_by(lots.c.id)
    ).all():
        taken = min(lot.remaining, left - taken_in_all)
        if taken > 0:
            _take_lot(tx, event, lot.id, taken)
            taken_in_all += taken
    if taken_in_all:
        _post(tx, event, account.id, -taken_in_all, "issued")
    debt = account.open_debt + points - taken_in_all
    return account._replace(balance=account.balance - taken_in_all, open_debt=debt)


def give_back(tx: sa.Connection, account: Account, event: EventId, of: EventId, points: int) -> Account:
    """Gives back what the burn `of` took, to the lots it took it from; never to the allowance."""
    left = points
    for use in tx.execute(sa.select(lot_uses).where(lot_uses.c.event_id == of)).all():
        given = min(use.points, left)
        if given:
            tx.execute(lots.update().where(lots.c.id == use.lot).values(remaining=lots.c.remaining + given))
            mine = sa.and_(lot_uses.c.event_id == of, lot_uses.c.lot == use.lot)
            tx.execute(lot_uses.update().where(mine).values(points=use.points - given))
        left -= given
    given_in_all = points - left
    if given_in_all:
        _post(tx, event, account.id, given_in_all, "redeemed")
    return pay_debt(tx, account._replace(balance=account.balance + given_in_all), event)


def pay_debt(tx: sa.Connection, account: Account, event: EventId) -> Account:
    """Fills an open debt from what has become available; the caller writes the account."""
    paid = min(account.open_debt, max(0, available(tx, account)))
    if not paid:
        return account
    return take(tx, account, event, paid, "issued")._replace(open_debt=account.open_debt - paid)


def settle(tx: sa.Connection, account: AccountId, event: EventId) -> None:
    """Fills a member's open debt, if any, from what an allowance gave back."""
    found = load(tx, account)
    if found is not None and found.open_debt:
        count(tx, pay_debt(tx, found, event), None)


def lose(tx: sa.Connection, event: EventId, outlet: str, points: int) -> None:
    """What an outlet promised and no member's points cover: the outlet bears it."""
    if points:
        tx.execute(
            postings.insert(),
            [
                {"event_id": event, "ledger": "outlet_loss", "account": None, "outlet": outlet, "points": -points},
                {"event_id": event, "ledger": "redeemed", "account": None, "outlet": outlet, "points": points},
            ],
        )


def _take_lot(tx: sa.Connection, event: EventId, lot: int, points: int) -> None:
    tx.execute(lots.update().where(lots.c.id == lot).values(remaining=lots.c.remaining - points))
    tx.execute(lot_uses.insert().values(event_id=event, lot=lot, points=points))


def _post(
    tx: sa.Connection, event: EventId, account: AccountId, points: int, other: str, outlet: str | None = None
) -> None:
    tx.execute(
        postings.insert(),
        [
            {"event_id": event, "ledger": "member", "account": account, "outlet": None, "points": points},
            {"event_id": event, "ledger": other, "account": None, "outlet": outlet, "points": -points},
        ],
    )
