"""A shop's day, played: taps, activations, burns, the line cut and back, a card activated twice, a code used twice.

It keeps its own account of everything that was answered, and in the end holds the centre's books against it.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agent.demo.world import World, random_uid
from agent.remote import AnswerError
from drivers import lines

NAMES = ("Fiorella", "Bruno", "Nadia", "Jules", "Sofia", "Karim", "Ada", "Marco", "Ines", "Leo", "Vera", "Tom")
MORNING, AFTERNOON = 80, 110
TAP_PATIENCE_S = 10.0
SETTLE_PATIENCE_S = 60.0


@dataclass
class Day:
    """What was done, as the day itself remembers it."""

    world: World
    say: Callable[[str], None]
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    taps: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)  # event id: what was answered
    members: list[str] = field(default_factory=list)  # cards, in order of activation
    conflicts: list[str] = field(default_factory=list)

    def play(self) -> dict[str, Any]:
        """The whole day; fields of `holdfast demo --scripted --json`."""
        began = time.monotonic()
        watch = _Taps(self.world)
        self.say("Morning. Twelve members join: with printed codes, by QR, and with staff's help.")
        for number, name in enumerate(NAMES):
            self._join(number, name)
        self.say(f"{MORNING} purchases with the line up; every tap goes through the reader.")
        self._purchases(MORNING, watch)
        self.say("Three members spend points: the centre sets them aside, then the till burns them.")
        self._burns()
        self.world.line.cut()
        self.say("The line is cut. The shop goes on.")
        self._purchases(AFTERNOON, watch)
        self._while_cut()
        pending = self.world.remote.get("/status")["pending"]
        self.say(f"{pending} rows wait. The line comes back.")
        self.world.line.restore()
        synced = self._sync()
        self.say("Everything is sent. Now the books.")
        return self._reconciled(synced, time.monotonic() - began)

    # -- the shop --------------------------------------------------------------------------------------------------

    def _join(self, number: int, name: str) -> None:
        card = f"uid:{random_uid()}"
        code = self.world.codes[number]
        body: dict[str, Any] = {"card": card, "first_name": name}
        if number % 3 == 2:
            body |= {"assisted": True, "operator": "anna"}
        else:
            body["code"] = code.typed if number % 3 == 0 else code.qr
        self._do("/activations", body)
        self.members.append(card)

    def _purchases(self, count: int, watch: _Taps) -> None:
        for number in range(count):
            card = self.chance.choice(self.members)
            watch.expect(card)
            self.world.present(lines.Reading(kind="card", scope="counter", uid=card[4:], tag="type2"))
            watch.wait()
            self.world.present(lines.Removed(scope="counter"))
            self.taps += 1
            amount = self.chance.randrange(150, 9_000)
            body: dict[str, Any] = {"card": card, "amount_minor": amount, "receipt": f"R{len(self.answered):05}"}
            if number % 4 == 0:
                body["lines"] = [
                    {"no": 1, "amount_minor": amount // 2, "category": "fresh"},
                    {"no": 2, "amount_minor": amount - amount // 2},
                ]
            key = f"sale-{len(self.answered)}"
            first = self._do("/earnings", body, key)
            if number % 10 == 0:  # the POS did not hear the answer and sends the same again
                again = self.world.remote.post("/earnings", body, key)
                assert again["replayed"] and again["row"] == first["row"], "a repeated request gave another row"

    def _burns(self) -> None:
        richest = sorted(self.members, key=lambda card: -(self._balance(card) or 0))
        for card in richest[:3]:
            self._do("/burns", {"card": card, "reward": "coffee"})
        poorest = {"card": richest[-1], "points": 10_000_000}
        self._refused("/burns", poorest, "burn.balance")

    def _while_cut(self) -> None:
        rich = max(self.members, key=lambda card: self._balance(card) or 0)
        self.say("A burn without the line is refused in words: nothing was set aside for this shop yet.")
        self._refused("/burns", {"card": rich, "reward": "coffee"}, "burn.line_down", "burn.slow")
        self.say("A purchase is returned in part, another wholly.")
        earned = [event for event, row in self.answered.items() if row["kind"] == "earned"]
        self._do("/reversals", {"event_id": earned[-1], "amount_minor": 100, "reason": "returned"})
        self._do("/reversals", {"event_id": earned[-2], "whole": True, "reason": "wrong card"})
        self.say("A code is used twice at this till: refused at once.")
        self._refused("/activations", {"card": f"uid:{random_uid()}", "code": self.world.codes[0].typed}, "code.used")
        self.say("One card and one code are used at two tills that cannot see each other.")
        shared, code, other = f"uid:{random_uid()}", self.world.codes[20], self.world.codes[21]
        self._do("/activations", {"card": shared, "code": code.typed})
        self.members.append(shared)
        self._second_till("activate", other.typed, "--card", shared)
        self._second_till("activate", code.typed, "--card", f"uid:{random_uid()}")
        self._second_till("earn", shared, "--amount", "12.00", "--receipt", "B1")

    def _second_till(self, *words: str) -> None:
        found = msgspec.json.decode(self.world.till("second-till", *words, "--json"))
        self.answered[found["row"]["event_id"]] = found

    def _do(self, path: str, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self.world.remote.post(path, body, key)
        self.answered[found["row"]["event_id"]] = found
        return found

    def _refused(self, path: str, body: dict[str, Any], *codes: str) -> None:
        try:
            self.world.remote.post(path, body)
        except AnswerError as error:
            code = error.problem["code"]
            self.refused[code] += 1
            assert code in codes, f"refused with {code}, expected one of {codes}"
            return
        raise AssertionError(f"{path} was not refused")

    def _balance(self, card: str) -> int | None:
        found: int | None = self.world.remote.get(f"/cards/{card}")["balance"]
        return found

    # -- the books -------------------------------------------------------------------------------------------------

    def _sync(self) -> int:
        until = time.monotonic() + SETTLE_PATIENCE_S
        synced = 0
        while time.monotonic() < until:
            synced += self.world.remote.post("/sync")["pushed"]
            if self.world.remote.get("/status")["pending"] == 0:
                break
        self.world.till("second-till", "sync")
        self.world.remote.post("/sync")
        return synced

    def _reconciled(self, synced: int, elapsed_s: float) -> dict[str, Any]:
        """The centre's books against the day's own memory."""
        journals = [self.world.till_dir("till"), self.world.till_dir("second-till")]
        words = [word for folder in journals for word in ("--journals", str(folder))]
        report = {check["name"]: check["faults"] for check in self.world.server_json("verify", *words)["checks"]}
        outcomes = self.world.centre("/outcomes")
        rows = self.world.remote.get("/journal", limit=10_000)
        self.conflicts = [f"{n} {outcome}" for outcome, n in outcomes.items() if outcome not in ("applied", "adjusted")]
        unknown = {row["event_id"] for row in rows if row["outcome"] == "pending"}
        lost = len(report["I5"] or []) + len(unknown & set(self.answered))
        overdrawn = len(report["I1"] or []) + len(report["I2"] or [])
        return {
            "taps": self.taps,
            "rows": sum(outcomes.values()),
            "synced": synced,
            "lost": lost,
            "doubled": self._doubled(rows),
            "overdrawn": overdrawn,
            "conflicts": sum(n for outcome, n in outcomes.items() if outcome not in ("applied", "adjusted")),
            "reconciled": not any(report.values()) and lost == 0,
            "readers": self.world.remote.get("/status")["readers"],
            "elapsed_s": round(elapsed_s, 1),
        }

    def _doubled(self, rows: list[dict[str, Any]]) -> int:
        """Accounts whose balance at the centre is not what their answered rows and their outcomes add up to."""
        due: Counter[str] = Counter()
        for name in ("till", "second-till"):
            listed = rows if name == "till" else msgspec.json.decode(self.world.till(name, "journal", "--json"))
            for row in listed:
                counted = row["points_counted"] if row["points_counted"] is not None else row["points"]
                due[self._target(row["account"], row)] += counted
        held = {account["account"]: account["balance"] for account in self.world.centre("/accounts")}
        return sum(held.get(account, 0) != points for account, points in due.items())

    def _target(self, account: str, row: dict[str, Any]) -> str:
        """The account that a merged one counts to."""
        if not self._merged:
            found = self.world.centre("/aliases")
            self._merged.update(found or {"": ""})
        return self._merged.get(account, account)

    _merged: dict[str, str] = field(default_factory=dict)


class _Taps:
    """Hears the agent's events, so that a purchase waits for its tap as a cashier does."""

    def __init__(self, world: World) -> None:
        self._card = ""
        self._heard = threading.Event()
        self._listening = threading.Event()
        threading.Thread(target=self._listen, args=(world,), daemon=True).start()
        self._listening.wait(TAP_PATIENCE_S)

    def expect(self, card: str) -> None:
        """The next tap will be of this card."""
        self._heard.clear()
        self._card = card

    def wait(self) -> None:
        """Until it was heard; raises TimeoutError."""
        if not self._heard.wait(TAP_PATIENCE_S):
            raise TimeoutError(f"the tap of {self._card} was not heard")

    def _listen(self, world: World) -> None:
        name = ""
        for line in world.remote.stream():
            if line.startswith("event: "):
                name = line[7:]
                self._listening.set()
            elif line.startswith("data: ") and name == "tap":
                tap = msgspec.json.decode(line[6:])
                if tap["card"] and tap["card"]["card"] == self._card:
                    self._heard.set()
