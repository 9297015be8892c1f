"""Readers of every kind beside each other under one agent: each works, and what fails stops itself alone."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.lines import Reading, Removed
from tests.rigs import pictures
from tests.rigs.mjpeg import MjpegCamera
from tests.rigs.pcscd import Pcscd
from tests.rigs.shop import CARD, Shop
from tests.rigs.terminal import Terminal
from tests.rigs.virtual_card import Ntag213

OTHERS = """
[[readers]]
name = "tap"
driver = "pcsc"

[[readers]]
name = "camera"
driver = "camera"
options = {{ source = "{camera}", formats = ["QRCode"] }}

[[readers]]
name = "babbler"
command = ["/bin/sh", "-c", "yes 'this is no line of the protocol'"]

[[readers]]
name = "crasher"
command = ["/bin/sh", "-c", "echo 'out of luck' >&2; exit 1"]

[[readers]]
name = "absent"
command = ["/nowhere/reader"]
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pcscd]:
    with Pcscd(tmp_path_factory.mktemp("pcscd")) as running:
        yield running


@pytest.fixture(scope="module")
def camera() -> Iterator[MjpegCamera]:
    with MjpegCamera(pictures.jpegs(), frames_per_s=10) as running:
        yield running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("readers") / "till", start_ms=time.time_ns() // 1_000_000)
    made.member(balance=300)
    made.journal.close()
    yield made
    made.close()


@pytest.fixture(scope="module")
def terminal(shop: Shop, service: Pcscd, camera: MjpegCamera) -> Iterator[Terminal]:
    readers = OTHERS.format(camera=camera.url)
    with Terminal(shop.folder.parent, shop.folder, readers=readers, env=service.env) as running:
        running.ready("counter", "tap", "camera")
        yield running


_new_cards = itertools.count(1)


def tap_counter(terminal: Terminal) -> None:
    """A card that no reader has seen yet: one that lay elsewhere a moment ago would be the same presentation."""
    reading = Reading(kind="card", scope="c", uid=f"04{next(_new_cards):010x}80", tag="type2")
    terminal.present(reading, Removed(scope="c"))


def test_a_card_on_the_reader_shows_who_it_is_on_the_stream_and_in_the_status(
    terminal: Terminal, service: Pcscd
) -> None:
    with terminal.events() as events, Ntag213(service.port("Counter"), uid=bytes.fromhex(CARD[4:])):
        tap = events.next("tap")
        assert tap["reader"] == "tap"
        assert (tap["card"]["card"], tap["card"]["name"], tap["card"]["balance"]) == (CARD, "Fiorella", 300)
    shown = json.loads(terminal.command("status", "--json").stdout)
    assert shown["last_tap"]["reader"] == "tap" and shown["last_tap"]["card"]["card"] == CARD
    states = {reader["name"]: reader["state"] for reader in shown["readers"]}
    assert states["tap"] == states["counter"] == states["camera"] == "ready"
    assert {"crasher", "absent"} <= {finding["scope"] for finding in shown["findings"]}


def test_a_service_that_dies_stops_its_own_reader_alone_and_is_back_by_itself(
    terminal: Terminal, service: Pcscd
) -> None:
    with terminal.events() as events:
        service.kill()
        terminal.wait_for(
            "the missing service", lambda found: any(f["code"] == "reader.no_service" for f in found["findings"])
        )
        tap_counter(terminal)
        assert events.next("tap")["reader"] == "counter"
        assert terminal.reader("camera")["state"] == "ready"
        service.start()
        terminal.ready("tap")
        with Ntag213(service.port("Counter"), uid=bytes.fromhex(CARD[4:])):
            assert events.next("tap")["reader"] == "tap"


def test_a_driver_that_is_killed_is_started_again(terminal: Terminal, service: Pcscd) -> None:
    children = subprocess.run(["pgrep", "-P", str(terminal.pid), "-f", "drivers pcsc"], capture_output=True, text=True)
    (driver,) = children.stdout.split()
    os.kill(int(driver), 9)
    terminal.wait_for("its end", lambda found: _state(found, "tap") != "ready")
    terminal.ready("tap")
    with terminal.events() as events, Ntag213(service.port("Counter"), uid=bytes.fromhex(CARD[4:])):
        assert events.next("tap")["card"]["card"] == CARD


def _state(found: dict[str, object], name: str) -> str:
    readers: list[dict[str, str]] = found["readers"]  # type: ignore[assignment]
    return next(reader["state"] for reader in readers if reader["name"] == name)


def test_a_printed_code_before_the_camera_activates_a_card_with_no_line(
    terminal: Terminal, shop: Shop, camera: MjpegCamera
) -> None:
    code, card = shop.print_code(), "uid:04998877665580"
    with terminal.events() as events:
        camera.show(*pictures.jpegs(pictures.code("QRCode", code.qr, width_px=340), at=(140, 60)))
        tap = events.next("tap")
        assert tap["reader"] == "camera" and tap["code"] == code.qr
        asked = {"card": card, "code": tap["code"], "first_name": "Ada"}
        answer = terminal.http.post("/activations", json=asked)
        assert answer.status_code == 201, answer.text
        assert answer.json()["provisional"] and answer.json()["card"]["status"] == "active"
        assert events.next("decision")["kind"] == "activated"
    assert terminal.http.get(f"/cards/{card}").json()["balance"] == 20
    again = terminal.http.post("/activations", json={"card": "uid:04998877665581", "code": tap["code"]})
    assert again.status_code == 409 and again.json()["code"] == "code.used"


def test_a_camera_that_is_unplugged_leaves_the_others_their_work(terminal: Terminal, camera: MjpegCamera) -> None:
    camera.mode = "unplug"
    terminal.wait_for("the lost camera", lambda found: _state(found, "camera") != "ready")
    with terminal.events() as events:
        tap_counter(terminal)
        assert events.next("tap")["reader"] == "counter"
    camera.show(*pictures.jpegs())
    camera.mode = "run"
    terminal.ready("camera")


def test_nothing_outlives_an_agent_that_was_killed_and_the_next_one_has_its_readers_back(
    terminal: Terminal, service: Pcscd
) -> None:
    children = children_of(terminal)
    assert len(children) >= 4  # three drivers and the sync worker
    terminal.kill()
    end_s = time.monotonic() + 20
    while left := [pid for pid in children if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end_s, [Path(f"/proc/{pid}/cmdline").read_text() for pid in left]
        time.sleep(0.05)
    terminal.start()
    terminal.ready("counter", "tap", "camera")
    with terminal.events() as events, Ntag213(service.port("Counter"), uid=bytes.fromhex(CARD[4:])):
        assert events.next("tap")["reader"] == "tap"


def children_of(terminal: Terminal) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(terminal.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]
