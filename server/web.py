"""The centre on the network: `/sync/v1/*` for terminals, `/api/v1/*` for the back office, health and metrics.

Every answer to a terminal is signed and bound to its nonce, refusals too: whatever is not signed came from a portal or
proxy in between, and the terminal takes it for a broken line.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from litestar import Controller, Litestar, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.exceptions.responses import create_exception_response
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from server import accept, audit, programmes, schema, store, terminals
from server.accept import Centre, ContractError
from server.allowances import Signer
from server.keys import Keys
from server.store import Store
from server.terminals import RefusedError
from sync.protocol import messages
from sync.protocol.messages import MEDIA_TYPE, Enrol, Hello, MessageError, pack_message, read_message
from sync.protocol.signing import TERMINAL_HEADER, SignedAnswer, SignedRequest, cose_kid, sign_answer

NONCE_HEADER = "Holdfast-Nonce"
PORTAL_TOKEN = "holdfast centre\n"
_PLAIN = re.compile(r"[0-9A-Za-z_-]{1,128}")
_NONCE = re.compile(f'nonce="({_PLAIN.pattern})"')
_BUSY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError, sqlite3.OperationalError)

Http = Request[Any, Any, State]


class Desk:
    """What the handlers share: database, keys, clock."""

    def __init__(self, store_: Store, keys: Keys, now_ms: Callable[[], int]) -> None:
        self.store, self.keys, self.now_ms = store_, keys, now_ms
        self._versions = programmes.Versions()
        kid, key = keys.current("grant")
        self._signer = Signer(kid, key)
        self._grant_keys = {
            cose_kid(kid): Ed25519PublicKey.from_public_bytes(raw)
            for kid, raw in keys.public().items()
            if kid.startswith("grant-")
        }

    def exchange(self, request: SignedRequest, terminal_text: str) -> bytes:
        """The packed answer, after everything in it is on disk; raises RefusedError, MessageError, ContractError."""
        now_ms = self.now_ms()
        with self.store.reading() as tx:
            terminal, nonce = terminals.identify(tx, request, terminal_text, now_ms)
        asked = read_message(request.body, messages.Request)
        if asked.terminal != terminal:
            raise RefusedError(403, "identity.other", "The request names another terminal than signed it.")
        with self.store.writing() as tx:
            terminals.remember(tx, terminal, nonce, now_ms)
            versions = self._versions.all(tx)
            if not versions:
                raise RefusedError(503, "centre.no_programme", "No programme is loaded at the centre yet.")
            centre = Centre(programmes=versions, grant_keys=self._grant_keys, signer=self._signer)
            answer = accept.exchange(tx, centre, asked, now_ms=now_ms)
        return pack_message(answer)

    def enrol(self, body: bytes) -> bytes:
        """The packed answer to a terminal that joins."""
        asked = read_message(body, Enrol)
        with self.store.writing() as tx:
            return pack_message(terminals.enrol(tx, self.keys, asked, self.now_ms()))

    def hello(self) -> bytes:
        """Who we are and what time it is."""
        with self.store.reading() as tx:
            return pack_message(Hello(centre=store.generation(tx).hex(), time_ms=self.now_ms()))

    def signed(self, status: int, body: bytes, nonce: str, media_type: str) -> Response[bytes]:
        """An answer that only this centre can give."""
        kid, key = self.keys.current("answer")
        answer = SignedAnswer(status_code=status, body=body)
        sign_answer(answer, key, kid, nonce=nonce, now_ms=self.now_ms())
        return Response(content=body, status_code=status, headers=dict(answer.headers), media_type=media_type)

    def refused(self, nonce: str, status: int, code: str, text: str) -> Response[bytes]:
        """A refusal in words (RFC 9457)."""
        body = msgspec.json.encode({"type": "about:blank", "status": status, "code": code, "detail": text})
        response = self.signed(status, body, nonce, "application/problem+json")
        if status in (429, 503):
            response.headers["Retry-After"] = "10"
        return response


def _desk(request: Http) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


class Sync(Controller):
    """What terminals speak."""

    path = "/sync/v1"
    include_in_schema = False

    @post("/exchange", status_code=200)
    async def exchange(self, request: Http) -> Response[bytes]:
        """One exchange; see docs/sync.md."""
        desk, body = _desk(request), await request.body()
        found = _NONCE.search(request.headers.get("Signature-Input", ""))
        nonce = found.group(1) if found else ""
        signed = SignedRequest(method="POST", url=str(request.url), body=body, headers=dict(request.headers))
        terminal = request.headers.get(TERMINAL_HEADER, "")
        return await _answered(desk, nonce, lambda: desk.exchange(signed, terminal))

    @post("/enrol", status_code=200)
    async def enrol(self, request: Http) -> Response[bytes]:
        """A terminal joins with a single-use code."""
        desk, body = _desk(request), await request.body()
        return await _answered(desk, _plain(request.headers.get(NONCE_HEADER, "")), lambda: desk.enrol(body))

    @get("/hello")
    async def hello(self, request: Http) -> Response[bytes]:
        """Signed and without authentication: a terminal can tell the centre from a portal."""
        desk = _desk(request)
        nonce = request.headers.get(NONCE_HEADER) or str(request.query_params.get("nonce", ""))
        return await _answered(desk, _plain(nonce), desk.hello)


def _plain(nonce: str) -> str:
    """A nonce as terminals make it; an answer to any other is bound to nothing."""
    return nonce if _PLAIN.fullmatch(nonce) else ""


async def _answered(desk: Desk, nonce: str, work: Callable[[], bytes]) -> Response[bytes]:
    try:
        body = await anyio.to_thread.run_sync(work)
        return desk.signed(200, body, nonce, MEDIA_TYPE)
    except RefusedError as error:
        return desk.refused(nonce, error.status, error.code, error.text)
    except MessageError as error:
        return desk.refused(nonce, 422, "exchange.unreadable", str(error))
    except ContractError as error:
        return desk.refused(nonce, 409, error.code, error.text)
    except _BUSY as error:
        return desk.refused(nonce, 503, "centre.database", f"The centre's database is not to be had: {error.args[0]}")


def office(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """The back office shows the token of the centre's key file."""
    given = connection.headers.get("authorization", "")
    token = connection.app.state.desk.keys.back_office_token
    given = given if isinstance(given, str) else ""
    if not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise NotAuthorizedException("Show the token of keys.json: Authorization: Bearer TOKEN")


