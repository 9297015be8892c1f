"""How the terminal's SQLite files are opened: one writer each, everyone else read-only. All SQL settings stand here."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import cast

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

BUSY_TIMEOUT_S = 5.0
APPLICATION_ID = 0x484F4C44  # "HOLD": `file` and technicians recognise it


class StorageError(Exception):
    """A file of the terminal cannot be written or read. Says which, what was kept, and what to do."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def open_writer(path: Path, tables: sa.MetaData, schema: int, *, synchronous: str) -> sa.Engine:
    """An engine over the one connection that writes the file, made with its tables if need be.

    Raises StorageError, also for a file of a newer schema: it is left as it is.
    """
    engine = sa.create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "isolation_level": None, "timeout": BUSY_TIMEOUT_S},
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if found > schema:
                raise StorageError(
                    "storage.newer_schema",
                    f"{path} was written by a newer version of Holdfast (schema {found}, this one knows {schema}). "
                    "It was left untouched. Install that version again, or a newer one.",
                )
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.exec_driver_sql(f"PRAGMA synchronous={synchronous}")
            tables.create_all(connection)
            if found != schema:
                connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
                connection.exec_driver_sql(f"PRAGMA user_version={schema}")
    except (sa.exc.DBAPIError, sqlite3.Error, OSError) as error:
        engine.dispose()
        raise translated(error, path) from error
    return engine


def driver_connection(engine: sa.Engine) -> sqlite3.Connection:
    """The driver's own connection under the engine's one: for the path of a tap, where each microsecond counts."""
    return cast(sqlite3.Connection, engine.raw_connection().driver_connection)


def open_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection; raises StorageError when there is no such file."""
    try:
        connection = sqlite3.connect(
            f"file:{path}?mode=ro", uri=True, check_same_thread=False, isolation_level=None, timeout=BUSY_TIMEOUT_S
        )
        connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise translated(error, path) from error
    return connection


def translated(error: Exception, path: Path) -> StorageError:
    """The one place where SQLite's errors become ours: the code tells causes apart, the text says what to do."""
    text = str(getattr(error, "orig", error) or error).lower()
    if "full" in text:
        return StorageError(
            "storage.full",
            "The disk is full. Nothing was saved, and what was saved before is kept. "
            "Free some space (holdfast doctor --only storage names what fills it), then do it again.",
        )
    closed = "unable to open" in text and path.parent.is_dir() and not os.access(path.parent, os.W_OK)
    if closed or "readonly" in text or "read-only" in text or "permission" in text:
        return StorageError(
            "storage.read_only",
            f"{path} cannot be written. Nothing was saved. Check that the disk is healthy and that the folder "
            "belongs to the user that Holdfast runs as.",
        )
    if "locked" in text or "busy" in text:
        return StorageError(
            "storage.locked",
            f"{path.name} is in use by another program. Nothing was saved; do it again. If it stays so, look for a "
            "second agent or an open database tool.",
        )
    if "malformed" in text or "not a database" in text or "corrupt" in text:
        return StorageError(
            "storage.damaged",
            f"{path} is damaged. Nothing was saved to it and it was left as it is. "
            "Stop the agent and keep a copy of the file before anything else.",
        )
    return StorageError("storage.failed", f"{path} could not be used: {text}. Nothing was saved.")
