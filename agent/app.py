"""The agent: the only place that builds things and reads the clock.

It hosts the till, the pages and the local API, and keeps the readers' and the sync worker's processes running.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.children import Child, Ended
from agent.config import Config, Reader
from agent.diagnosis.log import About, DiagnosticLog
from agent.diagnosis.situation import (
    Child as ChildState,
)
from agent.diagnosis.situation import Configuration, Exchanged, FaultAt, HealthAt, NotStarted, Queue, Running, Situation
from agent.diagnosis.situation import Ended as EndedState
from agent.diagnosis.situation import Reader as ReaderState
from agent.diagnosis.state_log import StateLog
from agent.hub import Hub
from agent.present import tap_json
from agent.till import Till
from agent.token import Card, Code, Debounce, Refused, read_token
from drivers import lines as driver_lines
from loyalty.ids import AccountId
from loyalty.rows import Moment
from sync import clocks, identity
from sync import lines as sync_lines
from sync.exchange import acknowledged
from sync.journal import Journal
from sync.protocol.chain import Head, RowHash
from sync.snapshot import Snapshot, SnapshotReader

WISH_PATIENCE_S = 8.0
TIDY_EVERY_S = 20.0
SYNC_PATIENCE_S = 600.0
MUTE_WORKER_AFTER_S = 60.0  # an exchange may take READ_TIMEOUT_S without a word

T = TypeVar("T")


class InUseError(Exception):
    """Another process is the terminal already, or the port is taken."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def lock(data_dir: Path) -> int:
    """There is never a second writer: the lock is held while this process lives. Raises InUseError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    handle = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise InUseError(
            "till.in_use",
            f"Another agent or command is working in {data_dir}. Nothing was done; wait for it, or stop it.",
        ) from error
    return handle


def build_till(who: identity.Identity, data_dir: Path) -> Till:
    """The till over its files, which are made if they are not there. The caller holds the lock."""
    journal = Journal.open_or_create(data_dir, who.terminal, who.enrolment)
    Snapshot.open_or_create(data_dir).close()
    boot, nonce = clocks.boot_id(), secrets.token_bytes(8)

    def moment() -> Moment:
        return Moment(wall_ms=clocks.wall_ms(), boot_id=boot, boottime_ms=clocks.boottime_ms(), nonce=nonce)

    return Till(journal=journal, snapshot=_Reopened(data_dir), identity=who, moment=moment)


class _Reopened:
    """The snapshot, opened again when a new file has taken its place."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir, self._path = data_dir, data_dir / "snapshot.db"
        self._reader: SnapshotReader | None = None
        self._inode = 0

    def __call__(self) -> SnapshotReader:
        inode = self._path.stat().st_ino
        if self._reader is None or inode != self._inode:
            if self._reader is not None:
                self._reader.close()
            self._reader, self._inode = SnapshotReader.open(self._data_dir), inode
        return self._reader


class ReaderChild:
    """One configured reader: what it said last, for the page and for the diagnosis."""

    def __init__(self, configured: Reader) -> None:
        self.configured = configured
        self.child: Child | None = None
        self.state: ChildState = NotStarted()

    def as_json(self) -> dict[str, Any]:
        """For `status`."""
        name, driver = self.configured.name, self.configured.driver or "command"
        state: str
        code: str | None
        text: str | None
        match self.state:
            case Running(health=HealthAt(health=health)):
                state, code, text = health.state, health.code, health.text
            case Running():
                state, code, text = "starting", None, None
            case EndedState(exit_code=exit_code, faults=faults):
                last = faults[-1].fault if faults else None
                state, code = "stopped", last.code if last else "reader.mute"
                text = last.text if last else f"ended with {exit_code}"
            case _:
                state, code, text = "stopped", None, None
        return {"name": name, "driver": driver, "state": state, "code": code, "text": text}


