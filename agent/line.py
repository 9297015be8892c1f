"""The line to the centre as the agent sees it: the sync worker's process, what it says, and what is asked of it."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Callable

import msgspec

from agent.children import Child, Ended
from agent.config import Config
from agent.diagnosis.log import About, DiagnosticLog
from agent.diagnosis.situation import Exchanged
from agent.diagnosis.state_log import StateLog
from agent.hub import Hub
from loyalty.ids import AccountId
from sync import lines
from sync.protocol.chain import Head, RowHash

WISH_PATIENCE_S = 8.0
SYNC_PATIENCE_S = 600.0
MUTE_AFTER_S = 60.0  # an exchange may take READ_TIMEOUT_S without a word


class Line:
    """One worker. `open_branch` has the till open a branch of the journal, which only it writes."""

    def __init__(
        self,
        config: Config,
        *,
        hub: Hub,
        log: DiagnosticLog,
        states: StateLog,
        open_branch: Callable[[int, Head], None],
    ) -> None:
        self._hub, self._log, self._states, self._open_branch = hub, log, states, open_branch
        self.state, self.text = "unknown", ""
        self.refusal: lines.Refused | None = None
        self.last_exchange: Exchanged | None = None
        self._wishes: dict[str, asyncio.Future[str | None]] = {}
        self._syncs: dict[int, asyncio.Future[lines.Synced]] = {}
        self._sync_no = 0
        self._child = Child(
            "sync",
            [sys.executable, "-P", "-m", "sync", "--options", _options(config)],
            heard=self._heard,
            ended=self._ended,
            mute_after_s=MUTE_AFTER_S,
        )

    def start(self) -> None:
        """Starts the worker and keeps it running."""
        self._child.start()

    async def stop(self) -> None:
        """Ends it."""
        await self._child.stop()

    # -- asked of the worker ---------------------------------------------------------------------------------------

    def nudge(self) -> None:
        """A row was written: it leaves within the second if the line is up."""
        self._child.tell(lines.encode(lines.Nudge()))

    async def sync_now(self) -> lines.Synced:
        """Exchanges until nothing is pending; raises TimeoutError, or LookupError where there is no worker."""
        self._sync_no += 1
        number = self._sync_no
        waiting: asyncio.Future[lines.Synced] = asyncio.get_running_loop().create_future()
        self._syncs[number] = waiting
        try:
            if not self._child.tell(lines.encode(lines.SyncNow(id=number))):
                raise LookupError("The sync worker is just starting again. Try once more.")
            return await asyncio.wait_for(waiting, SYNC_PATIENCE_S)
        finally:
            self._syncs.pop(number, None)

    async def wish(self, account: AccountId, points: int) -> str | None:
        """Asks the centre for exactly so many points to burn now; None when granted, else the reason."""
        wish = secrets.token_hex(16)
        waiting: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._wishes[wish] = waiting
        try:
            asked = lines.AskAllowance(wish=wish, account=account.hex(), points=points)
            if not self._child.tell(lines.encode(asked)):
                return "burn.line_down"
            return await asyncio.wait_for(waiting, WISH_PATIENCE_S)
        except TimeoutError:
            return "burn.slow"
        finally:
            self._wishes.pop(wish, None)

    # -- said by the worker ----------------------------------------------------------------------------------------

    def _heard(self, line: bytes) -> None:
        try:
            said = lines.decode_said(line)
        except msgspec.DecodeError:
            return
        match said:
            case lines.LineState():
                self._changed(said)
            case lines.Exchanged():
                self._exchanged(said)
            case lines.Refused():
                self.refusal, self.last_exchange = said, _failed(said.kind)
                self._states.saw(time.time(), "centre", "exchange", said.code, said.text)
            case lines.Wished():
                self._answer_wish(said)
            case lines.Synced():
                synced = self._syncs.get(said.id)
                if synced is not None and not synced.done():
                    synced.set_result(said)
            case lines.OpenBranch():
                self._open_branch(said.epoch, Head(said.parent_seq, RowHash(bytes.fromhex(said.parent_hash))))
            case lines.Trouble():
                self._states.saw(time.time(), "storage", "sync", said.code, said.text)
            case lines.Alive():
                self._states.saw(time.time(), "storage", "sync", None, "the sync worker works")

    def _changed(self, said: lines.LineState) -> None:
        self.state, self.text = said.state, said.text
        code = None if said.state == "up" else said.code or ("centre.busy" if said.kind == "busy" else "line.down")
        self._states.saw(time.time(), "line", None, code, said.text or "the centre answers")
        self._hub.publish("line", {"state": said.state, "code": code, "text": said.text})
        if said.state == "down":
            self.last_exchange = _failed(said.kind)

    def _exchanged(self, said: lines.Exchanged) -> None:
        self.refusal = None
        self.last_exchange = Exchanged(at=time.time(), outcome="ok", status=200, signed=True)
        self._states.saw(time.time(), "centre", "exchange", None, "the centre takes our rows")
        rows = [msgspec.to_builtins(row) for row in said.rows]
        self._hub.publish("outcome", {"acked_seq": said.acked_seq, "rows": rows, "pending": said.pending})
        for row in said.rows:
            about = About(row=row.seq, event_id=row.event_id, exchange=said.number)
            text = f"the centre's word on row {row.seq}: {row.outcome}" + (f", {row.reason}" if row.reason else "")
            self._log.note(time.time(), "queue", f"outcome.{row.outcome}", text, about=about)

    def _answer_wish(self, said: lines.Wished) -> None:
        waiting = self._wishes.get(said.wish)
        if waiting is not None and not waiting.done():
            reason = None if said.granted else said.reason or "burn.allowance"
            waiting.set_result("burn.line_down" if reason == "line.down" else reason)

    def _ended(self, end: Ended) -> None:
        self._log.note(
            time.time(), "system", "sync.ended", f"the sync worker ended ({end.exit_code}): {end.last_words}"
        )
        for waiting in self._wishes.values():
            if not waiting.done():
                waiting.set_result("burn.slow")


def _options(config: Config) -> str:
    options = {
        "data_dir": str(config.data_dir),
        "server_url": config.server.url,
        "automatic": config.sync.automatic,
        "interval_s": config.sync.interval_s,
        "ca_file": config.server.ca_file,
    }
    return msgspec.json.encode(options).decode()


def _failed(kind: str) -> Exchanged:
    """An exchange that failed, as the diagnosis knows it."""
    outcome = kind if kind in ("line", "busy", "identity", "contract", "body") else "line"
    return Exchanged(at=time.time(), outcome=outcome, status=0, signed=outcome != "line")  # type: ignore[arg-type]
