"""Whether the centre's books are right: the properties that must hold at any time, checked on the database itself.

I1 balances, I2 available, I3 postings, I4 allowances, I5 every journalled row once (needs the journals), I7 streams,
I11 balances against their postings. See docs/sync.md.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import sqlalchemy as sa

from loyalty.ids import TerminalId
from server import accounts, schema, streams
from sync.protocol.chain import RowHash, genesis, row_hash


class JournalError(Exception):
    """A journal given to compare with cannot be read."""


class Check(NamedTuple):
    """One property. `faults` names what breaks it; None: not checked."""

    name: str
    text: str
    faults: list[str] | None


class Report(NamedTuple):
    """All checks of one look at the books."""

    checks: list[Check]

    @property
    def clean(self) -> bool:
        """Whether nothing is broken."""
        return not any(check.faults for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Fields of `holdfast-server verify --json`."""
        return {"clean": self.clean, "checks": [check._asdict() for check in self.checks]}


def verify(tx: sa.Connection, journals: Iterable[Path] | None = None) -> Report:
    """Every check on one instant of the database; I5 against the journals given, else said to be unchecked."""
    return Report(
        [
            Check("I1", "every balance is at or above zero", _negative(tx)),
            Check("I2", "no member has less than what is set aside", _overdrawn(tx)),
            Check("I3", "the postings of every event sum to zero", _unbalanced(tx)),
            Check("I4", "allowances: spent + returned + reclaimed is at most what was granted", _allowances(tx)),
            Check("I5", "every journalled row is here exactly once", _missing(tx, journals)),
            Check("I7", "every stream is gap-free and its chain valid", _chains(tx)),
            Check("I11", "every balance is the sum of its postings, of its lots, and what facts say", _sums(tx)),
        ]
    )


def _negative(tx: sa.Connection) -> list[str]:
    found = tx.execute(sa.select(schema.accounts.c.no).where(schema.accounts.c.balance < 0))
    return [f"account {no} is below zero" for (no,) in found]


def _overdrawn(tx: sa.Connection) -> list[str]:
    a = schema.allowances.c
    left = a.granted - a.spent - a.returned - a.reclaimed
    held = (
        sa.select(a.account, sa.func.sum(left).label("held")).where(a.is_open.is_(True)).group_by(a.account).subquery()
    )
    found = tx.execute(
        sa.select(schema.accounts.c.no)
        .join(held, held.c.account == schema.accounts.c.id)
        .where(schema.accounts.c.balance < held.c.held)
    )
    return [f"account {no} has less than its open allowances" for (no,) in found]


def _unbalanced(tx: sa.Connection) -> list[str]:
    p = schema.postings.c
    total = sa.func.sum(p.points)
    found = tx.execute(sa.select(p.event_id, total).group_by(p.event_id).having(total != 0))
    return [f"event {event.hex()} is out by {points}" for event, points in found]


def _allowances(tx: sa.Connection) -> list[str]:
    a = schema.allowances.c
    left = a.granted - a.spent - a.returned - a.reclaimed
    wrong = sa.or_(left < 0, sa.and_(a.is_open.is_(False), left != 0))
    return [f"allowance {id_.hex()} does not add up" for (id_,) in tx.execute(sa.select(a.id).where(wrong))]


def _missing(tx: sa.Connection, journals: Iterable[Path] | None) -> list[str] | None:
    if journals is None:
        return None
    faults: list[str] = []
    for folder in journals:
        path = folder / "journal.db" if folder.is_dir() else folder
        terminal, here = _journal(path)
        r = schema.rows.c
        there = set(tx.execute(sa.select(r.event_id).where(r.terminal == terminal)).scalars())
        faults += [f"row {seq} of {path} is not at the centre" for seq, event in here if event not in there]
    return faults


