"""A centre and a few terminals of the real code on real files, with a line that loses, repeats and delays, disks that
are copied, and backups that are put back. One seed gives one history.

Nothing here reads a clock: wall time goes on by a day a step, so that the day of a purchase names its row in a
member's facts, and time since boot by a second, so that allowances live for some sixty steps.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.results import Done
from agent.till import Till
from loyalty import rows as kinds
from loyalty.ids import AccountId, CardToken, EventId, Generation, TerminalId
from loyalty.request import Request as Asked
from loyalty.rows import Moment
from loyalty.since import facts_now
from server import accept, audit, programmes, schema, store
from server.allowances import Signer
from server.keys import Keys, load_or_make
from server.store import Store
from sync import lines
from sync.client import ExchangeFailedError, Traffic
from sync.exchange import forked
from sync.exchanger import Exchanger
from sync.identity import Identity
from sync.journal import Journal, JournalReader
from sync.member import account_of, standing
from sync.protocol.chain import Head, Row, RowHash, event_id
from sync.protocol.messages import Answer, Clock, Request, Wish, pack_message, read_message
from sync.protocol.signing import cose_kid
from sync.retry import Failure
from sync.snapshot import Snapshot, SnapshotReader

PROGRAMME = """
[programme]
schema = 1
id = "fleet"
version = 1
name = { en = "Fleet", fr = "Flotte", it = "Flotta" }
currency = "EUR"
time_zone = "Europe/Rome"
valid_from = 2020-01-01
valid_until = 2039-12-31
offline_valid_until = 2039-12-01
rounding = "half_up"
stack_limit = 1

[[outlets]]
id = "rome"
region = "it"
country = "IT"

[earning]
points = 1
per_minor = 100
minimum_minor = 0

[burning]
points = 1
value_minor = 1
minimum_points = 1
"""
DAY_MS = 86_400_000
BEGAN_MS = 1_700_000_000_000
BOOT = bytes(16)
OPERATOR = "op"


@dataclass
class Time:
    """One clock for all: a day and a second a step."""

    step: int = 0

    @property
    def wall_ms(self) -> int:
        return BEGAN_MS + self.step * DAY_MS

    @property
    def boottime_ms(self) -> int:
        return 1_000_000 + self.step * 1000

    def clock(self) -> Clock:
        return Clock(wall_ms=self.wall_ms, boottime_ms=self.boottime_ms, boot_id=BOOT)

    def moment(self) -> Moment:
        return Moment(wall_ms=self.wall_ms, boot_id=BOOT, boottime_ms=self.boottime_ms, nonce=bytes(8))


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy, whatever is in the WAL."""
    with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
        old.backup(new)
    old.close()
    new.close()


def replace_database(path: Path, copy: Path | None) -> None:
    """Puts a copy in a file's place, or nothing. Nobody may have it open."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if copy is not None:
        shutil.copyfile(copy, path)


class CentreSide:
    """The real centre on a file, without the network."""

    def __init__(self, folder: Path, rnd: random.Random, time: Time) -> None:
        folder.mkdir(parents=True)
        self.path, self._backup, self._rnd, self._time = folder / "centre.db", folder / "backup.db", rnd, time
        self.was_put_back = False
        self.keys: Keys = load_or_make(folder)
        self.store = self._opened()
        self.store.initialise(Generation(rnd.randbytes(16)))
        with self.store.writing() as tx:
            programmes.load(tx, PROGRAMME.encode(), self.keys, time.wall_ms)
        kid, key = self.keys.current("grant")
        public = {cose_kid(k): Ed25519PublicKey.from_public_bytes(raw) for k, raw in self.keys.public().items()}
        self._signer, self._grant_keys = Signer(kid, key), public
        self.backup()

    def _opened(self) -> Store:
        return Store.open(f"sqlite:///{self.path}")

    def enrolled(self, folder: Path) -> Identity:
        """A terminal that has joined."""
        terminal, enrolment = TerminalId(self._rnd.randbytes(16)), self._rnd.randbytes(16)
        key = Ed25519PrivateKey.from_private_bytes(self._rnd.randbytes(32))
        with self.store.writing() as tx:
            tx.execute(
                schema.terminals.insert().values(
                    id=terminal,
                    outlet="rome",
                    label=folder.name,
                    public_key=key.public_key().public_bytes_raw(),
                    enrolment=enrolment,
                    status="active",
                    enrolled_ms=self._time.wall_ms,
                    heard_ms=self._time.wall_ms,
                )
            )
        return Identity(
            terminal=terminal,
            enrolment=enrolment,
            outlet="rome",
            private_key=key.private_bytes_raw(),
            centre_keys=self.keys.public(),
            token_key=self.keys.token_key,
            token_key_id=1,
            code_key=self.keys.code_key,
        )

    def exchange(self, request: Request) -> Answer:
        """What a terminal gets for a request, both having travelled as bytes."""
        with self.store.writing() as tx:
            centre = accept.Centre(
                programmes=programmes.all_versions(tx),
                grant_keys=self._grant_keys,
                signer=self._signer,
                new_id=lambda: self._rnd.randbytes(16),
            )
            asked = read_message(pack_message(request), Request)
            answer = accept.exchange(tx, centre, asked, now_ms=self._time.wall_ms)
        return read_message(pack_message(answer), Answer)

    def backup(self) -> None:
        copy_database(self.path, self._backup)

    def put_back(self, *, announced: bool) -> None:
        """The last backup takes the database's place; announced, it begins a new life."""
        self.was_put_back = True
        self.store.engine.dispose()
        replace_database(self.path, self._backup)
        self.store = self._opened()
        if announced:
            with self.store.writing() as tx:
                store.put_meta(tx, "generation", self._rnd.randbytes(16))

    def close(self) -> None:
        self.store.engine.dispose()


