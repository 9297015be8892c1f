"""A stand-in for the agent's local API: canned answers, a journal in memory, and the real pages in front of it.

It keeps the promise the page leans on (one key, one row), so that a double press can be counted.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import ServerSentEvent, ServerSentEventMessage

from agent.web import pages

FIORELLA = "uid:04a1b2c3d4e580"
TEO = "uid:04ffeeddccbb80"
STRANGER = "uid:04000000000001"
BLOCKED = "num:4006381333931"
CODE = "ABCDE-FGHJK-C"
PROBLEM = "application/problem+json"
SENTENCES = {
    "en": "{n} points for {who}. The centre will confirm.",
    "fr": "{n} points pour {who}. Le siège confirmera.",
    "it": "{n} punti per {who}. La sede conferma.",
}
LINES = {
    "en": ["25 for 25.50 EUR", "13 for Gold", "13 for autumn fruit, until 30 November"],
    "fr": ["25 pour 25,50 EUR", "13 pour Or", "13 pour les fruits d’automne, jusqu’au 30 novembre"],
    "it": ["25 per 25,50 EUR", "13 per Oro", "13 per la frutta d’autunno, fino al 30 novembre"],
}
ALMOST = {
    "en": "double points this month: 2 of 3 purchases",
    "fr": "points doublés ce mois : 2 achats sur 3",
    "it": "punti doppi questo mese: 2 acquisti su 3",
}
NO_CODE = {
    "en": "This code is not of our programme.",
    "fr": "Ce code n’est pas de notre programme.",
    "it": "Questo codice non è del nostro programma.",
}
REWARDS = [
    ("coffee", 150, {"en": "Coffee", "fr": "Un café", "it": "Caffè"}),
    ("five", 500, {"en": "5 € off today", "fr": "5 € de remise", "it": "5 € di sconto"}),
    ("basket", 1500, {"en": "Basket of fruit", "fr": "Corbeille de fruits", "it": "Cesto di frutta"}),
]
MISSING = {"en": "{n} points more", "fr": "encore {n} points", "it": "ancora {n} punti"}


def member(card: str, name: str | None, balance: int | None, tier: str | None = "gold") -> dict[str, Any]:
    """A card as the API shows it."""
    known = name is not None
    return {
        "card": card, "known": known, "status": "active" if known else "none", "account": "aa" if known else None,
        "name": name, "tier": tier if known else None, "balance": balance, "provisional": 0, "almost": [],
    }  # fmt: skip


class Sessions:
    """Tokens given to pages."""

    def __init__(self) -> None:
        self.given: set[str] = set()

    def new(self) -> str:
        token = secrets.token_hex(8)
        self.given.add(token)
        return token


class Till:
    """What the stand-in knows. Its fields are for tests to read and to set."""

    def __init__(self) -> None:
        self.cards = {
            FIORELLA: {**member(FIORELLA, "Fiorella", 1240), "provisional": 48},
            TEO: member(TEO, "Teo", 90, None),
            STRANGER: member(STRANGER, None, None),
            BLOCKED: {**member(BLOCKED, "Nora", 10, None), "status": "blocked"},
        }
        self.line = "up"
        self.language = "en"
        self.readers = [reader("pcsc"), reader("camera")]
        self.rows: dict[str, dict[str, Any]] = {}
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.sessions = Sessions()
        self.hellos = 0
        self.queues: list[asyncio.Queue[tuple[str, Any]]] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self.cut_answers = 0
        self.oldest_s = 7800

    def status(self) -> dict[str, Any]:
        pending = 12 if self.line == "down" else 0
        return {
            "terminal": "00" * 16, "outlet": "rome-1", "currency": "EUR", "exponent": 2, "epoch": 1, "line": self.line,
            "pending": pending, "oldest_pending_s": self.oldest_s if pending else None, "last_exchange_at": None,
            "acked_seq": 3, "safe_seq": 3, "readers": self.readers, "findings": [], "programme": 7,
            "language": self.language, "last_tap": None,
        }  # fmt: skip

    def say(self, event: str, data: Any) -> None:
        """Sends one event to every open page; callable from the test's thread."""
        assert self.loop
        for queue in self.queues:
            self.loop.call_soon_threadsafe(queue.put_nowait, (event, data))

    def tap(self, card: str) -> None:
        self.say("tap", {"reader": "pcsc", "card": self.cards[card], "code": None, "refused": None, "at": "now"})

    def show(self, code: str) -> None:
        self.say("tap", {"reader": "camera", "card": None, "code": code, "refused": None, "at": "now"})

    def refuse(self, code: str, text: str) -> None:
        self.say("tap", {"reader": "pcsc", "card": None, "code": None, "refused": {"code": code, "text": text}})

    def set_line(self, state: str) -> None:
        self.line = state
        self.say("line", {"state": state, "text": ""})

    def settle(self, outcome: str, points: int | None = None) -> None:
        """The centre's word on the newest row."""
        row = list(self.rows.values())[-1]["row"]
        self.outcomes[row["event_id"]] = {"outcome": outcome, "points_counted": points}
        self.say("outcome", {"acked_seq": row["seq"], "rows": [], "pending": 0})

    def journal(self) -> list[dict[str, Any]]:
        waiting = {"outcome": "pending", "points_counted": None}
        rows = [kept["row"] for kept in self.rows.values()]
        return [{**row, **self.outcomes.get(row["event_id"], waiting)} for row in rows]