class Agent:
    """Everything that runs in the agent's process. Methods are called on the event loop unless they say otherwise."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.identity = identity.load(config.data_dir)
        self._lock = lock(config.data_dir)
        self.till = build_till(self.identity, config.data_dir)
        self.hub = Hub()
        self.log = DiagnosticLog(config.data_dir / "diagnostics.db", stream=sys.stderr)
        self.states = StateLog(self.log)
        self.readers = [ReaderChild(reader) for reader in config.readers]
        self.line = "unknown"
        self.line_text = ""
        self.refusal: sync_lines.Refused | None = None
        self.last_tap: dict[str, Any] | None = None
        self.last_exchange: Exchanged | None = None
        self._debounce = Debounce()
        self._one = ThreadPoolExecutor(1, thread_name_prefix="till")
        self._worker: Child | None = None
        self._wishes: dict[str, asyncio.Future[str | None]] = {}
        self._syncs: dict[int, asyncio.Future[sync_lines.Synced]] = {}
        self._sync_no = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def in_till(self, work: Callable[[], T]) -> T:
        """Runs till work in its own thread, one at a time: a slow disk never stops the pages."""
        return await asyncio.get_running_loop().run_in_executor(self._one, work)

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the children and the regular work."""
        options = {
            "data_dir": str(self.config.data_dir),
            "server_url": self.config.server.url,
            "automatic": self.config.sync.automatic,
            "interval_s": self.config.sync.interval_s,
            "ca_file": self.config.server.ca_file,
        }
        self._worker = Child(
            "sync",
            [*_python("sync"), "--options", msgspec.json.encode(options).decode()],
            heard=self._heard_worker,
            ended=self._worker_ended,
            mute_after_s=MUTE_WORKER_AFTER_S,
        )
        self._worker.start()
        for reader in self.readers:
            self._start_reader(reader)
        self._spawn(self._tidy())

    def _start_reader(self, reader: ReaderChild) -> None:
        configured = reader.configured
        options = msgspec.json.encode(configured.options).decode()
        command = configured.command or [*_python("drivers"), configured.driver, "--options", options]
        reader.child = Child(
            configured.name,
            command,
            heard=lambda line: self._heard_reader(reader, line),
            ended=lambda end: self._reader_ended(reader, end),
            mute_after_s=driver_lines.MUTE_AFTER_S,
        )
        reader.state = Running(started_at=time.time())
        reader.child.start()

    async def stop(self) -> None:
        """Ends the children, finishes the operation in flight, closes the files."""
        self.hub.close()
        for task in self._tasks:
            task.cancel()
        children = [reader.child for reader in self.readers] + [self._worker]
        await asyncio.gather(*(child.stop() for child in children if child is not None))
        await self.in_till(self.till.journal.close)
        self._one.shutdown()
        self.log.close()
        os.close(self._lock)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            with contextlib.suppress(Exception):
                if await self.in_till(self.till.close_spent_allowances):
                    self.nudge()

    # -- readers ---------------------------------------------------------------------------------------------------

    def _heard_reader(self, reader: ReaderChild, line: bytes) -> None:
        try:
            said = driver_lines.decode_said(line)
        except driver_lines.LineError:
            return
        now, scope = time.time(), reader.configured.name
        running = reader.state if isinstance(reader.state, Running) else Running(started_at=now)
        before = reader.as_json()
        match said:
            case driver_lines.Health():
                reader.state = msgspec.structs.replace(running, health=HealthAt(health=said, at=now))
                self._reader_state(reader, before)
            case driver_lines.Fault():
                faults = tuple(f for f in running.faults if (f.fault.code, f.fault.scope) != (said.code, said.scope))
                faults = faults if said.over else (*faults, FaultAt(fault=said, at=now))
                reader.state = msgspec.structs.replace(running, faults=faults)
                about = About(reader=scope)
                self.states.saw(
                    now, "reader", f"{scope} {said.code}", None if said.over else said.code, said.text, about
                )
                self.hub.publish("fault", {"name": scope, "code": said.code, "text": said.text, "over": said.over})
            case driver_lines.Reading():
                reader.state = msgspec.structs.replace(running, last_reading_at=now)
                self._read(reader, said)
            case driver_lines.Removed():
                self._debounce.removed(f"{scope}/{said.scope}")
                self.hub.publish("removed", {"reader": scope})
            case _:
                pass

    def _reader_state(self, reader: ReaderChild, before: dict[str, Any]) -> None:
        after = reader.as_json()
        if before == after:
            return
        name, fine = after["name"], after["state"] in ("ready", "paused")
        self.hub.publish("reader", after)
        code = None if fine else after["code"] or f"reader.{after['state']}"
        if after["state"] != "starting":
            text = after["text"] or f"reader {name} is {after['state']}"
            self.states.saw(time.time(), "reader", name, code, text, About(reader=name))

    def _reader_ended(self, reader: ReaderChild, end: Ended) -> None:
        now, before, name = time.time(), reader.as_json(), reader.configured.name
        faults = reader.state.faults if isinstance(reader.state, Running | EndedState) else ()
        exit_code = end.exit_code if end.exit_code is not None else -int(signal.SIGKILL)
        reader.state = EndedState(exit_code=exit_code, at=now, faults=faults)
        self._reader_state(reader, before)
        if end.exit_code is None:
            text = f"reader {name} said nothing for {driver_lines.MUTE_AFTER_S:.0f} s and is started again"
            self.states.saw(now, "reader", f"{name} process", "reader.mute", text, About(reader=name))
        else:
            self.states.saw(now, "reader", f"{name} process", None, f"reader {name} ended: {end.last_words}")

    def _read(self, reader: ReaderChild, reading: driver_lines.Reading) -> None:
        cards = self.config.cards
        token = read_token(reading, identity_prefixes=tuple(cards.identity_prefixes), luhn=cards.luhn)
        scope = f"{reader.configured.name}/{reading.scope}"
        if self._debounce.is_new(token, scope, time.monotonic()):
            self._spawn(self._presented(reader.configured.name, token))

    async def _presented(self, name: str, token: Card | Code | Refused) -> None:
        """One tap: who is it, and tell the pages."""
        view = None
        if isinstance(token, Card):
            card = self.identity.token(token.scheme, token.value)
            try:
                view = await self.in_till(lambda: self.till.who(card))
            except Exception as error:  # noqa: BLE001 - whatever went wrong, the cashier hears it and may tap again
                self._debounce.release(token)
                token = Refused(code=getattr(error, "code", "till.failed"), text=str(error))
        self.last_tap = tap_json(name, token, view, self.config.terminal.language)
        self.hub.publish("tap", self.last_tap)

    # -- the line --------------------------------------------------------------------------------------------------

    def nudge(self) -> None:
        """A row was written: it leaves within the second if the line is up."""
        if self._worker is not None:
            self._worker.tell(sync_lines.encode(sync_lines.Nudge()))

    async def sync_now(self) -> sync_lines.Synced:
        """Exchanges until nothing is pending; raises TimeoutError, or LookupError where there is no worker."""
        self._sync_no += 1
        number = self._sync_no
        waiting: asyncio.Future[sync_lines.Synced] = asyncio.get_running_loop().create_future()
        self._syncs[number] = waiting
        if self._worker is None or not self._worker.tell(sync_lines.encode(sync_lines.SyncNow(id=number))):
            del self._syncs[number]
            raise LookupError("The sync worker is just starting again. Try once more.")
        try:
            return await asyncio.wait_for(waiting, SYNC_PATIENCE_S)
        finally:
            self._syncs.pop(number, None)

    async def wish(self, account: AccountId, points: int) -> str | None:
        """Asks the centre for exactly so many points to burn now; None when granted, else the reason."""
        wish = secrets.token_hex(16)
        waiting: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._wishes[wish] = waiting
        line = sync_lines.AskAllowance(wish=wish, account=account.hex(), points=points)
        if self._worker is None or not self._worker.tell(sync_lines.encode(line)):
            self._wishes.pop(wish, None)
            return "burn.line_down"
        try:
            return await asyncio.wait_for(waiting, WISH_PATIENCE_S)
        except TimeoutError:
            return "burn.slow"
        finally:
            self._wishes.pop(wish, None)

    def _heard_worker(self, line: bytes) -> None:
        try:
            said = sync_lines.decode_said(line)
        except msgspec.DecodeError:
            return
        match said:
            case sync_lines.LineState():
                self._line_changed(said)
            case sync_lines.Refused():
                self.refusal = said
                self.last_exchange = _exchanged(said.kind)
                self.states.saw(time.time(), "centre", "exchange", said.code, said.text)
            case sync_lines.Exchanged():
                self.refusal = None
                self.states.saw(time.time(), "centre", "exchange", None, "the centre takes our rows")
                self.last_exchange = Exchanged(at=time.time(), outcome="ok", status=200, signed=True)
                rows = [msgspec.to_builtins(row) for row in said.rows]
                self.hub.publish("outcome", {"acked_seq": said.acked_seq, "rows": rows, "pending": said.pending})
                self._note_outcomes(said)
            case sync_lines.Wished():
                future = self._wishes.get(said.wish)
                if future is not None and not future.done():
                    reason = None if said.granted else said.reason or "burn.allowance"
                    future.set_result("burn.line_down" if reason == "line.down" else reason)
            case sync_lines.OpenBranch():
                parent = Head(said.parent_seq, RowHash(bytes.fromhex(said.parent_hash)))
                self._spawn(self._open_branch(said.epoch, parent))
            case sync_lines.Synced():
                synced = self._syncs.get(said.id)
                if synced is not None and not synced.done():
                    synced.set_result(said)
            case sync_lines.Trouble():
                self.states.saw(time.time(), "storage", "sync", said.code, said.text)
            case sync_lines.Alive():
                self.states.saw(time.time(), "storage", "sync", None, "the sync worker works")

    def _line_changed(self, said: sync_lines.LineState) -> None:
        self.line, self.line_text = said.state, said.text
        code = None if said.state == "up" else said.code or f"line.{said.kind or 'down'}"
        self.states.saw(time.time(), "line", None, code, said.text or "the centre answers")
        self.hub.publish("line", {"state": said.state, "code": code, "text": said.text})
        if said.state == "down":
            self.last_exchange = _exchanged(said.kind)

    def _note_outcomes(self, said: sync_lines.Exchanged) -> None:
        for row in said.rows:
            about = About(row=row.seq, event_id=row.event_id, exchange=said.number)
            text = f"the centre's word on row {row.seq}: {row.outcome}" + (f", {row.reason}" if row.reason else "")
            self.log.note(time.time(), "queue", f"outcome.{row.outcome}", text, about=about)

    async def _open_branch(self, epoch: int, parent: Head) -> None:
        if await self.in_till(lambda: self.till.open_branch(epoch, parent)):
            text = f"this terminal goes on as epoch {epoch} from row {parent.seq}: its journal was put back or copied"
            self.log.note(time.time(), "queue", "queue.branched", text)
            self.nudge()

    def _worker_ended(self, end: Ended) -> None:
        text = f"the sync worker ended ({end.exit_code}): {end.last_words}"
        self.log.note(time.time(), "system", "sync.ended", text)
        for waiting in self._wishes.values():
            if not waiting.done():
                waiting.set_result("burn.slow")

    # -- what is told ----------------------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """Fields of `holdfast status --json`."""
        status = await self.in_till(lambda: terminal_status(self.till))
        if self.line != "unknown":
            status["line"] = self.line
        status["readers"] = [reader.as_json() for reader in self.readers]
        status["language"] = self.config.terminal.language
        status["last_tap"] = self.last_tap
        status["findings"] = self._current_faults()
        return status

    def _current_faults(self) -> list[dict[str, Any]]:
        """What stops a reader or the line now; `doctor` looks closer."""
        found = [r for reader in self.readers if (r := reader.as_json())["state"] in ("faulty", "stopped")]
        faults = [{"code": r["code"] or "reader.mute", "scope": r["name"], "text": r["text"]} for r in found]
        if self.refusal is not None:
            faults.append({"code": self.refusal.code, "scope": None, "text": self.refusal.text})
        if self.line == "down":
            faults.append({"code": "line.down", "scope": None, "text": self.line_text})
        return faults

    async def situation(self) -> Situation:
        """What the diagnosis needs of us."""
        status = await self.in_till(lambda: terminal_status(self.till))
        return Situation(
            now=time.time(),
            configuration=diagnosed_configuration(self.config, {r.configured.name: r.state for r in self.readers}),
            queue=Queue(
                pending=status["pending"],
                oldest_pending_s=status["oldest_pending_s"],
                last_exchange=self.last_exchange,
            ),
            pcsc_socket=os.environ.get("PCSCLITE_CSOCK_NAME", "/run/pcscd/pcscd.comm"),
            till_listening=True,
        )


