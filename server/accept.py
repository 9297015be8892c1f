"""Accepts a terminal's journal: each row exactly once, in one transaction per exchange, answered after it is on disk.

See docs/sync.md. The caller has authenticated the terminal, and commits before it answers.
"""

from __future__ import annotations

import secrets
import struct
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from loyalty import rows as kinds
from loyalty.ids import AccountId, EventId, Generation, TerminalId
from loyalty.programme import Programme
from server import accounts, allowances, feed, schema, store, streams
from server.posting import Posting, Verdict
from server.streams import Stream
from sync.protocol import packing
from sync.protocol.chain import Row, RowHash, event_id, genesis
from sync.protocol.messages import Answer, Outcome, Page, Place, Probe, Request

MAX_NUMBER = (1 << 53) - 1  # as everywhere in Holdfast: exact in JSON, too
MAX_SMALL = (1 << 31) - 1  # a column of type INTEGER in PostgreSQL


class ContractError(Exception):
    """A request that is signed but cannot be meant. Nothing of it was applied."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(frozen=True, kw_only=True, slots=True)
class Centre:
    """What an exchange needs besides the database: programmes, keys, chance."""

    programmes: Mapping[int, Programme]
    grant_keys: Mapping[bytes, Ed25519PublicKey]
    signer: allowances.Signer
    new_id: Callable[[], bytes] = lambda: secrets.token_bytes(16)


def exchange(tx: sa.Connection, centre: Centre, request: Request, *, now_ms: int) -> Answer:
    """One round trip's work; raises ContractError."""
    if request.protocol[0] > 1:
        raise ContractError("exchange.version", "This centre is older than the terminal. Update the centre.")
    _check_bounds(request)
    t = schema.terminals.c
    terminal = tx.execute(sa.select(schema.terminals).where(t.id == request.terminal)).one()
    tx.execute(schema.terminals.update().where(t.id == request.terminal).values(heard_ms=now_ms))
    generation = _generation(tx, request, now_ms)
    root = genesis(request.terminal, terminal.enrolment)
    commit = store.next_commit(tx)
    answer = Answer(
        number=request.number,
        epoch=request.epoch,
        generation=generation,
        commit=feed.end(tx)[0],
        centre_time_ms=now_ms,
    )
    stream = streams.load(tx, request.terminal, request.epoch) or streams.begin(
        tx, request.terminal, request.epoch, request.chain, request.head.seq, root
    )
    if isinstance(stream, Probe):
        return msgspec.structs.replace(answer, probe=stream)
    rows = _rows_of(tx, stream, request, root)
    if rows is None:
        return _fork(tx, request, answer, root, now_ms)
    posting = Posting(
        tx=tx,
        terminal=request.terminal,
        outlet=terminal.outlet,
        now_ms=now_ms,
        programmes=centre.programmes,
        grant_keys=centre.grant_keys,
    )
    stream = _ingest(posting, stream, rows, commit)
    refused = _wishes(tx, centre, request, terminal.outlet, posting, now_ms)
    posting.changed.update(allowances.reclaim_due(tx, now_ms))
    _tell_feed(tx, posting, commit)
    return _answer(tx, request, answer, stream, refused)


def _check_bounds(request: Request) -> None:
    """Raises ContractError for numbers that no terminal counts to and no database holds."""
    receipt, batch = request.receipt, request.batch
    numbers = [request.head.seq, request.cursor, request.outcomes_through, receipt.position]
    numbers += [batch.after.seq] if batch is not None else []
    numbers += [place.seq for place in request.chain]
    points = [wish.points for wish in request.wishes]
    no_epoch = not 1 <= request.epoch <= MAX_SMALL
    if no_epoch or any(not 0 <= n <= MAX_NUMBER for n in numbers) or any(abs(p) > MAX_NUMBER for p in points):
        raise ContractError("exchange.bounds", "A number of the request is out of all bounds.")


