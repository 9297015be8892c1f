"""`holdfast doctor` and its kin, from the command line: by the running agent's knowledge, or without it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec

from agent import config as configuration
from agent.alone import alone
from agent.app import diagnosed_configuration, terminal_status
from agent.config import Config, ConfigError
from agent.diagnosis.examine import examine
from agent.diagnosis.log import DiagnosticLog
from agent.diagnosis.log_store import Event
from agent.diagnosis.model import Report
from agent.diagnosis.situation import Mistake, Queue, Situation
from agent.hello import verify_hello
from agent.remote import AnswerError, Remote, running
from sync import identity


def examine_here(path: Path, only: str | None) -> Report:
    """All checks, here and now: also with a broken configuration, no identity and no agent. That is when it is used."""
    config: Config | None = None
    mistakes: tuple[Mistake, ...] = ()
    try:
        config = configuration.load(path)
    except ConfigError as error:
        mistakes = tuple(error.mistakes)
    keys = _answer_keys(config)
    if config is not None and not keys:
        mistakes = (_not_enrolled(config),)
    report = examine(_situation(config, mistakes), verify_hello(keys), quick=not keys)
    if only is None:
        return report
    findings = tuple(finding for finding in report.findings if finding.area == only)
    return msgspec.structs.replace(report, findings=findings)


def _situation(config: Config | None, mistakes: tuple[Mistake, ...]) -> Situation:
    found = Situation(
        now=time.time(),
        configuration=diagnosed_configuration(config, {}) if config is not None else None,
        mistakes=mistakes,
        pcsc_socket=os.environ.get("PCSCLITE_CSOCK_NAME", "/run/pcscd/pcscd.comm"),
    )
    if config is None:
        return found
    with running(config) as remote:
        if remote is not None:  # it knows its readers and its line better than anyone outside
            return msgspec.convert(remote.get("/diagnostics/situation"), Situation)
    return msgspec.structs.replace(found, queue=_queue(config))


def _queue(config: Config) -> Queue:
    try:
        with alone(config) as operations:
            status = terminal_status(operations.till)
    except Exception:  # noqa: BLE001 - doctor says what the files' own checks find; here it must only go on
        return Queue()
    return Queue(pending=status["pending"], oldest_pending_s=status["oldest_pending_s"])


def _not_enrolled(config: Config) -> Mistake:
    return Mistake(
        where=str(config.data_dir / identity.FILE_NAME),
        text="this terminal has not joined a centre yet",
        cure="holdfast enrol --server URL --code CODE   (the code: holdfast-server enrolment-code)",
    )


def _answer_keys(config: Config | None) -> dict[str, Any]:
    try:
        return identity.load(config.data_dir).keys_for("answer") if config is not None else {}
    except identity.NotEnrolledError:
        return {}


def read_log(data_dir: Path, *, since_s: float | None, area: str | None, limit: int) -> list[Event]:
    """Events of the diagnostic log, oldest first."""
    path = data_dir / "diagnostics.db"
    if not path.exists():
        return []
    log = DiagnosticLog(path)
    try:
        return list(log.read(time.time() - since_s if since_s is not None else None, area, limit))
    finally:
        log.close()


def guided_test(remote: Remote, name: str | None, seconds: float) -> dict[str, Any] | None:
    """The next tap on a reader within the time, or None."""
    until = time.monotonic() + seconds
    before = remote.get("/status")["last_tap"]
    while time.monotonic() < until:
        try:
            tap: dict[str, Any] | None = remote.get("/status")["last_tap"]
        except AnswerError:
            tap = None
        if tap is not None and tap != before and (name is None or tap["reader"] == name):
            return tap
        time.sleep(0.2)
    return None
