"""The configured readers: their processes, what they said last, and the readings that become taps."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from agent.children import Child, Ended
from agent.config import Cards, Reader
from agent.diagnosis.log import About
from agent.diagnosis.situation import Child as ChildState
from agent.diagnosis.situation import Ended as EndedState
from agent.diagnosis.situation import FaultAt, HealthAt, NotStarted, Running
from agent.diagnosis.state_log import StateLog
from agent.hub import Hub
from agent.token import Debounce, Token, read_token
from drivers import lines


class ReaderChild:
    """One configured reader: what it said last, for the page and for the diagnosis."""

    def __init__(self, configured: Reader) -> None:
        self.configured = configured
        self.child: Child | None = None
        self.state: ChildState = NotStarted()
        self.capabilities: frozenset[str] = frozenset()

    def as_json(self) -> dict[str, Any]:
        """For `status`."""
        name, driver = self.configured.name, self.configured.driver or "command"
        state: str
        code: str | None
        text: str | None
        match self.state:
            case Running(health=HealthAt(health=health)):
                state, code, text = health.state, health.code, health.text
            case Running():
                state, code, text = "starting", None, None
            case EndedState(exit_code=exit_code, faults=faults):
                last = faults[-1].fault if faults else None
                state, code = "stopped", last.code if last else "reader.mute"
                text = last.text if last else f"ended with {exit_code}"
            case _:
                state, code, text = "stopped", None, None
        return {"name": name, "driver": driver, "state": state, "code": code, "text": text}


class Readers:
    """All readers. `presented` gets each new presentation; one failing reader never stops the others."""

    def __init__(
        self,
        configured: tuple[Reader, ...],
        cards: Cards,
        *,
        hub: Hub,
        states: StateLog,
        presented: Callable[[str, Token], None],
    ) -> None:
        self.all = [ReaderChild(reader) for reader in configured]
        self._cards, self._hub, self._states, self._presented = cards, hub, states, presented
        self._debounce = Debounce()

    def start(self) -> None:
        """Starts every reader's process and keeps it running."""
        for reader in self.all:
            self._start(reader)

    async def stop(self) -> None:
        """Ends them."""
        children = [reader.child for reader in self.all if reader.child is not None]
        await asyncio.gather(*(child.stop() for child in children))

    def release(self, token: Token) -> None:
        """The attempt failed and uses up nothing: the next reading counts as a new tap."""
        self._debounce.release(token)

    def beep(self, name: str, pattern: Literal["yes", "no", "look"]) -> None:
        """Lets a reader that can be heard say that it has read, or that what it read is refused."""
        for reader in self.all:
            if reader.configured.name == name and "beep" in reader.capabilities and reader.child is not None:
                reader.child.tell(lines.encode(lines.Command(command="beep", pattern=pattern)))

    def _start(self, reader: ReaderChild) -> None:
        configured = reader.configured
        options = msgspec.json.encode(configured.options).decode()
        ours = [sys.executable, "-P", "-m", "drivers", configured.driver, "--options", options]
        reader.child = Child(
            configured.name,
            configured.command or ours,
            heard=lambda line: self._heard(reader, line),
            ended=lambda end: self._ended(reader, end),
            mute_after_s=lines.MUTE_AFTER_S,
        )
        reader.state = Running(started_at=time.time())
        reader.child.start()

    def _heard(self, reader: ReaderChild, line: bytes) -> None:
        try:
            said = lines.decode_said(line)
        except lines.LineError:
            return
        now, name, before = time.time(), reader.configured.name, reader.as_json()
        running = reader.state if isinstance(reader.state, Running) else Running(started_at=now)
        match said:
            case lines.Hello():
                reader.capabilities = frozenset(said.capabilities)
            case lines.Health():
                reader.state = msgspec.structs.replace(running, health=HealthAt(health=said, at=now))
                self._tell_state(reader, before)
            case lines.Fault():
                faults = tuple(f for f in running.faults if (f.fault.code, f.fault.scope) != (said.code, said.scope))
                faults = faults if said.over else (*faults, FaultAt(fault=said, at=now))
                reader.state = msgspec.structs.replace(running, faults=faults)
                self._tell_fault(name, said, now)
            case lines.Reading():
                reader.state = msgspec.structs.replace(running, last_reading_at=now)
                self._read(name, said)
            case lines.Removed():
                self._debounce.removed(f"{name}/{said.scope}")
                self._hub.publish("removed", {"reader": name})
            case _:
                pass

    def _read(self, name: str, reading: lines.Reading) -> None:
        prefixes = tuple(self._cards.identity_prefixes)
        token = read_token(reading, identity_prefixes=prefixes, luhn=self._cards.luhn)
        if self._debounce.is_new(token, f"{name}/{reading.scope}", time.monotonic()):
            self._presented(name, token)

    def _tell_fault(self, name: str, said: lines.Fault, now: float) -> None:
        code, about = None if said.over else said.code, About(reader=name)
        self._states.saw(now, "reader", f"{name} {said.code}", code, said.text, about)
        self._hub.publish("fault", {"name": name, "code": said.code, "text": said.text, "over": said.over})

    def _tell_state(self, reader: ReaderChild, before: dict[str, Any]) -> None:
        after = reader.as_json()
        if before == after:
            return
        self._hub.publish("reader", after)
        if after["state"] != "starting":
            name, fine = after["name"], after["state"] in ("ready", "paused")
            code = None if fine else after["code"] or f"reader.{after['state']}"
            text = after["text"] or f"reader {name} is {after['state']}"
            self._states.saw(time.time(), "reader", name, code, text, About(reader=name))

    def _ended(self, reader: ReaderChild, end: Ended) -> None:
        now, before, name = time.time(), reader.as_json(), reader.configured.name
        faults = reader.state.faults if isinstance(reader.state, Running | EndedState) else ()
        exit_code = end.exit_code if end.exit_code is not None else -int(signal.SIGKILL)
        reader.state = EndedState(exit_code=exit_code, at=now, faults=faults)
        self._debounce.gone(f"{name}/")
        self._tell_state(reader, before)
        code, text = None, f"reader {name} ended: {end.last_words}"
        if end.exit_code is None:
            code = "reader.mute"
            text = f"reader {name} said nothing for {lines.MUTE_AFTER_S:.0f} s and is started again"
        self._states.saw(now, "reader", f"{name} process", code, text, About(reader=name))
