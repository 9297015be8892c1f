"""The till's work without an agent: where none runs, a command does it under the same lock. There is never a second
writer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
