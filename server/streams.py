"""Streams: every epoch of a terminal is a stream of its own, that begins where it left another's chain.

Only a contradicting hash, or the terminal's own word, is a fork. Minting an epoch is idempotent and closes no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from loyalty.ids import TerminalId
from server.schema import mints, rows, streams
from sync.protocol.chain import FIRST_EPOCH, RowHash
from sync.protocol.messages import Branch, Place, Probe

Counts = dict[int, tuple[int, int]]


class Part(NamedTuple):
    """Rows `above` < seq <= `through` of a chain first came by the stream of this epoch."""

    stream: int
    above: int
    through: int


class Stream(NamedTuple):
    """Where one epoch of one terminal stands."""

    terminal: TerminalId
    epoch: int
    parts: list[Part]
    head: Place
    safe_seq: int
    counts: Counts

    def grown(self, head: Place, first_came_by: int) -> Stream:
        """The stream one row longer; the row may be here already, by another stream of this terminal."""
        last = self.parts[-1] if self.parts else None
        if last is not None and last.stream == first_came_by:
            parts = [*self.parts[:-1], last._replace(through=head.seq)]
        else:
            parts = [*self.parts, Part(first_came_by, self.head.seq, head.seq)]
        return self._replace(head=head, parts=parts)


def load(tx: sa.Connection, terminal: TerminalId, epoch: int) -> Stream | None:
    """A stream the centre knows."""
    s = streams.c
    found = tx.execute(sa.select(streams).where(s.terminal == terminal, s.epoch == epoch)).one_or_none()
    if found is None:
        return None
    counts = msgspec.msgpack.decode(found.counts, type=Counts)
    head = Place(found.head_seq, found.head_hash)
    parts = [Part(*part) for part in msgspec.msgpack.decode(found.parts, type=list[tuple[int, int, int]])]
    return Stream(terminal, epoch, parts, head, found.safe_seq, counts)


def save(tx: sa.Connection, stream: Stream) -> None:
    """Writes how far it goes, of what it is made, and counts."""
    s = streams.c
    tx.execute(
        streams.update()
        .where(s.terminal == stream.terminal, s.epoch == stream.epoch)
        .values(
            head_seq=stream.head.seq,
            head_hash=stream.head.hash,
            parts=msgspec.msgpack.encode(stream.parts),
            counts=msgspec.msgpack.encode(stream.counts),
        )
    )


def how_many(tx: sa.Connection, terminal: TerminalId) -> int:
    """How many streams a terminal has."""
    return tx.execute(sa.select(sa.func.count()).where(streams.c.terminal == terminal)).scalar_one()


def on_chain(stream: Stream) -> sa.ColumnElement[bool]:
    """The rows of a chain, as a condition."""
    r = rows.c
    spans = (sa.and_(r.stream == part.stream, r.seq > part.above, r.seq <= part.through) for part in stream.parts)
    return sa.and_(r.terminal == stream.terminal, sa.or_(*spans, sa.false()))


def hash_at(tx: sa.Connection, stream: Stream, seq: int, genesis: RowHash) -> bytes | None:
    """The hash of a chain at a seq; the genesis at 0."""
    if seq == 0:
        return genesis
    if seq == stream.head.seq:
        return stream.head.hash
    found: bytes | None = tx.execute(sa.select(rows.c.hash).where(on_chain(stream), rows.c.seq == seq)).scalar()
    return found


def hashes(tx: sa.Connection, stream: Stream, above: int, through: int) -> dict[int, bytes]:
    """The hashes of a chain by seq, `above` < seq <= `through`."""
    wanted = sa.and_(on_chain(stream), rows.c.seq > above, rows.c.seq <= through)
    return dict(tuple(row) for row in tx.execute(sa.select(rows.c.seq, rows.c.hash).where(wanted)))


def begin(
    tx: sa.Connection, terminal: TerminalId, epoch: int, chain: Sequence[Place], head_seq: int, genesis: RowHash
) -> Stream | Probe:
    """A stream we do not know starts as the longest part of it that we do know; asks on where that is not clear."""
    parent = common(tx, terminal, chain, head_seq, genesis)
    if isinstance(parent, Probe):
        return parent
    stream = Stream(terminal, epoch, _parts(tx, terminal, parent), parent, 0, {})
    stream = stream._replace(counts=_counts(tx, stream))
    tx.execute(
        streams.insert().values(
            terminal=terminal,
            epoch=epoch,
            parts=msgspec.msgpack.encode(stream.parts),
            head_seq=parent.seq,
            head_hash=parent.hash,
            safe_seq=0,
            counts=msgspec.msgpack.encode(stream.counts),
        )
    )
    return stream


def _parts(tx: sa.Connection, terminal: TerminalId, parent: Place) -> list[Part]:
    """Of what a chain through this place is made: as the stream by which that row first came, cut there."""
    if parent.seq == 0:
        return []
    r = rows.c
    owner: int = tx.execute(
        sa.select(r.stream).where(r.terminal == terminal, r.seq == parent.seq, r.hash == parent.hash)
    ).scalar_one()
    known = load(tx, terminal, owner)
    assert known is not None, "a row names the stream it came by"
    return [part._replace(through=min(part.through, parent.seq)) for part in known.parts if part.above < parent.seq]


def common(
    tx: sa.Connection, terminal: TerminalId, chain: Sequence[Place], head_seq: int, genesis: RowHash
) -> Place | Probe:
    """The highest place that both ends have: `chain` is newest first, and asked for more densely until it is exact."""
    if head_seq == 0:
        return Place(0, genesis)
    above_known: int | None = None
    for place in chain:
        if _known(tx, terminal, place, genesis):
            if above_known is None or above_known == place.seq + 1:
                return place
            return Probe(above=place.seq, below=above_known)
        above_known = place.seq
    return Probe(above=0, below=above_known if above_known is not None else head_seq)


def _known(tx: sa.Connection, terminal: TerminalId, place: Place, genesis: RowHash) -> bool:
    if place.seq == 0:
        return place.hash == genesis
    r = rows.c
    same = sa.select(r.seq).where(r.terminal == terminal, r.seq == place.seq, r.hash == place.hash)
    return tx.execute(same.limit(1)).first() is not None


def _counts(tx: sa.Connection, stream: Stream) -> Counts:
    """Rows and points by kind of a chain, as the terminal counts them: by what its rows said."""
    counts: Counts = {}
    for kind, said in tx.execute(sa.select(rows.c.kind, rows.c.said).where(on_chain(stream))):
        add(counts, kind, said)
    return counts


def add(counts: Counts, kind: int, points: int) -> None:
    """Counts one more row."""
    rows_so_far, sum_so_far = counts.get(kind, (0, 0))
    counts[kind] = (rows_so_far + 1, sum_so_far + points)


def mint(
    tx: sa.Connection, terminal: TerminalId, epoch: int, parent: Place, divergent: bytes, now_ms: int
) -> tuple[Branch, bool]:
    """The epoch under which a fork goes on, and whether it was given now: asked twice, it is the same."""
    m = mints.c
    where = (m.terminal == terminal, m.epoch == epoch, m.parent_seq == parent.seq, m.divergent == divergent)
    found = tx.execute(sa.select(m.minted).where(*where)).scalar()
    if found is not None:
        return Branch(epoch=found, parent=parent), False
    highest = max(
        tx.execute(sa.select(sa.func.max(m.minted)).where(m.terminal == terminal)).scalar() or FIRST_EPOCH,
        tx.execute(sa.select(sa.func.max(streams.c.epoch)).where(streams.c.terminal == terminal)).scalar() or 0,
        epoch,
    )
    tx.execute(
        mints.insert().values(
            terminal=terminal,
            epoch=epoch,
            parent_seq=parent.seq,
            divergent=divergent,
            minted=highest + 1,
            at_ms=now_ms,
        )
    )
    return Branch(epoch=highest + 1, parent=parent), True
