"""A centre on a real database file, and tills that make journal rows as the real one does, without a journal's disk."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec.structs import replace

from loyalty import recorded
from loyalty import rows as kinds
from loyalty.answer import Approved
from loyalty.cose import verify1
from loyalty.decide import decide
from loyalty.facts import Counts, Facts, OwnRow
from loyalty.ids import NO_GENERATION, AccountId, AllowanceId, CardToken, EventId, Generation, TerminalId
from loyalty.programme import Programme, parse
from loyalty.request import Line, PresentedCode, Request
from server import accept, audit, codes, keys, programmes, schema, terminals
from server.allowances import Signer
from server.store import Store
from sync.protocol import messages, packing
from sync.protocol.chain import Head, Row, event_id, genesis, row_hash
from sync.protocol.messages import Answer, Batch, Clock, Enrol, Grant, Outcome, Place, Receipt, Wish
from sync.protocol.messages import Request as Exchange
from sync.protocol.signing import cose_kid

NOON_MS = 1_772_452_800_000  # 2026-03-02 12:00 UTC, a Monday
DEMO = Path("agent/demo/programme.toml")
MORE = """
[codes]
max_per_purchase = 2

[[batches]]
id = "leaflet"
use = "once"
stackable = true
releases = [{ at = 2025-01-01, upto = 100000 }]

[[campaigns]]
id = "leaflet_bonus"
name = { en = "Leaflet", fr = "Prospectus", it = "Volantino" }
on = "code"
priority = 5
gives = { points = 40 }
[campaigns.when]
code_batches = ["leaflet"]

[[compensation]]
reason = "spilt"
max_points = 50
roles = ["owner"]
per_member_month = 2

[approvals]
points_over = 5000
roles = ["supervisor"]
offline = "hold"
"""


def document(version: int = 1, more: str = MORE) -> bytes:
    """The demonstration's programme with codes, goodwill and approvals, and a second outlet."""
    text = DEMO.read_text().replace("version = 1\n", f"version = {version}\n", 1)
    outlet = '[[outlets]]\nid = "harbour"\nregion = "liguria"\ncountry = "IT"\n'
    assert outlet in text
    return (text.replace(outlet, outlet + outlet.replace('"harbour"', '"station"')) + more).encode()


