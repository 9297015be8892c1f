"""The command line's way to the work: a running agent over its socket, or, where none runs, the till itself under the
same lock. There is never a second writer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from agent.app import terminal_status
from agent.config import Config
from agent.opening import build_till, lock
from agent.operations import Operations
from sync import clocks, identity, lines
from sync.client import Client, connect
from sync.exchanger import Exchanger
from sync.journal import JournalReader
from sync.protocol.chain import Head, RowHash
from sync.snapshot import Snapshot

TIMEOUT_S = 650.0


class AnswerError(Exception):
    """A refusal of the agent, as RFC 9457: `problem` holds it."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail", ""))
        self.problem = problem


class Remote:
    """A running agent."""

    def __init__(self, socket: str, language: str) -> None:
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=socket),
            base_url="http://agent/api/v1",
            headers={"Accept-Language": language},
            timeout=TIMEOUT_S,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        """A question; raises AnswerError."""
        return _read(self._http.get(path, params=params))

    def post(self, path: str, body: dict[str, Any] | None = None, key: str | None = None) -> Any:
        """An operation; raises AnswerError."""
        headers = {"Idempotency-Key": key} if key else {}
        return _read(self._http.post(path, json=body or {}, headers=headers))

    def stream(self) -> Iterator[str]:
        """Lines of the agent's server-sent events."""
        with self._http.stream("GET", "/stream", timeout=None) as response:
            yield from response.iter_lines()


def _read(response: httpx.Response) -> Any:
    if response.status_code >= 400:
        try:
            raise AnswerError(response.json())
        except ValueError as error:
            raise AnswerError({"code": "agent.answer", "detail": f"HTTP {response.status_code}"}) from error
    return response.json()


def running(config: Config) -> Remote | None:
    """The agent, if one answers on its socket."""
    if not Path(config.till.socket).exists():
        return None
    remote = Remote(config.till.socket, config.terminal.language)
    try:
        remote.get("/status")
    except (httpx.TransportError, AnswerError):
        return None
    return remote


@contextmanager
def alone(config: Config) -> Iterator[Operations]:
    """The till itself, under the lock; raises InUseError, NotEnrolledError, StorageError."""
    who = identity.load(config.data_dir)
    handle = lock(config.data_dir)
    try:
        till = build_till(who, config.data_dir)
        yield Operations(till, config)
        till.journal.close()
    finally:
        os.close(handle)


def status_alone(config: Config) -> dict[str, Any]:
    """`status` where no agent runs."""
    with alone(config) as operations:
        found = terminal_status(operations.till)
    readers = [{"name": r.name, "driver": r.driver or "command", "state": "stopped"} for r in config.readers]
    return {**found, "readers": readers, "findings": [], "agent": "not running"}


def sync_alone(config: Config) -> lines.Synced:
    """`sync` where no agent runs: the same exchanger, in this process."""
    with alone(config) as operations:
        till, boot = operations.till, clocks.boot_id()

        def heard(said: lines.Said) -> None:
            if isinstance(said, lines.OpenBranch):
                till.open_branch(said.epoch, Head(said.parent_seq, RowHash(bytes.fromhex(said.parent_hash))))

        snapshot = Snapshot.open_or_create(config.data_dir)
        client = Client(till.identity, connect(config.server.url, config.server.ca_file), clocks.wall_ms)
        exchanger = Exchanger(
            identity=till.identity,
            journal=JournalReader.open(config.data_dir),
            snapshot=snapshot,
            line=client,
            clock=lambda: clocks.read(boot),
            say=heard,
        )
        try:
            return exchanger.drain(1)
        finally:
            client.close()
            exchanger.journal.close()
            snapshot.close()
