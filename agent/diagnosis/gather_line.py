"""The way to the centre as one chain of stages: names, TCP, TLS, greeting. A stage after a failed one is skipped."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from agent.diagnosis import gather_network as network
from agent.diagnosis.facts import Answer, Dial, Greeting, LineFacts, NoAnswer, Plain, Resolved, Tls
from agent.diagnosis.model import Fact, Known, Unknown
from agent.diagnosis.timed import AbsentHereError, Started, skipped, timed

LOCAL_LIMIT_S = 0.9  # reading a few files of the kernel
DNS_LIMIT_S = 2.5  # Debian's resolver may take 10 s; by then the person at the till has gone
GREETING_LIMIT_S = 2.0
PLAIN_LIMIT_S = 1.0
TOTAL_LIMIT_S = 9.0
MAX_BODY_BYTES = 65_536
WELL_KNOWN = "/.well-known/holdfast"
WELL_KNOWN_TOKEN = b"holdfast"  # what the centre's plain answer begins with


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloVerdict:
    """What the exchange's own verification says of a greeting: nothing in it counts unless `signed`."""

    signed: bool
    centre_time_s: float | None = None
    protocol: int | None = None


class VerifyHello(Protocol):
    """Verifies an answer's signature and that it is bound to `nonce`."""

    def __call__(self, nonce: str, status: int, headers: Mapping[str, str], body: bytes) -> HelloVerdict: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Centre:
    """Where the configuration says that the centre is."""

    url: str
    host: str
    port: int
    tls: bool