class Centre:
    """One centre: database and keys in `folder`, a clock that stands until it is moved."""

    def __init__(self, folder: Path, programme: bytes | None = None) -> None:
        self.folder, self.now_ms = folder, NOON_MS
        self.store = Store.open(f"sqlite:///{folder / 'centre.db'}")
        self.store.initialise(Generation(b"G" * 16))
        self.keys = keys.load_or_make(folder)
        self.load(document() if programme is None else programme)

    def load(self, text: bytes) -> None:
        """A programme is loaded."""
        with self.store.writing() as tx:
            programmes.load(tx, text, self.keys, self.now_ms)
        self.programme = parse(text)

    def desk(self, tx: sa.Connection) -> accept.Centre:
        """What an exchange needs besides the database."""
        kid, key = self.keys.current("grant")
        grant_keys = {cose_kid(kid): key.public_key()}
        return accept.Centre(programmes=programmes.all_versions(tx), grant_keys=grant_keys, signer=Signer(kid, key))

    def exchange(self, request: Exchange) -> Answer:
        """One round trip, committed."""
        with self.store.writing() as tx:
            return accept.exchange(tx, self.desk(tx), request, now_ms=self.now_ms)

    def enrol(self, outlet: str = "harbour") -> Till:
        """A terminal that joined by a code."""
        private = Ed25519PrivateKey.generate()
        with self.store.writing() as tx:
            code = terminals.new_code(tx, outlet=outlet, label="Counter", now_ms=self.now_ms)
            proof = private.sign(messages.ENROL_CONTEXT + code.encode())
            asked = Enrol(code=code, public_key=private.public_key().public_bytes_raw(), proof=proof)
            told = terminals.enrol(tx, self.keys, asked, self.now_ms)
        root = genesis(told.terminal, told.enrolment)
        return Till(centre=self, terminal=told.terminal, outlet=outlet, private=private, root=Head(0, root))

    def issue(self, batch: str, count: int, purpose: codes.Purpose) -> list[codes.Issued]:
        """Codes."""
        with self.store.writing() as tx:
            return codes.issue(
                tx,
                self.keys,
                batch=batch,
                programme=self.programme.id,
                count=count,
                purpose=purpose,
                now_ms=self.now_ms,
                expires_ms=self.now_ms + 86_400_000,
                operator="owner",
            )

    # -- what the books say ----------------------------------------------------------------------------------

    def all(self, statement: Any) -> list[Any]:
        """Lines of a query."""
        with self.store.reading() as tx:
            return list(tx.execute(statement).all())

    def execute(self, statement: Any) -> None:
        """A hand in the books."""
        with self.store.writing() as tx:
            tx.execute(statement)

    def row(self, row: Row) -> Any:
        """A row as stored."""
        (found,) = self.all(sa.select(schema.rows).where(schema.rows.c.event_id == event_id(row.hash)))
        return found

    def outcome(self, row: Row) -> tuple[str, str | None, int]:
        """(outcome, reason, points) of a row."""
        found = self.row(row)
        return found.outcome, found.reason, found.points

    def account(self, account: AccountId) -> Any:
        """An account as stored."""
        (found,) = self.all(sa.select(schema.accounts).where(schema.accounts.c.id == account))
        return found

    def balance(self, account: AccountId) -> int:
        """A member's points."""
        balance: int = self.account(account).balance
        return balance

    def facts(self, account: AccountId) -> Facts:
        """A member's facts."""
        return msgspec.msgpack.decode(self.account(account).facts, type=Facts)

    def lots(self, account: AccountId) -> list[tuple[int, int]]:
        """(earned, remaining) of each lot."""
        lot = schema.lots.c
        found = self.all(sa.select(lot.earned, lot.remaining).where(lot.account == account).order_by(lot.id))
        return [(earned, remaining) for earned, remaining in found]

    def ledger(self, row: Row) -> dict[str, int]:
        """Points of one event by ledger."""
        p = schema.postings.c
        found = self.all(
            sa.select(p.ledger, sa.func.sum(p.points)).where(p.event_id == event_id(row.hash)).group_by(p.ledger)
        )
        return {ledger: points for ledger, points in found if points}

    def notices(self, row: Row) -> set[tuple[str, str]]:
        """(recipient, code) of what was told about a row."""
        n = schema.notices.c
        return {(r, c) for r, c in self.all(sa.select(n.recipient, n.code).where(n.event_id == event_id(row.hash)))}

    def faults(self) -> list[str]:
        """What `verify` finds."""
        with self.store.reading() as tx:
            report = audit.verify(tx)
        return [f"{check.name}: {fault}" for check in report.checks for fault in check.faults or []]