def _generation(tx: sa.Connection, request: Request, now_ms: int) -> Generation:
    """Ours; a new one if the receipt shows that we were put back and nobody told us."""
    generation, receipt = store.generation(tx), request.receipt
    if receipt.generation != generation or feed.holds(tx, receipt.position, receipt.hash):
        return generation
    minted = Generation(secrets.token_bytes(16))
    store.put_meta(tx, "generation", minted)
    tx.execute(
        schema.notices.insert().values(
            at_ms=now_ms,
            recipient="operations",
            code="centre.put_back",
            text="The centre's database was put back to an earlier state. Terminals send again what it lost.",
        )
    )
    return minted


def _rows_of(tx: sa.Connection, stream: Stream, request: Request, root: RowHash) -> list[Row] | None:
    """The rows of a batch that are new; none of a batch beyond a gap; None for a fork. Raises ContractError."""
    if request.fork:
        return None
    batch = request.batch
    if batch is None or batch.after.seq > stream.head.seq:
        return []
    if streams.hash_at(tx, stream, batch.after.seq, root) != batch.after.hash:
        return None
    try:
        rows = packing.unpack(batch.packed, previous=RowHash(batch.after.hash), terminal=request.terminal)
    except (packing.PackedError, struct.error) as error:
        raise ContractError("exchange.batch", str(error)) from error
    if not rows or rows[0].seq != batch.after.seq + 1 or rows[-1].hash != batch.last:
        raise ContractError("exchange.batch", "The rows of the batch do not add up to the hash it states.")
    old = [row for row in rows if row.seq <= stream.head.seq]
    if old:
        here = streams.hashes(tx, stream, batch.after.seq, old[-1].seq)
        if any(here.get(row.seq) != row.hash for row in old):
            return None
    return rows[len(old) :]


def _fork(tx: sa.Connection, request: Request, answer: Answer, root: RowHash, now_ms: int) -> Answer:
    """Applies nothing: says where the chains part, and under which epoch to go on."""
    head = request.head.seq
    parent = (
        streams.common(tx, request.terminal, request.chain, head, root) if request.chain else Probe(above=0, below=head)
    )
    if isinstance(parent, Probe):
        return msgspec.structs.replace(answer, probe=parent)
    divergent = next((place.hash for place in request.chain if place.seq == parent.seq + 1), b"")
    branch, fresh = streams.mint(tx, request.terminal, request.epoch, parent, divergent, now_ms)
    if fresh:
        tx.execute(
            schema.notices.insert().values(
                at_ms=now_ms,
                recipient="security",
                code="terminal.branched",
                text=f"Terminal {request.terminal.hex()} goes on as epoch {branch.epoch} from row {parent.seq}: "
                "its journal was put back, or its disk copied.",
            )
        )
    return msgspec.structs.replace(answer, branch=branch)


Judge = Callable[[Posting, Row, EventId, str | None], Verdict]


def _ingest(posting: Posting, stream: Stream, rows: list[Row], commit: int) -> Stream:
    """Applies the rows of a batch. One that breaks the decision is put aside alone: it never blocks those behind it."""
    if not rows:
        return stream
    try:
        with posting.tx.begin_nested():
            stream = _apply(posting, stream._replace(counts=dict(stream.counts)), rows, commit, _first)
    except sa.exc.OperationalError:
        raise
    except Exception:  # noqa: BLE001  # whichever row it was is found, told and kept by _guarded
        stream = _apply(posting, stream, rows, commit, _guarded)
    streams.save(posting.tx, stream)
    _decide_suspended(posting, commit)
    return stream


def _apply(posting: Posting, stream: Stream, rows: list[Row], commit: int, judge: Judge) -> Stream:
    for row in rows:
        event = event_id(row.hash)
        kind, said, account, receipt, caller = _columns(row)
        came_by = _came_by(posting.tx, posting.terminal, event)
        if came_by is None:
            _insert(posting, stream.epoch, row, event, commit, kind, said, receipt, caller)
            _settle(posting.tx, event, judge(posting, row, event, caller), account)
        streams.add(stream.counts, kind, said)
        stream = stream.grown(Place(row.seq, row.hash), stream.epoch if came_by is None else came_by)
    return stream


