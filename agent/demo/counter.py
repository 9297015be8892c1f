"""The virtual counter: a page with cards and codes to hold to the reader, and a switch for the line."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import socket
import sys
from pathlib import Path
from typing import Any

import anyio.to_thread
import uvicorn
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath

from agent.demo.world import World, free_port, random_uid
from drivers import lines

PAGE = Path(__file__).with_name("page")
MEMBERS = ("Fiorella", "Bruno", "Nadia")
ALIEN = "WIFI:T:WPA;S:Harbour Guests;P:seagull;;"
Http = Request[Any, Any, State]


class Counter:
    """The cards on the counter, and what was done with them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._file = world.folder / "cards.json"
        self.cards: list[dict[str, str]] = json.loads(self._file.read_text()) if self._file.exists() else []
        self.used: set[str] = set()

    def set_up(self) -> None:
        """Three members with some points, once."""
        if self.cards:
            return
        for number, name in enumerate(MEMBERS):
            uid = random_uid()
            card = f"uid:{uid}"
            self.world.remote.post(
                "/activations", {"card": card, "code": self.world.codes[number].typed, "first_name": name}
            )
            for visit in range(number + 1):
                body = {"card": card, "amount_minor": 2_350 + 1_000 * visit, "receipt": f"OLD-{number}-{visit}"}
                self.world.remote.post("/earnings", body)
            self.cards.append({"id": f"member-{number}", "label": name, "kind": "member", "uid": uid, "hint": ""})
        self.cards += [
            {"id": "new", "label": "A new card", "kind": "new", "uid": random_uid(), "hint": "activate it with a code"},
            {"id": "torn", "label": "A card with a torn chip", "kind": "torn", "uid": "08a1b2c3", "hint": ""},
            {"id": "alien", "label": "A Wi-Fi code", "kind": "alien", "uid": "", "hint": "not ours"},
            {
                "id": "random",
                "label": "A phone",
                "kind": "random",
                "uid": "08112233",
                "hint": "another number each time",
            },
        ]
        self._file.write_text(json.dumps(self.cards))
        self.world.remote.post("/sync")

    def tap(self, id_: str) -> bool:
        """Holds a card to the reader and takes it away again; False for a card that is not there."""
        card = next((card for card in self.cards if card["id"] == id_), None)
        if card is None:
            return False
        self.world.present(_reading(card))
        self.world.present(lines.Removed(scope="counter"))
        return True

    def show(self, typed: str) -> bool:
        """Holds a printed code to the camera; False for a code that was not printed."""
        code = next((code for code in self.world.codes if code.typed == typed), None)
        if code is None:
            return False
        self.world.present(lines.Reading(kind="code", scope="camera", symbology="QRCode", text=code.qr))
        return True

    def state(self) -> dict[str, Any]:
        """For the page."""
        centre = self.world.centre
        states = {row["typed"]: row["used"] for row in self._codes()}
        return {
            "till_url": f"http://127.0.0.1:{self.world.till_port}/",
            "line": "up" if self.world.line.up else "down",
            "centre": {
                "rows": sum(centre("/outcomes").values()),
                "accounts": [{"name": a["name"], "balance": a["balance"]} for a in centre("/accounts")],
                "notices": centre("/notices")[:10],
                "outcomes": centre("/outcomes"),
            },
            "cards": [{name: card[name] for name in ("id", "label", "kind", "hint")} for card in self.cards],
            "codes": [
                {"typed": typed, "qr_svg_url": f"/demo/qr/{typed}", "used": used} for typed, used in states.items()
            ],
        }

    def _codes(self) -> list[dict[str, Any]]:
        shown = self.world.codes[len(MEMBERS) : len(MEMBERS) + 4]
        used = {row["code"] for row in self.world.centre("/codes-used")}
        return [{"typed": code.typed, "used": code.serial in used} for code in shown]


