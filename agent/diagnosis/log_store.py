"""The file under the diagnostic log: SQLite by SQLAlchemy Core, WAL, rebuilt rather than migrated."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = 1  # user_version; another number means another Holdfast's file, which is set aside
PRUNE_EVERY = 64  # events; the file may hold this many more than its limit
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DamagedError(RuntimeError):
    """The file is not a sound diagnostics.db of this version. It may be set aside: nothing depends on it."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One change of state. `subject` is what changed, where a state is tracked; `over`: what `code` names has ended."""

    at: float
    area: str
    code: str
    text: str
    scope: str | None = None
    over: bool = False
    was: str | None = None
    subject: str | None = None
    row: int | None = None
    event_id: str | None = None
    exchange: int | None = None
    reader: str | None = None
    data: dict[str, Any] = {}


_meta = sa.MetaData()
events = sa.Table(
    "events",
    _meta,
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("at", sa.Float, nullable=False, index=True),
    sa.Column("area", sa.String, nullable=False),
    sa.Column("code", sa.String, nullable=False),
    sa.Column("text", sa.String, nullable=False),
    sa.Column("scope", sa.String),
    sa.Column("over", sa.Boolean, nullable=False),
    sa.Column("was", sa.String),
    sa.Column("subject", sa.String, index=True),
    sa.Column("row", sa.Integer),
    sa.Column("event_id", sa.String),
    sa.Column("exchange", sa.Integer),
    sa.Column("reader", sa.String),
    sa.Column("data", sa.JSON, nullable=False),
)
_FIELDS = [column for column in events.columns if column.name != "n"]
_NAMES = [str(column.name) for column in _FIELDS]  # plain str: SQLAlchemy's own kind of it is refused by msgspec


class Store:
    """An open diagnostics.db. Raises DamagedError, and SQLAlchemy's errors for a disk that refuses."""

    def __init__(self, path: Path, limit: int) -> None:
        self._limit = limit
        self._unpruned = 0
        self._engine = sa.create_engine(
            f"sqlite:///{path}", poolclass=sa.StaticPool, connect_args={"check_same_thread": False, "timeout": 1.0}
        )
        try:
            with self._work() as connection:
                _prepare(connection)
                self._prune(connection)
        except BaseException:
            self.close()
            raise

    def add(self, event: Event) -> None:
        with self._work() as connection:
            connection.execute(events.insert().values(msgspec.to_builtins(event)))
            self._unpruned += 1
            if self._unpruned >= PRUNE_EVERY:
                self._prune(connection)

    def read(self, since: float | None, area: str | None, limit: int) -> Sequence[Event]:
        query = sa.select(*_FIELDS).order_by(events.c.n.desc()).limit(limit)
        if since is not None:
            query = query.where(events.c.at >= since)
        if area is not None:
            query = query.where(events.c.area == area)
        with self._work() as connection:
            return [_event(row) for row in connection.execute(query)][::-1]

    def last_of_subjects(self) -> Sequence[Event]:
        newest = sa.select(sa.func.max(events.c.n)).where(events.c.subject.is_not(None)).group_by(events.c.subject)
        with self._work() as connection:
            return [_event(row) for row in connection.execute(sa.select(*_FIELDS).where(events.c.n.in_(newest)))]

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _work(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except exc.DatabaseError as error:
            code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
            if code in DAMAGED:
                raise DamagedError(str(error.orig)) from error
            raise

    def _prune(self, connection: sa.Connection) -> None:
        newest = connection.scalar(sa.select(sa.func.max(events.c.n))) or 0
        connection.execute(events.delete().where(events.c.n <= newest - self._limit))
        self._unpruned = 0


def _prepare(connection: sa.Connection) -> None:
    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    connection.exec_driver_sql("PRAGMA synchronous=NORMAL")  # a power cut may cost the last lines, never the file
    version = connection.exec_driver_sql("PRAGMA user_version").scalar()
    if version not in (0, SCHEMA):
        raise DamagedError(f"diagnostics.db is of version {version}, not {SCHEMA}")
    checked = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if checked != "ok":
        raise DamagedError(str(checked))
    _meta.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA}")


def _event(row: sa.Row[Any]) -> Event:
    return msgspec.convert(dict(zip(_NAMES, row, strict=True)), Event)
