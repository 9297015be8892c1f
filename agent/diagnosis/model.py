"""The words of the diagnosis: a fact, a check's verdict, and the report made of the verdicts."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

import msgspec

T = TypeVar("T")

Why = Literal["denied", "timeout", "absent_here", "skipped", "crashed"]
Severity = Literal["ok", "info", "warning", "critical"]
Area = Literal["reader", "line", "centre", "clock", "storage", "configuration", "queue", "version", "system"]

SEVERITIES: tuple[Severity, ...] = ("ok", "info", "warning", "critical")


class Known(msgspec.Struct, Generic[T], frozen=True, kw_only=True, tag_field="fact", tag="known"):
    """A fact as read at `at` (seconds since 1970, this machine's clock)."""

    value: T
    at: float
    took_ms: float


class Unknown(msgspec.Struct, frozen=True, kw_only=True, tag_field="fact", tag="unknown"):
    """A fact that could not be read. `absent_here` (no service manager, no TLS on this URL) is normal and silent."""

    why: Why
    detail: str


Fact = Known[T] | Unknown


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something is wrong. `covers`: the scopes it takes down with it, null for all of them."""

    code: str
    reason: str
    scope: str | None
    severity: Severity
    area: Area
    text: str
    consequence: str
    cause: str
    cure: str
    depends_on: tuple[str, ...]  # codes, or code:reason, whose finding explains this one away
    seen_at: float  # when the newest fact behind it was read; seconds since 1970
    covers: tuple[str, ...] | None = None
    hidden_by: str | None = None
    since: float | None = None  # when it began, where the log knows; seconds since 1970


class Clear(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing wrong here. `proven_at`: when the thing itself was seen working, which clears what it depends on."""

    code: str
    scope: str | None = None
    proven_at: float | None = None


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that a check would have needed."""

    fact: str
    why: Why
    detail: str


class Undecided(msgspec.Struct, frozen=True, kw_only=True):
    """The check could not be made. It neither hides nor clears anything."""

    code: str
    scope: str | None = None
    missing: tuple[Missing, ...]
    hidden_by: str | None = None


Verdict = Finding | Clear | Undecided


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `doctor` shows. Findings in the order shown, hidden ones last; likewise the undecided."""

    findings: tuple[Finding, ...]
    undecided: tuple[Undecided, ...]
    checks: int
    took_s: float

    @property
    def shown(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.hidden_by is None)

    @property
    def worst(self) -> Severity:
        return max((finding.severity for finding in self.shown), key=SEVERITIES.index, default="ok")
