"""What the caller already knows: the configuration, the readers' children, the queue. Handed in, never gathered."""

from __future__ import annotations

from typing import Literal

import msgspec

from drivers.lines import Fault, Health


class HealthAt(msgspec.Struct, frozen=True, kw_only=True):
    """The last heartbeat of a driver."""

    health: Health
    at: float


class FaultAt(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that a driver announced and did not take back."""

    fault: Fault
    at: float


class NotStarted(msgspec.Struct, frozen=True, kw_only=True, tag="not_started"):
    """No child was started for the reader: no agent runs, or it is just starting."""


class Running(msgspec.Struct, frozen=True, kw_only=True, tag="running"):
    """A living child and what it said last. Times are seconds since 1970."""

    started_at: float
    health: HealthAt | None = None
    faults: tuple[FaultAt, ...] = ()
    last_reading_at: float | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The child ended and was not started again yet. `exit_code` is negative for a signal."""

    exit_code: int
    at: float
    faults: tuple[FaultAt, ...] = ()


Child = NotStarted | Running | Ended


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[readers]]` of the configuration and its child. `driver` is the word of the configuration, or `command`."""

    name: str
    driver: str
    options: dict[str, object] = {}
    child: Child = msgspec.field(default_factory=NotStarted)


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the configuration that checks need. `listen` is `host:port`."""

    data_dir: str
    server_url: str
    listen: str = "127.0.0.1:8765"
    interval_s: float = 900.0
    readers: tuple[Reader, ...] = ()


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake in the configuration. A `fatal` one keeps the agent from starting."""

    where: str  # "agent.toml line 12", or an environment variable's name
    text: str
    cure: str
    fatal: bool = True


class Exchanged(msgspec.Struct, frozen=True, kw_only=True):
    """The last exchange that ended. `outcome` is its class; `status` 0 where no answer came."""

    at: float
    outcome: Literal["ok", "line", "busy", "identity", "contract", "body"]
    status: int
    signed: bool
    centre_time_s: float | None = None  # as signed by the centre


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Rows not yet acknowledged by the centre."""

    pending: int = 0
    oldest_pending_s: float | None = None
    last_exchange: Exchanged | None = None


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything handed in. `configuration` is null when the file could not be read at all: `mistakes` says why.

    `now` is seconds since 1970 by this machine's clock. `till_listening`: the caller itself holds the till's port.
    `protocols`: versions of the exchange this software speaks.
    """

    now: float
    configuration: Configuration | None
    mistakes: tuple[Mistake, ...] = ()
    queue: Queue = msgspec.field(default_factory=Queue)
    pcsc_socket: str = "/run/pcscd/pcscd.comm"
    till_listening: bool = False
    protocols: tuple[int, ...] = (1,)
