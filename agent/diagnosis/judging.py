"""Small words that checks share: verdicts, ages, and what staff are told besides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from agent.diagnosis.facts import Facts
from agent.diagnosis.model import Missing, Severity, Undecided, Unknown, Verdict
from agent.diagnosis.situation import Queue, Reader, Running

DAY_S = 86_400.0
QUEUE_CRITICAL_S = 14 * DAY_S

Check = Callable[[Facts], Verdict]
ReaderCheck = Callable[[Facts, Reader], Verdict]


def undecided(code: str, scope: str | None = None, **facts: Unknown) -> Undecided:
    """The check needed these facts; a double underscore in a name stands for the dot."""
    missing = (Missing(fact=name.replace("__", "."), why=fact.why, detail=fact.detail) for name, fact in facts.items())
    return Undecided(code=code, scope=scope, missing=tuple(missing))


def age(seconds: float) -> str:
    """A length of time as a person says it: "6 min", "3 days"."""
    for unit_s, name in ((DAY_S, "day"), (3600.0, "hour")):
        if seconds >= 2 * unit_s:
            return f"{int(seconds // unit_s)} {name}s"
    return f"{int(seconds // 60)} min" if seconds >= 60 else f"{int(seconds)} s"


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def size(count: int) -> str:
    return f"{count / 1_000_000_000:.1f} GB" if count >= 1_000_000_000 else f"{count // 1_000_000} MB"


def waiting(queue: Queue) -> str:
    """What a line that is down means for the shop."""
    if not queue.pending:
        return "Sales go on; nothing waits to be sent."
    rows = "1 row waits" if queue.pending == 1 else f"{queue.pending} rows wait"
    oldest = f", the oldest for {age(queue.oldest_pending_s)}" if queue.oldest_pending_s is not None else ""
    return f"Sales go on; {rows} here safely{oldest}. Burning works within allowances."


def line_severity(queue: Queue) -> Severity:
    """A line that is down is normal for this terminal, until rows have waited too long."""
    return "critical" if (queue.oldest_pending_s or 0.0) > QUEUE_CRITICAL_S else "warning"


def readers_of(facts: Facts) -> tuple[Reader, ...]:
    known = facts.situation.configuration
    return known.readers if known is not None else ()


def works(reader: Reader) -> bool:
    child = reader.child
    return isinstance(child, Running) and child.health is not None and child.health.health.state == "ready"


def others(facts: Facts, *without: str) -> str:
    """What staff can use instead of the readers named."""
    left = [reader.name for reader in readers_of(facts) if reader.name not in without and works(reader)]
    return f"{' and '.join(left)} and typed numbers still work" if left else "typed numbers still do"


def reader_severity(facts: Facts, *without: str) -> Severity:
    left = any(works(reader) for reader in readers_of(facts) if reader.name not in without)
    return "warning" if left else "critical"
