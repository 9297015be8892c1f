"""A report as `doctor --json` and as words on a terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from agent.diagnosis.model import Finding, Report, Severity, Undecided

MARKS: dict[Severity, tuple[str, str]] = {
    "critical": ("[x]", "bold red"),
    "warning": ("[!]", "bold yellow"),
    "info": ("[i]", "bold blue"),
    "ok": ("[ok]", "bold green"),
}
CODE_WIDTH = 22


def to_json(report: Report) -> dict[str, object]:
    """`doctor --json`: findings in the order shown, hidden ones last. `since` is ISO 8601 or null."""
    return {
        "findings": [_finding_json(finding) for finding in report.findings],
        "undecided": [_undecided_json(doubt) for doubt in report.undecided],
        "worst": report.worst,
        "checks": report.checks,
        "took_s": round(report.took_s, 3),
    }


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code,
        "reason": finding.reason,
        "scope": finding.scope,
        "severity": finding.severity,
        "area": finding.area,
        "text": finding.text,
        "consequence": finding.consequence,
        "cause": finding.cause,
        "cure": finding.cure,
        "depends_on": list(dict.fromkeys(edge.partition(":")[0] for edge in finding.depends_on)),
        "hidden_by": finding.hidden_by,
        "since": _iso(finding.since),
        "page": f"docs/findings/{finding.code}.md",
    }


def _undecided_json(doubt: Undecided) -> dict[str, object]:
    missing = [{"fact": fact.fact, "why": fact.why, "detail": fact.detail} for fact in doubt.missing]
    return {"code": doubt.code, "scope": doubt.scope, "missing": missing, "hidden_by": doubt.hidden_by}


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def render(report: Report, console: Console, *, verbose: bool = False) -> None:
    """State, consequence, next step; one cheerful line when all is well. `verbose` adds causes and what is hidden."""
    for line in _lines(report, verbose=verbose):
        console.print(line, soft_wrap=True)


def _lines(report: Report, *, verbose: bool) -> Iterator[Text]:
    for finding in report.shown:
        yield from _finding_lines(finding, report, verbose=verbose)
    yield from _doubt_lines(report)
    if report.shown:
        causes = len(report.shown)
        yield Text(f"{causes} cause{'s' * (causes != 1)} found in {report.took_s:.1f} s.")
    elif any(doubt.missing[0].why != "absent_here" for doubt in report.undecided):
        made = report.checks - len(report.undecided)
        yield _marked("ok", f"Nothing wrong in the {made} checks that could be made, in {report.took_s:.1f} s.")
    else:
        yield _marked("ok", f"Everything works. {report.checks} checks in {report.took_s:.1f} s.")


def _marked(severity: Severity, words: str) -> Text:
    mark, colour = MARKS[severity]
    return Text.assemble((mark, colour), " ", words)


def _finding_lines(finding: Finding, report: Report, *, verbose: bool) -> Iterator[Text]:
    since = f" (since {_clock(finding.since)})" if finding.since is not None else ""
    yield _marked(finding.severity, f"{finding.code:<{CODE_WIDTH}} {finding.text}{since}")
    yield Text(f"    {finding.consequence}")
    if verbose:
        yield Text(f"    Why: {finding.cause}")
    yield Text.assemble("    ", ("Fix:", "bold"), f" {finding.cure}")
    behind = [other.code for other in report.findings if other.hidden_by == finding.code]
    if behind and verbose:
        yield Text(f"    Hidden, since they follow from this: {', '.join(behind)}")
    elif behind:
        yield Text(f"    {len(behind)} more follow from this and are hidden:  holdfast doctor -v")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%d %b %H:%M")


def _doubt_lines(report: Report) -> Iterator[Text]:
    """One line per reason, not per check: ten checks that lack one fact are one piece of news."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for doubt in report.undecided:
        missing = doubt.missing[0]
        if doubt.hidden_by is None and missing.why != "absent_here":
            by_reason[missing.detail].append(f"{doubt.code} ({doubt.scope})" if doubt.scope else doubt.code)
    for detail, codes in by_reason.items():
        named = ", ".join(codes[:3]) + (f" and {len(codes) - 3} more" if len(codes) > 3 else "")
        yield Text.assemble(("[?]", "bold magenta"), f" {named}: could not be checked: {detail}.")
