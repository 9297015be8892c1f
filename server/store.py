"""The centre's database: how it is opened, and what differs between SQLite and PostgreSQL; no dialect code elsewhere.

A transaction that writes holds the one writer's place from its first statement (BEGIN IMMEDIATE), so that feed
positions are given in commit order, and it is on disk before anything is answered.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from loyalty.ids import Generation
from server import schema

SCHEMA = 1


class StoreError(Exception):
    """The centre's database cannot be used. Says what to do."""


class Store:
    """One database. Safe to share between threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._writer = threading.Lock()

    @classmethod
    def open(cls, url: str) -> Store:
        """Opens the database; raises StoreError."""
        try:
            engine = sa.create_engine(url, **_engine_options(url))
        except (sa.exc.ArgumentError, ImportError, OSError) as error:
            raise StoreError(f"The database cannot be opened: {error}") from error
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _set_up_sqlite)
        store = cls(engine)
        try:
            store._check()
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            engine.dispose()
            raise StoreError(f"The database {engine.url!r} cannot be opened: {error.args[0]}") from error
        except StoreError:
            engine.dispose()
            raise
        return store

    def _check(self) -> None:
        with self.engine.connect() as connection:
            if not sa.inspect(connection).has_table("meta"):
                return
            found = get_meta(connection, "schema")
            if found is not None and int(found) > SCHEMA:
                raise StoreError(
                    f"This database is of schema {int(found)}, and this version of Holdfast knows up to {SCHEMA}. "
                    "It was left untouched: install a newer version."
                )

    def initialise(self, generation: Generation) -> bool:
        """Makes the tables if they are not there, all or none; True if they were made now."""
        with self._writer, self.engine.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            schema.tables.create_all(connection)
            fresh = get_meta(connection, "generation") is None
            if fresh:
                put_meta(connection, "schema", str(SCHEMA).encode())
                put_meta(connection, "generation", generation)
                put_meta(connection, "commit", b"0")
            connection.commit()
            return fresh

    @property
    def is_initialised(self) -> bool:
        """Whether the tables are there."""
        return sa.inspect(self.engine).has_table("meta")

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction as the only writer; durable when the block is left, gone when it raises."""
        with self._writer, self.engine.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(
                    sa.select(schema.meta.c.value).where(schema.meta.c.key == "commit").with_for_update()
                )
            try:
                yield connection
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One transaction of one instant."""
        with self.engine.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")
            else:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection
            connection.rollback()


def _engine_options(url: str) -> dict[str, Any]:
    if not url.startswith("sqlite"):
        return {"pool_pre_ping": True}
    path = sa.make_url(url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    return {"connect_args": {"timeout": 30, "isolation_level": None, "check_same_thread": False}}


def _set_up_sqlite(connection: Any, _: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def get_meta(connection: sa.Connection, key: str) -> bytes | None:
    """A value of the database itself."""
    return connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar()


def put_meta(connection: sa.Connection, key: str, value: bytes) -> None:
    """Sets a value of the database itself."""
    upsert(connection, schema.meta, {"key": key}, {"value": value})


def upsert(connection: sa.Connection, table: sa.Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Updates the line with this key, or inserts it."""
    where = sa.and_(*(table.c[name] == value for name, value in key.items()))
    if not values or connection.execute(table.update().where(where).values(**values)).rowcount == 0:
        connection.execute(table.insert().values(**key, **values))


def next_commit(connection: sa.Connection) -> int:
    """The number of this transaction: rises by one with each that writes."""
    number = int(get_meta(connection, "commit") or b"0") + 1
    put_meta(connection, "commit", str(number).encode())
    return number


def generation(connection: sa.Connection) -> Generation:
    """Which life of the centre this is."""
    found = get_meta(connection, "generation")
    if found is None:
        raise StoreError("This database is not a centre's yet. Run: holdfast-server init")
    return Generation(found)