def reader(name: str, state: str = "ready", code: str | None = None) -> dict[str, Any]:
    """A reader as the status shows it."""
    return {"name": name, "driver": name, "state": state, "code": code, "text": ""}


def language(request: Request[Any, Any, Any]) -> str:
    return request.headers.get("accept-language", "en")[:2]


def problem(status: int, code: str, detail: str, words: dict[str, Any] | None = None) -> Response[dict[str, Any]]:
    body = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail}
    body |= {"decision": "declined", "almost": [], "words": words} if words else {}
    return Response(body, status_code=status, media_type=PROBLEM)


def decision(points: int) -> dict[str, Any]:
    return {"decision": "approved", "points": points, "breakdown": [], "almost": [], "flags": [], "effects": []}


def words(lang: str, points: int, who: str, lines: list[str]) -> dict[str, Any]:
    sentence = SENTENCES[lang].format(n=abs(points), who=who)
    return {"verdict": "Yes", "sentence": sentence, "lines": lines, "almost": [ALMOST[lang]]}


def worth(amount_minor: int) -> int:
    return amount_minor // 50


def app(till: Till) -> Litestar:
    """The application: the real pages and the canned API."""

    def written(request: Request[Any, Any, Any], body: dict[str, Any], points: int, lines: list[str]) -> Response[Any]:
        """Appends a row unless this key has one."""
        key = request.headers["idempotency-key"]
        till.asked.append((key, body))
        card = till.cards.get(body.get("card", FIORELLA))
        assert card
        replayed = key in till.rows
        if not replayed:
            card["balance"] = (card["balance"] or 0) + points
            card["provisional"] += points
            till.rows[key] = {"row": {"seq": len(till.rows) + 1, "event_id": key.replace("-", "")}}
        done = {
            **till.rows[key], "decision": decision(points), "provisional": True, "replayed": replayed,
            "card": dict(card), "words": words(language(request), points, card["name"], lines),
        }  # fmt: skip
        if till.cut_answers:
            till.cut_answers -= 1
            return Response(b"", status_code=200, media_type="text/plain")
        return Response(done, status_code=201)

    @get("/api/v1/status", sync_to_thread=False)
    def status() -> dict[str, Any]:
        return till.status()

    @get("/api/v1/cards/{card:str}", sync_to_thread=False)
    def card_view(card: FromPath[str]) -> dict[str, Any]:
        return till.cards.get(card) or member(card, None, None)

    @get("/api/v1/rewards", sync_to_thread=False)
    def rewards(request: Request[Any, Any, Any], card: FromQuery[str]) -> list[dict[str, Any]]:
        lang, held = language(request), till.cards[card]["balance"] or 0
        return [
            {"id": id_, "kind": "gift", "name": names[lang], "points": points, "available": held >= points,
             "needs_line": False, "reason": None if held >= points else "burn.balance"}
            for id_, points, names in REWARDS
        ]  # fmt: skip

    @post("/api/v1/quote", status_code=200, sync_to_thread=False)
    def quote(request: Request[Any, Any, Any], data: JSONBody[dict[str, Any]]) -> dict[str, Any]:
        lang, points = language(request), worth(data["amount_minor"])
        who = till.cards[data["card"]]
        return {"decision": decision(points), "words": words(lang, points, who["name"], LINES[lang]), "card": who}

    @post("/api/v1/earnings", sync_to_thread=False)
    def earnings(request: Request[Any, Any, Any], data: JSONBody[dict[str, Any]]) -> Response[Any]:
        if request.cookies.get(pages.SESSION_COOKIE) not in till.sessions.given:
            return problem(401, "session.unknown", "Open the page again.")
        return written(request, data, worth(data["amount_minor"]), LINES[language(request)])

    @post("/api/v1/burns", sync_to_thread=False)
    def burns(request: Request[Any, Any, Any], data: JSONBody[dict[str, Any]]) -> Response[Any]:
        prices = {id_: points for id_, points, _ in REWARDS}
        points = data["points"] if "points" in data else prices[data["reward"]]
        if points > till.cards[data["card"]]["balance"]:
            text = MISSING[language(request)].format(n=points - till.cards[data["card"]]["balance"])
            return problem(409, "burn.balance", text, {"verdict": "", "sentence": text, "lines": [], "almost": [text]})
        return written(request, data, -points, [])

    @post("/api/v1/activations", sync_to_thread=False)
    def activations(request: Request[Any, Any, Any], data: JSONBody[dict[str, Any]]) -> Response[Any]:
        if not data.get("assisted") and data["code"] != CODE:
            return problem(409, "code.unknown", NO_CODE[language(request)], {"sentence": NO_CODE[language(request)]})
        till.cards[data["card"]] = member(data["card"], data.get("first_name", "Ada"), 0, None)
        return written(request, data, 20, [])

    @post("/api/v1/code-uses", sync_to_thread=False)
    def code_uses(request: Request[Any, Any, Any], data: JSONBody[dict[str, Any]]) -> Response[Any]:
        return written(request, data, 30, [])

    @post("/api/v1/reversals", sync_to_thread=False)
    def reversals(request: Request[Any, Any, Any], data: JSONBody[dict[str, Any]]) -> Response[Any]:
        return written(request, data, -51, [])

    @get("/api/v1/journal", sync_to_thread=False)
    def journal() -> list[dict[str, Any]]:
        return till.journal()

    @get("/api/v1/stream", sync_to_thread=False)
    def stream() -> ServerSentEvent:
        return ServerSentEvent(events(till))

    handlers = [status, card_view, rewards, quote, earnings, burns, activations, code_uses, reversals, journal, stream]
    state = State({"sessions": till.sessions, "embed_from": []})
    return Litestar([*pages.routes(), *handlers], state=state)


async def events(till: Till) -> AsyncIterator[ServerSentEventMessage]:
    """One page's stream, from its hello on."""
    till.loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
    till.queues.append(queue)
    till.hellos += 1
    try:
        yield ServerSentEventMessage(event="hello", data=json.dumps(till.status()))
        while True:
            name, data = await queue.get()
            if name == "end":
                return
            yield ServerSentEventMessage(event=name, data=json.dumps(data))
    finally:
        till.queues.remove(queue)


class Serving:
    """The stand-in on a port of its own; `stop` and `start` again play an agent that restarts."""

    def __init__(self, till: Till, port: int = 0) -> None:
        self.till = till
        self.port = port or free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = uvicorn.Config(
            app(self.till), port=self.port, log_level="critical", timeout_graceful_shutdown=0, lifespan="off"
        )
        self.server = uvicorn.Server(options)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends it, the streams first. Pages that stay open try to come back to the same port."""
        if self.till.queues:
            self.till.say("end", None)
        self.server.should_exit = True
        self.thread.join(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