def _guarded(posting: Posting, row: Row, event: EventId, caller: str | None) -> Verdict:
    """The verdict, or quarantine with nothing written where the decision itself fails."""
    try:
        with posting.tx.begin_nested():
            return _first(posting, row, event, caller)
    except sa.exc.OperationalError:
        raise
    except Exception as error:  # noqa: BLE001  # a row is never dropped and never stops the queue
        traceback.print_exception(error, file=sys.stderr)
        text = f"Row {row.seq} could not be decided: {type(error).__name__}: {error}. It is kept as it came."
        posting.notify("operations", "row.quarantined", event, text)
        return Verdict("quarantined", reason="row.undecidable")


def _columns(row: Row) -> tuple[int, int, AccountId | None, str | None, str | None]:
    """(kind, points as said, account, receipt, caller) of a row; zeros where it cannot be read."""
    try:
        body = kinds.read_body(row.body)
    except kinds.RowError:
        return 0, 0, None, None, None
    if not 0 <= body.kind <= MAX_SMALL:
        return 0, 0, None, None, None
    caller = f"{body.caller.pos_key}\n{body.caller.key}" if body.caller else None
    try:
        detail = kinds.read_detail(body)
    except kinds.RowError:
        return body.kind, 0, body.account, None, caller
    answer = getattr(detail, "answer", None)
    receipt = detail.receipt if isinstance(detail, kinds.Earned) else None
    said = answer.points if answer is not None and abs(answer.points) <= MAX_NUMBER else 0
    return body.kind, said, body.account, receipt, caller


def _came_by(tx: sa.Connection, terminal: TerminalId, event: EventId) -> int | None:
    """By which stream a row came that is here already: before a restore, or from a copy of the disk."""
    r = schema.rows.c
    found: int | None = tx.execute(sa.select(r.stream).where(r.terminal == terminal, r.event_id == event)).scalar()
    return found


def _insert(
    posting: Posting,
    epoch: int,
    row: Row,
    event: EventId,
    commit: int,
    kind: int,
    said: int,
    receipt: str | None,
    caller: str | None,
) -> None:
    posting.tx.execute(
        schema.rows.insert().values(
            terminal=posting.terminal,
            event_id=event,
            stream=epoch,
            seq=row.seq,
            epoch_born=row.epoch_born,
            hash=row.hash,
            body=row.body,
            kind=kind,
            outlet=posting.outlet,
            receipt=receipt,
            caller=caller,
            received_ms=posting.now_ms,
            commit_no=commit,
            outcome="suspense",
            revision=0,
            said=said,
            points=0,
        )
    )


def _first(posting: Posting, row: Row, event: EventId, caller: str | None) -> Verdict:
    """The verdict, unless the POS sent the same request before a restored till forgot it."""
    if caller is not None:
        r = schema.rows.c
        same = sa.select(r.body, r.account).where(r.outlet == posting.outlet, r.caller == caller, r.event_id != event)
        twin = posting.tx.execute(same.order_by(r.commit_no, r.seq).limit(1)).one_or_none()
        if twin is not None:
            equal = _content(twin.body) == _content(row.body)
            return Verdict("duplicate" if equal else "held", reason="caller.key_used", account=twin.account)
    return posting.post(row)


def _content(data: bytes) -> tuple[object, ...]:
    """What a caller asked for, without when and by what number."""
    body = kinds.read_body(data)
    try:
        detail = kinds.read_detail(body)
    except kinds.RowError:
        return (body.kind, body.account, bytes(body.detail))
    asked = [getattr(detail, name, None) for name in ("amount_minor", "receipt", "reward", "points", "of", "lines")]
    return (body.kind, body.account, *asked)


