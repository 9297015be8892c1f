"""One round trip as a state machine without I/O: what to ask, and what an answer changes. See docs/sync.md.

The journal is only read here, the state only returned: the worker writes it, with all the answer brought, in one
transaction of snapshot.db. A crash before that costs a resend, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from loyalty.ids import AllowanceId
from sync.journal import JournalReader
from sync.protocol import packing
from sync.protocol.chain import Row
from sync.protocol.messages import Answer, Batch, Branch, Clock, Outcome, Page, Place, Receipt, Request, Wish
from sync.snapshot import State

MAX_BATCH_BODY_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The answer counts. All of it is written in one transaction."""

    state: State
    new_generation: bool
    outcomes: list[Outcome]
    page: Page | None
    grants: list[bytes]
    refused: list[tuple[bytes, str]]
    acked: range  # rows acknowledged by this answer and not before


@dataclass(frozen=True, slots=True, kw_only=True)
class Branched:
    """The centre has other rows at our numbers: the till opens this epoch, then the exchange goes on."""

    state: State
    branch: Branch


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Only the state changes: a fork was seen, or the centre looks for where it began."""

    state: State
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """The answer is too old, or not for this branch. Nothing of it is used."""

    why: str


Step = Applied | Branched | Noted | Dropped


def acknowledged(state: State, journal: JournalReader) -> int:
    """Through which row the centre has ours, as far as the journal agrees; else through the anchor."""
    anchor = journal.anchor()[1].seq
    if state.epoch != journal.epoch() or state.ack_seq <= anchor or forked(state, journal):
        return anchor
    return state.ack_seq


def forked(state: State, journal: JournalReader) -> bool:
    """Whether an acknowledgement of ours names a hash that the journal does not have there.

    Below the anchor it is unknown, never a fork.
    """
    if state.fork:
        return True
    if state.epoch != journal.epoch() or state.ack_seq <= journal.anchor()[1].seq:
        return False
    return journal.hash_at(state.ack_seq) != state.ack_hash


def is_unread(state: State) -> bool:
    """Whether the centre has more to say than was heard: feed beyond the cursor, outcomes of acknowledged rows."""
    return state.cursor < state.position or state.outcomes_through < state.ack_seq


def request(
    state: State,
    journal: JournalReader,
    *,
    number: int,
    clock: Clock,
    wishes: Sequence[Wish] = (),
    held: Sequence[AllowanceId] = (),
    health: dict[str, Any] | None = None,
    max_rows: int = packing.MAX_ROWS,
) -> Request:
    """What to send now. `number` is higher than in any request before."""
    fork, epoch, head, acked = forked(state, journal), journal.epoch(), journal.head(), acknowledged(state, journal)
    known = state.epoch == epoch and not fork and state.probe is None
    rows = [] if fork else _batch_rows(journal, acked, max_rows)
    return Request(
        number=number,
        terminal=journal.terminal,
        epoch=epoch,
        head=Place(head.seq, head.hash),
        clock=clock,
        receipt=Receipt(generation=state.generation, position=state.position, hash=state.position_hash),
        batch=_batch(journal, rows) if rows else None,
        fork=fork,
        chain=[] if known else _chain(journal, state.probe),
        outcomes_through=state.outcomes_through if state.epoch == epoch else 0,
        cursor=_cursor(state, journal),
        allowances=list(held),
        wishes=list(wishes),
        counts=journal.counts(acked),
        health=health or {},
    )


def _cursor(state: State, journal: JournalReader) -> int:
    """Where the feed is read on. On a new branch it is begun anew: what was told as of rows that are not ours any more
    would stay unknown until it changes."""
    return state.cursor if state.epoch == journal.epoch() else 0


def _batch_rows(journal: JournalReader, acked: int, max_rows: int) -> list[Row]:
    rows: list[Row] = []
    size = 0
    for row in journal.rows_after(acked, min(max_rows, packing.MAX_ROWS)):
        size += len(row.body)
        if rows and size > MAX_BATCH_BODY_BYTES:
            break
        rows.append(row)
    return rows


def _batch(journal: JournalReader, rows: Sequence[Row]) -> Batch:
    before = rows[0].seq - 1
    hash_ = journal.hash_at(before)
    assert hash_ is not None, "rows above an acknowledgement follow a row or the anchor"
    return Batch(after=Place(before, hash_), last=rows[-1].hash, packed=packing.pack(rows))


def _chain(journal: JournalReader, probe: tuple[int, int] | None) -> list[Place]:
    """Places on our chain, newest first: doubling steps back from the head, or the span that the centre asks about."""
    anchor, head = journal.anchor()[1].seq, journal.head().seq
    above, below = (max(anchor, probe[0]), min(head, probe[1])) if probe else (anchor, head)
    span = below - above
    if probe and span > 0:
        steps = sorted({above + span * at // 32 for at in range(33)}, reverse=True)
    else:
        steps = [head - (1 << at) + 1 for at in range(64) if head - (1 << at) + 1 > anchor]
    places = [Place(seq, journal.hash_at(seq) or b"") for seq in [*steps, anchor]]
    return [place for place in places if place.hash]


def apply(state: State, asked: Request, answer: Answer, journal: JournalReader) -> Step:
    """What an authenticated answer to `asked` changes."""
    if answer.epoch != journal.epoch() or answer.number <= state.floor or answer.number != asked.number:
        return Dropped(why="an answer from before the last change of branch or generation")
    if answer.generation == state.generation and answer.commit < state.commit:
        return Dropped(why="an older answer than the last one applied")
    if answer.branch is not None:
        return _branched(state, asked, answer.branch, journal)
    if answer.probe is not None:
        span = (answer.probe.above, answer.probe.below)
        return Noted(state=replace(state, probe=span), why="looking for where the branch began")
    if answer.ack is None:
        return Dropped(why="an answer that says nothing")
    ours = journal.hash_at(answer.ack.seq)
    if answer.ack.seq >= acknowledged(state, journal) and ours != answer.ack.hash:
        return Noted(state=replace(state, fork=True), why="the centre has other rows at our numbers")
    return _applied(state, asked, answer, answer.ack, journal)


def _branched(state: State, asked: Request, branch: Branch, journal: JournalReader) -> Step:
    if branch.epoch <= journal.epoch() or journal.hash_at(branch.parent.seq) != branch.parent.hash:
        return Dropped(why="a branch that does not begin on our chain")
    through = min(state.outcomes_through, branch.parent.seq)
    after = replace(state, fork=False, probe=None, floor=asked.number, outcomes_through=through)
    return Branched(state=after, branch=branch)


def _applied(state: State, asked: Request, answer: Answer, ack: Place, journal: JournalReader) -> Step:
    before = acknowledged(state, journal)
    new = answer.generation != state.generation
    if new:
        state = replace(
            state, floor=asked.number, cursor=0, position=0, position_hash=b"", outcomes_through=0, commit=0
        )
    if state.epoch != journal.epoch():
        state = replace(state, epoch=journal.epoch(), ack_seq=0, outcomes_through=0, cursor=0)
    outcomes = answer.outcomes if answer.outcomes_from <= state.outcomes_through else []
    through = ack.seq if answer.outcomes_from <= state.outcomes_through else state.outcomes_through
    page = _page(state, answer.page, new)
    after = replace(
        state,
        generation=answer.generation,
        commit=answer.commit,
        ack_seq=ack.seq,
        ack_hash=ack.hash,
        safe_seq=answer.safe_seq,
        outcomes_through=min(through, ack.seq),
        probe=None,
        cursor=page.cursor if page else state.cursor,
        position=answer.page.position if answer.page else state.position,
        position_hash=answer.page.hash if answer.page else state.position_hash,
        next_poll_s=answer.next_poll_s,
        counts_differ=answer.counts != journal.counts(ack.seq),
    )
    return Applied(
        state=after,
        new_generation=new,
        outcomes=outcomes,
        page=page,
        grants=answer.grants,
        refused=answer.refused_wishes,
        acked=range(before + 1, ack.seq + 1),
    )


def _page(state: State, page: Page | None, new: bool) -> Page | None:
    """The cursor moves only from where the request stood."""
    if page is None or (page.start is None and not new) or (page.start is not None and page.start != state.cursor):
        return None
    return page
