"""The local API: what POS software, our own page and the command line ask of the agent. Loopback and UNIX socket only.

Callers on the UNIX socket are let in by its file's mode; on TCP they show a POS key, or are a page that we served.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import anyio.to_thread
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from litestar import Controller, Litestar, Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import FromPath, FromQuery
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.response import Stream

from agent import words
from agent.app import Agent
from agent.diagnosis.model import Report
from agent.diagnosis.situation import Situation
from agent.keys import PosKeys, Sessions
from agent.operations import Activation, Burn, CodeUse, Earning, Operations, Reversal
from agent.present import problem
from agent.results import Done, NotDone, RefusedError
from agent.words import AmountError
from loyalty.rows import Caller
from sync.files import StorageError

PROBLEM_TYPE = "application/problem+json"
HEARTBEAT_S = 15.0
MAX_BODY_BYTES = 1 << 20
MAX_KEY_CHARS = 200

Http = Request[Any, Any, State]
A = TypeVar("A", bound=msgspec.Struct)


def language_of(request: Http) -> str:
    """The language asked for, else the terminal's."""
    wanted = request.headers.get("accept-language", "")
    for part in wanted.split(","):
        if (tag := part.strip()[:2].lower()) in words.LANGUAGES:
            return tag
    default: str = request.app.state.agent.config.terminal.language
    return default


def _agent(request: Http) -> Agent:
    agent: Agent = request.app.state.agent
    return agent


def _operations(request: Http) -> Operations:
    operations: Operations = request.app.state.operations
    return operations


def _caller(request: Http) -> Caller | None:
    key = request.headers.get("idempotency-key")
    if not key:
        return None
    short = key if len(key) <= MAX_KEY_CHARS else hashlib.sha256(key.encode()).hexdigest()
    return Caller(pos_key=request.state.caller, key=short)


