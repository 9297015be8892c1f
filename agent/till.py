"""One tap: the till's operations. Each decides by the one rule, and says nothing before its rows are on disk."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from agent.allowances import Allowances
from agent.code_reading import Codes
from agent.programmes import Programmes
from agent.results import Done, NotDone, RefusedError, View
from agent.words.money import decimals as exponent
from loyalty import record, rows
from loyalty.answer import Approved, Declined
from loyalty.decide import decide
from loyalty.facts import Allowance, CodeFacts, Facts
from loyalty.ids import NO_GENERATION, AccountId, CardToken
from loyalty.programme import Programme
from loyalty.recorded import answered, approved_of, entry, own_row, recorded, request_of
from loyalty.request import PresentedCode, Request
from loyalty.rows import Activated, AllowanceClosed, AllowanceTaken, Basis, Caller, Moment
from loyalty.since import OwnRows, balance_after
from sync.exchange import acknowledged
from sync.identity import Identity
from sync.journal import Journal
from sync.member import Standing, account_of, own_rows_of, standing
from sync.protocol.chain import MAX_BODY_BYTES, Head, Row, event_id
from sync.snapshot import Held, SnapshotReader, State


@dataclass(slots=True, kw_only=True)
class _Case:
    """All that one decision knows."""

    token: CardToken | None
    found: Standing | None
    status: str
    facts: Facts
    own: OwnRows
    state: State
    acked: int
    programme: Programme
    holding: dict[str, Held] = field(default_factory=dict)


class Till:
    """The operations of one terminal. `moment` and `now` read the clocks; both are called once per operation."""

    def __init__(
        self,
        *,
        journal: Journal,
        snapshot: Callable[[], SnapshotReader],
        identity: Identity,
        moment: Callable[[], Moment],
    ) -> None:
        self.journal, self.snapshot, self.identity, self._moment = journal, snapshot, identity, moment
        self._programmes = Programmes(identity.cose_keys_for("programme"), identity.outlet)
        self._codes = Codes(identity)
        self._allowances = Allowances(journal)

    # -- questions -------------------------------------------------------------------------------------------------

    def programme(self) -> Programme:
        """The version in force; raises RefusedError where none was received yet."""
        snapshot = self.snapshot()
        return self._programmes.in_force(snapshot, _now(self._moment()))

    def money(self) -> dict[str, Any]:
        """Currency and its decimals, None before a programme was received."""
        try:
            currency = self.programme().currency
        except RefusedError:
            return {"currency": None, "exponent": None}
        return {"currency": currency, "exponent": exponent(currency)}

    def who(self, token: CardToken) -> View:
        """Whose card this is."""
        with self.journal.deciding():
            return self._view(self._case(token, _now(self._moment())))

    def quote(self, token: CardToken, request: Request) -> tuple[Approved | Declined, View]:
        """The same decision as of an earning or a burn, without writing."""
        now = _now(self._moment())
        with self.journal.deciding():
            case = self._case(token, now)
            self._prepare(case, request, now)
            return decide(case.programme, case.facts, case.own, request, now), self._view(case)

    # -- operations ------------------------------------------------------------------------------------------------

    def perform(
        self,
        token: CardToken,
        request: Request,
        *,
        caller: Caller | None = None,
        operator: str | None = None,
    ) -> Done | NotDone:
        """Earn, burn, use a code, give goodwill: decides and writes. Raises RefusedError or StorageError."""
        moment = self._moment()
        now = _now(moment)
        with self.journal.deciding():
            if (earlier := self._replayed(token, request, caller, now)) is not None:
                return earlier
            case = self._case(token, now)
            if case.found is None:
                raise RefusedError("card.unknown")
            self._prepare(case, request, now)
            answer = decide(case.programme, case.facts, case.own, request, now)
            if isinstance(answer, Declined):
                return NotDone(request=request, answer=answer, view=self._view(case))
            context = _Writing(self.journal, moment, _basis(case), case.found.account, token, caller, operator)
            row = self._write(context, case, request, answer)
            return self._done(row, case, request, answer)

    def activate(
        self,
        token: CardToken,
        *,
        code: str | None,
        assisted: bool = False,
        first_name: str | None = None,
        caller: Caller | None = None,
        operator: str | None = None,
    ) -> Done | NotDone:
        """Brings a card to life by a signed or typed code, or by staff. Raises RefusedError or StorageError."""
        moment = self._moment()
        now = _now(moment)
        request = Request(kind="activate", outlet=self.identity.outlet, operator=operator)
        with self.journal.deciding():
            if (earlier := self._replayed(token, request, caller, now)) is not None:
                self._refuse_other_activation(earlier.row, code, first_name, now)
                return earlier
            case = self._case(token, now)
            facts = case.facts if case.found else Facts(known=True, status="none")
            used = self._read_code(code, "activation", now) if code is not None else None
            if used is None and not (assisted and operator):
                raise RefusedError("till.code_needed")
            if used is not None:
                self._refuse_used(used.id)
            answer = decide(case.programme, facts, [], request, now)
            if isinstance(answer, Declined):
                return NotDone(request=request, answer=answer, view=self._view(case))
            way = "assisted" if used is None else "signed" if code and ":" in code else "typed"
            detail = Activated(
                outlet=self.identity.outlet,
                way=way,
                code=used,
                first_name=first_name,
                approval=None,
                answer=answered(answer),
            )
            context = _Writing(self.journal, moment, _basis(case), None, token, caller, operator)
            row = context.append(detail, answer.points, codes=(used.id,) if used else ())
        return self._done(row, self._case(token, now), request, answer)

    def reverse(
        self, row: Row, request: Request, *, caller: Caller | None = None, operator: str | None = None
    ) -> Done | NotDone:
        """Takes an earlier row back, wholly or in part; `request.of` names it. Raises RefusedError or StorageError."""
        moment = self._moment()
        now = _now(moment)
        body = rows.read_body(row.body)
        account = body.account if body.account is not None else AccountId(event_id(row.hash))
        with self.journal.deciding():
            if (earlier := self._replayed(body.card, request, caller, now)) is not None:
                return earlier
            case = self._case_of(account, body.card, now)
            undone = entry(row.seq, row.body)
            if undone is None:
                raise RefusedError("row.unknown")
            case.facts = replace(case.facts, entries={request.of or "": undone})
            case.own = self._own_since(case, row.seq)
            priced_by = self._programmes.version(self.snapshot(), body.basis.programme)
            answer = decide(case.programme, case.facts, case.own, request, now, entry_programme=priced_by)
            if isinstance(answer, Declined):
                return NotDone(request=request, answer=answer, view=self._view(case))
            context = _Writing(self.journal, moment, _basis(case), account, body.card, caller, operator)
            written = context.append(recorded(request, answer, case.programme.currency), answer.points)
            return self._done(written, case, request, answer)

    def close_spent_allowances(self) -> int:
        """Closes allowances that are spent or whose lifetime is over, so that what remains is the member's again."""
        moment = self._moment()
        with self.journal.deciding():
            snapshot = self.snapshot()
            with snapshot.view():
                state, held = snapshot.state(), snapshot.allowances()
            closed = self._allowances.closed()
            ours = [h for h in held if h.id not in closed and h.epoch == self.journal.epoch()]
            over = [h for h in ours if not self._allowances.usable(h, moment, state)]
            basis = Basis(generation=state.generation, programme=0, block_list=state.cursor, feed=state.cursor)
            for allowance in over:
                context = _Writing(self.journal, moment, basis, allowance.account, None, None, None)
                context.append(AllowanceClosed(allowance=allowance.id, spent=self._allowances.spent(allowance)))
        return len(over)

    def open_branch(self, epoch: int, parent: Head) -> bool:
        """Goes on under a new epoch, as the centre asked; False where the parent is not on our chain."""
        moment = self._moment()
        with self.journal.deciding():
            if epoch <= self.journal.epoch() or self.journal.hash_at(parent.seq) != parent.hash:
                return False
            basis = Basis(generation=NO_GENERATION, programme=0, block_list=0, feed=0)
            detail = rows.EpochOpened(epoch=epoch, parent_seq=parent.seq, parent_hash=parent.hash)
            self.journal.append(rows.encode(detail, moment=moment, basis=basis), epoch=epoch)
        return True

    # -- codes -----------------------------------------------------------------------------------------------------

    def bonus_codes(self, texts: Sequence[str]) -> tuple[PresentedCode, ...]:
        """Bonus codes that were scanned or typed, for a request. Raises RefusedError for one that is none."""
        now = _now(self._moment())
        read = [self._read_code(text, "bonus", now) for text in texts]
        return tuple(PresentedCode(id=c.id, batch=c.batch, serial=c.serial, programme=c.programme) for c in read)

    def _read_code(self, text: str, purpose: str, now: datetime.datetime) -> rows.UsedCode:
        """A code that was scanned or typed, proven as far as it can be here. Raises RefusedError."""
        snapshot = self.snapshot()
        programme = self._programmes.in_force(snapshot, now)
        code, found_purpose = self._codes.read(text, snapshot, now, programme.id)
        if found_purpose != purpose:
            raise RefusedError("till.code_purpose")
        return code

    def _refuse_used(self, code: str) -> None:
        """Raises RefusedError for a code that was used here, or of which the centre told that it is used or void."""
        if self.journal.rows_using(code):
            raise RefusedError("code.used")
        state = self.snapshot().code_state(bytes.fromhex(code))
        if state is not None:
            raise RefusedError(f"code.{state}")

    # -- what a decision knows -------------------------------------------------------------------------------------

    def _case(self, token: CardToken, now: datetime.datetime) -> _Case:
        snapshot = self.snapshot()
        with snapshot.view():
            account = account_of(snapshot, self.journal, token)
            found = standing(snapshot, self.journal, account[0]) if account else None
            state = snapshot.state()
            programme = self._programmes.in_force(snapshot, now)
        facts = found.facts if found else Facts(known=False, status="none")
        status = account[1] if account else "none"
        if found and status != "active" and facts.status == "active":
            facts = replace(facts, status=status)
        return _Case(
            token=token,
            found=found,
            status=facts.status if found else status,
            facts=facts,
            own=OwnRows(found.own_rows if found else ()),
            state=state,
            acked=acknowledged(state, self.journal),
            programme=programme,
        )

    def _case_of(self, account: AccountId, token: CardToken | None, now: datetime.datetime) -> _Case:
        snapshot = self.snapshot()
        with snapshot.view():
            found, state = standing(snapshot, self.journal, account), snapshot.state()
            programme = self._programmes.in_force(snapshot, now)
        return _Case(
            token=token,
            found=found,
            status=found.facts.status,
            facts=found.facts,
            own=OwnRows(found.own_rows),
            state=state,
            acked=acknowledged(state, self.journal),
            programme=programme,
        )

    def _prepare(self, case: _Case, request: Request, now: datetime.datetime) -> None:
        """Adds the blocks that this kind of request asks about."""
        if request.receipt is not None:
            earlier = self.journal.row_of_receipt(request.receipt)
            self._also(case, [earlier] if earlier else [])
        if request.codes:
            self._prepare_codes(case, request.codes)
        if request.kind == "burn" and case.found is not None:
            self._prepare_allowances(case, case.found.account)

    def _prepare_codes(self, case: _Case, presented: Sequence[PresentedCode]) -> None:
        """How often a code was used before: counted from all of our rows, since the centre tells of `used` and `void`
        alone. How often it may be used is for the programme to say."""
        snapshot = self.snapshot()
        blocks: dict[str, CodeFacts] = {}
        for code in presented:
            blocks[code.id] = CodeFacts(as_of=0, state=snapshot.code_state(bytes.fromhex(code.id)))
            self._also(case, self.journal.rows_using(code.id))
        case.facts = replace(case.facts, codes=blocks)

    def _prepare_allowances(self, case: _Case, account: AccountId) -> None:
        moment, snapshot = self._moment(), self.snapshot()
        closed = self._allowances.closed()
        held = [h for h in snapshot.allowances(account) if h.id not in closed]
        usable = [h for h in held if self._allowances.usable(h, moment, case.state)]
        case.holding = {h.id.hex(): h for h in usable}
        left = [Allowance(id=h.id.hex(), as_of=0, left=h.points - self._allowances.spent(h)) for h in usable]
        case.facts = replace(case.facts, allowances=tuple(replace(a, as_of=self.journal.head().seq) for a in left))

    def _also(self, case: _Case, more: Sequence[Row]) -> None:
        if not more:
            return
        seen = {row.seq for row in case.own}
        read = [own_row(row.seq, event_id(row.hash), row.body) for row in more if row.seq not in seen]
        case.own = OwnRows(sorted([*case.own, *(row for row in read if row is not None)], key=lambda row: row.seq))

    def _own_since(self, case: _Case, seq: int) -> OwnRows:
        """All of the member's rows since a row, for what was given back of it."""
        assert case.found is not None
        since = own_rows_of(self.snapshot(), self.journal, case.found.account, seq)
        mine = {row.seq: row for row in case.own} | {row.seq: row for row in since}
        return OwnRows(mine[number] for number in sorted(mine))

    # -- writing ---------------------------------------------------------------------------------------------------

    def _write(self, context: _Writing, case: _Case, request: Request, answer: Approved) -> Row:
        detail = recorded(request, answer, case.programme.currency)
        codes = tuple(code.id for code in request.codes)
        held = case.holding.get(answer.allowance or "")
        if held is None:
            return context.append(detail, answer.points, receipt=request.receipt, codes=codes)
        if not self._allowances.is_taken(held.id):
            context.append(AllowanceTaken(allowance=held.id, grant=held.grant))
        row = context.append(detail, answer.points)
        spent = self._allowances.spent(held)
        if spent >= held.points:
            context.append(AllowanceClosed(allowance=held.id, spent=spent))
        return row

    def _done(self, row: Row, case: _Case, request: Request, answer: Approved) -> Done:
        """The answer; the view counts the new row. Made while the processor is warm, given when the row is on disk."""
        if case.found is not None and request.kind != "activate":
            case.own.add(record.own_row(answer, request, seq=row.seq, member=case.facts.member))
        kind = record.ROW_KINDS[request.kind]
        return Done(row=row, kind=kind, request=request, answer=answer, view=self._view(case))

    def _replayed(
        self, token: CardToken | None, request: Request, caller: Caller | None, now: datetime.datetime
    ) -> Done | None:
        """The earlier answer to the same Idempotency-Key; raises RefusedError where it was used for something else."""
        row = self.journal.row_of_caller(caller.pos_key, caller.key) if caller else None
        if row is None:
            return None
        body = rows.read_body(row.body)
        detail = rows.read_detail(body)
        if body.card != token or not _same(request, body, detail):
            raise RefusedError("caller.key_used")
        assert isinstance(detail, rows.Decided)
        case = self._case_of(body.account or AccountId(event_id(row.hash)), token, now)
        return Done(
            row=row,
            kind=rows.Kind(body.kind).name,
            request=request_of(body, detail),
            answer=approved_of(detail),
            view=self._view(case),
            replayed=True,
        )

    def _refuse_other_activation(self, row: Row, code: str | None, name: str | None, now: datetime.datetime) -> None:
        """Raises RefusedError where a repeated activation asks for another one than its row."""
        detail = rows.read_detail(rows.read_body(row.body))
        assert isinstance(detail, Activated)
        used = self._read_code(code, "activation", now).id if code is not None else None
        if (used, name) != (detail.code.id if detail.code else None, detail.first_name):
            raise RefusedError("caller.key_used")

    # -- programme and view ----------------------------------------------------------------------------------------

    def _view(self, case: _Case) -> View:
        token = case.token or CardToken(b"")
        if case.found is None:
            return View(token=token)
        facts = case.facts
        provisional = sum(row.balance for row in case.own.of(facts.member) if row.seq > case.acked)
        return View(
            token=token,
            account=case.found.account,
            status=case.status,
            name=case.found.name,
            tier=facts.tier.id if facts.tier else None,
            balance=balance_after(case.facts, case.own) if facts.known else None,
            provisional=provisional,
        )


