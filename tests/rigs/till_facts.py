"""A till on which all is well, as facts, to be spoilt one at a time by tests of the diagnosis."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from agent.diagnosis import facts as f
from agent.diagnosis.model import Fact, Known, Unknown
from agent.diagnosis.situation import Child, Configuration, FaultAt, HealthAt, Queue, Reader, Running, Situation
from drivers.lines import Fault, Health

NOW = 1_800_000_000.0
T = TypeVar("T")


def known(value: T, at: float = NOW) -> Known[T]:
    return Known(value=value, at=at, took_ms=1.0)


def unknown(why: str, detail: str = "for the test") -> Unknown:
    return msgspec.convert({"fact": "unknown", "why": why, "detail": detail}, Unknown)


def ready(at: float = NOW - 1, **more: object) -> Running:
    return msgspec.structs.replace(
        Running(started_at=NOW - 3600, health=HealthAt(health=Health(state="ready"), at=at)), **more
    )


def saying(code: str, text: str = "words of the driver", at: float = NOW - 5, **more: object) -> Running:
    """A child whose last fault is `code` and whose heartbeat goes on."""
    fault = FaultAt(fault=Fault(code=code, text=text), at=at)
    health = HealthAt(health=Health(state="faulty", code=code, text=text), at=NOW - 1)
    return msgspec.structs.replace(Running(started_at=NOW - 3600, health=health, faults=(fault,)), **more)


def reader(name: str = "counter", driver: str = "pcsc", child: Child | None = None, **options: object) -> Reader:
    return Reader(name=name, driver=driver, options=dict(options), child=child or ready())


def situation(*readers: Reader, queue: Queue | None = None, **more: object) -> Situation:
    configuration = Configuration(
        data_dir="/var/lib/holdfast", server_url="https://loyalty.example", readers=readers or (reader(),)
    )
    base = Situation(now=NOW, configuration=configuration, queue=queue or Queue())
    return msgspec.structs.replace(base, **more)


SIGNED = f.Answer(status=200, signed=True, protocol=1, offset_s=0.2, bound_s=0.05)

WELL = f.LineFacts(
    links=known((f.Link(name="eth0", on=True, carrier=True),)),
    gateways=known((f.Gateway(interface="eth0", address="192.0.2.1", answers=True),)),
    resolved=known(f.Resolved(host="loyalty.example", addresses=("198.51.100.7",))),
    dials=known((f.Dial(address="198.51.100.7", errno=0, took_ms=20.0),)),
    tls=known(f.Tls(fault="none")),
    greeting=known(SIGNED),
    plain=unknown("skipped"),
)


def line(**spoilt: Fact[object]) -> f.LineFacts:
    return msgspec.structs.replace(WELL, **spoilt)


def cut_at(stage: str, **spoilt: Fact[object]) -> f.LineFacts:
    """The line with every stage from `stage` on unasked, but for what is given."""
    stages = ("resolved", "dials", "tls", "greeting", "plain")
    after = {name: unknown("skipped") for name in stages[stages.index(stage) :]}
    return msgspec.structs.replace(WELL, **{**after, **spoilt})


def facts(*readers: Reader, **spoilt: object) -> f.Facts:
    base = f.Facts(
        situation=situation(*readers),
        socket=known(f.Socket(errno=0)),
        service=unknown("absent_here"),
        pcscd_installed=known(True),
        missing_libraries=known(()),
        nodes=known(()),
        line=WELL,
        space=known(
            f.Space(
                free_bytes=20_000_000_000, total_bytes=30_000_000_000, free_inodes=1_000_000, total_inodes=2_000_000
            )
        ),
        written=known(f.Written(errno=0, median_ms=0.2)),
        port=known(f.Port(errno=0)),
    )
    return msgspec.structs.replace(base, **spoilt)
