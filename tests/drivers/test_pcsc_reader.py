"""One reader's memory of its card, without a service: what is said as cards come, go and are lost from sight."""

from __future__ import annotations

import importlib.util
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from drivers import lines
from drivers.lines import Fault, Reading, Removed
from drivers.program import Voice
from tests.rigs.need import need
from tests.rigs.virtual_card import Ntag213, VirtualCard

need(importlib.util.find_spec("smartcard"), "pyscard (needs gcc, swig and libpcsclite-dev to build)")

from drivers.pcsc_reader import ATTEMPTS, Reader  # noqa: E402
from drivers.pcsc_service import CardForbiddenError, CardLostError, Seen  # noqa: E402

NAME = "Counter 00 00"
FOR_EVER = float("inf")


class Desk:
    """A reader, the service behind it played by hand, and what was said."""

    def __init__(self) -> None:
        self.out = io.BytesIO()
        self.reader = Reader(NAME, Voice(self.out), Counter(), ndef=True, beat=lambda: None)
        self.card: VirtualCard | None = None
        self.events = 0
        self.hinder: Exception | None = None

    def put(self, card: VirtualCard) -> None:
        self.card, self.events = card, self.events + 1

    def take(self) -> None:
        if self.card:
            self.card, self.events = None, self.events + 1

    def turn(self) -> None:
        """What the driver's loop does with a reader each time."""
        present = self.card is not None
        raw = (0x20 if present else 0x10) | self.events << 16
        self.reader.see(Seen(name=NAME, raw=raw, events=self.events, card=present))
        if self.reader.is_due(FOR_EVER):
            self.reader.try_card(self)  # type: ignore[arg-type]

    @contextmanager
    def connection(self, name: str) -> Iterator[Desk]:
        assert name == NAME
        if self.hinder:
            raise self.hinder
        yield self

    def atr(self) -> bytes:
        assert self.card
        return self.card.atr

    def transmit(self, command: bytes) -> tuple[bytes, int]:
        assert self.card
        answer = self.card.answer(command)
        return answer[:-2], int.from_bytes(answer[-2:], "big")

    def said(self) -> list[lines.Said]:
        return [lines.decode_said(line) for line in self.out.getvalue().splitlines()]

    def names(self) -> list[str]:
        """`reading`, `removed`, a fault's code, or `over`."""
        return [_name(line) for line in self.said()]


def _name(line: lines.Said) -> str:
    if isinstance(line, Fault):
        return "over" if line.over else line.code
    return "reading" if isinstance(line, Reading) else "removed"


def card(uid: str = "04A1B2C3D4E580") -> Ntag213:
    return Ntag213(Path("nowhere"), uid=bytes.fromhex(uid))


def test_a_card_swapped_between_two_looks_is_two_cards() -> None:
    desk = Desk()
    desk.put(card())
    desk.turn()
    desk.take()
    desk.put(card("04999999999999"))
    desk.turn()
    assert desk.names() == ["reading", "removed", "reading"]


def test_a_card_that_lies_there_when_the_service_comes_back_was_not_removed() -> None:
    desk = Desk()
    desk.put(card())
    desk.turn()
    desk.reader.lose()
    desk.events = 7  # another service counts anew
    desk.turn()
    desk.turn()
    assert desk.names() == ["reading", "reading"]


def test_a_card_taken_while_the_service_was_away_was_removed() -> None:
    desk = Desk()
    desk.put(card())
    desk.turn()
    desk.reader.lose()
    desk.take()
    desk.turn()
    assert desk.names() == ["reading", "removed"]


def test_a_card_that_fails_for_a_moment_is_read_and_nothing_is_said_of_it() -> None:
    desk = Desk()
    desk.put(card())
    desk.hinder = CardLostError("a flicker")
    for _ in range(ATTEMPTS - 1):
        desk.turn()
    desk.hinder = None
    desk.turn()
    assert desk.names() == ["reading"]


def test_a_card_that_fails_for_good_is_told_once_and_over_when_it_is_taken() -> None:
    desk = Desk()
    desk.put(card())
    desk.hinder = CardLostError("no answer")
    for _ in range(ATTEMPTS * 2):
        desk.turn()
    desk.take()
    desk.turn()
    assert desk.names() == ["reader.read_failed", "removed", "over"]


def test_cards_that_are_forbidden_are_told_once_and_cost_no_context() -> None:
    """As polkit may have it; Debian 12's pcscd is built without polkit and cannot play it."""
    desk = Desk()
    desk.put(card())
    desk.hinder = CardForbiddenError("Access denied.")
    desk.turn()
    desk.turn()
    assert desk.names() == ["reader.not_permitted"]


def test_a_service_that_dies_under_a_card_is_no_failure_of_the_card() -> None:
    desk = Desk()
    desk.put(card())
    desk.hinder = CardLostError("no service")
    desk.turn()
    desk.reader.lose()
    desk.take()
    desk.turn()
    assert desk.names() == ["removed"]


ACTS = st.lists(st.sampled_from(["put", "take", "swap", "lose", "flicker", "clear", "turn", "turn"]), max_size=40)


@given(ACTS)
def test_whatever_happens_each_card_is_read_once_and_each_fault_ends_once(acts: list[str]) -> None:
    desk, readings_allowed = Desk(), 0
    for act in acts:
        if act == "put" and not desk.card:
            desk.put(card())
            readings_allowed += 1
        elif act == "take":
            desk.take()
        elif act == "swap" and desk.card:
            desk.take()
            desk.put(card("04999999999999"))
            readings_allowed += 1
        elif act == "lose":
            desk.reader.lose()
            readings_allowed += desk.card is not None
        elif act in ("flicker", "clear"):
            desk.hinder = CardLostError("a flicker") if act == "flicker" else None
        desk.turn()
    desk.take()
    desk.turn()
    said = desk.said()
    assert sum(isinstance(line, Reading) for line in said) <= readings_allowed
    faults = [line.over for line in said if isinstance(line, Fault)]
    assert faults == [False, True] * (len(faults) // 2)
    if said:
        assert any(isinstance(line, Removed) for line in said)
