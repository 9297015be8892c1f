"""The agent: the only place that builds things and reads the clock.

It hosts the till, the pages and the local API, and keeps the readers' and the sync worker's processes running.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from agent.config import Config
from agent.diagnosis.log import DiagnosticLog
from agent.diagnosis.situation import Child as ChildState
from agent.diagnosis.situation import Configuration, NotStarted, Queue, Situation
from agent.diagnosis.situation import Reader as ReaderState
from agent.diagnosis.state_log import StateLog
from agent.hub import Hub
from agent.line import Line
from agent.opening import build_till, lock
from agent.present import tap_json
from agent.readers import Readers
from agent.till import Till
from agent.token import Card, Refused, Token
from sync import clocks, identity
from sync.exchange import acknowledged
from sync.protocol.chain import Head

TIDY_EVERY_S = 20.0

T = TypeVar("T")


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
        self.last_tap: dict[str, Any] | None = None
        self.line = Line(config, hub=self.hub, log=self.log, states=self.states, open_branch=self._branch)
        self.readers = Readers(config.readers, config.cards, hub=self.hub, states=self.states, presented=self._hear_tap)
        self._one = ThreadPoolExecutor(1, thread_name_prefix="till")
        self._tasks: set[asyncio.Task[Any]] = set()

    async def in_till(self, work: Callable[[], T]) -> T:
        """Runs till work in its own thread, one at a time: a slow disk never stops the pages."""
        return await asyncio.get_running_loop().run_in_executor(self._one, work)

    def start(self) -> None:
        """Starts the children and the regular work."""
        self.line.start()
        self.readers.start()
        self._spawn(self._tidy())

    async def stop(self) -> None:
        """Ends the children, finishes the operation in flight, closes the files."""
        self.hub.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self.readers.stop(), self.line.stop())
        await self.in_till(self.till.journal.close)
        self._one.shutdown()
        self.log.close()
        os.close(self._lock)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            with contextlib.suppress(Exception):
                if await self.in_till(self.till.close_spent_allowances):
                    self.line.nudge()

    # -- what happens ----------------------------------------------------------------------------------------------

    def _hear_tap(self, reader: str, token: Token) -> None:
        self._spawn(self._tap(reader, token))

    async def _tap(self, reader: str, token: Token) -> None:
        """One tap: who is it, and tell the pages."""
        view = None
        if isinstance(token, Card):
            card = self.identity.token(token.scheme, token.value)
            try:
                view = await self.in_till(lambda: self.till.who(card))
            except Exception as error:  # noqa: BLE001 - whatever went wrong, the cashier hears it and may tap again
                self.readers.release(token)
                token = Refused(code=getattr(error, "code", "till.failed"), text=str(error))
        self.last_tap = tap_json(reader, token, view, self.config.terminal.language)
        self.hub.publish("tap", self.last_tap)
        known = view is not None and view.known
        self.readers.beep(reader, "no" if isinstance(token, Refused) else "yes" if known else "look")

    def _branch(self, epoch: int, parent: Head) -> None:
        self._spawn(self._open_branch(epoch, parent))

    async def _open_branch(self, epoch: int, parent: Head) -> None:
        if await self.in_till(lambda: self.till.open_branch(epoch, parent)):
            text = f"this terminal goes on as epoch {epoch} from row {parent.seq}: its journal was put back or copied"
            self.log.note(time.time(), "queue", "queue.branched", text)
            self.line.nudge()

    # -- what is told ----------------------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """Fields of `holdfast status --json`."""
        status = await self.in_till(lambda: terminal_status(self.till))
        if self.line.state != "unknown":
            status["line"] = self.line.state
        status["readers"] = [reader.as_json() for reader in self.readers.all]
        status["language"] = self.config.terminal.language
        status["last_tap"] = self.last_tap
        status["findings"] = self._faults(status["readers"])
        return status

    def _faults(self, readers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What stops a reader or the line now; `doctor` looks closer."""
        dead = [reader for reader in readers if reader["state"] in ("faulty", "stopped")]
        faults = [{"code": r["code"] or "reader.mute", "scope": r["name"], "text": r["text"]} for r in dead]
        if self.line.refusal is not None:
            faults.append({"code": self.line.refusal.code, "scope": None, "text": self.line.refusal.text})
        if self.line.state == "down":
            faults.append({"code": "line.down", "scope": None, "text": self.line.text})
        return faults

    async def situation(self) -> Situation:
        """What the diagnosis needs of us."""
        status = await self.in_till(lambda: terminal_status(self.till))
        children = {reader.configured.name: reader.state for reader in self.readers.all}
        return Situation(
            now=time.time(),
            configuration=diagnosed_configuration(self.config, children),
            queue=Queue(
                pending=status["pending"],
                oldest_pending_s=status["oldest_pending_s"],
                last_exchange=self.line.last_exchange,
            ),
            pcsc_socket=os.environ.get("PCSCLITE_CSOCK_NAME", "/run/pcscd/pcscd.comm"),
            till_listening=True,
        )


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
