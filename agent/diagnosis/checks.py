"""All checks, and the one way they are run: a check that trips is a result too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from agent.diagnosis import checks_line, checks_machine, checks_reader
from agent.diagnosis.facts import Facts
from agent.diagnosis.judging import Check, readers_of
from agent.diagnosis.model import Missing, Undecided, Verdict

CHECKS: dict[str, Check] = {**checks_machine.CHECKS, **checks_reader.CHECKS, **checks_line.CHECKS}


def judge(facts: Facts) -> list[Verdict]:
    """Every check on these facts; one per reader for what belongs to a reader."""
    verdicts = [_run(code, None, partial(check, facts)) for code, check in CHECKS.items()]
    for reader in readers_of(facts):
        for code, reader_check in checks_reader.reader_checks(reader).items():
            verdicts.append(_run(code, reader.name, partial(reader_check, facts, reader)))
    return verdicts


def _run(code: str, scope: str | None, check: Callable[[], Verdict]) -> Verdict:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - one broken check must not cost the others
        detail = f"{type(error).__name__}: {error}"
        return Undecided(code=code, scope=scope, missing=(Missing(fact=code, why="crashed", detail=detail),))