@dataclass(frozen=True, slots=True)
class _Writing:
    """What all rows of one operation share."""

    journal: Journal
    moment: Moment
    basis: Basis
    account: AccountId | None
    card: CardToken | None
    caller: Caller | None
    operator: str | None

    def append(
        self,
        detail: rows.Detail,
        points: int = 0,
        *,
        receipt: str | None = None,
        codes: tuple[str, ...] = (),
    ) -> Row:
        """One row; only the one that a caller asked for carries the caller's key."""
        asked = isinstance(detail, rows.Decided)
        body = rows.encode(
            detail,
            moment=self.moment,
            basis=self.basis,
            operator=self.operator,
            account=self.account,
            card=self.card if asked else None,
            caller=self.caller if asked else None,
        )
        if len(body) > MAX_BODY_BYTES:
            raise RefusedError("request.too_long")
        return self.journal.append(body, points=points, account=self.account, receipt=receipt, codes=codes)


def _now(moment: Moment) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(moment.wall_ms / 1000, tz=datetime.UTC)


def _basis(case: _Case) -> Basis:
    return Basis(
        generation=case.state.generation,
        programme=case.programme.version,
        block_list=case.state.cursor,
        feed=case.state.cursor,
    )


def _same(request: Request, body: rows.Body, detail: rows.Detail) -> bool:
    """Whether a repeated request asks what the row answered."""
    if not isinstance(detail, rows.Decided):
        return False
    return _essence(request_of(body, detail)) == _essence(request)


def _essence(request: Request) -> Request:
    """What is asked for, as a row keeps it, without who asked."""
    returned = request.kind == "reverse"
    lines = tuple(
        replace(
            line,
            quantity=line.quantity if line.quantity is not None else 0 if returned else 1,
            category=None if returned else line.category,
            product=None if returned else line.product,
        )
        for line in request.lines or ()
    )
    points = None if request.reward else request.points
    plain = replace(request, operator=None, approval=None, hold=False, currency=None, reason=None)
    return replace(plain, lines=lines or None, points=points)
