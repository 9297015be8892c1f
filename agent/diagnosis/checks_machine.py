"""Checks of the disk, the configuration, the till's port and the queue. Pure."""

from __future__ import annotations

import errno
import os
from typing import assert_never

from agent.diagnosis.catalogue import found
from agent.diagnosis.facts import Answer, Facts
from agent.diagnosis.gather_line import centre_at
from agent.diagnosis.judging import DAY_S, QUEUE_CRITICAL_S, Check, age, size, undecided, waiting
from agent.diagnosis.model import Clear, Finding, Known, Severity, Unknown, Verdict

LOW_BYTES = 500_000_000
LOW_INODES = 1_000
SLOW_SYNC_MS = 100.0  # a good disk takes 0.1 ms, a worn SD card 20 ms

ABSENT = {errno.ENOENT: "missing", errno.ENOTDIR: "not_a_folder"}
READ_ONLY = {errno.EROFS: "file_system", errno.EACCES: "not_permitted", errno.EPERM: "not_permitted"}
FULL = {errno.ENOSPC: "blocks", errno.EDQUOT: "quota", errno.EFBIG: "size_limit"}


def absent(facts: Facts) -> Verdict:
    return _write_failure(facts, "storage.absent", ABSENT)


def read_only(facts: Facts) -> Verdict:
    return _write_failure(facts, "storage.read_only", READ_ONLY)


def failing(facts: Facts) -> Verdict:
    written = facts.written
    named = {0, *ABSENT, *READ_ONLY, *FULL}
    if isinstance(written, Known) and written.value.errno not in named:
        return _storage(facts, "storage.failing", "io_error", written.at, error=os.strerror(written.value.errno))
    return _write_failure(facts, "storage.failing", {})


def full(facts: Facts) -> Verdict:
    """Blocks and inodes give the same errno; statvfs tells them apart."""
    space, written = facts.space, facts.written
    none_left = isinstance(space, Known) and space.value.total_inodes > 0 and space.value.free_inodes == 0
    if none_left and isinstance(written, Known) and written.value.errno == errno.ENOSPC:
        return _storage(facts, "storage.full", "inodes", written.at)
    return _write_failure(facts, "storage.full", FULL)


def _write_failure(facts: Facts, code: str, reasons: dict[int, str]) -> Verdict:
    written = facts.written
    if isinstance(written, Unknown):
        return undecided(code, disk__write=written)
    reason = reasons.get(written.value.errno)
    return _storage(facts, code, reason, written.at) if reason else Clear(code=code)


def slow_sync(facts: Facts) -> Verdict:
    written = facts.written
    if isinstance(written, Unknown):
        if written.why == "timeout":
            return _storage(facts, "storage.slow_sync", "hung", facts.situation.now, severity="critical")
        return undecided("storage.slow_sync", disk__write=written)
    if written.value.errno == 0 and written.value.median_ms > SLOW_SYNC_MS:
        return _storage(facts, "storage.slow_sync", "slow", written.at, ms=written.value.median_ms)
    return Clear(code="storage.slow_sync")


def low(facts: Facts) -> Verdict:
    space = facts.space
    if isinstance(space, Unknown):
        return undecided("storage.low", disk__space=space)
    if space.value.free_bytes < LOW_BYTES:
        return _storage(facts, "storage.low", "blocks", space.at, limit=size(LOW_BYTES))
    if space.value.total_inodes and space.value.free_inodes < LOW_INODES:
        return _storage(facts, "storage.low", "inodes", space.at, inodes=space.value.free_inodes)
    return Clear(code="storage.low")


def _storage(
    facts: Facts, code: str, reason: str, at: float, *, severity: Severity | None = None, **fields: object
) -> Finding:
    known, space = facts.situation.configuration, facts.space
    path = known.data_dir if known else ""
    free = size(space.value.free_bytes) if isinstance(space, Known) else "an unknown part"
    total = size(space.value.total_bytes) if isinstance(space, Known) else "the disk"
    fields = {"path": path, "free": free, "total": total, **fields}
    return found(code, reason, at=at, scope=path or None, severity=severity, fields=fields)