class BackOffice(Controller):
    """What owners and auditors ask. Read-only in this version."""

    path = "/api/v1"
    guards = (office,)
    tags = ("back office",)

    @get("/terminals", sync_to_thread=True)
    def terminals(self, request: Http) -> list[dict[str, Any]]:
        """Every terminal: outlet, label, when it was last heard."""
        with _desk(request).store.reading() as tx:
            return audit.terminals(tx)

    @get("/accounts", sync_to_thread=True)
    def accounts(self, request: Http) -> list[dict[str, Any]]:
        """Every account: number, name, balance."""
        a = schema.accounts.c
        with _desk(request).store.reading() as tx:
            found = tx.execute(sa.select(a.id, a.no, a.name, a.balance).where(a.alias_of.is_(None)).order_by(a.no))
            return [{"account": r.id.hex(), "no": r.no, "name": r.name, "balance": r.balance} for r in found]

    @get("/aliases", sync_to_thread=True)
    def aliases(self, request: Http) -> dict[str, str]:
        """Accounts that count to another, since their card was activated twice."""
        a = schema.accounts.c
        with _desk(request).store.reading() as tx:
            found = tx.execute(sa.select(a.id, a.alias_of).where(a.alias_of.is_not(None)))
            return {r.id.hex(): r.alias_of.hex() for r in found}

    @get("/codes-used", sync_to_thread=True)
    def codes_used(self, request: Http) -> list[dict[str, Any]]:
        """Which codes of which batch were used, and by which event."""
        c = schema.codes.c
        with _desk(request).store.reading() as tx:
            found = tx.execute(sa.select(c.batch, c.serial, c.used_by).where(c.state == "used").limit(10_000))
            return [{"batch": r.batch, "code": r.serial, "event_id": r.used_by.hex()} for r in found]

    @get("/outcomes", sync_to_thread=True)
    def outcomes(self, request: Http) -> dict[str, int]:
        """How many rows have which outcome."""
        with _desk(request).store.reading() as tx:
            return _outcomes(tx)

    @get("/reconciliation", sync_to_thread=True)
    def reconciliation(self, request: Http) -> dict[str, Any]:
        """The checks of `holdfast-server verify`."""
        with _desk(request).store.reading() as tx:
            return audit.verify(tx).as_json()

    @get("/notices", sync_to_thread=True)
    def notices(self, request: Http) -> list[dict[str, Any]]:
        """Who was told what, newest first."""
        with _desk(request).store.reading() as tx:
            found = tx.execute(sa.select(schema.notices).order_by(schema.notices.c.id.desc()).limit(500))
            return [
                {
                    "at_ms": n.at_ms,
                    "recipient": n.recipient,
                    "code": n.code,
                    "event_id": n.event_id.hex() if n.event_id else None,
                    "text": n.text,
                }
                for n in found
            ]


def _bug(_: Http, error: Exception) -> Response[dict[str, object]]:
    """What nobody expected: the trace goes to the log. Unsigned, so a terminal keeps everything and tries again."""
    traceback.print_exception(error, file=sys.stderr)
    return Response({"status": 500, "code": "centre.failed", "detail": type(error).__name__}, status_code=500)


@get("/.well-known/holdfast", include_in_schema=False, media_type="text/plain")
async def well_known() -> str:
    """A fixed word, by which a captive portal is told from the centre."""
    return PORTAL_TOKEN


@get("/healthz", include_in_schema=False, sync_to_thread=True)
def healthz(request: Http) -> dict[str, str]:
    """200 while the database answers."""
    with _desk(request).store.reading() as tx:
        return {"status": "ok", "generation": store.generation(tx).hex()}


@get("/metrics", include_in_schema=False, sync_to_thread=True, media_type="text/plain; version=0.0.4")
def metrics(request: Http) -> str:
    """Prometheus text."""
    with _desk(request).store.reading() as tx:
        rows = _outcomes(tx)
    lines = ["# HELP holdfast_rows_total Journal rows by outcome.", "# TYPE holdfast_rows_total gauge"]
    lines += [f'holdfast_rows_total{{outcome="{outcome}"}} {count}' for outcome, count in sorted(rows.items())]
    return "\n".join(lines) + "\n"


def _outcomes(tx: sa.Connection) -> dict[str, int]:
    counted = sa.select(schema.rows.c.outcome, sa.func.count()).group_by(schema.rows.c.outcome)
    return dict(tuple(row) for row in tx.execute(counted))


def wall_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000


def app(store_: Store, keys: Keys, now_ms: Callable[[], int] = wall_ms) -> Litestar:
    """The centre as an ASGI application."""
    return Litestar(
        route_handlers=[Sync, BackOffice, well_known, healthz, metrics],
        state=State({"desk": Desk(store_, keys, now_ms)}),
        exception_handlers={Exception: _bug, HTTPException: create_exception_response},
        request_max_body_size=messages.MAX_WIRE_BYTES,
        openapi_config=OpenAPIConfig(
            title="Holdfast centre", version="1", path="/api/v1", render_plugins=[JsonRenderPlugin(path="openapi.json")]
        ),
    )
