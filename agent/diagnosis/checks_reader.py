"""Checks of readers and of the smart-card service. Pure."""

from __future__ import annotations

import errno
import signal

from agent.diagnosis.catalogue import CATALOGUE, found
from agent.diagnosis.facts import Facts
from agent.diagnosis.judging import (
    Check,
    ReaderCheck,
    age,
    others,
    reader_severity,
    readers_of,
    undecided,
)
from agent.diagnosis.model import Clear, Finding, Known, Unknown, Verdict
from agent.diagnosis.situation import Ended, NotStarted, Reader, Running
from drivers.lines import MUTE_AFTER_S

NOT_STARTED = Unknown(why="skipped", detail="no agent runs, so no driver reports")


def no_service(facts: Facts) -> Verdict:
    """One service carries all PC/SC readers; it is judged by its socket, never by a process that may have gone idle."""
    readers = tuple(reader for reader in readers_of(facts) if reader.driver == "pcsc")
    if not readers:
        return Clear(code="reader.no_service")
    if isinstance(facts.socket, Unknown):
        return undecided("reader.no_service", pcsc__connect=facts.socket)
    if facts.socket.value.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return _service_down(facts, readers, facts.socket.at)
    said = next((said for reader in readers if (said := _said_by(reader, "reader.no_service"))), None)
    if said is not None and facts.socket.value.errno == 0:
        return _service(facts, readers, "not_answering", facts.socket.at, said=said[0])
    return Clear(code="reader.no_service")


def _service_down(facts: Facts, readers: tuple[Reader, ...], at: float) -> Finding:
    if isinstance(facts.pcscd_installed, Known) and not facts.pcscd_installed.value:
        return _service(facts, readers, "not_installed", at)
    if isinstance(facts.missing_libraries, Known) and facts.missing_libraries.value:
        first = facts.missing_libraries.value[0]
        return _service(facts, readers, "misconfigured", at, file=first.file, library=first.library)
    if isinstance(facts.service, Known) and facts.service.value.active == "failed":
        return _service(facts, readers, "failed", at, result=facts.service.value.result)
    return _service(facts, readers, "stopped", at)


def _service(facts: Facts, readers: tuple[Reader, ...], reason: str, at: float, **fields: object) -> Finding:
    names = tuple(reader.name for reader in readers)
    managed = not (isinstance(facts.service, Unknown) and facts.service.why == "absent_here")
    return found(
        "reader.no_service",
        reason,
        at=at,
        covers=names,
        severity=reader_severity(facts, *names),
        fields={
            "others": others(facts, *names),
            "socket": facts.situation.pcsc_socket,
            "start": "sudo systemctl start pcscd.socket" if managed else "sudo pcscd",
            **fields,
        },
    )


def not_permitted(facts: Facts, reader: Reader) -> Verdict:
    code = "reader.not_permitted"
    socket = facts.socket
    if reader.driver == "pcsc" and isinstance(socket, Known) and socket.value.errno in (errno.EACCES, errno.EPERM):
        return _reader(facts, reader, code, "socket", socket.at, socket=facts.situation.pcsc_socket)
    if isinstance(facts.nodes, Known):
        for node in facts.nodes.value:
            if node.reader == reader.name and node.exists and not node.permitted:
                return _reader(facts, reader, code, "node", facts.nodes.at, path=node.path)
    return said(code)(facts, reader)


def absent(code: str) -> ReaderCheck:
    """The device file that the configuration names is not there, or the driver says so."""

    def check(facts: Facts, reader: Reader) -> Verdict:
        if isinstance(reader.child, NotStarted) and isinstance(facts.nodes, Known):
            for node in facts.nodes.value:
                if node.reader == reader.name and not node.exists:
                    return _reader(facts, reader, code, "node", facts.nodes.at, path=node.path)
        return said(code)(facts, reader)

    return check


def mute(facts: Facts, reader: Reader) -> Verdict:
    """No heartbeat, or a driver that says that its device is silent."""
    child = reader.child
    if isinstance(child, Running):
        heard_at = child.health.at if child.health is not None else child.started_at
        silence_s = facts.situation.now - heard_at
        if silence_s > MUTE_AFTER_S:
            return _reader(facts, reader, "reader.mute", "no_heartbeat", heard_at, age=age(silence_s))
    return said("reader.mute")(facts, reader)


