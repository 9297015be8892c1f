"""One tap: the till's operations. Each decides by the one rule, and says nothing before its rows are on disk."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from agent.words.money import decimals as exponent
from loyalty import codes as signed_codes
from loyalty import record, rows, typed
from loyalty.answer import Approved, Declined
from loyalty.calendar import ALWAYS_UNTIL, micros
from loyalty.cose import DOCUMENT_MAX_BYTES, CoseError, verify1
from loyalty.decide import decide
from loyalty.facts import Allowance, CodeFacts, Facts, OwnRow
from loyalty.ids import NO_GENERATION, AccountId, AllowanceId, CardToken, EventId
from loyalty.place import place_of
from loyalty.programme import Programme, ProgrammeError, parse
from loyalty.recorded import answered, approved_of, entry, own_row, recorded, request_of
from loyalty.request import PresentedCode, Request
from loyalty.rows import Activated, AllowanceClosed, AllowanceTaken, Basis, Caller, Kind, Moment
from loyalty.since import balance_after
from sync.exchange import acknowledged, forked
from sync.identity import Identity
from sync.journal import Journal
from sync.member import Standing, account_of, own_rows_of, standing
from sync.protocol.chain import MAX_BODY_BYTES, Head, Row, event_id
from sync.snapshot import Held, SnapshotReader, State

LIFETIME_MARGIN_S = 5.0  # stop before the centre does


class RefusedError(Exception):
    """An operation that does not stand, for a reason other than the programme's. Nothing was written."""

    def __init__(self, code: str, text: str = "", **fields: Any) -> None:
        super().__init__(text or code)
        self.code, self.text, self.fields = code, text, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the till can say of a card now. `balance` is None where it is not known here."""

    token: CardToken
    account: AccountId | None = None
    status: str = "none"
    name: str | None = None
    tier: str | None = None
    balance: int | None = None
    provisional: int = 0

    @property
    def known(self) -> bool:
        """Whether a member is behind it."""
        return self.account is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An operation that is on disk."""

    row: Row
    kind: str
    request: Request
    answer: Approved
    view: View
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDone:
    """An operation that the programme declines; nothing was written."""

    request: Request
    answer: Declined
    view: View


