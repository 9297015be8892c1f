"""snapshot.db: what the centre said. Only the sync worker writes it; it can be thrown away and fetched again.

Whatever it says of our own rows (acknowledgement, watermarks) carries (seq, hash) and holds only while the journal has
that hash at that seq. Outcomes are keyed by event id.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from loyalty.ids import NO_GENERATION, AccountId, AllowanceId, CardToken, EventId, Generation
from sync import files
from sync.protocol.chain import Head, RowHash
from sync.protocol.messages import Outcome

SCHEMA = 1
FILE_NAME = "snapshot.db"

_tables = sa.MetaData()
sa.Table("state", _tables, sa.Column("id", sa.Integer, primary_key=True), sa.Column("value", sa.LargeBinary))
sa.Table(
    "members",
    _tables,
    sa.Column("account", sa.LargeBinary, primary_key=True),
    sa.Column("no", sa.Integer, nullable=False),
    sa.Column("facts", sa.LargeBinary, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("watermark_seq", sa.Integer, nullable=False),
    sa.Column("watermark_hash", sa.LargeBinary, nullable=False),
    sa.Column("commit_no", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)
sa.Table(
    "cards",
    _tables,
    sa.Column("token", sa.LargeBinary, primary_key=True),
    sa.Column("account", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Index("cards_by_account", "account"),
    sqlite_with_rowid=False,
)
sa.Table(
    "aliases",
    _tables,
    sa.Column("account", sa.LargeBinary, primary_key=True),
    sa.Column("target", sa.LargeBinary, nullable=False),
    sa.Index("aliases_by_target", "target"),
    sqlite_with_rowid=False,
)
sa.Table(
    "outcomes",
    _tables,
    sa.Column("event_id", sa.LargeBinary, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("points", sa.Integer),
    sqlite_with_rowid=False,
)
sa.Table(
    "allowances",
    _tables,
    sa.Column("id", sa.LargeBinary, primary_key=True),
    sa.Column("account", sa.LargeBinary, nullable=False),
    sa.Column("points", sa.Integer, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("wish", sa.LargeBinary, nullable=False),
    sa.Column("sent_boot_id", sa.LargeBinary, nullable=False),
    sa.Column("sent_boottime_ms", sa.Integer, nullable=False),
    sa.Column("sent_wall_ms", sa.Integer, nullable=False),
    sa.Column("lifetime_s", sa.Integer, nullable=False),
    sa.Column("grant", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
sa.Table(
    "programmes",
    _tables,
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("signed", sa.LargeBinary, nullable=False),
)
sa.Table(
    "codes",
    _tables,
    sa.Column("stored_hash", sa.LargeBinary, primary_key=True),
    sa.Column("code_id", sa.LargeBinary, nullable=False),
    sa.Column("batch", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("serial", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)
sa.Table(
    "code_states",
    _tables,
    sa.Column("code_id", sa.LargeBinary, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)


class State(msgspec.Struct, kw_only=True, frozen=True):
    """One row: where the exchange stands. Written with everything an answer brings, in one transaction."""

    generation: Generation = NO_GENERATION
    epoch: int = 0
    commit: int = 0
    ack_seq: int = 0
    ack_hash: bytes = b""
    safe_seq: int = 0
    cursor: int = 0
    position: int = 0
    position_hash: bytes = b""
    outcomes_through: int = 0
    fork: bool = False
    probe: tuple[int, int] | None = None
    number: int = 0  # of the last request
    floor: int = 0  # answers to requests up to this one are from before our last change of generation or epoch
    attempt: int = 0  # failed exchanges in a row
    next_at_ms: int = 0
    last_exchange_ms: int = 0
    last_class: str = ""  # "", line, busy, identity, contract, body: why the last exchange failed
    last_text: str = ""
    centre_offset_ms: int | None = None  # centre's clock less ours
    next_poll_s: float | None = None
    counts_differ: bool = False


class Member(NamedTuple):
    """A member as the centre last told: `facts` is msgpack of loyalty.facts.Facts as of `watermark`."""

    account: AccountId
    no: int
    facts: bytes
    name: str | None
    watermark: Head


class Card(NamedTuple):
    """Which account a card points to."""

    account: AccountId
    status: str


class Held(NamedTuple):
    """An allowance as granted, and when its request was sent, by our clocks."""

    id: AllowanceId
    account: AccountId
    points: int
    epoch: int
    wish: bytes
    sent_boot_id: bytes
    sent_boottime_ms: int
    sent_wall_ms: int
    lifetime_s: int
    grant: bytes


class Code(NamedTuple):
    """A typed code that the centre issued."""

    code_id: bytes
    batch: str
    purpose: str
    serial: int


class _Seen(NamedTuple):
    """What was read at one state of the file: SQLite's `data_version` tells of others' commits."""

    data_version: int
    state: State
    programme_versions: tuple[int, ...]
    any_alias: bool


_HELD = (
    "SELECT id, account, points, epoch, wish, sent_boot_id, sent_boottime_ms, sent_wall_ms, lifetime_s, grant"
    " FROM allowances "
)
_state = msgspec.msgpack.Decoder(State)


class SnapshotReader:
    """Read-only: what the till asks. Several questions that must agree go inside one `view`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._seen: _Seen | None = None
        self._seen_in_view: _Seen | None = None  # nothing changes inside a view: asked once there

    @classmethod
    def open(cls, data_dir: Path) -> SnapshotReader:
        """Raises StorageError when there is no snapshot yet."""
        return cls(files.open_reader(data_dir / FILE_NAME))

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()

    @contextmanager
    def view(self) -> Iterator[None]:
        """One read transaction: everything asked inside is of one instant."""
        self._db.execute("BEGIN")
        try:
            self._seen_in_view = self._unchanged()
            yield
        finally:
            self._seen_in_view = None
            self._db.execute("COMMIT")

    def state(self) -> State:
        """Where the exchange stands; the beginning when nothing was exchanged yet."""
        return self._unchanged().state

    def _unchanged(self) -> _Seen:
        """What is read again only when the file changed: each tap asks, and an exchange is rare."""
        if self._seen_in_view is not None:
            return self._seen_in_view
        version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        if self._seen is None or self._seen.data_version != version:
            self._seen = self._read_seen(version)
        return self._seen

    def _read_seen(self, version: int) -> _Seen:
        found = self._db.execute("SELECT value FROM state WHERE id = 1").fetchone()
        versions = self._db.execute("SELECT version FROM programmes ORDER BY version DESC").fetchall()
        alias = self._db.execute("SELECT 1 FROM aliases LIMIT 1").fetchone()
        state = _state.decode(found[0]) if found else State()
        return _Seen(version, state, tuple(v for (v,) in versions), alias is not None)

    def card(self, token: CardToken) -> Card | None:
        """Which account a card points to, or None for a card the centre has not told us of."""
        found = self._db.execute("SELECT account, status FROM cards WHERE token = ?", (token,)).fetchone()
        return Card(*found) if found else None

    def member(self, account: AccountId) -> Member | None:
        """A member as the centre last told."""
        found = self._db.execute(
            "SELECT account, no, facts, name, watermark_seq, watermark_hash FROM members WHERE account = ?", (account,)
        ).fetchone()
        if found is None:
            return None
        account, no, facts, name, seq, hash_ = found
        return Member(account, no, facts, name, Head(seq, RowHash(hash_)))

    def tokens(self, account: AccountId) -> list[CardToken]:
        """A member's cards."""
        return [CardToken(t) for (t,) in self._db.execute("SELECT token FROM cards WHERE account = ?", (account,))]

    def target(self, account: AccountId) -> AccountId:
        """The account to which this one counts: mostly itself."""
        if not self._unchanged().any_alias:
            return account
        found = self._db.execute("SELECT target FROM aliases WHERE account = ?", (account,)).fetchone()
        return AccountId(found[0]) if found else account

    def aliases(self, target: AccountId) -> list[AccountId]:
        """Accounts that count to this one, since a card was activated twice."""
        if not self._unchanged().any_alias:
            return []
        found = self._db.execute("SELECT account FROM aliases WHERE target = ?", (target,))
        return [AccountId(account) for (account,) in found]

    def members(self) -> int:
        """How many members this terminal knows."""
        found: int = self._db.execute("SELECT count(*) FROM members").fetchone()[0]
        return found

    def allowances(self, account: AccountId | None = None) -> list[Held]:
        """Allowances as granted, of one member or all; what remains of them is computed from rows."""
        if account is None:
            return [Held(*r) for r in self._db.execute(_HELD + "ORDER BY sent_wall_ms, id")]
        found = self._db.execute(_HELD + "WHERE account = ? ORDER BY sent_wall_ms, id", (account,))
        return [Held(*r) for r in found]

    def outcome(self, event: EventId) -> Outcome | None:
        """The centre's word on a row, if it was other than `applied`."""
        found = self._db.execute(
            "SELECT event_id, seq, outcome, revision, reason, points FROM outcomes WHERE event_id = ?", (event,)
        ).fetchone()
        return _outcome(found) if found else None

    def outcomes(self, after: int = 0) -> list[Outcome]:
        """All outcomes other than `applied` of rows above `after`, oldest first."""
        found = self._db.execute(
            "SELECT event_id, seq, outcome, revision, reason, points FROM outcomes WHERE seq > ? ORDER BY seq", (after,)
        )
        return [_outcome(r) for r in found]

    def programme_versions(self) -> list[int]:
        """Versions of the programme that were received, newest first."""
        return list(self._unchanged().programme_versions)

    def programme(self, version: int) -> bytes | None:
        """The signed document of a version; it never changes."""
        found = self._db.execute("SELECT signed FROM programmes WHERE version = ?", (version,)).fetchone()
        return found[0] if found else None

    def typed_code(self, stored_hash: bytes) -> Code | None:
        """A typed code by its stored hash."""
        found = self._db.execute(
            "SELECT code_id, batch, purpose, serial FROM codes WHERE stored_hash = ?", (stored_hash,)
        ).fetchone()
        return Code(*found) if found else None

    def code_state(self, code_id: bytes) -> str | None:
        """`used` or `void`, or None for a code that nobody told us of."""
        found = self._db.execute("SELECT state FROM code_states WHERE code_id = ?", (code_id,)).fetchone()
        return found[0] if found else None