def driver_failed(facts: Facts, reader: Reader) -> Verdict:
    child = reader.child
    if isinstance(child, NotStarted):
        return undecided("reader.driver_failed", reader.name, driver__health=NOT_STARTED)
    if isinstance(child, Ended) and child.exit_code not in (0, 2, 3):  # 2 and 3 have findings of their own
        return _reader(facts, reader, "reader.driver_failed", "crash", child.at, how=_how(child.exit_code))
    return Clear(code="reader.driver_failed", scope=reader.name)


def _how(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"


def faulty(facts: Facts, reader: Reader) -> Verdict:
    """The driver names a fault that no check of its kind looks for. A good reading proves all that it rests on."""
    child = reader.child
    if isinstance(child, NotStarted):
        return undecided("reader.faulty", reader.name, driver__health=NOT_STARTED)
    named = {*reader_checks(reader), "reader.no_service"} if reader.driver == "pcsc" else {*reader_checks(reader)}
    for code, text, at in _words(reader):
        if code not in named:
            return _reader(facts, reader, "reader.faulty", "said", at, said=text, said_code=code)
    proven_at = child.last_reading_at if isinstance(child, Running) else None
    return Clear(code="reader.faulty", scope=reader.name, proven_at=proven_at)


def said(code: str) -> ReaderCheck:
    """The driver's own word for its state."""

    def check(facts: Facts, reader: Reader) -> Verdict:
        if isinstance(reader.child, NotStarted):
            return undecided(code, reader.name, driver__health=NOT_STARTED)
        words = _said_by(reader, code)
        if words is None:
            return Clear(code=code, scope=reader.name)
        return _reader(facts, reader, code, "said", words[1], said=words[0])

    return check


def _said_by(reader: Reader, code: str) -> tuple[str, float] | None:
    return next(((text, at) for name, text, at in _words(reader) if name == code), None)


def _words(reader: Reader) -> list[tuple[str, str, float]]:
    """All that the driver complains of now: (code, text, at). Its heartbeat counts when it is not well."""
    child = reader.child
    if isinstance(child, NotStarted):
        return []
    words = [(heard.fault.code, heard.fault.text, heard.at) for heard in child.faults if not heard.fault.over]
    health = child.health if isinstance(child, Running) else None
    if health is not None and health.health.state == "faulty":
        words.append((health.health.code or "no code", health.health.text or "nothing more", health.at))
    return words


def _reader(facts: Facts, reader: Reader, code: str, reason: str, at: float, **fields: object) -> Finding:
    severity = CATALOGUE[code].severity
    return found(
        code,
        reason,
        at=at,
        scope=reader.name,
        covers=(reader.name,),
        severity=reader_severity(facts, reader.name) if severity == "critical" else severity,
        fields={"name": reader.name, "others": others(facts, reader.name), **fields},
    )


CHECKS: dict[str, Check] = {"reader.no_service": no_service}

READER_CHECKS: dict[str, ReaderCheck] = {
    "reader.library_missing": said("reader.library_missing"),
    "config.reader_options": said("config.reader_options"),
    "reader.not_permitted": not_permitted,
    "reader.not_present": absent("reader.not_present"),
    "reader.gone": said("reader.gone"),
    "reader.busy": said("reader.busy"),
    "reader.mute": mute,
    "reader.driver_failed": driver_failed,
    "reader.tag_unsupported": said("reader.tag_unsupported"),
    "reader.read_failed": said("reader.read_failed"),
    "reader.faulty": faulty,
}

CAMERA_CHECKS: dict[str, ReaderCheck] = {
    "camera.absent": absent("camera.absent"),
    "camera.busy": said("camera.busy"),
    "camera.refused": said("camera.refused"),
    "camera.frozen": said("camera.frozen"),
    "camera.decoder_missing": said("camera.decoder_missing"),
}


def reader_checks(reader: Reader) -> dict[str, ReaderCheck]:
    """A camera is not a card reader; a driver not of ours may be both."""
    if reader.driver == "camera":
        either = ("reader.library_missing", "config.reader_options", "reader.not_permitted", "reader.mute")
        ended = ("reader.driver_failed", "reader.faulty")
        return {code: READER_CHECKS[code] for code in either + ended} | CAMERA_CHECKS
    return READER_CHECKS | CAMERA_CHECKS if reader.driver == "command" else READER_CHECKS
