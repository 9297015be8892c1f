"""A till whose disk is full says so, keeps what it has, and goes on when there is space again."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.lines import Reading, Removed
from tests.rigs.shop import CARD, Shop
from tests.rigs.small_disk import small_disk
from tests.rigs.terminal import Terminal


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "size=2m") as folder:
        yield folder


def fill(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(handle, b"x" * 4_096)
    os.close(handle)


def test_a_full_disk_is_said_nothing_is_lost_and_the_till_goes_on_with_space(tmp_path: Path, disk: Path) -> None:
    shop = Shop(disk, start_ms=time.time_ns() // 1_000_000)
    shop.member(balance=100)
    shop.close()
    with Terminal(tmp_path, disk) as terminal:
        terminal.ready()
        saved = earn_until_full(terminal, disk / "filler")
        assert listed(terminal) == saved
        tap_is_answered(terminal)
        assert terminal.status()["pending"] == len(saved)
        (disk / "filler").unlink()
        after = terminal.http.post("/earnings", json={"card": CARD, "amount_minor": 700})
        assert after.status_code == 201, after.text
        assert listed(terminal) == [*saved, after.json()["row"]["event_id"]]
        terminal.kill()
        terminal.start()
        assert listed(terminal) == [*saved, after.json()["row"]["event_id"]]
        assert terminal.command("journal", "verify").returncode == 0


def earn_until_full(terminal: Terminal, filler: Path) -> list[str]:
    """Event ids of what was answered before the disk was full; then each further try is refused with 507."""
    saved, refused = [], 0
    for number in range(500):
        if number == 3:
            fill(filler)
        body = {"card": CARD, "amount_minor": 500, "receipt": f"R{number}"}
        answer = terminal.http.post("/earnings", json=body)
        if answer.status_code == 201:
            assert not refused, "a till that is full took a row"
            saved.append(answer.json()["row"]["event_id"])
            continue
        told = answer.json()
        assert (answer.status_code, told["code"]) == (507, "storage.full"), told
        assert "Nothing was saved" in told["detail"]
        refused += 1
        if refused == 3:
            return saved
    raise AssertionError("the disk was never full")


def listed(terminal: Terminal) -> list[str]:
    return [row["event_id"] for row in terminal.http.get("/journal", params={"limit": 1_000}).json()]


def tap_is_answered(terminal: Terminal) -> None:
    with terminal.events() as events:
        terminal.present(Reading(kind="card", scope="c", uid=CARD[4:], tag="type2"), Removed(scope="c"))
        assert events.next("tap")["card"]["card"] == CARD
