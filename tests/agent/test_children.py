"""Children that end, fall silent, flood and print garbage: each is started again, and none stops the others."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from agent import children
from agent.children import Child, Ended

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(children, "STOP_PATIENCE_S", 0.3)


@dataclass
class Listener:
    """What was heard of one child."""

    lines: list[bytes] = field(default_factory=list)
    ends: list[Ended] = field(default_factory=list)

    async def until(self, test: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not test():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(script: str, *, mute_after_s: float = 60.0) -> AsyncIterator[tuple[Child, Listener]]:
    """A shell script as a child, stopped in the end."""
    heard = Listener()
    child = Child(
        "test", ["/bin/sh", "-c", script], heard=heard.lines.append, ended=heard.ends.append, mute_after_s=mute_after_s
    )
    child.start()
    try:
        yield child, heard
    finally:
        await child.stop()
        assert child.pid is None


ECHO = "echo ready; while read line; do echo $line; done"


def test_lines_go_both_ways_and_closing_its_input_ends_it() -> None:
    async def play() -> None:
        async with running(ECHO) as (child, heard):
            await heard.until(lambda: heard.lines)
            assert child.tell(b"hello\n")
            await heard.until(lambda: len(heard.lines) == 2)
            assert heard.lines == [b"ready\n", b"hello\n"]
        assert not child.tell(b"anyone?\n")

    asyncio.run(play())


def test_a_child_that_ends_is_started_again_with_growing_pauses_and_its_last_words_are_kept() -> None:
    async def play() -> None:
        async with running("echo out; echo 'I cannot go on' >&2; sleep 0.05; exit 1") as (child, heard):
            await heard.until(lambda: len(heard.ends) >= 4)
            assert child.starts >= 4 and len(heard.lines) >= 4
            assert {end.exit_code for end in heard.ends} == {1}
            pauses = [end.pause_s for end in heard.ends]
            assert pauses == sorted(pauses) and pauses[3] == 8 * pauses[0]
            assert heard.ends[0].last_words == "I cannot go on"

    asyncio.run(play())


def test_a_child_that_was_killed_is_started_again() -> None:
    async def play() -> None:
        async with running(ECHO) as (child, heard):
            await heard.until(lambda: heard.lines)
            assert child.pid is not None
            os.kill(child.pid, 9)
            await heard.until(lambda: len(heard.lines) == 2)
            assert [end.exit_code for end in heard.ends] == [-9]

    asyncio.run(play())


def test_a_mute_child_is_ended_by_force_and_started_again() -> None:
    async def play() -> None:
        script = "trap '' TERM; echo once; exec 3<&0; while :; do sleep 1; done"
        async with running(script, mute_after_s=0.2) as (child, heard):
            first = child.pid
            await heard.until(lambda: heard.ends)
            assert heard.ends[0].exit_code is None
            await heard.until(lambda: len(heard.lines) >= 2)
            assert child.pid != first

    asyncio.run(play())


@pytest.mark.parametrize("code", [2, 3])
def test_a_child_that_cannot_run_here_is_not_tried_again_at_once(code: int) -> None:
    async def play() -> None:
        async with running(f"echo '{{}}'; exit {code}") as (child, heard):
            await heard.until(lambda: heard.ends)
            assert heard.ends[0].exit_code == code and heard.ends[0].pause_s >= 60
            await asyncio.sleep(0.1)
            assert child.starts == 1

    asyncio.run(play())


def test_a_program_that_is_not_there_is_said_and_tried_again() -> None:
    async def play() -> None:
        heard = Listener()
        child = Child("x", ["/nowhere/reader"], heard=heard.lines.append, ended=heard.ends.append, mute_after_s=60)
        child.start()
        await heard.until(lambda: len(heard.ends) >= 2)
        await child.stop()
        assert heard.ends[0].exit_code == 127 and "/nowhere/reader" in heard.ends[0].last_words

    asyncio.run(play())


def test_a_flood_is_read_slowly_and_others_are_heard_meanwhile() -> None:
    async def play() -> None:
        async with running("yes flood") as (_, loud), running(ECHO) as (child, quiet):
            await quiet.until(lambda: quiet.lines)
            for number in range(20):
                assert child.tell(b"%d\n" % number)
                await quiet.until(lambda expected=number: len(quiet.lines) == expected + 2)
            assert loud.lines and not loud.ends
            assert len(loud.lines) <= children.LINES_PER_S * 20

    asyncio.run(play())


def test_a_line_without_end_ends_the_child_and_it_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "MAX_LINE_BYTES", 65_536)

    async def play() -> None:
        async with running("echo hello; tr '\\0' x </dev/zero") as (child, heard):
            await heard.until(lambda: child.starts >= 2)
            assert "bytes" in heard.ends[0].last_words and heard.lines[0] == b"hello\n"

    asyncio.run(play())


def test_a_child_that_closes_its_mouth_and_lives_on_is_started_again() -> None:
    async def play() -> None:
        async with running("echo hello; exec >&-; while :; do sleep 1; done") as (child, heard):
            await heard.until(lambda: child.starts >= 2)
            assert heard.ends[0].exit_code is None

    asyncio.run(play())


def test_a_line_that_we_trip_over_does_not_end_the_listening(capsys: pytest.CaptureFixture[str]) -> None:
    async def play() -> None:
        heard: list[bytes] = []

        def hear(line: bytes) -> None:
            heard.append(line)
            raise RuntimeError("cannot bear it")

        child = Child("x", ["/bin/sh", "-c", ECHO], heard=hear, ended=lambda _: None, mute_after_s=60)
        child.start()
        listener = Listener()
        await listener.until(lambda: heard)
        child.tell(b"more\n")
        await listener.until(lambda: len(heard) == 2)
        await child.stop()
        assert child.starts == 1

    asyncio.run(play())
    assert "cannot bear it" in capsys.readouterr().err


def test_garbage_is_handed_on_as_lines() -> None:
    async def play() -> None:
        async with running("head -c 3000 /dev/urandom; echo; echo end; cat") as (_, heard):
            await heard.until(lambda: heard.lines and heard.lines[-1] == b"end\n")
            assert not heard.ends

    asyncio.run(play())


def test_stopping_ends_a_child_that_will_not_listen() -> None:
    async def play() -> None:
        async with running("trap '' TERM HUP PIPE; echo up; while :; do sleep 1; done") as (child, heard):
            await heard.until(lambda: heard.lines)
            pid = child.pid
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(play())


def test_children_get_the_environment_they_are_given() -> None:
    async def play() -> None:
        heard = Listener()
        command = [sys.executable, "-c", "import os; print(os.environ['CARD'], flush=True); input()"]
        child = Child(
            "x", command, heard=heard.lines.append, ended=heard.ends.append, mute_after_s=60, environment={"CARD": "7"}
        )
        child.start()
        await heard.until(lambda: heard.lines)
        await child.stop()
        assert heard.lines == [b"7\n"]

    asyncio.run(play())
