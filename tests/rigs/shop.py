"""A till on real files, whose centre is played by hand: its keys, its signed programme, and what it told so far.

Everything but the network is real: the journal, the snapshot, the identity file, the signatures.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import Cards, Config, Reader, Server, Sync, Terminal, TillSection
from agent.demo.world import PROGRAMME
from agent.operations import Operations
from agent.till import Till
from loyalty import codes, typed
from loyalty.cose import DOCUMENT_MAX_BYTES, sign1
from loyalty.facts import Facts
from loyalty.ids import AccountId, AllowanceId, CardToken, Generation, TerminalId
from loyalty.rows import Moment
from sync import identity
from sync.journal import Journal
from sync.protocol.chain import Head
from sync.protocol.signing import cose_kid
from sync.snapshot import Held, Member, Snapshot, SnapshotReader, State

GENERATION = Generation(b"G" * 16)
BOOT = b"B" * 16
PURPOSES = ("answer", "grant", "programme", "code")
START_MS = 1_790_000_000_000  # 2026-09-21 14:13 UTC, a Monday
CARD = "uid:04a1b2c3d4e580"
OTHER_CARD = "uid:04a1b2c3d4e581"


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """A code as it is printed: both ways to read it."""

    id: bytes
    typed: str
    qr: str


class Clock:
    """The till's clocks; tests turn them."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self.wall_ms, self.boottime_ms, self.boot = start_ms, 5_000_000, BOOT

    def __call__(self) -> Moment:
        return Moment(wall_ms=self.wall_ms, boot_id=self.boot, boottime_ms=self.boottime_ms, nonce=b"N" * 8)

    def passes(self, seconds: float) -> None:
        self.wall_ms += round(seconds * 1000)
        self.boottime_ms += round(seconds * 1000)


class Shop:
    """One enrolled terminal under `folder`. `till` is opened on first use and again after `close`."""

    def __init__(self, folder: Path, *, document: bytes | None = None, start_ms: int = START_MS) -> None:
        self.folder, self.clock = folder, Clock(start_ms)
        self.keys = {purpose: Ed25519PrivateKey.generate() for purpose in PURPOSES}
        self.identity = identity.Identity(
            terminal=TerminalId(secrets.token_bytes(16)),
            enrolment=secrets.token_bytes(16),
            outlet="harbour",
            private_key=Ed25519PrivateKey.generate().private_bytes_raw(),
            centre_keys={f"{p}-0000000{n}": key.public_key().public_bytes_raw() for n, (p, key) in self._numbered()},
            token_key=b"t" * 32,
            token_key_id=1,
            code_key=b"c" * 32,
        )
        identity.save(folder, self.identity)
        self.snapshot = Snapshot.open_or_create(folder)
        self.told(State(generation=GENERATION, epoch=1, last_exchange_ms=start_ms))
        self.load(document if document is not None else PROGRAMME.read_bytes())
        self._serial = 0
        self._open()

    def _numbered(self) -> list[tuple[int, tuple[str, Ed25519PrivateKey]]]:
        return list(enumerate(self.keys.items(), 1))

    def kid(self, purpose: str) -> bytes:
        return cose_kid(f"{purpose}-0000000{PURPOSES.index(purpose) + 1}")

    def _open(self) -> None:
        self.journal = Journal.open_or_create(self.folder, self.identity.terminal, self.identity.enrolment)
        reader = SnapshotReader.open(self.folder)
        self._reader = reader
        self.till = Till(journal=self.journal, snapshot=lambda: reader, identity=self.identity, moment=self.clock)
        self.operations = Operations(self.till, configuration(self.folder))

    def close(self) -> None:
        self._reader.close()
        self.journal.close()
        self.snapshot.close()

    # What the centre tells

    def told(self, state: State) -> None:
        with self.snapshot.writing():
            self.snapshot.put_state(state)

    def acknowledged(self, seq: int) -> None:
        """The centre has our rows through `seq`."""
        hash_ = self.journal.hash_at(seq)
        assert hash_ is not None
        state = self.snapshot.state()
        self.told(msgspec.structs.replace(state, ack_seq=seq, ack_hash=hash_, outcomes_through=seq))

    def load(self, document: bytes, version: int = 1) -> None:
        signed = sign1(document, self.keys["programme"], self.kid("programme"), max_bytes=DOCUMENT_MAX_BYTES)
        with self.snapshot.writing():
            self.snapshot.put_programme(version, signed)

    def print_code(
        self, kind: codes.Kind = "activation", *, programme: str = "harbour", lasts_s: int = 86_400, known: bool = True
    ) -> Printed:
        """A code that the centre issued; `known`: its typed form has reached this till."""
        self._serial += 1
        number, id_ = (secrets.randbits(40) << 10) | 3, secrets.token_bytes(16)
        now_s = self.clock.wall_ms // 1000
        code = codes.ActivationCode(
            programme=programme,
            code_id=id_,
            batch="welcome",
            serial=self._serial,
            issued_at_s=now_s - 86_400,
            expires_at_s=now_s + lasts_s,
            kind=kind,
        )
        if known:
            hash_ = typed.stored_hash(typed.TypedCode(number=number), self.identity.code_key)
            with self.snapshot.writing():
                self.snapshot.put_codes("welcome", kind, [(hash_, id_, self._serial)])
        return Printed(id=id_, typed=typed.make(number), qr=codes.encode(code, self.keys["code"], self.kid("code")))

    def member(self, card: str = CARD, *, name: str = "Fiorella", **facts: object) -> AccountId:
        """A member as the centre knows it as of our last row."""
        account, head = AccountId(secrets.token_bytes(16)), self.journal.head()
        known = Facts(known=True, **facts)  # type: ignore[arg-type]
        with self.snapshot.writing():
            told = Member(account, 1, msgspec.msgpack.encode(known), name, Head(head.seq, head.hash))
            self.snapshot.put_member(told, 1, [(self.token(card), "active")])
        return account

    def token(self, card: str) -> CardToken:
        scheme, _, value = card.partition(":")
        return self.identity.token(scheme, value)

    def grant(self, account: AccountId, points: int, *, lifetime_s: int = 3_600, epoch: int = 1) -> AllowanceId:
        """Points set aside for this till, asked for just now."""
        id_ = AllowanceId(secrets.token_bytes(16))
        held = Held(
            id_,
            account,
            points,
            epoch,
            secrets.token_bytes(16),
            self.clock.boot,
            self.clock.boottime_ms,
            self.clock.wall_ms,
            lifetime_s,
            b"grant",
        )
        with self.snapshot.writing():
            self.snapshot.put_allowance(held)
        return id_

    # What is on disk

    def rows(self) -> int:
        return self.journal.head().seq


def configuration(folder: Path, readers: tuple[Reader, ...] = ()) -> Config:
    return Config(
        path=folder / "agent.toml",
        terminal=Terminal(data_dir=str(folder)),
        server=Server(url="http://127.0.0.1:9"),
        sync=Sync(automatic=False),
        till=TillSection(socket=str(folder / "agent.sock")),
        cards=Cards(),
        readers=readers,
    )
