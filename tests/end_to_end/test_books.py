"""Power cuts of the terminal and of the centre, and a line that breaks in mid-answer: every row arrives once."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from sync.journal import JournalReader
from tests.rigs.fleet import Fleet
from tests.rigs.terminal import PATIENCE_S, Terminal

EARNINGS = 1_000
KILL_AFTER = 400
CALLERS = 4


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as running:
        running.codes = running.issue(20)  # type: ignore[attr-defined]
        yield running


@pytest.fixture(scope="module")
def terminal(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("till")
    fleet.enrol(folder / "till")
    with Terminal(folder, folder / "till", server_url=fleet.url, automatic=True) as running:
        running.wait_for("the programme", lambda found: found["programme"] == 1)
        yield running


@pytest.fixture(scope="module")
def cards(fleet: Fleet, terminal: Terminal) -> list[str]:
    """Members with points, known to the centre."""
    made = []
    for code in fleet.codes[:4]:  # type: ignore[attr-defined]
        card = f"uid:04{secrets.token_hex(5)}80"
        assert terminal.http.post("/activations", json={"card": card, "code": code.typed_text}).status_code == 201
        made.append(card)
    drained(terminal)
    return made


def drained(terminal: Terminal) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while terminal.status()["pending"]:
        terminal.http.post("/sync")
        assert time.monotonic() < end_s, terminal.status()


class Callers:
    """POS software that sells: every sale has a key, and is asked again until it is answered."""

    def __init__(self, terminal: Terminal, cards: list[str], count: int, name: str) -> None:
        self.terminal, self.cards, self.name = terminal, cards, name
        self.open = list(range(count))
        self.answered: dict[int, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def sell(self, until: int | None = None) -> None:
        """Until so many are answered, or the till goes away."""
        with ThreadPoolExecutor(CALLERS) as callers:
            for done in [callers.submit(self._sell, until) for _ in range(CALLERS)]:
                done.result()

    def _sell(self, until: int | None) -> None:
        with self.terminal._client() as http:
            while (number := self._next(until)) is not None:
                body = {"card": self.cards[number % len(self.cards)], "amount_minor": 100 + number}
                try:
                    answer = http.post("/earnings", json=body, headers={"Idempotency-Key": f"{self.name}-{number}"})
                except httpx.TransportError:
                    with self._lock:
                        self.open.append(number)
                    return
                assert answer.status_code in (200, 201), answer.text
                with self._lock:
                    self.answered[number] = answer.json()["row"]

    def _next(self, until: int | None) -> int | None:
        with self._lock:
            return self.open.pop(0) if self.open and (until is None or len(self.answered) < until) else None


def test_a_power_cut_in_the_middle_of_a_thousand_earnings_loses_none_that_was_answered(
    fleet: Fleet, terminal: Terminal, cards: list[str]
) -> None:
    callers = Callers(terminal, cards, EARNINGS, "cut")
    selling = threading.Thread(target=callers.sell)
    selling.start()
    while len(callers.answered) < KILL_AFTER:
        time.sleep(0.005)
    terminal.kill()
    selling.join()
    before = dict(callers.answered)
    assert KILL_AFTER <= len(before) < EARNINGS
    terminal.start()
    kept = {row["event_id"] for row in terminal.http.get("/journal", params={"limit": 10_000}).json()}
    assert {row["event_id"] for row in before.values()} <= kept
    callers.sell()
    assert len(callers.answered) == EARNINGS and not callers.open
    assert {number: callers.answered[number] for number in before} == before
    rows = [row for row in terminal.http.get("/journal", params={"limit": 10_000}).json() if row["kind"] == "earned"]
    assert len(rows) == EARNINGS == len({row["event_id"] for row in rows})
    assert sorted(row["event_id"] for row in callers.answered.values()) == sorted(row["event_id"] for row in rows)
    verified = terminal.command("journal", "verify", "--json")
    assert verified.returncode == 0 and json.loads(verified.stdout)["valid"]
    drained(terminal)
    at_centre = fleet.events()
    assert all(at_centre[row["event_id"]] == 1 for row in rows)
    settled(fleet, terminal)


def settled(fleet: Fleet, terminal: Terminal) -> None:
    """The books agree: no fault in them, no row missing, and balances are what the rows add up to."""
    assert fleet.faults(terminal.data_dir) == []
    rows = terminal.http.get("/journal", params={"limit": 100_000}).json()
    assert {row["outcome"] for row in rows} == {"applied"}
    due: dict[str, int] = {}
    for row in rows:
        due[row["account"]] = due.get(row["account"], 0) + row["points"]
    assert fleet.balances() == due
    journal = JournalReader.open(terminal.data_dir)
    assert journal.verify() == sum(fleet.events().values())
    journal.close()


def test_answers_torn_on_the_way_and_power_cuts_of_the_centre_double_and_lose_nothing(
    fleet: Fleet, terminal: Terminal, cards: list[str]
) -> None:
    for cut_number, tear_at in enumerate((0, 150, 300)):
        fleet.line.tear(tear_at)
        callers = Callers(terminal, cards, 20, f"torn-{cut_number}")
        callers.sell()
        terminal.http.post("/sync")
        assert fleet.line.torn.wait(PATIENCE_S)
        assert tear_at > 200 or terminal.status()["pending"] > 0
        if cut_number % 2:
            fleet.kill()
            fleet.start()
        Callers(terminal, cards, 5, f"dark-{cut_number}").sell()
        fleet.line.restore()
        drained(terminal)
    settled(fleet, terminal)


def test_a_centre_that_dies_while_it_takes_rows_has_each_of_them_once_in_the_end(
    fleet: Fleet, terminal: Terminal, cards: list[str]
) -> None:
    fleet.line.cut()
    Callers(terminal, cards, 150, "dying").sell()
    fleet.line.restore()
    syncing = threading.Thread(target=lambda: terminal.http.post("/sync"))
    syncing.start()
    time.sleep(0.03)
    fleet.kill()
    syncing.join()
    fleet.start()
    drained(terminal)
    settled(fleet, terminal)
