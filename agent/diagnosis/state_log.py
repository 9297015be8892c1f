"""Remembers what was seen last, so that the log gets a line only when something changes."""

from __future__ import annotations

import msgspec

from agent.diagnosis.log import NOTHING, About, DiagnosticLog
from agent.diagnosis.log_store import Event
from agent.diagnosis.model import Finding, Report


class StateLog:
    """One state per subject (a reader, the line, a finding): a code while something is wrong, else none."""

    def __init__(self, log: DiagnosticLog) -> None:
        self._log = log
        self._now = {event.subject or "": event for event in log.last_of_subjects() if not event.over}

    def saw(self, at: float, area: str, scope: str | None, code: str | None, text: str, about: About = NOTHING) -> bool:
        """An observation. True, and one line written, when it differs from the last one of this area and scope."""
        return self._saw(at, area, scope, code, text, f"{area}/{scope or ''}", about)

    def saw_report(self, report: Report, at: float) -> Report:
        """The shown findings that began or ended. Returns the report with `since` filled in.

        A finding that is now hidden, or could not be judged this time, has not ended.
        """
        shown = {_subject(finding): finding for finding in report.shown}
        for subject, finding in shown.items():
            self._saw(at, finding.area, finding.scope, finding.code, finding.text, subject)
        still = {_subject(finding) for finding in report.findings}
        open_ = {(doubt.code, doubt.scope) for doubt in report.undecided}
        for subject, event in list(self._now.items()):
            doubted = not open_.isdisjoint({(event.code, None), (event.code, event.scope)})
            if subject.startswith("finding/") and subject not in still and not doubted:
                self._saw(at, event.area, event.scope, None, event.text, subject)
        return msgspec.structs.replace(report, findings=tuple(map(self._with_since, report.findings)))

    def _with_since(self, finding: Finding) -> Finding:
        event = self._now.get(_subject(finding))
        return msgspec.structs.replace(finding, since=event.at) if event is not None else finding

    def _saw(
        self,
        at: float,
        area: str,
        scope: str | None,
        code: str | None,
        text: str,
        subject: str,
        about: About = NOTHING,
    ) -> bool:
        before = self._now.get(subject)
        was = before.code if before is not None else None
        if was == code:
            return False
        event = Event(at=at, area=area, scope=scope, code=code or was or "", text=text, subject=subject, was=was)
        event = msgspec.structs.replace(event, over=code is None)
        self._log.write(event, about)
        if code is None:
            del self._now[subject]
        else:
            self._now[subject] = event
        return True


def _subject(finding: Finding) -> str:
    return f"finding/{finding.code}/{finding.scope or ''}"
