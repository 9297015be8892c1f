"""Decides a terminal's row again with the truth, and posts what follows.

A fact that happened in the shop is never refused and never dropped: it is posted, adjusted, held for a human, or borne
by the outlet, and somebody named is told.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec.structs import replace

from loyalty import rows as kinds
from loyalty.answer import Answer, Approved, Declined
from loyalty.cose import CoseError, verify1
from loyalty.decide import decide
from loyalty.facts import CodeFacts, Entry, Facts, OwnRow, Pricing
from loyalty.ids import AccountId, EventId, TerminalId
from loyalty.programme import Programme
from loyalty.recorded import entry, own_row, request_of
from loyalty.terms import MAX_POINTS
from server import accounts, allowances, schema
from server.accounts import Account
from sync.protocol.chain import Row, event_id
from sync.protocol.messages import Grant

MAX_CLOCK_AHEAD_MS = 300_000
_UNDECIDED = ("suspense", "held", "quarantined")
_LOST_CODES = ("code.void", "code.used", "code.personal")  # what the till could not know of a code


class Verdict(NamedTuple):
    """What the centre makes of a row. `points` is what it counts; `counted` what it adds to the member's facts."""

    outcome: str
    points: int = 0
    reason: str | None = None
    account: AccountId | None = None
    counted: OwnRow | None = None
    pricing: bytes | None = None


