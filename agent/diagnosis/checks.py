"""All checks, and the one way they are run: a check that trips is a result too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from agent.diagnosis import checks_line, checks_machine, checks_reader
from agent.diagnosis.facts import Facts
from agent.diagnosis.judging import Check, ReaderCheck, readers_of
from agent.diagnosis.model import Missing, Undecided, Verdict
from agent.diagnosis.situation import Reader

CHECKS: dict[str, Check] = {**checks_machine.CHECKS, **checks_reader.CHECKS, **checks_line.CHECKS}


def judge(facts: Facts) -> list[Verdict]:
    """Every check on these facts; one per reader for what belongs to a reader."""
    verdicts = [_run(code, None, partial(check, facts)) for code, check in CHECKS.items()]
    for reader in readers_of(facts):
        for code, reader_check in reader_checks(reader).items():
            verdicts.append(_run(code, reader.name, partial(reader_check, facts, reader)))
    return verdicts


def reader_checks(reader: Reader) -> dict[str, ReaderCheck]:
    """A camera is not a card reader; a driver not of ours may be both."""
    if reader.driver == "camera":
        either = ("reader.library_missing", "config.reader_options", "reader.not_permitted", "reader.mute")
        ended = ("reader.driver_failed", "reader.faulty")
        return {code: checks_reader.READER_CHECKS[code] for code in either + ended} | checks_reader.CAMERA_CHECKS
    if reader.driver == "command":
        return checks_reader.READER_CHECKS | checks_reader.CAMERA_CHECKS
    return checks_reader.READER_CHECKS


def _run(code: str, scope: str | None, check: Callable[[], Verdict]) -> Verdict:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - one broken check must not cost the others
        detail = f"{type(error).__name__}: {error}"
        return Undecided(code=code, scope=scope, missing=(Missing(fact=code, why="crashed", detail=detail),))
