"""Checks of the line by stages, of the centre, and of the clock by the centre's word. Pure."""

from __future__ import annotations

import errno
import ipaddress
import math
from urllib.parse import urlsplit

from agent.diagnosis.catalogue import CATALOGUE, found
from agent.diagnosis.facts import Answer, Certificate, Dial, Facts, Greeting, NoAnswer, Plain, Tls
from agent.diagnosis.judging import Check, age, line_severity, moment, undecided, waiting
from agent.diagnosis.model import Clear, Fact, Finding, Known, Unknown, Verdict
from agent.diagnosis.situation import Exchanged

CLOCK_CRITICAL_S = 300.0  # the centre refuses signatures older than this
CLOCK_WARNING_S = 60.0
FIREWALL_SAYS_NO_S = 0.5  # "no route" at once is a firewall's word; a silent neighbour takes 3 s
BUSY_FOR_S = 600.0  # how long an exchange's "busy" is still news
CERTIFICATE_FAULTS = ("dates", "name", "issuer")

_UNKNOWN_NAME = ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY")


def no_link(facts: Facts) -> Verdict:
    links = facts.line.links
    if _outside_needless(facts):
        return Clear(code="line.no_link")
    if isinstance(links, Unknown):
        return undecided("line.no_link", net__links=links)
    if any(link.on and link.carrier for link in links.value):
        return Clear(code="line.no_link")
    on = [link.name for link in links.value if link.on]
    reason = "unplugged" if on else "off" if links.value else "none"
    names = on or [link.name for link in links.value]
    return _found(facts, "line.no_link", reason, links.at, names=", ".join(names), name=next(iter(names), ""))


def no_gateway(facts: Facts) -> Verdict:
    gateways = facts.line.gateways
    if _outside_needless(facts):
        return Clear(code="line.no_gateway")
    if isinstance(gateways, Unknown):
        return undecided("line.no_gateway", net__ip=gateways)
    if any(gateway.answers for gateway in gateways.value):
        return Clear(code="line.no_gateway")
    if not gateways.value:
        return _found(facts, "line.no_gateway", "no_route", gateways.at, name=_interface(facts))
    first = gateways.value[0]
    return _found(facts, "line.no_gateway", "silent", gateways.at, name=first.interface, gateway=first.address)


def _outside_needless(facts: Facts) -> bool:
    """The centre is on this very machine, or its host was heard on this network just now, be it to refuse."""
    known, resolved, dials = facts.situation.configuration, facts.line.resolved, facts.line.dials
    if isinstance(dials, Known) and any(dial.errno in (0, errno.ECONNREFUSED) for dial in dials.value):
        return True
    hosts = resolved.value.addresses if isinstance(resolved, Known) else ()
    return all(_loopback(host) for host in hosts or ((urlsplit(known.server_url).hostname or "") if known else "",))


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def dns(facts: Facts) -> Verdict:
    resolved = facts.line.resolved
    if isinstance(resolved, Unknown):
        if resolved.why == "timeout":
            return _found(
                facts, "line.dns", "silent", facts.situation.now, name=_interface(facts), error=resolved.detail
            )
        return undecided("line.dns", resolver=resolved)
    error = resolved.value.error
    if error is None:
        return Clear(code="line.dns")
    reason = "unknown_name" if error in _UNKNOWN_NAME else "silent" if error == "EAI_AGAIN" else "failed"
    return _found(facts, "line.dns", reason, resolved.at, name=_interface(facts), error=error)


def _interface(facts: Facts) -> str:
    links = facts.line.links.value if isinstance(facts.line.links, Known) else ()
    return next((link.name for link in links if link.on and link.carrier), "eth0")


def tcp(facts: Facts) -> Verdict:
    dials = facts.line.dials
    if isinstance(dials, Unknown):
        return undecided("line.tcp", tcp__each=dials)
    if any(dial.errno == 0 for dial in dials.value):
        return Clear(code="line.tcp")
    reasons = {_dial_reason(dial) for dial in dials.value}
    telling = next(reason for reason in ("refused", "timeout", "prohibited", "unreachable") if reason in reasons)
    return _found(facts, "line.tcp", telling, dials.at)