def _exchanged(kind: str) -> Exchanged:
    """An exchange that failed, as the diagnosis knows it."""
    outcome = kind if kind in ("line", "busy", "identity", "contract", "body") else "line"
    return Exchanged(at=time.time(), outcome=outcome, status=0, signed=outcome != "line")  # type: ignore[arg-type]


def diagnosed_configuration(config: Config, children: dict[str, ChildState]) -> Configuration:
    """The part of the configuration that checks need."""
    return Configuration(
        data_dir=str(config.data_dir),
        server_url=config.server.url,
        listen=config.till.listen,
        interval_s=config.sync.interval_s,
        readers=tuple(
            ReaderState(
                name=reader.name,
                driver=reader.driver or "command",
                options=reader.options,
                child=children.get(reader.name, NotStarted()),
            )
            for reader in config.readers
        ),
    )


def terminal_status(till: Till) -> dict[str, Any]:
    """What the files say of this terminal, with or without a running agent."""
    journal, snapshot = till.journal, till.snapshot()
    state = snapshot.state()
    acked = acknowledged(state, journal)
    pending, oldest_ms = journal.pending(acked)
    at = state.last_exchange_ms
    versions = snapshot.programme_versions()
    return {
        "terminal": till.identity.terminal.hex(),
        "outlet": till.identity.outlet,
        "epoch": journal.epoch(),
        "line": "unknown" if not at and not state.last_class else "down" if state.last_class else "up",
        "pending": pending,
        "oldest_pending_s": round((clocks.wall_ms() - oldest_ms) / 1000, 1) if oldest_ms is not None else None,
        "last_exchange_at": _iso(at) if at else None,
        "acked_seq": acked,
        "safe_seq": state.safe_seq,
        "rows": journal.head().seq,
        "members": snapshot.members(),
        "programme": versions[0] if versions else None,
        **till.money(),
    }


def _iso(at_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms / 1000))


def _python(module: str) -> list[str]:
    """Children start with -P, so that no folder they happen to stand in shadows our packages."""
    return [sys.executable, "-P", "-m", module]


def listener(config: Config) -> list[socket.socket]:
    """The sockets of pages and local API: loopback, and a UNIX socket for commands. Raises InUseError."""
    host, port = config.address()
    tcp = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        tcp.bind((host, port))
    except OSError as error:
        raise InUseError(
            "till.port_in_use",
            f"{config.till.listen} cannot be listened on: {error.strerror}. Another program has it: stop that one, or "
            "choose another address under [till] listen.",
        ) from error
    return [tcp, _unix(Path(config.till.socket))]


def _unix(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listening.bind(str(path))
        path.chmod(0o660)
    except OSError as error:
        raise InUseError("till.socket", f"{path} cannot be made: {error}. See [till] socket.") from error
    return listening
