"""For the whole suite: minutes per folder at the end, and no silent skips in CI."""

from __future__ import annotations

import os
from collections import defaultdict

import pytest
from hypothesis import settings

# Time proves nothing on a busy machine; what Hypothesis finds is replayed by the seed it prints.
settings.register_profile("holdfast", deadline=None, print_blob=True)
settings.load_profile("holdfast")


def _suite(nodeid: str) -> str:
    parts = nodeid.partition("::")[0].split("/")
    return parts[1] if len(parts) > 2 else "(top)"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Minutes per suite."""
    seconds: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[_suite(report.nodeid)] += report.duration
    if not seconds:
        return
    terminalreporter.write_line("minutes per suite:")
    for suite, total in sorted(seconds.items(), key=lambda pair: -pair[1]):
        terminalreporter.write_line(f"  {suite:12} {total / 60:5.1f}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI everything must be there: a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if os.environ.get("CI") == "true" and skipped and session.exitstatus == 0:
        for report in skipped:
            reporter.write_line(f"skipped, which CI does not allow: {report.nodeid}: {report.longrepr[2]}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
