"""The centre's tables, for SQLite and PostgreSQL alike."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, Text

tables = sa.MetaData()

meta = Table("meta", tables, Column("key", Text, primary_key=True), Column("value", LargeBinary, nullable=False))

terminals = Table(
    "terminals",
    tables,
    Column("id", LargeBinary, primary_key=True),
    Column("outlet", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("enrolment", LargeBinary, nullable=False),
    Column("status", Text, nullable=False),  # active, revoked
    Column("enrolled_ms", BigInteger, nullable=False),
    Column("heard_ms", BigInteger, nullable=False),
    Column("health", LargeBinary),
)

enrolment_codes = Table(
    "enrolment_codes",
    tables,
    Column("hash", LargeBinary, primary_key=True),
    Column("outlet", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
)

nonces = Table(
    "nonces",
    tables,
    Column("terminal", LargeBinary, primary_key=True),
    Column("nonce", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Index("nonces_by_time", "at_ms"),
)

# One epoch of one terminal: a stream of its own, that begins on another's chain. A row is kept once, under the stream
# it first came by; `parts` says which rows of which streams make up this chain, oldest first.
streams = Table(
    "streams",
    tables,
    Column("terminal", LargeBinary, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("parts", LargeBinary, nullable=False),  # msgpack [[stream, above, through]]
    Column("head_seq", BigInteger, nullable=False),
    Column("head_hash", LargeBinary, nullable=False),
    Column("safe_seq", BigInteger, nullable=False),
    Column("counts", LargeBinary, nullable=False),  # msgpack {kind: [rows, points]} of the whole chain
)

# Who was told to branch where: asked again, the same answer is given.
mints = Table(
    "mints",
    tables,
    Column("terminal", LargeBinary, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("parent_seq", BigInteger, primary_key=True),
    Column("divergent", LargeBinary, primary_key=True),
    Column("minted", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

rows = Table(
    "rows",
    tables,
    Column("terminal", LargeBinary, primary_key=True),
    Column("event_id", LargeBinary, primary_key=True),
    Column("stream", Integer, nullable=False),  # the epoch under which it first came
    Column("seq", BigInteger, nullable=False),
    Column("epoch_born", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("account", LargeBinary),
    Column("outlet", Text, nullable=False),
    Column("receipt", Text),
    Column("caller", Text),  # POS key and Idempotency-Key
    Column("received_ms", BigInteger, nullable=False),
    Column("commit_no", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("reason", Text),
    Column("said", BigInteger, nullable=False),  # points as the till said
    Column("points", BigInteger, nullable=False),  # points as the centre counts
    Column("counted", LargeBinary),  # msgpack OwnRow: what it added to the facts
    Column("pricing", LargeBinary),  # msgpack Pricing where the centre's differs from the row's
    Index("rows_by_event", "event_id"),
    Index("rows_by_seq", "terminal", "seq"),
    Index("rows_by_account", "account"),
    Index("rows_by_receipt", "outlet", "receipt"),
    Index("rows_by_caller", "outlet", "caller"),
    Index("rows_by_outcome", "outcome", "account"),
)

accounts = Table(
    "accounts",
    tables,
    Column("id", LargeBinary, primary_key=True),
    Column("no", Integer, nullable=False, unique=True),
    Column("alias_of", LargeBinary),  # a second activation of one card counts to its target
    Column("name", Text),
    Column("balance", BigInteger, nullable=False),
    Column("open_debt", BigInteger, nullable=False),  # taken back but already spent: later credits fill it first
    Column("facts", LargeBinary, nullable=False),  # msgpack loyalty.facts.Facts
    Index("accounts_by_target", "alias_of"),
)

cards = Table(
    "cards",
    tables,
    Column("token", LargeBinary, primary_key=True),
    Column("account", LargeBinary, nullable=False),
    Column("status", Text, nullable=False),  # active, blocked, replaced
    Index("cards_by_account", "account"),
)

# Double entry: the postings of every event sum to zero.
postings = Table(
    "postings",
    tables,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("event_id", LargeBinary, nullable=False),
    Column("ledger", Text, nullable=False),  # member, issued, redeemed, outlet_loss
    Column("account", LargeBinary),
    Column("outlet", Text),
    Column("points", BigInteger, nullable=False),
    Index("postings_by_event", "event_id"),
    Index("postings_by_account", "account"),
)

lots = Table(
    "lots",
    tables,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("account", LargeBinary, nullable=False),
    Column("event_id", LargeBinary, nullable=False),
    Column("earned", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    Column("last_day", Text),
    Index("lots_by_account", "account", "last_day"),
)

# Which lots a burn took, so that giving it back restores them.
lot_uses = Table(
    "lot_uses",
    tables,
    Column("event_id", LargeBinary, primary_key=True),
    Column("lot", BigInteger, primary_key=True),
    Column("points", BigInteger, nullable=False),
)

allowances = Table(
    "allowances",
    tables,
    Column("id", LargeBinary, primary_key=True),
    Column("wish", LargeBinary, nullable=False, unique=True),
    Column("account", LargeBinary, nullable=False),
    Column("terminal", LargeBinary, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("granted", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("returned", BigInteger, nullable=False),
    Column("reclaimed", BigInteger, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("reclaim_ms", BigInteger, nullable=False),
    Column("signed", LargeBinary, nullable=False),
    Index("allowances_by_account", "account"),
    Index("allowances_by_terminal", "terminal", "is_open"),
    Index("allowances_by_reclaim", "is_open", "reclaim_ms"),
)

# Positions are given in commit order; content is read when a page is made.
feed = Table(
    "feed",
    tables,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),  # member, gone, programme, codes, code_state, outcome
    Column("key", LargeBinary, nullable=False),
    Column("terminal", LargeBinary),  # None: for all
    Column("hash", LargeBinary, nullable=False),
    Column("commit_no", BigInteger, nullable=False),
    Index("feed_by_key", "key", "position"),
)

programmes = Table(
    "programmes",
    tables,
    Column("version", Integer, primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("signed", LargeBinary, nullable=False),
    Column("loaded_ms", BigInteger, nullable=False),
)

batches = Table(
    "batches",
    tables,
    Column("id", Text, primary_key=True),
    Column("purpose", Text, nullable=False),  # activation, bonus
    Column("issued_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("operator", Text, nullable=False),
)

codes = Table(
    "codes",
    tables,
    Column("id", LargeBinary, primary_key=True),
    Column("batch", Text, nullable=False),
    Column("serial", Integer, nullable=False),
    Column("stored_hash", LargeBinary, nullable=False, unique=True),
    Column("state", Text, nullable=False),  # issued, used, void
    Column("used_by", LargeBinary),  # event id
    Index("codes_by_batch", "batch", "serial"),
)

notices = Table(
    "notices",
    tables,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("recipient", Text, nullable=False),  # outlet:<id>, operations, security, support, risk
    Column("code", Text, nullable=False),
    Column("event_id", LargeBinary),
    Column("text", Text, nullable=False),
)
