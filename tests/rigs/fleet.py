"""A centre as a process of its own, terminals that have joined it, and a line between them that can be cut or torn."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.demo.line import CuttableLine
from agent.demo.world import PROGRAMME
from loyalty.ids import Generation
from server import audit, codes, keys, programmes, schema, terminals
from server.store import Store
from sync import identity
from sync.protocol import messages
from sync.protocol.messages import Enrol
from tests.rigs.terminal import PATIENCE_S, free_port


class TornLine(CuttableLine):
    """A line that may also break by itself: `tear_at` bytes of an answer are let through, then it is dead."""

    def __init__(self, centre_port: int) -> None:
        super().__init__(centre_port)
        self.tear_at: int | None = None
        self.torn = threading.Event()

    def tear(self, after_bytes: int) -> None:
        """The next connection's answer is cut there."""
        self.cut()
        self.torn.clear()
        self.tear_at = after_bytes
        self.restore()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        if self.tear_at is not None and self._is_centre(source):
            try:
                target.sendall(source.recv(65_536)[: self.tear_at])
            except OSError:
                pass
            self.tear_at = None
            self.cut()
            self.torn.set()
            return
        super()._carry(source, target)

    def _is_centre(self, end: socket.socket) -> bool:
        try:
            return bool(end.getpeername()[1] == self._centre_port)
        except OSError:
            return False


class Fleet:
    """A context manager: the centre runs when it is entered, and the line is up."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder / "centre", free_port()
        self.folder.mkdir(parents=True)
        self.line = TornLine(self.port)
        self.store = Store.open(f"sqlite:///{self.folder / 'centre.db'}")
        self.store.initialise(Generation(b"G" * 16))
        self.keys = keys.load_or_make(self.folder)
        with self.store.writing() as tx:
            programmes.load(tx, PROGRAMME.read_bytes(), self.keys, _now_ms())
        self._process: subprocess.Popen[bytes] | None = None

    def issue(self, count: int, batch: str = "welcome") -> list[codes.Issued]:
        """Activation codes, to be used for a year."""
        with self.store.writing() as tx:
            return codes.issue(
                tx,
                self.keys,
                batch=batch,
                programme="harbour",
                count=count,
                purpose="activation",
                now_ms=_now_ms() - 60_000,
                expires_ms=_now_ms() + 365 * 86_400_000,
                operator="owner",
            )

    def enrol(self, data_dir: Path) -> None:
        """A terminal at the harbour joins: its identity is in `data_dir` then."""
        private = Ed25519PrivateKey.generate()
        with self.store.writing() as tx:
            code = terminals.new_code(tx, outlet="harbour", label=data_dir.name, now_ms=_now_ms())
            proof = private.sign(messages.ENROL_CONTEXT + code.encode())
            asked = Enrol(code=code, public_key=private.public_key().public_bytes_raw(), proof=proof)
            told = terminals.enrol(tx, self.keys, asked, _now_ms())
        made = identity.Identity(
            terminal=told.terminal,
            enrolment=told.enrolment,
            outlet=told.outlet,
            private_key=private.private_bytes_raw(),
            centre_keys=told.keys,
            token_key=told.token_key,
            token_key_id=told.token_key_id,
            code_key=told.code_key,
        )
        identity.save(data_dir, made)

    # The process

    @property
    def url(self) -> str:
        """The centre by way of the line."""
        return f"http://127.0.0.1:{self.line.port}"

    def start(self) -> None:
        command = [sys.executable, "-P", "-m", "server", "run", "--data-dir", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--listen", f"127.0.0.1:{self.port}"], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        end_s = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError("the centre did not come up: " + (self.folder / "log").read_text()[-2_000:])
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """As a power cut would end it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            self._process = None

    def __enter__(self) -> Fleet:
        self.start()
        self.line.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.line.cut()
        self.kill()
        self.store.engine.dispose()

    # The books

    def faults(self, *data_dirs: Path) -> list[str]:
        """What is wrong with the books, held against these terminals' journals."""
        with self.store.reading() as tx:
            report = audit.verify(tx, data_dirs)
        return [f"{check.name}: {fault}" for check in report.checks for fault in check.faults or []]

    def events(self) -> Counter[str]:
        """How often each event is at the centre."""
        with self.store.reading() as tx:
            return Counter(event.hex() for event in tx.execute(sa.select(schema.rows.c.event_id)).scalars())

    def balances(self) -> dict[str, int]:
        """By account."""
        with self.store.reading() as tx:
            found = tx.execute(sa.select(schema.accounts.c.id, schema.accounts.c.balance))
            return {account.hex(): balance for account, balance in found}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
