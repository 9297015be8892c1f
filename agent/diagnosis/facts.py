"""The facts that checks judge: shapes only. All of it is JSON, so that a recorded set can be judged again anywhere."""

from __future__ import annotations

from typing import Literal

import msgspec

from agent.diagnosis.model import Fact
from agent.diagnosis.situation import Situation


class Socket(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `connect()` on the smart-card service's socket: errno, 0 when something listens."""

    errno: int


class MissingLibrary(msgspec.Struct, frozen=True, kw_only=True):
    """A LIBPATH of the smart-card service's configuration that names no file: the service ends at start for it."""

    file: str
    library: str


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of the service manager: ActiveState and Result in its own words."""

    active: str
    result: str


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """The device file that a reader's options name."""

    reader: str
    path: str
    exists: bool
    permitted: bool


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A network interface that could lead outside: switched on (IFF_UP), and with a carrier."""

    name: str
    on: bool
    carrier: bool


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """A default route. `answers` false: the neighbour table holds the gateway as unreachable."""

    interface: str
    address: str
    answers: bool


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """What getaddrinfo said: addresses, or its error by name (EAI_AGAIN, EAI_NONAME, ...)."""

    host: str
    addresses: tuple[str, ...] = ()
    error: str | None = None


class Dial(msgspec.Struct, frozen=True, kw_only=True):
    """One TCP connect. `errno` 0 when it opened; ETIMEDOUT stands for our own limit as well."""

    address: str
    errno: int
    took_ms: float


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What the other end showed. Times are seconds since 1970."""

    names: tuple[str, ...]
    issuer: str
    not_before: float
    not_after: float


TlsFault = Literal["none", "dates", "name", "issuer", "version", "not_tls", "cut", "silent"]


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """The handshake: `fault` none when it succeeded and was verified."""

    fault: TlsFault
    verify_code: int = 0
    detail: str = ""
    certificate: Certificate | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """An HTTP answer to our greeting. `offset_s`: this clock minus the centre's, ± `bound_s`; only when signed."""

    status: int
    signed: bool
    protocol: int | None = None
    offset_s: float | None = None
    bound_s: float = 0.0
    redirected_to: str | None = None  # host of Location, when it is another one


class NoAnswer(msgspec.Struct, frozen=True, kw_only=True, tag="no_answer"):
    """TCP opened and no whole HTTP answer came."""

    how: Literal["silent", "cut", "garbage"]
    detail: str


Greeting = Answer | NoAnswer


class Plain(msgspec.Struct, frozen=True, kw_only=True):
    """Plain HTTP answer to /.well-known/holdfast. `token`: it is the centre's own."""

    status: int
    token: bool
    redirected_to: str | None = None


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """statvfs of the data folder, in bytes and inodes open to us (not root's reserve)."""

    free_bytes: int
    total_bytes: int
    free_inodes: int
    total_inodes: int


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """Own write and fdatasync in the data folder: errno 0 and the median time, or the errno that stopped it."""

    errno: int
    median_ms: float


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """Own bind of the till's port: errno 0 when it is free. `holder`: "name (pid)" where it could be seen."""

    errno: int
    holder: str | None = None


class LineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The way to the centre, stage by stage; a stage behind a failed one is Unknown, skipped."""

    links: Fact[tuple[Link, ...]]
    gateways: Fact[tuple[Gateway, ...]]
    resolved: Fact[Resolved]
    dials: Fact[tuple[Dial, ...]]
    tls: Fact[Tls]
    greeting: Fact[Greeting]
    plain: Fact[Plain]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that one examination knows."""

    situation: Situation
    socket: Fact[Socket]
    service: Fact[Service]
    pcscd_installed: Fact[bool]
    missing_libraries: Fact[tuple[MissingLibrary, ...]]
    nodes: Fact[tuple[Node, ...]]
    line: LineFacts
    space: Fact[Space]
    written: Fact[Written]
    port: Fact[Port]