def config_invalid(facts: Facts) -> Verdict:
    """The worst mistake is shown; `holdfast config check` lists them all."""
    code, situation = "config.invalid", facts.situation
    known, now = situation.configuration, situation.now
    worst = sorted(situation.mistakes, key=lambda mistake: not mistake.fatal)
    if worst:
        first = worst[0]
        reason = "mistake" if known else "unreadable"
        words = {"text": first.text, "where": first.where, "cure": first.cure}
        return found(code, reason, at=now, severity="critical" if first.fatal else "warning", fields=words)
    if known is None:
        return undecided(code, config=Unknown(why="skipped", detail="no configuration was handed in"))
    if centre_at(known.server_url) is None:
        return found(code, "server_url", at=now, fields={"url": known.server_url})
    if isinstance(facts.port, Known) and facts.port.value.errno not in (0, errno.EADDRINUSE):
        error = os.strerror(facts.port.value.errno)
        return found(code, "listen", at=facts.port.at, fields={"listen": known.listen, "error": error})
    return Clear(code=code)


def port_in_use(facts: Facts) -> Verdict:
    code, known = "till.port_in_use", facts.situation.configuration
    if facts.situation.till_listening:
        return Clear(code=code)
    if isinstance(facts.port, Unknown) or known is None:
        return undecided(code, till__port=facts.port if isinstance(facts.port, Unknown) else _NO_CONFIGURATION)
    if facts.port.value.errno != errno.EADDRINUSE:
        return Clear(code=code)
    holder = facts.port.value.holder or "not visible to this user: sudo ss -ltnp"
    return found(code, "taken", at=facts.port.at, fields={"listen": known.listen, "holder": holder})


_NO_CONFIGURATION = Unknown(why="skipped", detail="no configuration")


def queue_stuck(facts: Facts) -> Verdict:
    """Rows wait although an exchange that began after them has ended well, or in a dispute."""
    code, queue, now = "queue.stuck", facts.situation.queue, facts.situation.now
    last = queue.last_exchange
    if last is None or not last.signed or not queue.pending or queue.oldest_pending_s is None:
        return Clear(code=code)
    match last.outcome:
        case "contract" | "body":
            return found(code, "contract", at=last.at, fields={"waiting": waiting(queue), "status": last.status})
        case "ok":
            waited_through = now - queue.oldest_pending_s < last.at - MARGIN_S
            if waited_through:
                return found(code, "not_acknowledged", at=last.at, fields={"waiting": waiting(queue)})
            return Clear(code=code)
        case "line" | "busy" | "identity":
            return Clear(code=code)
        case _:
            assert_never(last.outcome)


MARGIN_S = 120.0  # a row written while an exchange is under way leaves with the next one


def queue_old(facts: Facts) -> Verdict:
    code, queue, known = "queue.old", facts.situation.queue, facts.situation.configuration
    patience_s = 2 * known.interval_s if known else 1800.0
    oldest_s = queue.oldest_pending_s
    if not queue.pending or oldest_s is None or oldest_s < patience_s:
        return Clear(code=code)
    severity: Severity = "critical" if oldest_s > QUEUE_CRITICAL_S else "warning" if oldest_s > DAY_S else "info"
    reason = "not_sent" if _line_is_up(facts) else "line_down"
    words = {"age": age(oldest_s), "waiting": waiting(queue)}
    return found(code, reason, at=facts.situation.now, severity=severity, fields=words)


def _line_is_up(facts: Facts) -> bool:
    greeting = facts.line.greeting
    return isinstance(greeting, Known) and isinstance(greeting.value, Answer) and greeting.value.signed


CHECKS: dict[str, Check] = {
    "storage.absent": absent,
    "storage.read_only": read_only,
    "storage.full": full,
    "storage.failing": failing,
    "storage.slow_sync": slow_sync,
    "storage.low": low,
    "config.invalid": config_invalid,
    "till.port_in_use": port_in_use,
    "queue.stuck": queue_stuck,
    "queue.old": queue_old,
}