def _settle(tx: sa.Connection, event: EventId, verdict: Verdict, account: AccountId | None) -> None:
    r = schema.rows.c
    tx.execute(
        schema.rows.update()
        .where(r.event_id == event)
        .values(
            outcome=verdict.outcome,
            revision=r.revision + 1,
            reason=verdict.reason,
            points=verdict.points,
            account=verdict.account or account,
            counted=verdict.counted,
            pricing=verdict.pricing,
        )
    )


def _decide_suspended(posting: Posting, commit: int) -> None:
    """Rows that named something not yet known are decided again when it has arrived, until none moves any more: one
    may be what another waited for."""
    r = schema.rows.c
    waiting = (
        sa.select(schema.rows)
        .where(r.outcome == "suspense", r.reason.in_(["account.unknown", "reversal.unknown"]))
        .order_by(r.commit_no, r.seq)
    )
    moved = True
    while moved and (changed := posting.activated | posting.changed):
        found = posting.tx.execute(waiting.where(r.account.in_(changed))).all()
        moved = sum(_decide_again(posting, row, commit) for row in found) > 0


def _decide_again(posting: Posting, found: sa.Row[Any], commit: int) -> bool:
    """Whether a row that waited has its verdict now. It is still its own terminal's and its own outlet's."""
    row = Row(found.seq, found.epoch_born, RowHash(found.hash), found.body)
    theirs = replace(posting, terminal=TerminalId(found.terminal), outlet=found.outlet)
    verdict = _guarded(theirs, row, EventId(found.event_id), found.caller)
    if verdict.outcome == "suspense":
        return False
    _settle(posting.tx, EventId(found.event_id), verdict, found.account)
    feed.append(posting.tx, commit, "outcome", found.event_id, verdict.outcome.encode(), TerminalId(found.terminal))
    return True


def _wishes(
    tx: sa.Connection, centre: Centre, request: Request, outlet: str, posting: Posting, now_ms: int
) -> list[tuple[bytes, str]]:
    refused = []
    for wish in request.wishes:
        reason = allowances.grant(
            tx,
            wish,
            terminal=request.terminal,
            outlet=outlet,
            epoch=request.epoch,
            now_ms=now_ms,
            signer=centre.signer,
            new_id=centre.new_id,
        )
        if reason is not None:
            refused.append((wish.id, reason))
    return refused


def _tell_feed(tx: sa.Connection, posting: Posting, commit: int) -> None:
    for account in sorted(posting.changed | posting.activated):
        found = accounts.load(tx, account)
        content = msgspec.msgpack.encode(found.facts) if found is not None and found.id == account else b""
        feed.append(tx, commit, "member", account, content)
    for code in sorted(posting.codes_changed):
        if tx.execute(sa.select(schema.codes.c.id).where(schema.codes.c.id == code)).first():
            feed.append(tx, commit, "code_state", code, b"used")


def _answer(
    tx: sa.Connection, request: Request, answer: Answer, stream: Stream, refused: list[tuple[bytes, str]]
) -> Answer:
    drained = streams.how_many(tx, request.terminal) < 2 or stream.head.seq >= request.head.seq
    start = request.cursor if request.receipt.generation == answer.generation else None
    page: Page | None = None
    if drained:
        page = feed.page(tx, request.terminal, start=start, budget_bytes=request.budget_bytes, watermark=stream.head)
    return msgspec.structs.replace(
        answer,
        commit=feed.end(tx)[0],
        ack=stream.head,
        safe_seq=stream.safe_seq,
        outcomes_from=request.outcomes_through,
        outcomes=_outcomes(tx, stream, request.outcomes_through),
        page=page,
        grants=allowances.not_held(tx, request.terminal, request.epoch, request.allowances),
        refused_wishes=refused,
        counts=stream.counts,
    )


def _outcomes(tx: sa.Connection, stream: Stream, after: int) -> list[Outcome]:
    """All outcomes other than `applied` on this chain, from the terminal's mark to its head."""
    r = schema.rows.c
    others = sa.and_(streams.on_chain(stream), r.seq > after, r.outcome != "applied")
    found = tx.execute(sa.select(schema.rows).where(others).order_by(r.seq))
    return [feed.outcome_of(row) for row in found]
