"""From verdicts to a report: what is cleared, what is hidden by what, and in which order it is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agent.diagnosis.catalogue import ORDER, closure
from agent.diagnosis.model import SEVERITIES, Area, Clear, Finding, Report, Undecided, Verdict

# what stops a tap now, then what stops sending, then the rest
AREAS: tuple[Area, ...] = (
    "storage",
    "reader",
    "configuration",
    "clock",
    "line",
    "centre",
    "queue",
    "version",
    "system",
)


def combine(verdicts: Iterable[Verdict], *, took_s: float = 0.0) -> Report:
    """Success downstream clears; a hard dependency hides; the unknown does neither, and is named beside its symptom."""
    verdicts = list(verdicts)
    clears = [verdict for verdict in verdicts if isinstance(verdict, Clear)]
    findings = [verdict for verdict in verdicts if isinstance(verdict, Finding) and not _cleared(verdict, clears)]
    undecided = [verdict for verdict in verdicts if isinstance(verdict, Undecided)]
    hidden = sorted((_hide(finding, findings) for finding in findings), key=_place)
    doubts = sorted((_hide_doubt(doubt, findings) for doubt in undecided), key=_doubt_place)
    return Report(
        findings=tuple(_with_doubts(finding, doubts) for finding in hidden),
        undecided=tuple(doubts),
        checks=len(verdicts),
        took_s=took_s,
    )


def _cleared(finding: Finding, clears: list[Clear]) -> bool:
    """The thing itself, or something that needs it, was seen working after the fact that spoke against it."""
    return any(
        clear.proven_at is not None
        and clear.proven_at > finding.seen_at
        and _among(finding, closure(clear.code))
        and _reaches(finding, clear.scope)
        for clear in clears
    )


def _among(finding: Finding, edges: frozenset[str]) -> bool:
    return finding.code in edges or f"{finding.code}:{finding.reason}" in edges


def _reaches(root: Finding, scope: str | None) -> bool:
    return root.covers is None or scope in root.covers


def _root_of(code: str, reason: str | None, scope: str | None, findings: list[Finding]) -> str | None:
    edges = closure(code, reason)
    roots = [found for found in findings if _among(found, edges) and _reaches(found, scope)]
    return min((root.code for root in roots), key=ORDER.index, default=None)


def _hide(finding: Finding, findings: list[Finding]) -> Finding:
    root = _root_of(finding.code, finding.reason, finding.scope, findings)
    return msgspec.structs.replace(finding, hidden_by=root) if root else finding


def _hide_doubt(doubt: Undecided, findings: list[Finding]) -> Undecided:
    root = _root_of(doubt.code, None, doubt.scope, findings)
    return msgspec.structs.replace(doubt, hidden_by=root) if root else doubt


def _with_doubts(finding: Finding, doubts: list[Undecided]) -> Finding:
    """A symptom whose root could not be judged is shown, and says so."""
    edges = {edge.partition(":")[0] for edge in closure(finding.code, finding.reason)}
    missing = [
        fact
        for doubt in doubts
        if doubt.code in edges and doubt.scope in (None, finding.scope)
        for fact in doubt.missing
        if fact.why in ("denied", "timeout", "crashed")  # not asked for, or not to be had here, is no failure
    ]
    if finding.hidden_by or not missing:
        return finding
    doubt = f"Cause not established: {missing[0].fact} could not be read ({missing[0].detail})."
    return msgspec.structs.replace(finding, cause=f"{finding.cause} {doubt}")


def _place(finding: Finding) -> tuple[bool, int, int, int, str]:
    area, stage = AREAS.index(finding.area), ORDER.index(finding.code)
    return finding.hidden_by is not None, area, stage, -SEVERITIES.index(finding.severity), finding.scope or ""


def _doubt_place(doubt: Undecided) -> tuple[bool, int, str]:
    return doubt.hidden_by is not None, ORDER.index(doubt.code), doubt.scope or ""
