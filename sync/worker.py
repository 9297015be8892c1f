"""The sync worker: a child of the agent that exchanges at start-up, every interval, on a nudge and when told to.

It hears commands on standard input and says on standard output what happened; see sync/lines.py. It holds no state of
its own: what must survive is in snapshot.db, so it may be killed at any moment.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from pathlib import Path

import msgspec

from loyalty.ids import AccountId
from sync import clocks, exchange, identity, lines, retry
from sync.client import Client, ExchangeFailedError, connect
from sync.exchanger import Exchanger, open_files
from sync.files import StorageError
from sync.journal import JournalError
from sync.protocol.messages import Wish

NUDGE_DELAY_S = 0.05  # rows of one burst leave together
MAX_IN_A_ROW = 1_000  # then commands are heard again
WISH_PATIENCE_S = 15.0


class Options(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the agent tells its worker."""

    data_dir: str
    server_url: str
    automatic: bool = True
    interval_s: float = 900.0
    ca_file: str | None = None


def say(line: lines.Said) -> None:
    """One line, at once."""
    sys.stdout.buffer.write(lines.encode(line))
    sys.stdout.buffer.flush()


def main(argv: list[str]) -> int:
    """Runs until standard input closes; 2 for wrong options, 3 where this terminal has no identity or files."""
    try:
        options = msgspec.json.decode(argv[1] if argv[:1] == ["--options"] else "", type=Options)
    except (msgspec.DecodeError, IndexError) as error:
        print(f"usage: python -P -m sync --options JSON ({error})", file=sys.stderr)
        return 2
    data_dir = Path(options.data_dir)
    try:
        who = identity.load(data_dir)
        journal, snapshot = open_files(data_dir)
    except (identity.NotEnrolledError, StorageError, JournalError) as error:
        say(lines.Trouble(code=getattr(error, "code", "sync.not_ready"), text=str(error)))
        return 3
    boot = clocks.boot_id()
    client = Client(who, connect(options.server_url, options.ca_file), clocks.wall_ms)
    exchanger = Exchanger(
        identity=who,
        journal=journal,
        snapshot=snapshot,
        line=client,
        clock=lambda: clocks.read(boot),
        say=say,
    )
    Worker(exchanger, options).run(_commands())
    client.close()
    snapshot.close()
    return 0


def _commands() -> queue.SimpleQueue[lines.Command]:
    """Commands as they come, read by a thread; the closing of the pipe is a stop."""
    heard: queue.SimpleQueue[lines.Command] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            try:
                heard.put(lines.decode_command(line))
            except msgspec.DecodeError:
                continue
        heard.put(lines.Stop())

    threading.Thread(target=read, name="commands", daemon=True).start()
    return heard


def _routes() -> str:
    """The routing tables of this machine, as proc(5) gives them."""
    return "".join(
        path.read_text() for path in (Path("/proc/net/route"), Path("/proc/net/ipv6_route")) if path.exists()
    )


class Worker:
    """When to exchange. The exchange itself is the exchanger's."""

    def __init__(self, exchanger: Exchanger, options: Options) -> None:
        self._exchanger, self._options = exchanger, options
        self._due_at = time.monotonic() if options.automatic else float("inf")
        self._wished: dict[bytes, float] = {}
        self._routes = _routes()

    def run(self, heard: queue.SimpleQueue[lines.Command]) -> None:
        """Until told to stop."""
        while True:
            try:
                command = heard.get(timeout=min(lines.HEARTBEAT_S, max(0.0, self._due_at - time.monotonic())))
            except queue.Empty:
                command = None
            try:
                if isinstance(command, lines.Stop):
                    return
                self._hear(command)
                if self._options.automatic and self._network_changed():
                    self._due_at = time.monotonic()
                if command is None and time.monotonic() >= self._due_at:
                    self._exchange()
                say(lines.Alive(pending=self._exchanger.pending()))
            except StorageError as error:
                say(lines.Trouble(code=error.code, text=error.text))
                self._due_at = time.monotonic() + retry.FIRST_WAIT_S

    def _hear(self, command: lines.Command | None) -> None:
        match command:
            case lines.Nudge() if self._options.automatic and self._exchanger.up is not False:
                self._due_at = min(self._due_at, time.monotonic() + NUDGE_DELAY_S)
            case lines.SyncNow():
                say(self._exchanger.drain(command.id))
                self._plan(None)
            case lines.AskAllowance():
                id_ = bytes.fromhex(command.wish)
                account = AccountId(bytes.fromhex(command.account))
                self._exchanger.wishes[id_] = Wish(id=id_, account=account, points=command.points, exact=True)
                self._wished[id_] = time.monotonic()
                self._exchange()
            case _:
                pass

    def _exchange(self) -> None:
        """One exchange, and at once another while rows wait or the feed has more."""
        failure: retry.Failure | None = None
        try:
            for _ in range(MAX_IN_A_ROW):
                done = self._exchanger.once()
                idle = done is not None and not done.pushed and not self._exchanger.more
                if (
                    idle
                    or self._exchanger.waiting_for_branch()
                    or (done and not done.pending and not self._exchanger.more)
                ):
                    break
        except ExchangeFailedError as failed:
            failure = failed.failure
        self._forget_wishes(failed=failure is not None)
        self._plan(failure)

    def _forget_wishes(self, *, failed: bool) -> None:
        now = time.monotonic()
        for id_ in [id_ for id_, at in self._wished.items() if failed or now - at > WISH_PATIENCE_S]:
            del self._wished[id_]
            if self._exchanger.wishes.pop(id_, None) is not None:
                say(lines.Wished(wish=id_.hex(), granted=False, reason="line.down"))

    def _plan(self, failure: retry.Failure | None) -> None:
        state = self._exchanger.snapshot.state()
        if failure is not None:
            wait_s = max(0.0, (state.next_at_ms - clocks.wall_ms()) / 1000)
            self._due_at = time.monotonic() + min(wait_s, retry.IDENTITY_WAIT_S * 2)
        else:
            self._due_at = time.monotonic() + self._pause_s()
        if not self._options.automatic:
            self._due_at = float("inf")

    def _network_changed(self) -> bool:
        """Whether the routes of this machine changed since the line was seen down: it may be back."""
        before, self._routes = self._routes, _routes()
        return self._exchanger.up is False and before != self._routes

    def _pause_s(self) -> float:
        state = self._exchanger.snapshot.state()
        waiting = self._exchanger.waiting_for_branch() or exchange.forked(state, self._exchanger.journal)
        return 1.0 if waiting else retry.interval_s(state.next_poll_s or self._options.interval_s)
