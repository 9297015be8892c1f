"""The PC/SC driver's loop: keeps a context of the service, knows which readers are there, has cards read, obeys."""

from __future__ import annotations

import time
from collections import Counter

from drivers import apdu
from drivers.lines import Command, Health, Result, State
from drivers.pcsc_reader import Reader
from drivers.pcsc_service import Service, ServiceError
from drivers.program import Ears, Voice

SETTLE_S = 2.0  # a service that has just started finds its readers one by one
REOPEN_S = 1.0
ATTENTIVE_S, ATTENTIVE_WAIT_S = 1.5, 0.02  # after a reading the agent's beep is near: listen closely

CURES = {
    "reader.no_service": "Fix: sudo systemctl start pcscd.socket",
    "reader.not_permitted": "Fix: allow this user org.debian.pcsc-lite.access_pcsc in polkit",
}


class Watch:
    """See `drivers.pcsc`."""

    def __init__(self, voice: Voice, *, match: str, poll_s: float, ndef: bool, buzzer: bool) -> None:
        self._voice, self._match, self._poll_s, self._ndef, self._buzzer = voice, match, poll_s, ndef, buzzer
        self._service: Service | None = None
        self._readers: dict[str, Reader] = {}
        self._trouble: tuple[State, str | None, str | None] = ("searching", None, None)
        self._paused = False
        self._counts: Counter[str] = Counter(readings=0, torn=0, retries=0, failed=0, contexts=0)
        self._settles_s = self._attentive_s = 0.0
        self._read_last = ""

    def run(self, ears: Ears) -> None:
        """Until the agent closes the pipe or says stop."""
        pause_s = 0.0
        while not ears.closed:
            self._beat()
            commands, _ = ears.hear(pause_s)
            for command in commands:
                self._voice.say(self._obey(command))
            try:
                self._turn(self._service or self._open())
                pause_s = 0.0
            except ServiceError as error:
                self._lose(error)
                pause_s = REOPEN_S

    def _beat(self) -> None:
        state, code, text = self._trouble
        if self._paused and state != "faulty":
            state = "paused"
        devices = [reader.device() for reader in self._readers.values()]
        health = Health(state=state, code=code, text=text, devices=devices, counts=dict(self._counts))
        self._voice.beat(health)

    # The service

    def _open(self) -> Service:
        self._service = Service()
        self._counts["contexts"] += 1
        self._settles_s = time.monotonic() + SETTLE_S
        return self._service

    def _lose(self, error: ServiceError) -> None:
        if self._service:
            self._service.close()
        self._service = None
        for reader in self._readers.values():
            reader.lose()
        text = f"{error}. {CURES[error.code]}"
        self._trouble = ("faulty", error.code, text)
        self._voice.over("Something else is the matter now.", but=error.code)
        self._voice.fault(error.code, text)

    def _turn(self, service: Service) -> None:
        """One look at every reader, and at most one attempt on each card."""
        attached = service.readers()
        self._voice.over("The smart-card service answers.", but="reader.not_present")
        self._attach([name for name in attached if self._match in name])
        self._judge(attached)
        attentive = time.monotonic() < self._attentive_s
        wait_s = min(ATTENTIVE_WAIT_S, self._poll_s) if attentive else self._poll_s
        known = {reader.name: reader.raw for reader in self._readers.values() if reader.attached}
        for seen in service.wait(known, wait_s):
            self._readers[seen.name].see(seen)
        if not self._paused:
            self._read(service)

    def _read(self, service: Service) -> None:
        for reader in self._readers.values():
            if reader.is_due(time.monotonic()) and reader.try_card(service):
                self._read_last = reader.name
                self._attentive_s = time.monotonic() + ATTENTIVE_S

    # Readers that come and go

    def _attach(self, names: list[str]) -> None:
        for name in names:
            if name not in self._readers:
                self._forget_one_gone()
                self._readers[name] = Reader(name, self._voice, self._counts, ndef=self._ndef, beat=self._beat)
            elif not self._readers[name].attached:
                self._readers[name].attached = True
                self._voice.over("The reader is back.", scope=name)
        for reader in self._readers.values():
            if reader.attached and reader.name not in names:
                reader.attached = False
                reader.lose()

    def _forget_one_gone(self) -> None:
        """A reader never seen before takes the place of one that went: swapped, or named anew by another port."""
        gone = next((reader for reader in self._readers.values() if not reader.attached), None)
        if gone:
            del self._readers[gone.name]
            self._voice.over("Another reader took its place.", scope=gone.name)

    def _judge(self, attached: list[str]) -> None:
        """Says what is missing, once a service that has just started had time to find it."""
        readers = self._readers.values()
        self._trouble = ("searching", None, None)
        if any(reader.attached for reader in readers):
            self._trouble = ("ready", None, None)
            self._voice.over("A reader is there.")
        if time.monotonic() < self._settles_s:
            return
        for reader in readers:
            if not reader.attached:
                self._miss(reader)
        if not readers:
            self._trouble = ("searching", "reader.not_present", self._absence(attached))
            self._voice.fault("reader.not_present", self._absence(attached))

    def _miss(self, reader: Reader) -> None:
        text = f"The reader {reader.name} is gone. Fix: look at its cable; unplug it and plug it in again."
        self._voice.over("The reader is gone.", scope=reader.name, but="reader.gone")
        self._voice.fault("reader.gone", text, reader.name)
        if self._trouble[0] == "searching":
            self._trouble = ("searching", "reader.gone", text)

    def _absence(self, attached: list[str]) -> str:
        if attached:
            return f"No smart-card reader has {self._match!r} in its name; there are: {', '.join(attached)}"
        return "No smart-card reader is attached. Fix: plug it in; lsusb lists it if the machine sees it."

    # Commands

    def _obey(self, command: Command) -> Result:
        match command.command:
            case "pause" | "resume":
                self._paused = command.command == "pause"
                return Result(id=command.id, ok=True)
            case "beep" | "light":
                return self._signal(command)
            case _:
                return self._self_test(command)

    def _signal(self, command: Command) -> Result:
        """A reader that has no buzzer or light is no fault."""
        reader = self._addressed(command.scope)
        if reader is None or self._service is None or not self._buzzer:
            text = "the buzzer is switched off in the options" if not self._buzzer else "no such reader"
            return Result(id=command.id, ok=False, text=text)
        order = apdu.signal(command.pattern or "look", sound=command.command == "beep")
        if reader.signal(self._service, order):
            return Result(id=command.id, ok=True)
        return Result(id=command.id, ok=False, text=f"{reader.name} does not {command.command}")

    def _addressed(self, scope: str | None) -> Reader | None:
        """The reader called so; else the one that read last; else any."""
        attached = {reader.name: reader for reader in self._readers.values() if reader.attached}
        if scope is not None:
            return attached.get(scope)
        return attached.get(self._read_last) or next(iter(attached.values()), None)

    def _self_test(self, command: Command) -> Result:
        """Whether the service answers and a reader is there; a card lying on one is told."""
        cards = {reader.name: reader.device().card for reader in self._readers.values() if reader.attached}
        text = None if cards else self._trouble[2] or "no reader yet"
        return Result(id=command.id, ok=bool(cards), text=text, data={"readers": dict(cards)})
