"""Exchanges with the centre and writes what they bring: the one place that puts client, state machine and snapshot
together. Used by the worker beside a running agent, and by `holdfast sync` where none runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec.structs import replace

from loyalty.cose import CoseError, verify1
from loyalty.ids import AllowanceId
from loyalty.rows import AllowanceClosed, Kind, read_body, read_detail
from sync import exchange, lines, retry
from sync.client import ExchangeFailedError, Traffic
from sync.identity import Identity
from sync.journal import JournalReader
from sync.protocol.chain import Head, RowHash
from sync.protocol.messages import (
    Answer,
    Clock,
    CodesItem,
    CodeStateItem,
    GoneItem,
    Grant,
    MemberItem,
    OutcomeItem,
    Page,
    ProgrammeItem,
    Request,
    Wish,
)
from sync.snapshot import Held, Member, Snapshot, State

MAX_EXCHANGES_PER_SYNC = 10_000


class Line(Protocol):
    """What carries a request to the centre."""

    def exchange(self, request: Request) -> Traffic:
        """Raises ExchangeFailedError."""
        ...


class Exchanger:
    """One terminal's exchange. `say` hears what happened; `clock` and `number` are read for each request."""

    def __init__(
        self,
        *,
        identity: Identity,
        journal: JournalReader,
        snapshot: Snapshot,
        line: Line,
        clock: Callable[[], Clock],
        say: Callable[[lines.Said], None],
    ) -> None:
        self._identity, self.journal, self.snapshot, self._line = identity, journal, snapshot, line
        self._clock, self._say = clock, say
        self._grant_keys = identity.cose_keys_for("grant")
        self.wishes: dict[bytes, Wish] = {}
        self.up: bool | None = None
        self.more = False  # the centre has more to say than was heard
        self._branch_asked: int | None = None

    def pending(self) -> int:
        """Rows that the centre has not acknowledged."""
        state = self.snapshot.state()
        return self.journal.pending(exchange.acknowledged(state, self.journal))[0]

    def once(self, max_rows: int = 2_000) -> lines.Exchanged | None:
        """One round trip. Raises ExchangeFailedError, after the failure was noted and the next try set."""
        state, clock = self.snapshot.state(), self._clock()
        asked = exchange.request(
            state,
            self.journal,
            number=max(state.number + 1, clock.wall_ms),
            clock=clock,
            wishes=list(self.wishes.values()),
            held=self._held(),
            max_rows=max_rows,
        )
        try:
            traffic = self._line.exchange(asked)
        except ExchangeFailedError as failed:
            self._failed(state, asked, failed.failure)
            raise
        return self._answered(replace(state, number=asked.number), asked, traffic)

    def drain(self, id_: int) -> lines.Synced:
        """Exchanges until nothing is pending and the feed is read to its end, or until a failure."""
        outcomes: Counter[str] = Counter()
        pushed = pulled = sent = received = exchanges = 0
        elapsed, error = 0.0, None
        while exchanges < MAX_EXCHANGES_PER_SYNC:
            try:
                done = self.once()
            except ExchangeFailedError as failed:
                error = f"{failed.failure.kind}: {failed.failure.text}"
                break
            exchanges += 1
            if done is None:
                if self.waiting_for_branch():
                    error = "contract: a branch of the journal has to be opened first; it goes on by itself"
                    break
                continue
            pushed, pulled, elapsed = pushed + done.pushed, pulled + done.pulled, elapsed + done.elapsed_s
            sent, received = sent + done.bytes_sent, received + done.bytes_received
            adverse = Counter(row.outcome for row in done.rows)
            outcomes += adverse
            outcomes["applied"] += max(0, done.pushed - adverse.total())
            if done.pending == 0 and not self.more:
                break
        return lines.Synced(
            id=id_,
            pushed=pushed,
            pulled=pulled,
            pending=self.pending(),
            outcomes=dict(+outcomes),
            exchanges=exchanges,
            bytes_sent=sent,
            bytes_received=received,
            elapsed_s=round(elapsed, 3),
            error=error,
        )

    def waiting_for_branch(self) -> bool:
        """Whether the till has still to open the epoch that the centre named."""
        return self._branch_asked is not None and self._branch_asked > self.journal.epoch()

    def _held(self) -> list[AllowanceId]:
        closed = {
            detail.allowance
            for row in self.journal.rows_of_kind(Kind.allowance_closed)
            if isinstance(detail := read_detail(read_body(row.body)), AllowanceClosed)
        }
        return [held.id for held in self.snapshot.allowances() if held.id not in closed]

    def _failed(self, state: State, asked: Request, failure: retry.Failure) -> None:
        attempt = state.attempt + 1
        wait_ms = int(retry.wait_s(failure, attempt) * 1000)
        with self.snapshot.writing():
            self.snapshot.put_state(
                replace(
                    state,
                    number=asked.number,
                    attempt=attempt,
                    next_at_ms=asked.clock.wall_ms + wait_ms,
                    last_class=failure.kind,
                    last_text=failure.text,
                )
            )
        there = failure.kind not in ("line", "busy")
        self._line_is(there, failure)
        if there:
            code = failure.code or f"sync.{failure.kind}"
            self._say(lines.Refused(kind=failure.kind, code=code, text=failure.text))

    def _line_is(self, up: bool, failure: retry.Failure | None = None) -> None:
        if self.up is up:
            return
        self.up = up
        why = failure or retry.Failure(kind="", text="")
        state = "up" if up else "down"
        self._say(lines.LineState(state=state, kind=why.kind, code=why.code, text=why.text))  # type: ignore[arg-type]

    def _answered(self, state: State, asked: Request, traffic: Traffic) -> lines.Exchanged | None:
        self._line_is(True)
        step = exchange.apply(state, asked, traffic.answer, self.journal)
        if isinstance(step, exchange.Dropped):
            failure = retry.Failure(kind="contract", text=step.why)
            self._failed(state, asked, failure)
            raise ExchangeFailedError(failure)
        if isinstance(step, exchange.Noted):
            self._put(step.state, asked, traffic.answer)
            return None
        if isinstance(step, exchange.Branched):
            self.wishes.clear()
            self._put(step.state, asked, traffic.answer)
            self._branch_asked, parent = step.branch.epoch, step.branch.parent
            self._say(lines.OpenBranch(epoch=step.branch.epoch, parent_seq=parent.seq, parent_hash=parent.hash.hex()))
            return None
        return self._write(step, asked, traffic)

    def _put(self, state: State, asked: Request, answer: Answer) -> None:
        with self.snapshot.writing():
            self.snapshot.put_state(_after_success(state, asked, answer))

    def _write(self, step: exchange.Applied, asked: Request, traffic: Traffic) -> lines.Exchanged:
        granted: list[Held] = [held for grant in step.grants if (held := self._opened(grant, asked))]
        with self.snapshot.writing():
            if step.new_generation:
                self.snapshot.begin_generation()
            self.snapshot.put_outcomes(step.outcomes)
            if step.page:
                self._put_page(step.page, traffic.answer.commit)
            for held in granted:
                self.snapshot.put_allowance(held)
            self._drop_closed(step.state.ack_seq)
            self.snapshot.put_state(_after_success(step.state, asked, traffic.answer))
        self.more = exchange.is_unread(step.state)
        self._tell_wishes(granted, step.refused)
        done = lines.Exchanged(
            number=asked.number,
            pushed=len(step.acked),
            pulled=len(step.page.items) if step.page else 0,
            pending=self.pending(),
            acked_seq=step.state.ack_seq,
            bytes_sent=traffic.bytes_sent,
            bytes_received=traffic.bytes_received,
            elapsed_s=round(traffic.elapsed_s, 4),
            rows=[
                lines.RowOutcome(
                    seq=o.seq, event_id=o.event_id.hex(), outcome=o.outcome, reason=o.reason, points=o.points
                )
                for o in step.outcomes
            ],
        )
        self._say(done)
        return done

    def _put_page(self, page: Page, commit: int) -> None:
        mark = Head(page.watermark.seq, RowHash(page.watermark.hash))
        for item in page.items:
            match item:
                case MemberItem():
                    member = Member(item.account, item.no, item.facts, item.name, mark)
                    self.snapshot.put_member(member, commit, item.cards, item.aliases)
                case GoneItem():
                    self.snapshot.forget_member(item.account)
                case ProgrammeItem():
                    self.snapshot.put_programme(item.version, item.signed)
                case CodesItem():
                    self.snapshot.put_codes(item.batch, item.purpose, item.codes)
                case CodeStateItem():
                    self.snapshot.put_code_state(item.code_id, item.state)
                case OutcomeItem():
                    self.snapshot.put_outcomes([item.outcome])

    def _opened(self, signed: bytes, asked: Request) -> Held | None:
        """A grant that the centre signed for this terminal and branch; anything else is not one."""
        try:
            grant = msgspec.msgpack.decode(verify1(signed, self._grant_keys), type=Grant)
        except (CoseError, msgspec.DecodeError):
            return None
        if grant.terminal != self.journal.terminal or grant.epoch != self.journal.epoch():
            return None
        clock = asked.clock
        return Held(
            grant.allowance,
            grant.account,
            grant.points,
            grant.epoch,
            grant.wish,
            clock.boot_id,
            clock.boottime_ms,
            clock.wall_ms,
            grant.lifetime_s,
            signed,
        )

    def _drop_closed(self, acked: int) -> None:
        gone = []
        for row in self.journal.rows_of_kind(Kind.allowance_closed):
            detail = read_detail(read_body(row.body))
            if row.seq <= acked and isinstance(detail, AllowanceClosed):
                gone.append(detail.allowance)
        self.snapshot.drop_allowances(gone)

    def _tell_wishes(self, granted: Sequence[Held], refused: Sequence[tuple[bytes, str]]) -> None:
        for held in granted:
            if self.wishes.pop(held.wish, None):
                self._say(lines.Wished(wish=held.wish.hex(), granted=True))
        for wish, reason in refused:
            if self.wishes.pop(wish, None):
                self._say(lines.Wished(wish=wish.hex(), granted=False, reason=reason))


def _after_success(state: State, asked: Request, answer: Answer) -> State:
    return replace(
        state,
        attempt=0,
        next_at_ms=0,
        last_exchange_ms=asked.clock.wall_ms,
        last_class="",
        last_text="",
        centre_offset_ms=answer.centre_time_ms - asked.clock.wall_ms,
    )


def open_files(data_dir: Path) -> tuple[JournalReader, Snapshot]:
    """The worker's two files; raises StorageError or JournalError."""
    snapshot = Snapshot.open_or_create(data_dir)
    return JournalReader.open(data_dir), snapshot