@dataclass(slots=True, kw_only=True)
class _Case:
    """All that one decision knows."""

    token: CardToken | None
    found: Standing | None
    status: str
    facts: Facts
    own: list[OwnRow]
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
        self._programme_keys = identity.cose_keys_for("programme")
        self._code_keys = identity.cose_keys_for("code")
        self._programmes: dict[int, Programme | None] = {}
        self._beginnings: tuple[list[int], list[tuple[int, Programme]]] = ([], [])

    # -- questions -------------------------------------------------------------------------------------------------

    def programme(self) -> Programme:
        """The version in force; raises RefusedError where none was received yet."""
        snapshot = self.snapshot()
        return self._in_force(snapshot, _now(self._moment()))

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
            priced_by = self._version(self.snapshot(), body.basis.programme)
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
            closed = self._closed()
            ours = [h for h in held if h.id not in closed and h.epoch == self.journal.epoch()]
            over = [h for h in ours if not _usable(h, moment, state, self.journal)]
            basis = Basis(generation=state.generation, programme=0, block_list=state.cursor, feed=state.cursor)
            for allowance in over:
                context = _Writing(self.journal, moment, basis, allowance.account, None, None, None)
                context.append(AllowanceClosed(allowance=allowance.id, spent=self._spent(allowance)))
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
        programme = self._in_force(snapshot, now)
        if ":" in text:  # of typed codes one in a thousand begins with HF, too
            code, found_purpose = self._signed(text, now, programme.id)
        else:
            code, found_purpose = self._typed(text, snapshot, programme.id)
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

    def _signed(self, text: str, now: datetime.datetime, programme: str) -> tuple[rows.UsedCode, str]:
        try:
            code = signed_codes.read(text, self._code_keys, now_s=int(now.timestamp()), programme=programme).code
        except typed.CodeError as error:
            raise RefusedError(error.code, error.text) from error
        used = rows.UsedCode(id=code.code_id.hex(), batch=code.batch, serial=code.serial, programme=code.programme)
        return used, code.kind

    def _typed(self, text: str, snapshot: SnapshotReader, programme: str) -> tuple[rows.UsedCode, str]:
        try:
            code = typed.parse(text)
        except typed.CodeError as error:
            raise RefusedError(error.code, error.text) from error
        found = snapshot.typed_code(typed.stored_hash(code, self.identity.code_key))
        if found is None:
            raise RefusedError("code.unknown")
        used = rows.UsedCode(id=found.code_id.hex(), batch=found.batch, serial=found.serial, programme=programme)
        return used, found.purpose

    # -- what a decision knows -------------------------------------------------------------------------------------

    def _case(self, token: CardToken, now: datetime.datetime) -> _Case:
        snapshot = self.snapshot()
        with snapshot.view():
            account = account_of(snapshot, self.journal, token)
            found = standing(snapshot, self.journal, account[0]) if account else None
            state = snapshot.state()
            programme = self._in_force(snapshot, now)
        facts = found.facts if found else Facts(known=False, status="none")
        status = account[1] if account else "none"
        if found and status != "active" and facts.status == "active":
            facts = replace(facts, status=status)
        own = list(found.own_rows) if found else []
        return _Case(
            token=token,
            found=found,
            status=facts.status if found else status,
            facts=facts,
            own=own,
            state=state,
            acked=acknowledged(state, self.journal),
            programme=programme,
        )

    def _case_of(self, account: AccountId, token: CardToken | None, now: datetime.datetime) -> _Case:
        snapshot = self.snapshot()
        with snapshot.view():
            found, state = standing(snapshot, self.journal, account), snapshot.state()
            programme = self._in_force(snapshot, now)
        return _Case(
            token=token,
            found=found,
            status=found.facts.status,
            facts=found.facts,
            own=list(found.own_rows),
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
        closed = self._closed()
        held = [h for h in snapshot.allowances(account) if h.id not in closed]
        usable = [h for h in held if _usable(h, moment, case.state, self.journal)]
        case.holding = {h.id.hex(): h for h in usable}
        left = [Allowance(id=h.id.hex(), as_of=0, left=h.points - self._spent(h)) for h in usable]
        case.facts = replace(case.facts, allowances=tuple(replace(a, as_of=self.journal.head().seq) for a in left))

    def _also(self, case: _Case, more: Sequence[Row]) -> None:
        seen = {row.seq for row in case.own}
        read = [own_row(row.seq, event_id(row.hash), row.body) for row in more if row.seq not in seen]
        case.own = sorted([*case.own, *(row for row in read if row is not None)], key=lambda row: row.seq)

    def _own_since(self, case: _Case, seq: int) -> list[OwnRow]:
        """All of the member's rows since a row, for what was given back of it."""
        assert case.found is not None
        since = own_rows_of(self.snapshot(), self.journal, case.found.account, seq)
        mine = {row.seq: row for row in case.own} | {row.seq: row for row in since}
        return [mine[number] for number in sorted(mine)]

    def _closed(self) -> set[AllowanceId]:
        found = (rows.read_detail(rows.read_body(r.body)) for r in self.journal.rows_of_kind(Kind.allowance_closed))
        return {detail.allowance for detail in found if isinstance(detail, AllowanceClosed)}

    def _spent(self, held: Held) -> int:
        """What our rows took of an allowance: computed from them, not kept beside them."""
        spent = 0
        for row in self.journal.rows_of(held.account, 0):
            body = rows.read_body(row.body)
            if body.kind == Kind.burned:
                detail = rows.read_detail(body)
                if isinstance(detail, rows.Burned) and detail.allowance == held.id:
                    spent += detail.points
        return spent

    # -- writing ---------------------------------------------------------------------------------------------------

    def _write(self, context: _Writing, case: _Case, request: Request, answer: Approved) -> Row:
        detail = recorded(request, answer, case.programme.currency)
        codes = tuple(code.id for code in request.codes)
        held = case.holding.get(answer.allowance or "")
        if held is None:
            return context.append(detail, answer.points, receipt=request.receipt, codes=codes)
        if not self._is_taken(held.id):
            context.append(AllowanceTaken(allowance=held.id, grant=held.grant))
        row = context.append(detail, answer.points)
        spent = self._spent(held)
        if spent >= held.points:
            context.append(AllowanceClosed(allowance=held.id, spent=spent))
        return row

    def _is_taken(self, allowance: AllowanceId) -> bool:
        found = (rows.read_detail(rows.read_body(r.body)) for r in self.journal.rows_of_kind(Kind.allowance_taken))
        return any(isinstance(detail, AllowanceTaken) and detail.allowance == allowance for detail in found)

    def _done(self, row: Row, case: _Case, request: Request, answer: Approved) -> Done:
        """The answer, after the commit: the view counts the new row."""
        if case.found is not None and request.kind != "activate":
            added = record.own_row(answer, request, seq=row.seq, member=case.facts.member)
            case.own = [*case.own, added]
        kind = rows.Kind(rows.read_body(row.body).kind).name
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

    def _in_force(self, snapshot: SnapshotReader, now: datetime.datetime) -> Programme:
        """The newest version that has begun, else the newest; raises RefusedError where there is none."""
        versions = snapshot.programme_versions()
        if versions != self._beginnings[0]:
            read = [p for v in versions if (p := self._version(snapshot, v)) is not None]
            self._beginnings = (
                versions,
                [(_begins_us(programme, self.identity.outlet), programme) for programme in read],
            )
        beginnings, now_us = self._beginnings[1], micros(now)
        if not beginnings:
            raise RefusedError("till.no_programme")
        return next((programme for begins_us, programme in beginnings if begins_us <= now_us), beginnings[0][1])

    def _version(self, snapshot: SnapshotReader, version: int) -> Programme | None:
        """A document that the centre signed, read once; others are as if they were not there."""
        if version not in self._programmes:
            signed = snapshot.programme(version)
            try:
                self._programmes[version] = self._read(signed) if signed else None
            except (CoseError, ProgrammeError):
                self._programmes[version] = None
        return self._programmes[version]

    def _read(self, signed: bytes) -> Programme:
        return parse(verify1(signed, self._programme_keys, max_bytes=DOCUMENT_MAX_BYTES))

    def _view(self, case: _Case) -> View:
        token = case.token or CardToken(b"")
        if case.found is None:
            return View(token=token)
        facts = case.facts
        provisional = sum(row.balance for row in case.own if row.seq > case.acked and row.member == facts.member)
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


def _begins_us(programme: Programme, outlet: str) -> int:
    """From when a version holds here; never where it does not have this outlet."""
    place = place_of(programme, outlet)
    return place.validity.starts if place is not None else ALWAYS_UNTIL


def _basis(case: _Case) -> Basis:
    return Basis(
        generation=case.state.generation,
        programme=case.programme.version,
        block_list=case.state.cursor,
        feed=case.state.cursor,
    )


def _usable(held: Held, moment: Moment, state: State, journal: Journal) -> bool:
    """Granted for this branch and not over: by boot time within the boot of the request, by the wall across boots."""
    if held.epoch != journal.epoch() or forked(state, journal):
        return False
    if held.sent_boot_id == moment.boot_id:
        age_ms = moment.boottime_ms - held.sent_boottime_ms
    else:
        age_ms = max(moment.wall_ms - held.sent_wall_ms, moment.boottime_ms)
    return age_ms < (held.lifetime_s - LIFETIME_MARGIN_S) * 1000


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


def event_of(row: Row) -> EventId:
    """The id by which everyone names a row."""
    return event_id(row.hash)


def packed(answer: Approved | Declined) -> dict[str, Any]:
    """A decision as JSON values."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer))
    return plain