def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Who may ask: checked before anything is read. Foreign hosts and origins get nothing (DNS rebinding, CSRF)."""
    if connection.scope.get("client") is None:  # a UNIX socket has no peer address
        connection.state.caller = "socket"
        return
    host = connection.headers.get("host", "")
    if host not in connection.app.state.hosts:
        raise HTTPException(status_code=403, detail="request.origin")
    origin = connection.headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        raise HTTPException(status_code=403, detail="request.origin")
    connection.state.caller = _who(connection)


def _who(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
    keys: PosKeys = connection.app.state.pos_keys
    if scheme.lower() == "bearer" and (owner := keys.owner(secret)) is not None:
        return f"pos:{owner}"
    sessions: Sessions = connection.app.state.sessions
    if sessions.knows(connection.cookies.get("holdfast_session")):
        return "page"
    raise HTTPException(status_code=401, detail="request.unauthorised")


class LocalApi(Controller):
    """/api/v1"""

    path = "/api/v1"
    guards = (guard,)

    @get("/status")
    async def status(self, request: Http) -> dict[str, Any]:
        """Line, last exchange, rows pending, readers."""
        return await _agent(request).status()

    @get("/cards/{card:str}")
    async def card(self, request: Http, card: FromPath[str]) -> Response[Any]:
        """Whose card it is, balance and what of it is provisional."""
        return await _told(request, lambda: _operations(request).card(card))

    @post("/quote", status_code=200)
    async def quote(self, request: Http, data: Earning) -> Response[Any]:
        """The decision on a purchase, nothing written."""
        language, operations = language_of(request), _operations(request)

        def work() -> dict[str, Any]:
            answer, asked_of, view = operations.quote(data)
            programme = operations.till.programme()
            said = words.answer(language, answer, programme, provisional=None, name=view["name"], request=asked_of)
            plain = msgspec.to_builtins(said)
            return {"decision": msgspec.json.decode(msgspec.json.encode(answer)), "words": plain, "card": view}

        return await _told(request, work)

    @post("/earnings")
    async def earn(self, request: Http, data: Earning) -> Response[Any]:
        """A purchase: points by amount or by the lines of its basket."""
        caller = _caller(request)
        return await _operated(request, lambda: _operations(request).earn(data, caller), data.card)

    @post("/activations")
    async def activate(self, request: Http, data: Activation) -> Response[Any]:
        """Brings a card to life by a signed or typed code, or with staff's help."""
        caller = _caller(request)
        return await _operated(request, lambda: _operations(request).activate(data, caller), data.card)

    @post("/burns")
    async def burn(self, request: Http, data: Burn) -> Response[Any]:
        """Points for a reward or as money. With the line up an allowance of exactly the amount is fetched first."""
        caller, agent = _caller(request), _agent(request)
        operations = _operations(request)

        async def attempt() -> Done | NotDone:
            return await agent.in_till(lambda: operations.burn(data, caller))

        async def work() -> Done | NotDone:
            result = await attempt()
            if not isinstance(result, NotDone) or result.answer.reason != "burn.allowance":
                return result
            wish = await agent.in_till(lambda: operations.wish_for(data))
            refused = await agent.line.wish(*wish) if wish is not None else "burn.allowance"
            if refused is not None:
                raise RefusedError(refused)
            return await attempt()

        return await _finished(request, work, data.card)

    @post("/code-uses")
    async def use_codes(self, request: Http, data: CodeUse) -> Response[Any]:
        """Bonus codes without a purchase."""
        caller = _caller(request)
        return await _operated(request, lambda: _operations(request).use_codes(data, caller), data.card)

    @post("/reversals")
    async def reverse(self, request: Http, data: Reversal) -> Response[Any]:
        """Takes an earlier row back, wholly, by lines, or by amount."""
        caller = _caller(request)
        return await _operated(request, lambda: _operations(request).reverse(data, caller), None)

    @get("/receipts/{number:str}")
    async def receipt(self, request: Http, number: FromPath[str]) -> Response[Any]:
        """The earning with this receipt number."""
        return await _told(request, lambda: _operations(request).receipt(number))

    @get("/rewards")
    async def rewards(self, request: Http, card: FromQuery[str]) -> Response[Any]:
        """What this member can have, and why not."""
        language = language_of(request)
        return await _told(request, lambda: _operations(request).rewards(card, language))

    @get("/journal")
    async def journal(
        self, request: Http, pending: FromQuery[bool] = False, limit: FromQuery[int] = 100
    ) -> Response[Any]:
        """Rows with their outcomes, oldest first."""
        at_most = max(1, min(limit, 10_000))
        return await _told(request, lambda: _operations(request).journal(pending=pending, limit=at_most))

    @post("/sync", status_code=200)
    async def sync(self, request: Http) -> Response[Any]:
        """Exchanges until nothing is pending."""
        try:
            result = await _agent(request).line.sync_now()
        except (TimeoutError, LookupError) as error:
            return _problem(503, "sync.not_ready", str(error) or "The exchange takes too long; it goes on by itself.")
        return Response(msgspec.to_builtins(result))

    @get("/diagnostics")
    async def diagnostics(self, request: Http) -> Response[Any]:
        """All checks: findings with cause and cure."""
        agent = _agent(request)
        situation = await agent.situation()
        keys = agent.identity.keys_for("answer")
        report = await anyio.to_thread.run_sync(lambda: _examined(situation, keys))
        return Response(_report_json(agent.states.saw_report(report, situation.now)))

    @get("/diagnostics/situation")
    async def situation(self, request: Http) -> Response[Any]:
        """What the agent knows that checks need: `holdfast doctor` asks for it."""
        return Response(msgspec.to_builtins(await _agent(request).situation()))

    @get("/stream", media_type="text/event-stream")
    async def stream(self, request: Http) -> Stream:
        """Server-sent events: hello, tap, decision, outcome, line, reader, removed, fault."""
        return Stream(_events(_agent(request)), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _examined(situation: Situation, keys: dict[str, Ed25519PublicKey]) -> Report:
    """All checks. They are loaded at the first look: a start does not wait for them (and httpx, and rich)."""
    from agent.diagnosis.examine import examine
    from agent.hello import verify_hello

    return examine(situation, verify_hello(keys))


def _report_json(report: Report) -> dict[str, Any]:
    from agent.diagnosis.report import to_json

    return to_json(report)


async def _events(agent: Agent) -> AsyncIterator[bytes]:
    with agent.hub.listening() as queue:
        yield b"retry: 1000\nevent: hello\ndata: " + msgspec.json.encode(await agent.status()) + b"\n\n"
        while True:
            try:
                event = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if event is None:
                return
            yield event.text()


async def _told(request: Http, work: Callable[[], Any]) -> Response[Any]:
    try:
        return Response(await _agent(request).in_till(work))
    except (RefusedError, StorageError, AmountError) as error:
        return _refused(request, error)


async def _operated(request: Http, work: Callable[[], Done | NotDone], card: str | None) -> Response[Any]:
    async def in_till() -> Done | NotDone:
        return await _agent(request).in_till(work)

    return await _finished(request, in_till, card)


async def _finished(request: Http, work: Callable[[], Any], card: str | None) -> Response[Any]:
    """Answers after the rows are on disk, tells the pages, and nudges the worker."""
    agent, operations, language = _agent(request), _operations(request), language_of(request)
    try:
        result = await work()
        told = await agent.in_till(lambda: operations.json(result, card, language))
    except (RefusedError, StorageError, AmountError) as error:
        return _refused(request, error)
    if isinstance(result, NotDone):
        return Response(told, status_code=409, media_type=PROBLEM_TYPE)
    if not result.replayed:
        agent.hub.publish("decision", told)
        agent.line.nudge()
    return Response(told, status_code=200 if result.replayed else 201)


_STATUS = {"card.unknown": 404, "row.unknown": 404, "caller.key_used": 422, "till.no_programme": 503}


def _refused(request: Http, error: RefusedError | StorageError | AmountError) -> Response[Any]:
    language = language_of(request)
    if isinstance(error, AmountError):
        return _problem(422, error.code, words.reason(language, error.code, **error.fields(language)))
    if isinstance(error, StorageError):
        return _problem(507, error.code, words.reason(language, error.code))
    status = _STATUS.get(error.code, 409)
    return _problem(status, error.code, words.reason(language, error.code, **error.fields))


def _problem(status: int, code: str, detail: str) -> Response[Any]:
    return Response(problem(status, code, detail), status_code=status, media_type=PROBLEM_TYPE)


def _http_problem(request: Http, error: HTTPException) -> Response[Any]:
    """What the framework refuses, in our words and with a stable code."""
    if error.status_code == 400:
        text = words.reason(language_of(request), "request.body")
        faults = error.extra if isinstance(error.extra, list) else []
        named = "; ".join(str(fault.get("message", "")) for fault in faults if isinstance(fault, dict)) or error.detail
        return _problem(422, "request.body", f"{text} ({named})")
    if error.detail.startswith("request."):
        return _problem(error.status_code, error.detail, words.reason(language_of(request), error.detail))
    return _problem(error.status_code, f"http.{error.status_code}", error.detail)


def _unknown_path(response: Response[Any]) -> Response[Any]:
    """The framework's OpenAPI router answers unknown paths beside its document, and would with a page."""
    return _problem(404, "http.404", "Not Found") if response.status_code == 404 else response


def _nested(request: Http, _: RecursionError) -> Response[Any]:
    """A body nested beyond what any request has."""
    return _problem(422, "request.body", words.reason(language_of(request), "request.body"))


def _bug(request: Http, error: Exception) -> Response[Any]:
    """What nobody expected: the trace goes to the log, the caller hears that nothing more is known."""
    traceback.print_exception(error, file=sys.stderr)
    return _problem(500, "agent.failed", f"A fault of the software: {type(error).__name__}.")


@get("/healthz", include_in_schema=False)
async def healthz() -> dict[str, str]:
    """200 while the agent's loop turns."""
    return {"status": "ok"}


@get("/metrics", include_in_schema=False, media_type="text/plain; version=0.0.4")
async def metrics(request: Http) -> str:
    """Prometheus text."""
    status = await _agent(request).status()
    values = {
        "holdfast_pending_rows": status["pending"],
        "holdfast_oldest_pending_seconds": status["oldest_pending_s"] or 0,
        "holdfast_journal_rows_total": status["rows"],
        "holdfast_line_up": int(status["line"] == "up"),
        "holdfast_readers_ready": sum(reader["state"] == "ready" for reader in status["readers"]),
    }
    return "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in values.items())


class _Application(Litestar):
    """Litestar loads pydantic wherever it is installed, a fifth of the agent's start; nothing here is made of it."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def app(agent: Agent, hosts: set[str], pages: list[Any]) -> Litestar:
    """The agent's ASGI application. `hosts` are the Host headers it answers to."""
    state = State(
        {
            "agent": agent,
            "operations": Operations(agent.till, agent.config),
            "sessions": Sessions(),
            "pos_keys": PosKeys(agent.config.data_dir),
            "hosts": hosts,
            "embed_from": agent.config.till.embed_from,
        }
    )
    return _Application(
        route_handlers=[LocalApi, healthz, metrics, *pages],
        state=state,
        exception_handlers={
            HTTPException: _http_problem,
            RecursionError: _nested,
            RefusedError: _refused,
            StorageError: _refused,
            Exception: _bug,
        },
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=OpenAPIConfig(
            title="Holdfast terminal",
            version="1",
            openapi_router=Router("/api/v1", route_handlers=[], include_in_schema=False, after_request=_unknown_path),
            render_plugins=[JsonRenderPlugin(path="openapi.json")],
        ),
    )