@dataclass(kw_only=True)
class Till:
    """A terminal in memory: a chain of rows, and what it keeps of the centre's answers."""

    centre: Centre
    terminal: TerminalId
    outlet: str
    private: Ed25519PrivateKey
    root: Head
    rows: list[Row] = field(default_factory=list)
    epoch: int = 1
    acked: int = 0
    number: int = 0
    cursor: int = 0
    receipt: Receipt = field(default_factory=lambda: Receipt(generation=NO_GENERATION))
    grants: list[bytes] = field(default_factory=list)
    outcomes: dict[EventId, Outcome] = field(default_factory=dict)
    members: dict[AccountId, Any] = field(default_factory=dict)
    behind_ms: int = 0  # how far its clock is behind the centre's

    # -- the journal -----------------------------------------------------------------------------------------

    def place(self, seq: int) -> Place:
        """(seq, hash) on the own chain."""
        return Place(seq, self.rows[seq - 1].hash if seq else self.root.hash)

    def write(
        self,
        detail: kinds.Detail | bytes,
        account: AccountId | None = None,
        card: CardToken | None = None,
        caller: kinds.Caller | None = None,
    ) -> Row:
        """Appends a row; bytes are taken as its whole body."""
        head = self.place(len(self.rows))
        body = detail if isinstance(detail, bytes) else self._body(detail, account, card, caller)
        row = Row(
            head.seq + 1,
            self.epoch,
            row_hash(head.hash, self.terminal, self.epoch, head.seq + 1, body),  # type: ignore[arg-type]
            body,
        )
        self.rows.append(row)
        return row

    def _body(
        self, detail: kinds.Detail, account: AccountId | None, card: CardToken | None, caller: kinds.Caller | None
    ) -> bytes:
        wall_ms = self.centre.now_ms - self.behind_ms
        moment = kinds.Moment(wall_ms=wall_ms, boot_id=b"b" * 16, boottime_ms=1, nonce=b"n" * 8)
        basis = kinds.Basis(
            generation=self.receipt.generation,
            programme=self.centre.programme.version,
            block_list=self.cursor,
            feed=self.cursor,
        )
        return kinds.encode(detail, moment=moment, basis=basis, account=account, card=card, caller=caller)

    def _decided(self, request: Request, facts: Facts, own: list[OwnRow] | None = None) -> Approved:
        now = datetime.datetime.fromtimestamp((self.centre.now_ms - self.behind_ms) / 1000, tz=datetime.UTC)
        answer = decide(self.centre.programme, facts, own or [], request, now)
        assert isinstance(answer, Approved), answer
        return answer

    def activate(self, card: CardToken, code: codes.Issued | None = None, name: str | None = None) -> Row:
        """A card is brought to life; the account's id is `account_of` the row."""
        request = Request(kind="activate", outlet=self.outlet)
        answer = self._decided(request, Facts(known=True, status="none"))
        used = code and kinds.UsedCode(
            id=code.code_id.hex(), batch="welcome", serial=code.serial, programme=self.centre.programme.id
        )
        detail = kinds.Activated(
            outlet=self.outlet,
            way="signed" if code else "assisted",
            code=used,
            first_name=name,
            approval=None,
            answer=recorded.answered(answer),
        )
        return self.write(detail, card=card)

    def member(self, number: int = 1) -> AccountId:
        """A member whose activation is already at the centre, with the 20 points of the welcome."""
        row = self.activate(token(number))
        self.push()
        return account_of(row)

    def earn(
        self,
        account: AccountId,
        amount_minor: int,
        *,
        promised: int | None = None,
        facts: Facts | None = None,
        caller: kinds.Caller | None = None,
        card: CardToken | None = None,
        **asked: Any,
    ) -> Row:
        """A purchase, decided with `facts`; `promised` is what the till said where that differs from the rule."""
        request = Request(kind="earn", outlet=self.outlet, amount_minor=amount_minor, **asked)
        answer = self._decided(request, facts or known(account))
        detail = recorded.recorded(request, answer, self.centre.programme.currency)
        assert isinstance(detail, kinds.Earned)
        if promised is not None:
            detail = replace(detail, answer=replace(detail.answer, points=promised))
        return self.write(detail, account, card, caller)

    def use_code(self, account: AccountId, *used: codes.Issued) -> Row:
        """Bonus codes without a purchase."""
        request = Request(kind="code", outlet=self.outlet, codes=tuple(presented(c) for c in used))
        answer = self._decided(request, known(account))
        return self.write(recorded.recorded(request, answer, "EUR"), account)

    def goodwill(self, account: AccountId, points: int, role: str = "owner") -> Row:
        """Points with our apologies."""
        request = Request(kind="adjust", outlet=self.outlet, reason="spilt", points=points, role="owner")
        detail = recorded.recorded(request, self._decided(request, known(account)), "EUR")
        assert isinstance(detail, kinds.Adjusted)
        return self.write(replace(detail, role=role), account)

    def burn(
        self, account: AccountId, points: int, allowance: AllowanceId | None = None, card: CardToken | None = None
    ) -> Row:
        """Points as money, from an allowance or from one that nobody granted."""
        day = datetime.datetime.fromtimestamp(self.centre.now_ms / 1000, tz=datetime.UTC).date().isoformat()
        answer = Approved(points=-points, breakdown=(("burn.money", -points),), counts=Counts(day=day, balance=-points))
        detail = kinds.Burned(
            outlet=self.outlet,
            reward=None,
            points=points,
            allowance=allowance or AllowanceId(b"nobody's" * 2),
            approval=None,
            held=False,
            answer=recorded.answered(answer),
        )
        return self.write(detail, account, card)

    def reverse(
        self,
        account: AccountId,
        of: Row,
        *,
        amount_minor: int | None = None,
        lines: tuple[Line, ...] | None = None,
    ) -> Row:
        """Something taken back: wholly, by amount or by lines."""
        event = event_id(of.hash)
        undone = recorded.entry(of.seq, of.body)
        assert undone is not None
        facts = replace(known(account), entries={event.hex(): undone})
        whole = amount_minor is None and lines is None
        request = Request(
            kind="reverse",
            outlet=self.outlet,
            of=event.hex(),
            whole=whole,
            amount_minor=amount_minor,
            lines=lines,
        )
        own = [recorded.own_row(row.seq, event_id(row.hash), row.body) for row in self.rows if row.seq > of.seq]
        answer = self._decided(request, facts, [row for row in own if row is not None and row.kind == "reversed"])
        return self.write(recorded.recorded(request, answer, "EUR"), account)

    def take(self, signed: bytes) -> tuple[Row, Grant]:
        """A grant is written into the journal."""
        grant = self.grant(signed)
        return self.write(kinds.AllowanceTaken(allowance=grant.allowance, grant=signed), grant.account), grant

    def grant(self, signed: bytes) -> Grant:
        """What a signed grant says."""
        kid, key = self.centre.keys.current("grant")
        public: dict[bytes, Ed25519PublicKey] = {cose_kid(kid): key.public_key()}
        return msgspec.msgpack.decode(verify1(signed, public), type=Grant)

    def close(self, grant: Grant, spent: int) -> Row:
        """The closing row."""
        return self.write(kinds.AllowanceClosed(allowance=grant.allowance, spent=spent), grant.account)

    # -- the exchange ----------------------------------------------------------------------------------------

    def request(self, after: int | None = None, through: int | None = None, **given: Any) -> Exchange:
        """A request with the rows above `after` (default: the acknowledgement) up to `through` (default: all)."""
        after, through = self.acked if after is None else after, len(self.rows) if through is None else through
        rows = self.rows[after:through]
        batch = None
        if rows:
            batch = Batch(after=self.place(after), last=rows[-1].hash, packed=packing.pack(rows))
        self.number += 1
        asked = Exchange(
            number=self.number,
            terminal=self.terminal,
            epoch=self.epoch,
            head=self.place(len(self.rows)),
            clock=Clock(wall_ms=self.centre.now_ms, boottime_ms=1, boot_id=b"b" * 16),
            receipt=self.receipt,
            batch=batch,
            chain=[self.place(seq) for seq in range(len(self.rows), -1, -1)],
            cursor=self.cursor,
        )
        return msgspec.structs.replace(asked, **given)

    def push(self, **given: Any) -> Answer:
        """Sends what is unsent and keeps what the answer says."""
        answer = self.centre.exchange(self.request(**given))
        self.keep(answer)
        return answer

    def keep(self, answer: Answer) -> None:
        """Takes an answer as the terminal does, without its doubts."""
        if answer.ack is not None:
            self.acked = answer.ack.seq
        self.grants += answer.grants
        self.outcomes |= {outcome.event_id: outcome for outcome in answer.outcomes}
        if answer.page is None:
            return
        page = answer.page
        self.cursor = page.cursor
        self.receipt = Receipt(generation=answer.generation, position=page.position, hash=page.hash)
        for item in page.items:
            if hasattr(item, "outcome"):
                self.outcomes[item.outcome.event_id] = item.outcome
            elif hasattr(item, "facts"):
                self.members[item.account] = item

    def wish(self, account: AccountId, points: int, id_: bytes | None = None) -> Grant:
        """Asks for an allowance of a member, and has it."""
        self.push(wishes=[Wish(id=id_ or points.to_bytes(16), account=account, points=points)])
        return self.grant(self.grants[-1])

    def taken(self, account: AccountId, points: int) -> Grant:
        """An allowance that is asked for, written down and told."""
        grant = self.wish(account, points, id_=len(self.rows).to_bytes(16))
        self.take(self.grants[-1])
        self.push()
        return grant

    def clone(self) -> Till:
        """The same disk in a second machine."""
        copy = Till(
            centre=self.centre, terminal=self.terminal, outlet=self.outlet, private=self.private, root=self.root
        )
        copy.rows, copy.epoch, copy.acked, copy.number = list(self.rows), self.epoch, self.acked, self.number
        copy.cursor, copy.receipt = self.cursor, self.receipt
        return copy


def token(number: int) -> CardToken:
    """A card."""
    return CardToken(b"\x01" + number.to_bytes(8))


def account_of(row: Row) -> AccountId:
    """The account that an activation makes."""
    return AccountId(event_id(row.hash))


def known(account: AccountId) -> Facts:
    """What a till knows of a member of whom it knows nothing else."""
    return Facts(known=True, status="active", member=account.hex())


def presented(code: codes.Issued) -> PresentedCode:
    """A bonus code as a till resolved it."""
    return PresentedCode(id=code.code_id.hex(), batch="leaflet", serial=code.serial, programme="harbour")


__all__ = ["NOON_MS", "Centre", "Programme", "Till", "account_of", "document", "known", "presented", "token"]