class BadLine:
    """Carries requests of one terminal to the centre, more or less."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._earlier: Answer | None = None

    def exchange(self, request: Request) -> Traffic:
        fleet, rnd = self._fleet, self._fleet.rnd
        fate = rnd.random() if fleet.is_bad else 1.0
        if fate < 0.12:
            raise _lost("the request")
        if fate < 0.2:
            fleet.late.append(request)
            raise _lost("the request, for now")
        answer = fleet.centre.exchange(request)
        if fate < 0.34:
            raise _lost("the answer")
        if fate < 0.42:
            again = fleet.centre.exchange(request)
            answer = rnd.choice((answer, again))
        if fate < 0.46 and self._earlier is not None:
            answer = self._earlier
        self._earlier = answer
        return Traffic(answer, 0, 0, 0.0)


def _lost(what: str) -> ExchangeFailedError:
    return ExchangeFailedError(Failure(kind="line", text=f"lost: {what}"))


class Bought(NamedTuple):
    """A purchase of a journal, whose day no other has."""

    account: AccountId
    day: str
    amount_minor: int


class TerminalSide:
    """A till and its worker over the real files of one folder."""

    def __init__(self, fleet: Fleet, folder: Path, identity: Identity) -> None:
        self.fleet, self.folder, self.identity = fleet, folder, identity
        folder.mkdir(parents=True, exist_ok=True)
        self.branch: lines.OpenBranch | None = None
        self._wish_no = 0
        self._open()

    def _open(self) -> None:
        who = self.identity
        self.journal = Journal.open_or_create(self.folder, who.terminal, who.enrolment)
        self.snapshot = Snapshot.open_or_create(self.folder)
        self._reader = SnapshotReader.open(self.folder)
        self._journal_reader = JournalReader.open(self.folder)
        self.till = Till(
            journal=self.journal, snapshot=lambda: self._reader, identity=who, moment=self.fleet.time.moment
        )
        self.exchanger = Exchanger(
            identity=who,
            journal=self._journal_reader,
            snapshot=self.snapshot,
            line=BadLine(self.fleet),
            clock=self.fleet.time.clock,
            say=self._hear,
        )
        self.branch = None

    def close(self) -> None:
        for file in (self._reader, self._journal_reader, self.snapshot, self.journal):
            file.close()

    def _hear(self, line: lines.Said) -> None:
        if isinstance(line, lines.OpenBranch):
            self.branch = line

    # -- what happens at a till ------------------------------------------------------------------------------------

    def activate(self, token: CardToken) -> None:
        self._wrote(self.till.activate(token, code=None, assisted=True, operator=OPERATOR))

    def earn(self, token: CardToken, points: int) -> None:
        self._wrote(self.till.perform(token, Asked(kind="earn", outlet="rome", amount_minor=points * 100)))

    def burn(self, token: CardToken, points: int) -> None:
        self._wrote(self.till.perform(token, Asked(kind="burn", outlet="rome", points=points)))

    def give_back(self, row: Row) -> None:
        asked = Asked(kind="reverse", outlet="rome", of=event_id(row.hash).hex(), whole=True)
        self._wrote(self.till.reverse(row, asked))

    def tidy(self) -> None:
        self.till.close_spent_allowances()
        self.fleet.remember(self)

    def _wrote(self, answer: object) -> None:
        if isinstance(answer, Done):
            self.fleet.remember(self)

    # -- the exchange ----------------------------------------------------------------------------------------------

    def exchange(self, max_rows: int) -> None:
        """One round trip; what fails is tried again some other time."""
        try:
            self.exchanger.once(max_rows)
        except ExchangeFailedError as failed:
            assert failed.failure.kind in ("line", "contract"), failed.failure

    def open_branch(self) -> None:
        asked, self.branch = self.branch, None
        if asked is not None:
            parent = Head(asked.parent_seq, RowHash(bytes.fromhex(asked.parent_hash)))
            self.till.open_branch(asked.epoch, parent)
            self.fleet.remember(self)

    def wish(self, account: AccountId, points: int) -> None:
        self._wish_no += 1
        id_ = self.fleet.rnd.randbytes(16)
        self.exchanger.wishes[id_] = Wish(id=id_, account=account, points=points, exact=True)

    # -- what happens to files -------------------------------------------------------------------------------------

    def backup(self) -> None:
        for name in ("journal.db", "snapshot.db"):
            copy_database(self.folder / name, self.folder / f"backup-{name}")

    def restart(self, *put_back: str, lose: str | None = None) -> None:
        """The agent ends; files are put back from the backup, or lost; it starts again."""
        self.close()
        for name in put_back:
            copy = self.folder / f"backup-{name}"
            if copy.exists():
                replace_database(self.folder / name, copy)
        if lose is not None:
            replace_database(self.folder / lose, None)
        self._open()

    def cloned(self, folder: Path, *, with_snapshot: bool) -> TerminalSide:
        folder.mkdir(parents=True)
        copy_database(self.folder / "journal.db", folder / "journal.db")
        if with_snapshot:
            copy_database(self.folder / "snapshot.db", folder / "snapshot.db")
        return TerminalSide(self.fleet, folder, self.identity)

    def events(self) -> dict[EventId, Row]:
        return {event_id(row.hash): row for row in self.journal.rows_after(0, 1_000_000)}


@dataclass
class Fleet:
    """Everything, and the oracle that keeps every row that was ever durable."""

    folder: Path
    rnd: random.Random
    terminals_no: int = 3
    is_bad: bool = True
    time: Time = field(default_factory=Time)
    late: list[Request] = field(default_factory=list)
    durable: dict[EventId, Row] = field(default_factory=dict)
    gone: set[EventId] = field(default_factory=set)
    given_back: set[EventId] = field(default_factory=set)
    happened: dict[str, int] = field(default_factory=dict)
    shown: int = 0
    unknown: int = 0

    def __post_init__(self) -> None:
        self.centre = CentreSide(self.folder / "centre", self.rnd, self.time)
        self.terminals = [
            TerminalSide(self, folder, self.centre.enrolled(folder))
            for folder in (self.folder / f"till-{no}" for no in range(self.terminals_no))
        ]
        self.centre.backup()
        self.tokens = [CardToken(bytes([1]) + bytes([no]) * 8) for no in range(4)]

    def close(self) -> None:
        for terminal in self.terminals:
            terminal.close()
        self.centre.close()

    def remember(self, terminal: TerminalSide) -> None:
        """Rows that are on disk now are owed to the centre."""
        for event, row in terminal.events().items():
            if event not in self.durable:
                self.durable[event] = row
                detail = kinds.read_detail(kinds.read_body(row.body))
                if isinstance(detail, kinds.Reversed):
                    self.given_back.add(detail.of)

    def count(self, what: str) -> None:
        self.happened[what] = self.happened.get(what, 0) + 1

    # -- one step --------------------------------------------------------------------------------------------------

    def step(self) -> None:
        self.time.step += 1
        terminal = self.rnd.choice(self.terminals)
        chance = self.rnd.random()
        for limit, name, act in self._acts():
            if chance < limit:
                self.count(name)
                act(terminal)
                break
        self.check_standing(terminal)

    def _acts(self) -> list[tuple[float, str, Callable[[TerminalSide], None]]]:
        return [
            (0.07, "activate", self._activate),
            (0.25, "earn", self._earn),
            (0.31, "burn", self._burn),
            (0.34, "give back", self._give_back),
            (0.37, "tidy", lambda t: t.tidy()),
            (0.42, "wish", self._wish),
            (0.80, "exchange", self._exchange),
            (0.84, "late request", self._late),
            (0.87, "back up terminal", lambda t: t.backup()),
            (0.90, "lose snapshot", lambda t: t.restart(lose="snapshot.db")),
            (0.92, "put snapshot back", lambda t: t.restart("snapshot.db")),
            (0.94, "put journal back", lambda t: self._put_journal_back(t, "journal.db")),
            (0.95, "put both back", lambda t: self._put_journal_back(t, "journal.db", "snapshot.db")),
            (0.96, "clone", self._clone),
            (0.98, "back up centre", lambda _: self.centre.backup()),
            (0.985, "put centre back", lambda _: self.centre.put_back(announced=True)),
            (0.99, "put centre back in silence", lambda _: self.centre.put_back(announced=False)),
            (1.0, "restart", lambda t: t.restart()),
        ]

    def _has_programme(self, terminal: TerminalSide) -> bool:
        return bool(terminal.snapshot.programme_versions())

    def _activate(self, terminal: TerminalSide) -> None:
        if self._has_programme(terminal):
            terminal.activate(self.rnd.choice(self.tokens))

    def _card(self, terminal: TerminalSide) -> CardToken | None:
        if not self._has_programme(terminal):
            return None
        token = self.rnd.choice(self.tokens)
        return token if terminal.till.who(token).known else None

    def _earn(self, terminal: TerminalSide) -> None:
        token = self._card(terminal)
        if token is not None:
            terminal.earn(token, self.rnd.randrange(1, 20))

    def _burn(self, terminal: TerminalSide) -> None:
        held = terminal.snapshot.allowances()
        card = self._card(terminal)
        if held and self._has_programme(terminal):
            chosen = self.rnd.choice(held)
            for token in self.tokens:
                if terminal.till.who(token).account == chosen.account:
                    terminal.burn(token, self.rnd.randrange(1, chosen.points + 1))
                    return
        elif card is not None:
            terminal.burn(card, 1)

    def _give_back(self, terminal: TerminalSide) -> None:
        earned = terminal.journal.rows_of_kind(kinds.Kind.earned) + terminal.journal.rows_of_kind(kinds.Kind.burned)
        if earned and self._has_programme(terminal):
            terminal.give_back(self.rnd.choice(earned))

    def _wish(self, terminal: TerminalSide) -> None:
        card = self._card(terminal)
        if card is not None:
            view = terminal.till.who(card)
            if view.account is not None:
                terminal.wish(view.account, self.rnd.randrange(1, 15))

    def _exchange(self, terminal: TerminalSide) -> None:
        terminal.exchange(self.rnd.choice((1, 2, 5, 2_000)))
        if self.rnd.random() < 0.8:
            terminal.open_branch()

    def _late(self, _: TerminalSide) -> None:
        if self.late:
            self.centre.exchange(self.late.pop(self.rnd.randrange(len(self.late))))

    def _put_journal_back(self, terminal: TerminalSide, *names: str) -> None:
        before = set(terminal.events())
        terminal.restart(*names)
        self.gone |= before - set(terminal.events())

    def _clone(self, terminal: TerminalSide) -> None:
        if len(self.terminals) < self.terminals_no + 2:
            folder = self.folder / f"clone-{len(self.terminals)}"
            self.terminals.append(terminal.cloned(folder, with_snapshot=self.rnd.random() < 0.7))

    # -- I13 at every step -----------------------------------------------------------------------------------------

    def check_standing(self, terminal: TerminalSide) -> None:
        """Every purchase of the journal counts exactly once in what is shown of a member, or it is shown as unknown."""
        for token, purchases in self._bought(terminal).items():
            account = account_of(terminal.snapshot, terminal.journal, token)
            if account is None:
                self.unknown += 1
                continue
            purchases = self._owed(terminal, token, account[0], purchases)
            found = standing(terminal.snapshot, terminal.journal, account[0])
            if not found.facts.known:
                self.unknown += 1
                continue
            self.shown += 1
            now = facts_now(found.facts, found.own_rows)
            for bought in purchases:
                spent = now.days.get(bought.day, (0, 0, 0, 0))[1]
                assert spent == bought.amount_minor, (
                    f"{terminal.folder.name}: {bought} counts as {spent}; own rows since "
                    f"{found.facts.as_of}: {[(row.seq, row.kind, row.day, row.spend_minor) for row in found.own_rows]}"
                )

    def _owed(
        self, terminal: TerminalSide, token: CardToken, account: AccountId, purchases: list[Bought]
    ) -> list[Bought]:
        """Purchases that have to count in what is shown of a card: all, with two exceptions.

        What names an account that a put-back centre has lost waits in suspense until that account is heard of again. A
        card brought to life a second time before its terminal has heard of the first begins at nothing.
        """
        snapshot, journal = terminal.snapshot, terminal.journal
        if not self.centre.was_put_back and snapshot.card(token) is not None:
            return purchases
        theirs = {account, *snapshot.aliases(account), *journal.accounts_of_cards([token])}
        return [bought for bought in purchases if bought.account in theirs]

    def _bought(self, terminal: TerminalSide) -> dict[CardToken, list[Bought]]:
        found: dict[CardToken, list[Bought]] = {}
        for event, row in terminal.events().items():
            body = kinds.read_body(row.body)
            detail = kinds.read_detail(body)
            if isinstance(detail, kinds.Earned) and event not in self.given_back:
                assert body.card is not None and body.account is not None
                bought = Bought(body.account, detail.answer.counts.day, detail.amount_minor)
                found.setdefault(body.card, []).append(bought)
        return found

    # -- after healing ---------------------------------------------------------------------------------------------

    def heal(self, rounds: int = 40) -> None:
        """The line is good; every terminal exchanges until it has nothing to say."""
        self.is_bad = False
        while self.late:
            self._late(self.terminals[0])
        quiet = 0
        for _ in range(rounds):
            for terminal in self.terminals:
                self.time.step += 1
                terminal.exchange(2_000)
                terminal.open_branch()
                self.check_standing(terminal)
            quiet = quiet + 1 if all(self.is_drained(terminal) for terminal in self.terminals) else 0
            if quiet == 3:  # rounds: what one terminal brought, the others have heard
                return

    def is_drained(self, terminal: TerminalSide) -> bool:
        state = terminal.snapshot.state()
        return (
            not forked(state, terminal.journal)
            and state.epoch == terminal.journal.epoch()
            and terminal.exchanger.pending() == 0
            and state.outcomes_through == state.ack_seq
        )

    def check_end(self) -> None:
        for terminal in self.terminals:
            assert self.is_drained(terminal), f"{terminal.folder.name} does not drain: {terminal.snapshot.state()}"
        with self.centre.store.reading() as tx:
            report = audit.verify(tx, [terminal.folder for terminal in self.terminals])
            assert report.clean, [check for check in report.checks if check.faults]
            self._check_rows(tx)
            self._check_balances(tx)
            self._check_alarms(tx)

    def _check_rows(self, tx: sa.Connection) -> None:
        r = schema.rows.c
        outcomes = {e: (o, a) for e, o, a in tx.execute(sa.select(r.event_id, r.outcome, r.account))}
        lost = [row for event, row in self.durable.items() if event not in self.gone and event not in outcomes]
        assert not lost, f"facts lost: {lost}"
        for terminal in self.terminals:
            for event, row in terminal.events().items():
                told = terminal.snapshot.outcome(event)
                said = told.outcome if told else "applied"
                assert said == outcomes[event][0], f"row {row.seq}: told {said}, is {outcomes[event][0]}"

    def _check_balances(self, tx: sa.Connection) -> None:
        a, r = schema.accounts.c, schema.rows.c
        alias = dict(map(tuple, tx.execute(sa.select(a.id, a.alias_of).where(a.alias_of.is_not(None)))))
        points: dict[bytes, int] = {}
        for account, counted in tx.execute(sa.select(r.account, r.points).where(r.account.is_not(None))):
            target = alias.get(account, account)
            points[target] = points.get(target, 0) + counted
        for account in tx.execute(sa.select(a.id, a.no, a.balance, a.open_debt).where(a.alias_of.is_(None))):
            expected = points.get(account.id, 0)
            assert account.balance - account.open_debt == expected, f"account {account.no}: rows add up to {expected}"
            for terminal in self.terminals:
                found = standing(terminal.snapshot, terminal.journal, AccountId(account.id))
                assert found.facts.known, f"{terminal.folder.name} does not know account {account.no}"
                now = facts_now(found.facts, found.own_rows)
                assert now.balance == account.balance, f"{terminal.folder.name} shows {now.balance} of {account}"

    def _check_alarms(self, tx: sa.Connection) -> None:
        codes = set(tx.execute(sa.select(schema.notices.c.code)).scalars())
        restored = self.centre.was_put_back
        touched = restored or any(
            name in self.happened for name in ("put journal back", "put both back", "put snapshot back", "clone")
        )
        assert restored or "centre.put_back" not in codes, "a centre that was never put back says so"
        assert touched or "terminal.branched" not in codes, "a terminal that was never put back is branched"