def _outcome(row: tuple[bytes, int, str, int, str | None, int | None]) -> Outcome:
    return Outcome(event_id=EventId(row[0]), seq=row[1], outcome=row[2], revision=row[3], reason=row[4], points=row[5])


class Snapshot(SnapshotReader):
    """The worker's own snapshot: the only writer."""

    def __init__(self, engine: sa.Engine, path: Path) -> None:
        self._engine, self.path = engine, path
        super().__init__(files.driver_connection(engine))

    @classmethod
    def open_or_create(cls, data_dir: Path) -> Snapshot:
        """The snapshot is expendable: one that cannot be read is set aside and fetched again. Raises StorageError."""
        path = data_dir / FILE_NAME
        try:
            engine = files.open_writer(path, _tables, SCHEMA, synchronous="FULL")
            snapshot = cls(engine, path)
            snapshot.state()
        except (files.StorageError, sqlite3.Error, msgspec.DecodeError) as error:
            if isinstance(error, files.StorageError) and error.code != "storage.damaged":
                raise
            set_aside(path)
            engine = files.open_writer(path, _tables, SCHEMA, synchronous="FULL")
        return cls(engine, path)

    def close(self) -> None:
        """Closes the file."""
        self._engine.dispose()

    def _unchanged(self) -> _Seen:
        return self._read_seen(0)  # our own changes do not show in data_version

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all of an answer or nothing of it. Raises StorageError."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise files.translated(error, self.path) from error
            raise

    def put_state(self, state: State) -> None:
        """Inside `writing`."""
        self._db.execute("INSERT OR REPLACE INTO state VALUES (1, ?)", (msgspec.msgpack.encode(state),))

    def put_member(
        self,
        member: Member,
        commit: int,
        cards: Iterable[tuple[CardToken, str]],
        aliases: Iterable[AccountId] = (),
    ) -> None:
        """Replaces a member, its cards and aliases, unless what is here is of a newer commit."""
        self._db.execute(
            "INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account) DO UPDATE SET no = excluded.no,"
            " facts = excluded.facts, name = excluded.name, watermark_seq = excluded.watermark_seq,"
            " watermark_hash = excluded.watermark_hash, commit_no = excluded.commit_no"
            " WHERE excluded.commit_no >= members.commit_no",
            (*member[:4], *member.watermark, commit),
        )
        if (
            self._db.execute("SELECT commit_no FROM members WHERE account = ?", (member.account,)).fetchone()[0]
            > commit
        ):
            return
        self._db.execute("DELETE FROM cards WHERE account = ?", (member.account,))
        self._db.executemany(
            "INSERT OR REPLACE INTO cards VALUES (?, ?, ?)",
            [(token, member.account, status) for token, status in cards],
        )
        self._db.execute("DELETE FROM aliases WHERE target = ? OR account = ?", (member.account, member.account))
        self._db.executemany(
            "INSERT OR REPLACE INTO aliases VALUES (?, ?)", [(alias, member.account) for alias in aliases]
        )

    def forget_member(self, account: AccountId) -> None:
        """A tombstone of the feed."""
        self._db.execute("DELETE FROM members WHERE account = ?", (account,))
        self._db.execute("DELETE FROM cards WHERE account = ?", (account,))
        self._db.execute("DELETE FROM aliases WHERE target = ?", (account,))

    def put_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Newer revisions replace older ones; `applied` is the absence of a line."""
        for outcome in outcomes:
            values = (outcome.event_id, outcome.seq, outcome.outcome, outcome.revision, outcome.reason, outcome.points)
            self._db.execute(
                "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO UPDATE SET"
                " outcome = excluded.outcome, revision = excluded.revision, reason = excluded.reason,"
                " points = excluded.points WHERE excluded.revision >= outcomes.revision",
                values,
            )
        self._db.execute("DELETE FROM outcomes WHERE outcome = 'applied'")

    def put_allowance(self, held: Held) -> None:
        """An allowance is put once: when it was first sent for is what its lifetime counts from."""
        self._db.execute("INSERT OR IGNORE INTO allowances VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", held)

    def drop_allowances(self, gone: Iterable[AllowanceId]) -> None:
        """Allowances whose closing row the centre has acknowledged."""
        self._db.executemany("DELETE FROM allowances WHERE id = ?", [(id_,) for id_ in gone])

    def put_programme(self, version: int, signed: bytes) -> None:
        """A version of the programme document."""
        self._db.execute("INSERT OR REPLACE INTO programmes VALUES (?, ?)", (version, signed))

    def put_codes(self, batch: str, purpose: str, codes: Iterable[tuple[bytes, bytes, int]]) -> None:
        """Typed codes of a batch."""
        self._db.executemany(
            "INSERT OR REPLACE INTO codes VALUES (?, ?, ?, ?, ?)",
            [(hash_, code_id, batch, purpose, serial) for hash_, code_id, serial in codes],
        )

    def put_code_state(self, code_id: bytes, state: str) -> None:
        """A code that was used or voided; `issued` again removes the line."""
        self._db.execute("INSERT OR REPLACE INTO code_states VALUES (?, ?)", (code_id, state))
        self._db.execute("DELETE FROM code_states WHERE state = 'issued'")

    def begin_generation(self) -> None:
        """The centre begins a new life: outcomes are asked for again, and accounts may be replaced by any commit."""
        self._db.execute("DELETE FROM outcomes")
        self._db.execute("UPDATE members SET commit_no = 0")


def set_aside(path: Path) -> None:
    """Renames a file that cannot be used, with its WAL, so that a technician can look at it."""
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(path.with_name(path.name + ".damaged" + suffix))