def _dial_reason(dial: Dial) -> str:
    if dial.errno == errno.ECONNREFUSED:
        return "refused"
    if dial.errno == errno.ETIMEDOUT:
        return "timeout"
    at_once = dial.took_ms < FIREWALL_SAYS_NO_S * 1000
    forbidden = dial.errno in (errno.EACCES, errno.EPERM) or (dial.errno == errno.EHOSTUNREACH and at_once)
    return "prohibited" if forbidden else "unreachable"


def portal(facts: Facts) -> Verdict:
    """Something else answers in the centre's place. A plain HTTP answer without the token is the best proof."""
    plain, greeting = facts.line.plain, facts.line.greeting
    if isinstance(plain, Known) and (reason := _plain_portal(plain.value)):
        return _found(
            facts, "line.portal", reason, plain.at, portal=plain.value.redirected_to, status=plain.value.status
        )
    if isinstance(greeting, Unknown):
        tls_judged = isinstance(facts.line.tls, Known) and facts.line.tls.value.fault != "none"
        # the greeting was not sent because TLS failed, and plain HTTP bears no sign of a portal
        decided = greeting.why == "skipped" and tls_judged
        return Clear(code="line.portal") if decided else undecided("line.portal", http__hello=greeting)
    answer = greeting.value
    if isinstance(answer, NoAnswer) or answer.signed or _fails(answer):
        return Clear(code="line.portal")
    token = isinstance(plain, Known) and plain.value.token
    reason = _answer_portal(answer, token=token, https=isinstance(facts.line.tls, Known))
    return _found(facts, "line.portal", reason, greeting.at, portal=answer.redirected_to, status=answer.status)


def _plain_portal(plain: Plain) -> str | None:
    if plain.status == 511:
        return "status_511"
    if plain.redirected_to:
        return "redirect"
    return "page" if plain.status == 200 and not plain.token else None


def _answer_portal(answer: Answer, *, token: bool, https: bool) -> str:
    if answer.status == 511:
        return "status_511"
    if answer.redirected_to:
        return "redirect"
    if answer.status in (401, 403, 407):
        return "refused"
    return "page" if answer.status == 200 and not token and not https else "unsigned"


def _fails(answer: Answer) -> bool:
    return answer.status == 429 or (answer.status >= 500 and answer.status != 511)


def tls(facts: Facts) -> Verdict:
    seen = facts.line.tls
    if isinstance(seen, Unknown):
        if seen.why == "absent_here":
            return Clear(code="line.tls")
        return undecided("line.tls", tls=seen)
    if seen.value.fault in ("none", "silent"):  # silence is judged by centre.down
        return Clear(code="line.tls")
    return _found(facts, "line.tls", seen.value.fault, seen.at, **_tls_fields(facts, seen.value))


def _tls_fields(facts: Facts, seen: Tls) -> dict[str, object]:
    unread = Certificate(names=(), issuer="unknown", not_before=0.0, not_after=0.0)
    shown = seen.certificate or unread
    return {
        "detail": seen.detail,
        "names": ", ".join(shown.names) or "none",
        "issuer": shown.issuer,
        "begins": moment(shown.not_before),
        "ends": moment(shown.not_after),
        "now": moment(facts.situation.now),
    }


def down(facts: Facts) -> Verdict:
    """A signed answer in this run proves the whole way there, whatever a probe said before it."""
    code, greeting, secured = "centre.down", facts.line.greeting, facts.line.tls
    if isinstance(secured, Known) and secured.value.fault == "silent":
        return _found(facts, code, "silent", secured.at)
    if isinstance(secured, Unknown) and secured.why == "timeout":
        return _found(facts, code, "silent", facts.situation.now)
    if isinstance(greeting, Unknown):
        if greeting.why == "timeout":
            return _found(facts, code, "silent", facts.situation.now)
        return undecided(code, http__hello=greeting)
    match greeting.value:
        case NoAnswer(how=how, detail=detail):
            return _found(facts, code, how, greeting.at, detail=detail)
        case Answer(signed=False, status=status) if _fails(greeting.value):
            return _found(facts, code, "failing", greeting.at, status=status)
        case Answer(signed=True, status=status) if status >= 500 and status != 503:
            return _found(facts, code, "error", greeting.at, status=status)
        case Answer(signed=True):
            return Clear(code=code, proven_at=greeting.at)
        case _:
            return Clear(code=code)


def busy(facts: Facts) -> Verdict:
    """Signed 429 or 503, now or in an exchange of the last minutes."""
    return _by_status(facts, "centre.busy", "busy", (429, 503), within_s=BUSY_FOR_S)