@dataclass(kw_only=True)
class Posting:
    """One exchange's worth of decisions: the transaction, who sends, and what has to be told afterwards."""

    tx: sa.Connection
    terminal: TerminalId
    outlet: str
    now_ms: int
    programmes: Mapping[int, Programme]
    grant_keys: Mapping[bytes, Ed25519PublicKey]
    changed: set[AccountId] = field(default_factory=set)
    codes_changed: set[bytes] = field(default_factory=set)
    activated: set[AccountId] = field(default_factory=set)

    def post(self, row: Row) -> Verdict:
        """The verdict on one row; what it changes is written."""
        event = event_id(row.hash)
        try:
            body = kinds.read_body(row.body)
            detail = kinds.read_detail(body)
        except kinds.RowError as error:
            self.notify("operations", "row.quarantined", event, str(error))
            return Verdict("quarantined", reason="row.unreadable")
        match detail:
            case kinds.Activated():
                return self._activated(row, event, body, detail)
            case kinds.AllowanceTaken():
                return self._taken(detail)
            case kinds.AllowanceClosed():
                return self._closed(event, detail)
            case kinds.EpochOpened():
                return Verdict("applied")
            case _:
                return self._for_member(row, event, body, detail)

    def notify(self, recipient: str, code: str, event: EventId | None, text: str) -> None:
        """Somebody named is told."""
        self.tx.execute(
            schema.notices.insert().values(at_ms=self.now_ms, recipient=recipient, code=code, event_id=event, text=text)
        )

    # -- activation ------------------------------------------------------------------------------------------------

    def _activated(self, row: Row, event: EventId, body: kinds.Body, detail: kinds.Activated) -> Verdict:
        account_id = AccountId(event)
        if body.card is None:
            self.notify("operations", "row.quarantined", event, "An activation that names no card.")
            return Verdict("quarantined", reason="row.unreadable")
        self.activated.add(account_id)
        known = accounts.of_card(self.tx, body.card)
        if known is not None:
            accounts.create_alias(self.tx, account_id, known[0])
            self.changed |= {account_id, known[0]}
            text = "A card was activated a second time. It keeps the account of the first activation."
            self.notify(f"outlet:{self.outlet}", "card.activated_twice", event, text)
            self.notify("support", "card.activated_twice", event, text)
            self._use_code(event, detail.code)
            return Verdict("merged", reason="card.activated_twice", account=known[0])
        at = self._moment(body)
        answer = self._decide(body, detail, Facts(known=True, status="none"), at)
        facts = Facts(known=True, status="active", activated_at=at)
        account = accounts.create(self.tx, account_id, facts, detail.first_name)
        self.tx.execute(schema.cards.insert().values(token=body.card, account=account_id, status="active"))
        if isinstance(answer, Approved):
            verdict = self._difference(row, event, body, detail.answer, answer, account)
        else:
            self.changed.add(account_id)
            self.notify("operations", answer.reason, event, "The till activated a card where no rule allows it.")
            verdict = Verdict("held", 0, answer.reason, account_id)
        if not self._use_code(event, detail.code):
            text = "An activation code was used twice. The card stays active; the outlet bears the cost of the code."
            self.notify(f"outlet:{self.outlet}", "code.used", event, text)
            return verdict._replace(outcome="outlet_loss", reason="code.used")
        return verdict

    def _use_code(self, event: EventId, code: kinds.UsedCode | None) -> bool:
        """Marks a code used; False when it was used or void before, or is not ours."""
        if code is None:
            return True
        if not _is_hex(code.id):
            return False
        code_id = bytes.fromhex(code.id)
        where = sa.and_(schema.codes.c.id == code_id, schema.codes.c.state == "issued")
        first = self.tx.execute(schema.codes.update().where(where).values(state="used", used_by=event)).rowcount == 1
        self.codes_changed.add(code_id)
        return first

    # -- what concerns a member ------------------------------------------------------------------------------------

    def _for_member(self, row: Row, event: EventId, body: kinds.Body, detail: kinds.Detail) -> Verdict:
        account = accounts.load(self.tx, body.account) if body.account is not None else None
        if account is None:
            return Verdict("suspense", reason="account.unknown", account=body.account)
        if body.card is not None and self._blocked(body):
            return self._on_blocked_card(row, event, body, detail, account)
        self.changed.add(account.id)
        match detail:
            case kinds.Earned() | kinds.CodeUsed():
                return self._credited(row, event, body, detail, account)
            case kinds.Adjusted():
                return self._goodwill(row, event, body, detail, account)
            case kinds.Burned():
                return self._burned(row, event, body, detail, account)
            case kinds.Reversed():
                return self._reversed(row, event, body, detail, account)
            case _:
                return Verdict("quarantined", reason="row.unreadable", account=account.id)

    def _blocked(self, body: kinds.Body) -> bool:
        assert body.card is not None
        found = accounts.of_card(self.tx, body.card)
        return found is not None and found[1] == "blocked"

    def _on_blocked_card(
        self, row: Row, event: EventId, body: kinds.Body, detail: kinds.Detail, account: Account
    ) -> Verdict:
        self.notify("risk", "card.blocked", event, "A blocked card was used.")
        if isinstance(detail, kinds.Burned) and detail.points > 0:
            text = f"{detail.points} points were burned with a blocked card. The outlet bears them."
            self.notify(f"outlet:{self.outlet}", "card.blocked", event, text)
            accounts.lose(self.tx, event, self.outlet, detail.points)
            return Verdict("outlet_loss", 0, "card.blocked", account.id)
        return Verdict("suspense", reason="card.blocked", account=account.id)

    def _credited(
        self,
        row: Row,
        event: EventId,
        body: kinds.Body,
        detail: kinds.Earned | kinds.CodeUsed,
        account: Account,
    ) -> Verdict:
        facts = replace(account.facts, codes=self._code_facts(detail.codes))
        if isinstance(detail, kinds.Earned) and self._receipt_used(event, detail.receipt):
            self.notify(f"outlet:{self.outlet}", "earn.receipt_used", event, "This receipt was counted before.")
            return Verdict("adjusted", 0, "earn.receipt_used", account.id)
        answer = self._decide(body, detail, facts, self._moment(body))
        if not isinstance(answer, Approved):
            self.notify("operations", answer.reason, event, "The till approved what no rule allows.")
            return Verdict("held", 0, answer.reason, account.id)
        if any(flag.startswith("approval.") for flag in answer.flags) or detail.held:
            self.notify("operations", "approval.held", event, "Waits for a second person at the centre.")
            return Verdict("held", 0, "approval.needed", account.id)
        self._use_once(event, body, detail.codes)
        return self._difference(row, event, body, detail.answer, answer, account)

    def _code_facts(self, used: Sequence[kinds.UsedCode]) -> dict[str, CodeFacts]:
        """What the centre knows of the codes that a row names: those that are used or void."""
        c = schema.codes.c
        ids = [bytes.fromhex(code.id) for code in used if _is_hex(code.id)]
        if not ids:
            return {}
        gone = self.tx.execute(sa.select(c.id, c.state).where(c.id.in_(ids), c.state != "issued"))
        return {id_.hex(): CodeFacts(state=state) for id_, state in gone}

    def _use_once(self, event: EventId, body: kinds.Body, used: Sequence[kinds.UsedCode]) -> None:
        """Marks codes used that are good for one use."""
        batches = self.programme(body.basis.programme).batches
        for code in used:
            batch = batches.get(code.batch or "")
            if batch is not None and batch.use == "once":
                self._use_code(event, code)

    def _difference(
        self, row: Row, event: EventId, body: kinds.Body, till: kinds.Answered, truth: Approved, account: Account
    ) -> Verdict:
        """Up is posted at once. Down, the member keeps what the till promised, up to the programme's limit: at the
        outlet's loss where a code was used before, else at the campaigns' cost."""
        account = accounts.credit(self.tx, account, event, truth.points, truth.lots, "issued")
        kept, terms = till.points - truth.points, self.programme(body.basis.programme).adjustments
        lost_code = next((flag for flag in truth.flags if flag in _LOST_CODES), None)
        if kept <= 0 and lost_code is None:
            outcome, reason = ("adjusted", _reason(till, truth)) if kept else ("applied", None)
            return self._counted(row, body, account, truth.points, truth, outcome)._replace(reason=reason)
        found = f"The centre finds {truth.points} points where the till gave {till.points}."
        if kept > terms.keep_up_to_points:
            self.notify("operations", "fact.kept", event, f"{found} The difference waits for a person.")
            return self._counted(row, body, account, truth.points, truth, "held")._replace(reason="fact.kept")
        if terms.downward == "post" and lost_code is None:
            self.notify(f"outlet:{self.outlet}", "fact.kept", event, found)
            reason = _reason(till, truth)
            return self._counted(row, body, account, truth.points, truth, "adjusted")._replace(reason=reason)
        source, outlet = ("outlet_loss", self.outlet) if lost_code else ("campaign_cost", None)
        account = accounts.credit(self.tx, account, event, max(0, kept), truth.lots, source, outlet)
        reason = lost_code or "fact.kept"
        self.notify(f"outlet:{self.outlet}", reason, event, f"{found} The member keeps them.")
        verdict = self._counted(row, body, account, max(till.points, truth.points), truth, "applied")
        return verdict._replace(outcome="outlet_loss", reason=lost_code) if lost_code else verdict

    def _receipt_used(self, event: EventId, receipt: str | None) -> bool:
        if receipt is None:
            return False
        r = schema.rows.c
        same = sa.select(r.event_id).where(
            r.outlet == self.outlet, r.receipt == receipt, r.event_id != event, r.outcome.in_(["applied", "adjusted"])
        )
        return self.tx.execute(same.limit(1)).first() is not None

    def _goodwill(
        self, row: Row, event: EventId, body: kinds.Body, detail: kinds.Adjusted, account: Account
    ) -> Verdict:
        answer = self._decide(body, detail, account.facts, self._moment(body))
        if not isinstance(answer, Approved) or detail.held:
            reason = answer.reason or "approval.needed"
            self.notify("operations", reason, event, "Goodwill points wait for a second person at the centre.")
            return Verdict("held", 0, reason, account.id)
        account = accounts.credit(self.tx, account, event, answer.points, answer.lots, "issued")
        return self._counted(row, body, account, answer.points, answer, "applied")

    def _burned(self, row: Row, event: EventId, body: kinds.Body, detail: kinds.Burned, account: Account) -> Verdict:
        """From its allowance; what that does not cover, from what is available; the rest the outlet bears."""
        if not 0 < detail.points <= MAX_POINTS:
            self.notify("operations", "points.range", event, f"A till burned {detail.points} points.")
            return Verdict("held", 0, "points.range", account.id)
        covered = allowances.spend(self.tx, detail.allowance, account.id, detail.points)
        room = accounts.available(self.tx, account) - covered  # no longer set aside, not yet taken
        extra = min(detail.points - covered, max(0, room))
        account = accounts.take(self.tx, account, event, covered + extra, "redeemed")
        lost = detail.points - covered - extra
        accounts.lose(self.tx, event, self.outlet, lost)
        verdict = self._counted(row, body, account, -(covered + extra), None, "applied")
        if not lost:
            return verdict
        text = f"{lost} points were burned that no allowance covered. The outlet bears them; the member loses nothing."
        self.notify(f"outlet:{self.outlet}", "burn.uncovered", event, text)
        return verdict._replace(outcome="outlet_loss", reason="burn.uncovered")

    def _reversed(
        self, row: Row, event: EventId, body: kinds.Body, detail: kinds.Reversed, account: Account
    ) -> Verdict:
        r = schema.rows.c
        original = self.tx.execute(sa.select(schema.rows).where(r.event_id == detail.of)).one_or_none()
        if original is None or (original.outcome in _UNDECIDED and original.counted is None):
            return Verdict("suspense", reason="reversal.unknown", account=account.id)
        whose = accounts.load(self.tx, original.account) if original.account is not None else None
        if whose is None or whose.id != account.id:
            self.notify("operations", "reversal.unknown", event, "A return names another member than its purchase.")
            return Verdict("held", 0, "reversal.unknown", account.id)
        if original.counted is None:
            text = f"What is given back counted nothing: it was {original.outcome}."
            self.notify(f"outlet:{self.outlet}", "reversal.already", event, text)
            return Verdict("adjusted", 0, original.reason, account.id)
        facts = replace(account.facts, entries={detail.of.hex(): _entry(original)})
        before = self._reversals_of(account.id, detail.of)
        priced_by = self.programme(kinds.read_body(original.body).basis.programme)
        answer = self._decide(body, detail, facts, self._moment(body), before, priced_by)
        if isinstance(answer, Declined) and answer.reason.startswith("approval."):
            self.notify("operations", answer.reason, event, "A return waits for a second person at the centre.")
            return Verdict("held", 0, answer.reason, account.id)
        if not isinstance(answer, Approved):
            self.notify(f"outlet:{self.outlet}", answer.reason, event, "A return that the rules do not allow.")
            return Verdict("conflict_lost", 0, answer.reason, account.id)
        if answer.points < 0:
            account = accounts.take_back(self.tx, account, event, detail.of, -answer.points)
        elif original.kind == kinds.Kind.burned:
            account = accounts.give_back(self.tx, account, event, detail.of, answer.points)
        outcome = "applied" if answer.points == detail.answer.points else "adjusted"
        verdict = self._counted(row, body, account, answer.points, answer, outcome)
        return verdict._replace(reason=None if outcome == "applied" else "fact.kept")

    def _reversals_of(self, account: AccountId, of: EventId) -> list[OwnRow]:
        r = schema.rows.c
        found = self.tx.execute(
            sa.select(r.counted)
            .where(r.account == account, r.kind == int(kinds.Kind.reversed), r.counted.is_not(None))
            .order_by(r.commit_no, r.seq)
        ).scalars()
        read = [msgspec.msgpack.decode(data, type=OwnRow) for data in found]
        mine = [row for row in read if row.of == of.hex()]
        return [replace(row, seq=number) for number, row in enumerate(mine, start=1)]

    # -- allowances ------------------------------------------------------------------------------------------------

    def _taken(self, detail: kinds.AllowanceTaken) -> Verdict:
        """A centre that was put back learns a grant again from the row that holds it, as far as points are there."""
        try:
            grant = msgspec.msgpack.decode(verify1(detail.grant, self.grant_keys), type=Grant)
        except (CoseError, msgspec.DecodeError):
            return Verdict("held", reason="allowance.foreign")
        account = accounts.load(self.tx, grant.account)
        if account is None:
            return Verdict("suspense", reason="account.unknown", account=grant.account)
        room = max(0, accounts.available(self.tx, account))
        allowances.register(self.tx, grant, account.id, room, detail.grant)
        self.changed.add(account.id)
        return Verdict("applied", account=grant.account)

    def _closed(self, event: EventId, detail: kinds.AllowanceClosed) -> Verdict:
        account = allowances.close(self.tx, detail.allowance, event)
        self.changed |= {account} if account is not None else set()
        return Verdict("applied", account=account)

    # -- shared ----------------------------------------------------------------------------------------------------

    def _decide(
        self,
        body: kinds.Body,
        detail: kinds.Detail,
        facts: Facts,
        at: datetime.datetime,
        own: list[OwnRow] | None = None,
        priced_by: Programme | None = None,
    ) -> Answer:
        request = replace(request_of(body, detail), posted=True)
        programme = self.programme(body.basis.programme)
        return decide(programme, facts, own or [], request, at, entry_programme=priced_by)

    def programme(self, version: int) -> Programme:
        """The version the row was decided on; the newest where that is not one of ours."""
        return self.programmes.get(version) or self.programmes[max(self.programmes)]

    def _moment(self, body: kinds.Body) -> datetime.datetime:
        """The row's own time, but never later than now: clocks ahead are clamped to the receipt."""
        wall_ms = body.moment.wall_ms
        if wall_ms > self.now_ms + MAX_CLOCK_AHEAD_MS:
            wall_ms = self.now_ms
        return datetime.datetime.fromtimestamp(wall_ms / 1000, tz=datetime.UTC)

    def _counted(
        self, row: Row, body: kinds.Body, account: Account, points: int, answer: Answer | None, outcome: str
    ) -> Verdict:
        """Writes the account with what the row adds to the member's counters."""
        added = own_row(row.seq, event_id(row.hash), row.body)
        pricing = None
        if added is not None and isinstance(answer, Approved):
            c = answer.counts
            added = replace(
                added,
                day=c.day,
                visits=c.visits,
                spend_minor=c.spend_minor,
                base=c.base,
                points_counted=c.points_counted,
                balance=c.balance,
                campaigns=c.campaigns,
                codes=c.codes,
                points=points,
            )
            pricing = msgspec.msgpack.encode(answer.pricing) if answer.pricing is not None else None
        accounts.count(self.tx, account, added)
        self.changed.add(account.id)
        counted = msgspec.msgpack.encode(added) if added is not None else None
        return Verdict(outcome, points, None, account.id, counted, pricing)  # type: ignore[arg-type]


def _entry(original: sa.Row[tuple[object, ...]]) -> Entry:
    """The entry as the centre priced it, with nothing given back yet: reversals follow as own rows."""
    found = entry(0, original.body)
    assert found is not None, "only rows with an answer are posted"
    if original.pricing is not None:
        found = replace(found, pricing=msgspec.msgpack.decode(original.pricing, type=Pricing))
    return replace(found, points=original.points)


def _is_hex(text: str) -> bool:
    try:
        return bool(bytes.fromhex(text))
    except ValueError:
        return False


def _reason(till: kinds.Answered, truth: Approved) -> str:
    """Which fact the terminal did not know, by the rules whose lines changed."""
    if "facts.unknown" in till.flags:
        return "fact.member"
    before = dict(till.breakdown)
    changed = [rule for rule, points in truth.breakdown if before.get(rule) != points]
    return "fact.tier" if any(rule.startswith("tier.") for rule in changed) else "fact.visits"