def centre_at(url: str) -> Centre | None:
    """The parts of the server's URL; None when it is not one."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    tls = parts.scheme == "https"
    return Centre(url=url.rstrip("/"), host=host, port=port or (443 if tls else 80), tls=tls)


class Budget:
    """What is left of the time that the whole walk may take: stages that each just make it must not add up."""

    def __init__(self, total_s: float) -> None:
        self._end = time.monotonic() + total_s

    def at_most(self, limit_s: float) -> float:
        return max(0.0, min(limit_s, self._end - time.monotonic()))


def line_unasked(why: str) -> LineFacts:
    """Line facts where nobody asked: a quick examination, or no configuration."""
    not_asked = skipped(why)
    return LineFacts(
        links=timed(network.links, LOCAL_LIMIT_S),
        gateways=timed(network.gateways, LOCAL_LIMIT_S),
        resolved=not_asked,
        dials=not_asked,
        tls=not_asked,
        greeting=not_asked,
        plain=not_asked,
    )


def gather_line(centre: Centre, verify_hello: VerifyHello) -> LineFacts:
    """Walks the stages, at worst for `TOTAL_LIMIT_S`."""
    budget = Budget(TOTAL_LIMIT_S)
    links = Started(network.links, LOCAL_LIMIT_S)
    resolved = timed(lambda: network.resolve(centre.host, centre.port), DNS_LIMIT_S)
    dials = _dials(centre, resolved)
    tls = _tls(centre, dials)
    greeting = _greeting(centre, dials, tls, verify_hello, budget)
    return LineFacts(
        links=links.fact(),
        gateways=timed(network.gateways, LOCAL_LIMIT_S),  # after the dialling, which is what makes a dead gateway known
        resolved=resolved,
        dials=dials,
        tls=tls,
        greeting=greeting,
        plain=_plain(centre, dials, greeting, budget),
    )


def _dials(centre: Centre, resolved: Fact[Resolved]) -> Fact[tuple[Dial, ...]]:
    match resolved:
        case Known(value=found) if found.addresses:
            return timed(lambda: network.dial(found.addresses, centre.port), network.TCP_LIMIT_S + 0.5)
        case _:
            return skipped("the centre's name gave no address")


def opened(dials: Fact[tuple[Dial, ...]]) -> str | None:
    """The first address where TCP opened."""
    if isinstance(dials, Unknown):
        return None
    return next((dial.address for dial in dials.value if dial.errno == 0), None)


def _tls(centre: Centre, dials: Fact[tuple[Dial, ...]]) -> Fact[Tls]:
    address = opened(dials)
    if not centre.tls:
        return Unknown(why="absent_here", detail="the server's URL is plain http")
    if address is None:
        return skipped("no connection to the centre")
    return timed(lambda: network.handshake(address, centre.port, centre.host), 2 * network.TLS_LIMIT_S)


def _greeting(
    centre: Centre, dials: Fact[tuple[Dial, ...]], tls: Fact[Tls], verify_hello: VerifyHello, budget: Budget
) -> Fact[Greeting]:
    if opened(dials) is None:
        return skipped("no connection to the centre")
    if centre.tls and not (isinstance(tls, Known) and tls.value.fault == "none"):
        return skipped("no trusted connection to the centre")
    return timed(lambda: greet(centre, verify_hello), budget.at_most(GREETING_LIMIT_S + 0.5))


def greet(centre: Centre, verify_hello: VerifyHello) -> Greeting:
    """GET /sync/v1/hello with a fresh nonce. The clock is compared at the middle of the round trip."""
    nonce = secrets.token_hex(16)
    sent_at = time.time()
    try:
        with _client(GREETING_LIMIT_S) as client:
            response, body = _get(client, f"{centre.url}/sync/v1/hello?nonce={nonce}")
    except httpx.TimeoutException as error:
        return NoAnswer(how="silent", detail=str(error))
    except httpx.NetworkError as error:
        return NoAnswer(how="cut", detail=str(error))
    except (httpx.RemoteProtocolError, httpx.DecodingError) as error:
        return NoAnswer(how="cut" if "disconnected" in str(error) else "garbage", detail=str(error))
    received_at = time.time()
    verdict = verify_hello(nonce, response.status_code, dict(response.headers), body)
    middle = (sent_at + received_at) / 2
    timed_by_centre = verdict.signed and verdict.centre_time_s is not None
    return Answer(
        status=response.status_code,
        signed=verdict.signed,
        protocol=verdict.protocol if verdict.signed else None,
        offset_s=middle - (verdict.centre_time_s or 0.0) if timed_by_centre else None,
        bound_s=(received_at - sent_at) / 2,
        redirected_to=_elsewhere(centre, response),
    )


def _client(limit_s: float) -> httpx.Client:
    # no proxy from the environment: the stages before this one dialled the centre itself
    return httpx.Client(timeout=limit_s, verify=ssl.create_default_context(), trust_env=False, follow_redirects=False)


def _get(client: httpx.Client, url: str) -> tuple[httpx.Response, bytes]:
    body = b""
    with client.stream("GET", url) as response:
        for part in response.iter_bytes():
            body += part
            if len(body) > MAX_BODY_BYTES:
                break
    return response, body[:MAX_BODY_BYTES]


def _elsewhere(centre: Centre, response: httpx.Response) -> str | None:
    if not 300 <= response.status_code < 400:
        return None
    host = urlsplit(response.headers.get("location", "")).hostname
    return host if host != centre.host else None


def _plain(centre: Centre, dials: Fact[tuple[Dial, ...]], greeting: Fact[Greeting], budget: Budget) -> Fact[Plain]:
    if opened(dials) is None:
        return skipped("no connection to the centre")
    if isinstance(greeting, Known) and isinstance(greeting.value, Answer) and greeting.value.signed:
        return skipped("not needed: the centre has answered")
    return timed(lambda: ask_plainly(centre), budget.at_most(PLAIN_LIMIT_S + 0.5))


def ask_plainly(centre: Centre) -> Plain:
    """GET /.well-known/holdfast without TLS: a sign-in page gives itself away here. Raises AbsentHereError if mute."""
    origin = f"http://{_bracketed(centre.host)}" + ("" if centre.tls else f":{centre.port}")
    try:
        with _client(PLAIN_LIMIT_S) as client:
            response, body = _get(client, origin + WELL_KNOWN)
    except httpx.HTTPError as error:
        raise AbsentHereError(f"no plain HTTP there: {error}") from error
    token = response.status_code == 200 and body.strip().startswith(WELL_KNOWN_TOKEN)
    return Plain(status=response.status_code, token=token, redirected_to=_elsewhere(centre, response))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