def _reading(card: dict[str, str]) -> lines.Reading:
    match card["kind"]:
        case "alien":
            return lines.Reading(kind="code", scope="camera", symbology="QRCode", text=ALIEN)
        case "torn":
            return lines.Reading(kind="card", scope="counter", uid=card["uid"], tag="type4", ndef_state="torn")
        case _:
            return lines.Reading(kind="card", scope="counter", uid=card["uid"], tag="type2")


def _counter(request: Http) -> Counter:
    counter: Counter = request.app.state.counter
    return counter


@get("/demo/state", sync_to_thread=True)
def state(request: Http) -> dict[str, Any]:
    """What the page shows."""
    return _counter(request).state()


@post("/demo/tap", status_code=200)
async def tap(request: Http) -> dict[str, bool]:
    """A card is held to the reader."""
    body = await request.json()
    return {"done": await anyio.to_thread.run_sync(_counter(request).tap, str(body.get("id")))}


@post("/demo/show", status_code=200)
async def show(request: Http) -> dict[str, bool]:
    """A code is held to the camera."""
    body = await request.json()
    return {"done": await anyio.to_thread.run_sync(_counter(request).show, str(body.get("typed")))}


@post("/demo/line", status_code=200)
async def line(request: Http) -> dict[str, bool]:
    """The line is cut or restored."""
    body, counter = await request.json(), _counter(request)
    if body.get("up"):
        counter.world.line.restore()
        await anyio.to_thread.run_sync(lambda: counter.world.remote.post("/sync"))
    else:
        counter.world.line.cut()
    return {"up": counter.world.line.up}


@get("/demo/qr/{typed:str}", sync_to_thread=True, media_type="image/svg+xml")
def qr(request: Http, typed: FromPath[str]) -> Response[bytes]:
    """A printed code's QR."""
    import zxingcpp

    code = next((code for code in _counter(request).world.codes if code.typed == typed), None)
    if code is None:
        return Response(b"", status_code=404, media_type="text/plain")
    svg = zxingcpp.create_barcode(code.qr, zxingcpp.BarcodeFormat.QRCode).to_svg()
    return Response(svg.encode(), media_type="image/svg+xml")


@get("/", sync_to_thread=True)
def index(request: Http) -> Response[bytes]:
    """The counter's page."""
    return _file("index.html", _counter(request).world.till_port)


@get("/page/{name:str}", sync_to_thread=True)
def page(request: Http, name: FromPath[str]) -> Response[bytes]:
    """Its style and script."""
    return _file(name, _counter(request).world.till_port)


def _file(name: str, till_port: int) -> Response[bytes]:
    path = PAGE / Path(name).name
    if not path.is_file():
        return Response(b"", status_code=404, media_type="text/plain")
    policy = f"default-src 'self'; frame-src http://127.0.0.1:{till_port}; frame-ancestors 'none'"
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Response(path.read_bytes(), media_type=kind, headers={"Content-Security-Policy": policy})


def serve(world: World, port: int) -> int:
    """Until interrupted."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        port = free_port()
        listener.bind(("127.0.0.1", port))
    listener.listen()
    print("Setting up a centre and a till on this machine ...", file=sys.stderr)
    world.build(counter_port=port)
    counter = Counter(world)
    counter.set_up()
    handlers = [state, tap, show, line, qr, index, page]
    app = Litestar(route_handlers=handlers, state=State({"counter": counter}), openapi_config=None)
    print(_WORDS.format(counter=f"http://127.0.0.1:{port}/", till=f"http://127.0.0.1:{world.till_port}/"), flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    asyncio.run(server.serve(sockets=[listener]))
    return 0


_WORDS = """
Holdfast is running.

  The counter, to tap on:  {counter}
  The till's own page:     {till}

Try this:
  1. Tap Fiorella's card. The till says who she is and what she has.
  2. Type an amount, give the points. "Provisional" turns into "final" when the centre has them.
  3. Cut the line. Tap, earn, activate the new card with a printed code: all of it works.
  4. Restore the line: every row arrives once.
  5. Hold the Wi-Fi code or the phone to the reader: each is refused in words.

Stop with Ctrl-C.
"""
