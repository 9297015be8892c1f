"""journal.db: what the shop did. Append-only, gap-free, hash-chained, numbered once for ever; only the till writes it.

A row is never rewritten, and never removed above `safe_seq`. The epoch is that of the last row: a branch, never a
renumbering. What is unsent is not a table: it is the rows above the centre's acknowledgement.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from loyalty import rows as kinds
from loyalty.ids import AccountId, CardToken, EventId, TerminalId
from sync import files
from sync.protocol.chain import FIRST_EPOCH, MAX_BODY_BYTES, Head, Row, RowHash, event_id, genesis, row_hash

SCHEMA = 1
FILE_NAME = "journal.db"

_tables = sa.MetaData()
sa.Table(
    "rows",
    _tables,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("epoch_born", sa.Integer, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("kind", sa.Integer, nullable=False),
    sa.Column("points", sa.Integer, nullable=False),
    sa.Column("at_ms", sa.Integer, nullable=False),
    sa.Column("account", sa.LargeBinary),
    sa.Column("receipt", sa.Text),
    sa.Column("pos_key", sa.Text),
    sa.Column("idempotency_key", sa.Text),
    sa.Index("rows_by_account", "account", "seq"),
    sa.Index("rows_by_receipt", "receipt", sqlite_where=sa.text("receipt IS NOT NULL")),
    sa.Index(
        "rows_by_caller",
        "pos_key",
        "idempotency_key",
        unique=True,
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
    ),
)
sa.Table(
    "codes_used",
    _tables,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
)
sa.Table(
    "cards_activated",
    _tables,
    sa.Column("token", sa.LargeBinary, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
)
sa.Table(
    "meta",
    _tables,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)

_INSERT = (
    "INSERT INTO rows (seq, epoch_born, hash, body, kind, points, at_ms, account, receipt, pos_key, idempotency_key)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ROW = "SELECT seq, epoch_born, hash, body FROM rows "

Tip = tuple[int, Head]
"""The epoch that rows are born in, and the last row (or the anchor)."""


class _Known(NamedTuple):
    """What a decision asks for again and again."""

    tip: Tip
    anchor: Tip
    any_activated: bool


class JournalError(Exception):
    """The journal is not what it should be. It was left untouched."""


class JournalReader:
    """What anyone may ask of a journal. `connection` may be read-only, in another process than the till's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        if "terminal" not in meta:
            raise JournalError("This journal belongs to no terminal yet.")
        self.terminal = TerminalId(meta["terminal"])
        self.genesis = genesis(self.terminal, meta["enrolment"])

    @classmethod
    def open(cls, data_dir: Path) -> JournalReader:
        """Read-only; raises StorageError or JournalError."""
        return cls(files.open_reader(data_dir / FILE_NAME))

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()

    def anchor(self) -> Tip:
        """(epoch, head) of the last row that was pruned; the genesis if none was."""
        found = self._db.execute("SELECT value FROM meta WHERE key = 'anchor'").fetchone()
        if found is None:
            return FIRST_EPOCH, Head(0, self.genesis)
        value: bytes = found[0]
        return int.from_bytes(value[:4]), Head(int.from_bytes(value[4:12]), RowHash(value[12:]))

    def head(self) -> Head:
        """The last row, or the anchor."""
        return self._tip()[1]

    def epoch(self) -> int:
        """The branch that rows are born in now."""
        return self._tip()[0]

    def _tip(self) -> Tip:
        found = self._db.execute("SELECT epoch_born, seq, hash FROM rows ORDER BY seq DESC LIMIT 1").fetchone()
        return (found[0], Head(found[1], RowHash(found[2]))) if found else self.anchor()

    def hash_at(self, seq: int) -> RowHash | None:
        """The hash of a row, of the anchor, or None where this journal has nothing."""
        found = self._db.execute("SELECT hash FROM rows WHERE seq = ?", (seq,)).fetchone()
        if found:
            return RowHash(found[0])
        anchor = self.anchor()[1]
        return anchor.hash if seq == anchor.seq else None

    def rows_after(self, seq: int, limit: int) -> list[Row]:
        """Rows above `seq`, oldest first."""
        return [Row(*r) for r in self._db.execute(_ROW + "WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))]

    def rows_of(self, account: AccountId, after: int) -> list[Row]:
        """A member's rows above `after`, oldest first."""
        found = self._db.execute(_ROW + "WHERE account = ? AND seq > ? ORDER BY seq", (account, after))
        return [Row(*r) for r in found]

    def row(self, seq: int) -> Row | None:
        """One row by number."""
        found = self._db.execute(_ROW + "WHERE seq = ?", (seq,)).fetchone()
        return Row(*found) if found else None

    def row_of_event(self, event: EventId) -> Row | None:
        """One row by event id, the newest tried first: what is looked for is mostly of today."""
        found = self._db.execute(_ROW + "WHERE substr(hash, 1, 16) = ? ORDER BY seq DESC LIMIT 1", (event,)).fetchone()
        return Row(*found) if found else None

    def row_of_receipt(self, receipt: str) -> Row | None:
        """The earning with this receipt number."""
        found = self._db.execute(_ROW + "WHERE receipt = ? ORDER BY seq LIMIT 1", (receipt,)).fetchone()
        return Row(*found) if found else None

    def row_of_caller(self, pos_key: str, key: str) -> Row | None:
        """What an earlier request with this Idempotency-Key wrote."""
        found = self._db.execute(_ROW + "WHERE pos_key = ? AND idempotency_key = ?", (pos_key, key)).fetchone()
        return Row(*found) if found else None

    def rows_of_kind(self, kind: kinds.Kind) -> list[Row]:
        """All rows of a rare kind: allowances taken and closed."""
        return [Row(*r) for r in self._db.execute(_ROW + "WHERE kind = ? ORDER BY seq", (int(kind),))]

    def rows_using(self, code: str) -> list[Row]:
        """Rows of any member that used this code."""
        found = self._db.execute(
            _ROW + "WHERE seq IN (SELECT seq FROM codes_used WHERE code = ?) ORDER BY seq", (code,)
        )
        return [Row(*r) for r in found]

    def activation_of(self, token: CardToken) -> Row | None:
        """The row that brought a card to life here."""
        found = self._db.execute(
            _ROW + "WHERE seq = (SELECT seq FROM cards_activated WHERE token = ?)", (token,)
        ).fetchone()
        return Row(*found) if found else None

    def any_activated(self) -> bool:
        """Whether any card was brought to life here."""
        return self._db.execute("SELECT 1 FROM cards_activated LIMIT 1").fetchone() is not None

    def accounts_of_cards(self, tokens: Sequence[CardToken]) -> list[AccountId]:
        """Accounts that were made here when one of these cards was brought to life."""
        marks = ", ".join("?" * len(tokens))
        found = self._db.execute(
            f"SELECT account FROM rows WHERE seq IN (SELECT seq FROM cards_activated WHERE token IN ({marks}))", tokens
        )
        return [AccountId(account) for (account,) in found]

    def pending(self, acked: int) -> tuple[int, int | None]:
        """(rows above `acked`, wall time in ms of the oldest of them or None)."""
        count, oldest = self._db.execute("SELECT count(*), min(at_ms) FROM rows WHERE seq > ?", (acked,)).fetchone()
        return count, oldest

    def counts(self, through: int) -> dict[int, tuple[int, int]]:
        """{kind: (rows, points)} through a seq: compared with the centre's after each exchange."""
        found = self._db.execute(
            "SELECT kind, count(*), sum(points) FROM rows WHERE seq <= ? GROUP BY kind", (through,)
        )
        return {kind: (count, points) for kind, count, points in found}

    def verify(self) -> int:
        """Checks numbering and chain of every row kept; returns how many. Raises JournalError for the first fault."""
        _, (seq, hash_) = self.anchor()
        checked = 0
        for row in map(Row._make, self._db.execute(_ROW + "ORDER BY seq")):
            if row.seq != seq + 1:
                raise JournalError(f"row {seq + 1} is missing: the journal goes on with row {row.seq}")
            if row_hash(hash_, self.terminal, row.epoch_born, row.seq, row.body) != row.hash:
                raise JournalError(f"row {row.seq} is not what was journalled, or the row before it is not")
            seq, hash_, checked = row.seq, row.hash, checked + 1
        return checked


class Journal(JournalReader):
    """The till's own journal: the only writer."""

    def __init__(self, engine: sa.Engine, path: Path) -> None:
        self._engine, self.path = engine, path
        super().__init__(files.driver_connection(engine))
        self._lock = threading.RLock()
        self._known: _Known | None = None  # while deciding, where it is asked for many times
        self._kept: tuple[int, _Known] | None = None  # as of a `data_version`, which tells of others' commits

    @classmethod
    def open_or_create(cls, data_dir: Path, terminal: TerminalId, enrolment: bytes) -> Journal:
        """Raises StorageError, or JournalError when the file belongs to another terminal."""
        path = data_dir / FILE_NAME
        engine = files.open_writer(path, _tables, SCHEMA, synchronous="FULL")
        try:
            with engine.begin() as connection:
                for key, value in (("terminal", terminal), ("enrolment", enrolment)):
                    connection.exec_driver_sql("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, value))
        except sa.exc.DBAPIError as error:
            engine.dispose()
            raise files.translated(error, path) from error
        journal = cls(engine, path)
        if journal.terminal != terminal or journal.genesis != genesis(terminal, enrolment):
            raise JournalError(
                f"{path} is the journal of terminal {journal.terminal.hex()}, and this is {terminal.hex()}. "
                "It was left untouched. To bring its rows in, use: holdfast salvage"
            )
        return journal

    def close(self) -> None:
        """Closes the file."""
        self._engine.dispose()

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """One decision at a time: taken before the snapshot is read and held until the rows are on disk.

        Rows appended inside are durable when the block is left; an exception inside leaves none of them. Raises
        StorageError when the file cannot be written.
        """
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise files.translated(error, self.path) from error
            try:
                version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
                self._known = self._known_at(version)
                yield
                self._db.execute("COMMIT")
                self._kept = version, self._known
            except BaseException as error:
                self._kept = None
                self._roll_back()
                if isinstance(error, sqlite3.Error):
                    raise files.translated(error, self.path) from error
                raise
            finally:
                self._known = None

    def _known_at(self, version: int) -> _Known:
        """As the last decision left it, unless somebody else wrote since."""
        if self._kept is not None and self._kept[0] == version:
            return self._kept[1]
        return _Known(super()._tip(), super().anchor(), super().any_activated())

    def anchor(self) -> Tip:
        """(epoch, head) of the last row that was pruned; the genesis if none was."""
        known = self._known
        return known.anchor if known else super().anchor()

    def _tip(self) -> Tip:
        known = self._known
        return known.tip if known else super()._tip()

    def any_activated(self) -> bool:
        """Whether any card was brought to life here."""
        known = self._known
        return known.any_activated if known else super().any_activated()

    def hash_at(self, seq: int) -> RowHash | None:
        """The hash of a row, of the anchor, or None where this journal has nothing."""
        known = self._known
        for _, place in (known.tip, known.anchor) if known else ():
            if place.seq == seq:
                return place.hash
        return super().hash_at(seq)

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def append(
        self,
        body: bytes,
        *,
        points: int = 0,
        account: AccountId | None = None,
        receipt: str | None = None,
        codes: tuple[str, ...] = (),
        epoch: int | None = None,
    ) -> Row:
        """Adds a row inside `deciding`. `account` may differ from the body's only for an activation, whose account is
        its own event id. Raises ValueError for a body above 16 KiB."""
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"a row of {len(body)} bytes; at most {MAX_BODY_BYTES} are kept")
        read = kinds.read_body(body)
        born, head = self._tip()
        born = epoch if epoch is not None else born
        seq = head.seq + 1
        hash_ = row_hash(head.hash, self.terminal, born, seq, body)
        if read.kind == kinds.Kind.activated:
            account = AccountId(event_id(hash_))
            self._db.execute("INSERT OR IGNORE INTO cards_activated VALUES (?, ?)", (read.card, seq))
        caller = read.caller
        self._db.execute(
            _INSERT,
            (
                *(seq, born, hash_, body, read.kind, points, read.moment.wall_ms, account, receipt),
                *((caller.pos_key, caller.key) if caller else (None, None)),
            ),
        )
        for code in codes:
            self._db.execute("INSERT OR IGNORE INTO codes_used VALUES (?, ?)", (code, seq))
        if self._known:
            activated = self._known.any_activated or read.kind == kinds.Kind.activated
            self._known = _Known((born, Head(seq, hash_)), self._known.anchor, activated)
        return Row(seq, born, hash_, body)