def refused(facts: Facts) -> Verdict:
    """Signed 401 or 403: unsigned ones are a portal's."""
    return _by_status(facts, "centre.refused", "refused", (401, 403), within_s=math.inf)


def _by_status(facts: Facts, code: str, reason: str, statuses: tuple[int, ...], *, within_s: float) -> Verdict:
    greeting, last = facts.line.greeting, facts.situation.queue.last_exchange
    for at, status in (*_signed_greeting(greeting), *_signed_exchange(last)):
        if status in statuses and facts.situation.now - at <= within_s:
            return _found(facts, code, reason, at, status=status)
    if isinstance(greeting, Unknown) and last is None:
        return undecided(code, http__hello=greeting)
    return Clear(code=code)


def _signed_greeting(greeting: Fact[Greeting]) -> list[tuple[float, int]]:
    if isinstance(greeting, Known) and isinstance(greeting.value, Answer) and greeting.value.signed:
        return [(greeting.at, greeting.value.status)]
    return []


def _signed_exchange(last: Exchanged | None) -> list[tuple[float, int]]:
    return [(last.at, last.status)] if last is not None and last.signed else []


def version(facts: Facts) -> Verdict:
    """The centre speaks a protocol that this software does not. Unsigned advice is not believed."""
    code, greeting, ours = "centre.version", facts.line.greeting, facts.situation.protocols
    known = ", ".join(map(str, ours))
    for at, status in (*_signed_greeting(greeting), *_signed_exchange(facts.situation.queue.last_exchange)):
        if status == 426:
            return _found(facts, code, "too_old", at, theirs="a newer one", ours=known)
    if isinstance(greeting, Unknown):
        return undecided(code, http__hello=greeting)
    theirs = greeting.value.protocol if isinstance(greeting.value, Answer) else None
    if theirs is None or theirs in ours:
        return Clear(code=code)
    reason = "too_old" if theirs > max(ours) else "too_new"
    return _found(facts, code, reason, greeting.at, theirs=theirs, ours=known)


def clock(facts: Facts) -> Verdict:
    """This clock against the centre's signed time; without a line, at least against the last one signed."""
    greeting, last = facts.line.greeting, facts.situation.queue.last_exchange
    answer = greeting.value if isinstance(greeting, Known) else None
    if isinstance(greeting, Known) and isinstance(answer, Answer) and answer.offset_s is not None:
        return _offset(answer.offset_s, answer.bound_s, greeting.at)
    behind_s = (last.centre_time_s or 0.0) - facts.situation.now if last is not None and last.signed else 0.0
    if behind_s > CLOCK_WARNING_S:
        return found("clock.wrong", "behind", at=facts.situation.now, fields={"offset": f"{age(behind_s)} behind"})
    missing = greeting if isinstance(greeting, Unknown) else Unknown(why="skipped", detail="no signed time was got")
    return undecided("clock.wrong", clock__offset=missing)


def _offset(offset_s: float, bound_s: float, at: float) -> Verdict:
    proven_s = abs(offset_s) - bound_s
    if proven_s < CLOCK_WARNING_S:
        return Clear(code="clock.wrong")
    words = f"{age(abs(offset_s))} {'fast' if offset_s > 0 else 'slow'}"
    if proven_s >= CLOCK_CRITICAL_S:
        return found("clock.wrong", "far", at=at, fields={"offset": words})
    return found("clock.wrong", "drift", at=at, severity="warning", fields={"offset": words})


def _found(facts: Facts, code: str, reason: str, at: float, **fields: object) -> Finding:
    known, queue = facts.situation.configuration, facts.situation.queue
    parts = urlsplit(known.server_url if known else "")
    host, port = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    down = CATALOGUE[code].area == "line" or code == "centre.down"
    return found(
        code,
        reason,
        at=at,
        scope=host or None,
        severity=line_severity(queue) if down else None,
        fields={"waiting": waiting(queue), "host": host, "port": port, **fields},
    )


CHECKS: dict[str, Check] = {
    "line.no_link": no_link,
    "line.no_gateway": no_gateway,
    "line.dns": dns,
    "line.tcp": tcp,
    "line.portal": portal,
    "line.tls": tls,
    "centre.down": down,
    "centre.busy": busy,
    "centre.refused": refused,
    "centre.version": version,
    "clock.wrong": clock,
}