def _journal(path: Path) -> tuple[bytes, list[tuple[int, bytes]]]:
    """(terminal, [(seq, event id)]) of a journal, which is only read; raises JournalError."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as journal:
            ((terminal,),) = journal.execute("SELECT value FROM meta WHERE key = 'terminal'").fetchall()
            return terminal, journal.execute("SELECT seq, substr(hash, 1, 16) FROM rows").fetchall()
    except (sqlite3.Error, ValueError) as error:
        raise JournalError(f"{path} is no terminal's journal that can be read: {error}") from error


def _chains(tx: sa.Connection) -> list[str]:
    faults: list[str] = []
    for terminal, enrolment in tx.execute(sa.select(schema.terminals.c.id, schema.terminals.c.enrolment)).all():
        s = schema.streams.c
        for epoch in tx.execute(sa.select(s.epoch).where(s.terminal == terminal)).scalars().all():
            faults += _chain(tx, TerminalId(terminal), epoch, genesis(TerminalId(terminal), enrolment))
    return faults


def _chain(tx: sa.Connection, terminal: TerminalId, epoch: int, root: RowHash) -> list[str]:
    name = f"terminal {terminal.hex()[:8]} epoch {epoch}"
    stream = streams.load(tx, terminal, epoch)
    assert stream is not None
    r, seq, hash_ = schema.rows.c, 0, root
    for row in tx.execute(
        sa.select(r.seq, r.epoch_born, r.hash, r.body).where(streams.on_chain(stream)).order_by(r.seq)
    ):
        if row.seq != seq + 1:
            return [f"{name}: row {seq + 1} is missing"]
        if row_hash(hash_, terminal, row.epoch_born, row.seq, row.body) != row.hash:
            return [f"{name}: row {row.seq} is not what was sent"]
        seq, hash_ = row.seq, RowHash(row.hash)
    return [] if (seq, hash_) == (stream.head.seq, stream.head.hash) else [f"{name}: the head is not the last row"]


def _sums(tx: sa.Connection) -> list[str]:
    a, p, lot = schema.accounts.c, schema.postings.c, schema.lots.c
    member = sa.select(p.account, sa.func.sum(p.points)).where(p.ledger == "member").group_by(p.account)
    posted = dict(tuple(row) for row in tx.execute(member))
    remaining = sa.select(lot.account, sa.func.sum(lot.remaining)).group_by(lot.account)
    in_lots = dict(tuple(row) for row in tx.execute(remaining))
    faults: list[str] = []
    for account in tx.execute(sa.select(a.id, a.no, a.balance).where(a.alias_of.is_(None))).all():
        loaded = accounts.load(tx, account.id)
        assert loaded is not None
        sums = (posted.get(account.id, 0), in_lots.get(account.id, 0), loaded.facts.balance)
        if any(total != account.balance for total in sums):
            faults.append(
                f"account {account.no}: balance {account.balance}, postings {sums[0]}, lots {sums[1]}, facts {sums[2]}"
            )
    return faults


def terminals(tx: sa.Connection) -> list[dict[str, Any]]:
    """Every terminal: outlet, label, when it was last heard, and how far its journal is here."""
    t, s = schema.terminals.c, schema.streams.c
    heads = sa.select(s.terminal, sa.func.max(s.head_seq).label("head")).group_by(s.terminal).subquery()
    found = tx.execute(
        sa.select(t.id, t.outlet, t.label, t.status, t.enrolled_ms, t.heard_ms, heads.c.head)
        .join(heads, heads.c.terminal == t.id, isouter=True)
        .order_by(t.outlet, t.label)
    )
    return [
        {
            "terminal": row.id.hex(),
            "outlet": row.outlet,
            "label": row.label,
            "status": row.status,
            "enrolled_ms": row.enrolled_ms,
            "heard_ms": row.heard_ms,
            "head_seq": row.head or 0,
        }
        for row in found
    ]


def reconcile(tx: sa.Connection) -> list[dict[str, Any]]:
    """Per terminal and outcome: rows, points as the tills said, points as the centre counts."""
    r, t = schema.rows.c, schema.terminals.c
    found = tx.execute(
        sa.select(t.label, r.outlet, r.outcome, sa.func.count(), sa.func.sum(r.said), sa.func.sum(r.points))
        .join(schema.terminals, t.id == r.terminal)
        .group_by(t.label, r.outlet, r.outcome)
        .order_by(t.label, r.outcome)
    )
    names = ("terminal", "outlet", "outcome", "rows", "points_said", "points_counted")
    return [dict(zip(names, row, strict=True)) for row in found]
