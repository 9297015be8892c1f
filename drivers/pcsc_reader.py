"""One PC/SC reader: which card lies on it, and what is read of it, once for each time it is put down.

When the service or the reader is lost with a card on it, nobody knows what becomes of the card: `Removed` is said only
once the reader is seen empty, and a card seen there then is read again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from drivers import apdu, atr
from drivers.apdu import Content, Transmit
from drivers.lines import Device, Reading, Removed
from drivers.pcsc_service import CardForbiddenError, CardLostError, ReaderBusyError, Seen, Service
from drivers.program import Voice

ATTEMPTS = 4
RETRY_S = 0.2  # four attempts take 0.6 s: the service itself needs 0.4 s to see that a card was pulled


class Reader:
    """A reader by name, while attached and after."""

    def __init__(self, name: str, voice: Voice, counts: Counter[str], *, ndef: bool, beat: Callable[[], None]) -> None:
        self.name = name
        self.attached = True
        self.raw = 0  # as the service last said; 0: not asked since it or the reader came (back)
        self._voice, self._counts, self._ndef, self._beat = voice, counts, ndef, beat
        self._events = 0
        self._card = False
        self._settled = False  # the card is read, or given up
        self._attempts = 0
        self._next_s = 0.0

    def device(self) -> Device:
        return Device(scope=self.name, state="ready" if self.attached else "searching", card=self._card)

    def lose(self) -> None:
        """The service or the reader went."""
        self.raw, self._settled, self._attempts = 0, False, 0

    def see(self, seen: Seen) -> None:
        """Takes in what the service says. A card swapped between two looks is known by the count of events."""
        swapped = self.raw != 0 and seen.events != self._events
        self.raw, self._events = seen.raw, seen.events
        if self._card and (swapped or not seen.card):
            self._leave()
        if seen.card and not self._card:
            self._card, self._settled, self._attempts, self._next_s = True, False, 0, 0.0

    def _leave(self) -> None:
        if self._attempts and not self._settled:
            self._fail("The card was taken away before it was read: hold it still until the answer comes.")
        self._card = False
        self._voice.say(Removed(scope=self.name))
        self._voice.over("The card was taken away.", scope=self.name)

    def is_due(self, now_s: float) -> bool:
        """Whether a card waits to be read."""
        return self.attached and self._card and not self._settled and now_s >= self._next_s

    def try_card(self, service: Service) -> bool:
        """Reads the card and says so, or what hinders; true if it was read."""
        self._next_s = time.monotonic() + RETRY_S
        try:
            reading = self._read(service)
        except ReaderBusyError as error:
            text = f"Another program has the reader {self.name} for itself ({error}). Fix: end that program."
            self._voice.fault("reader.busy", text, self.name)
        except apdu.NoIdentityError as error:
            self._settled = True
            text = f"This card cannot be used here: {error}."
            self._voice.fault("reader.tag_unsupported", text, self.name)
        except CardForbiddenError as error:  # polkit may allow the service and not its cards
            self._settled = True
            text = f"This user may not use cards: {error}. Fix: allow it org.debian.pcsc-lite.access_card in polkit."
            self._voice.fault("reader.not_permitted", text, self.name)
        except (CardLostError, apdu.TornReadError, apdu.StatusError) as error:
            self._miss(error)
        else:
            self._say(reading)
            return True
        return False

    def _say(self, reading: Reading) -> None:
        self._settled = True
        self._counts["readings"] += 1
        self._counts["torn"] += reading.ndef_state == "torn"
        self._voice.over("The card was read.", scope=self.name)
        self._voice.say(reading)

    def _miss(self, error: Exception) -> None:
        self._attempts += 1
        if self._attempts < ATTEMPTS:
            self._counts["retries"] += 1
            return
        self._settled = True
        self._fail(f"The card could not be read in {ATTEMPTS} attempts ({error}): present it again.")

    def _fail(self, text: str) -> None:
        self._counts["failed"] += 1
        self._voice.fault("reader.read_failed", text, self.name)

    def _read(self, service: Service) -> Reading:
        """Raises ReaderBusyError, CardForbiddenError, CardLostError, and what apdu raises."""
        began = time.perf_counter()
        with service.connection(self.name) as connection:
            answer = connection.atr()
            card = atr.card_of(answer)
            if isinstance(card, atr.UnsupportedCard):
                raise apdu.NoIdentityError(card.name)
            connected = time.perf_counter()
            transmit = self._beating(connection.transmit)
            uid = apdu.read_uid(transmit)
            identified = time.perf_counter()
            content = apdu.read_content(card, uid, transmit) if self._ndef else _unread(card)
        done = time.perf_counter()
        return Reading(
            kind="card",
            scope=self.name,
            uid=uid.hex(),
            tag=content.tag,
            atr=answer.hex(),
            ndef=content.records,
            ndef_state=content.state,
            elapsed_ms={
                "connect": _ms(connected - began),
                "uid": _ms(identified - connected),
                "ndef": _ms(done - identified),
            },
        )

    def _beating(self, transmit: Transmit) -> Transmit:
        """A long message on a slow card is no hang: the heart beats between two commands."""

        def transmit_and_beat(command: bytes) -> tuple[bytes, int]:
            self._beat()
            return transmit(command)

        return transmit_and_beat

    def signal(self, service: Service, command: bytes) -> bool:
        """Whether the reader took a beep or light, on the way to its card or by itself."""
        ways = [service.through_card, service.escape] if self._card else [service.escape]
        for way in ways:
            with suppress(CardForbiddenError, CardLostError, ReaderBusyError):
                self._beat()
                if apdu.is_played(way(self.name, command)[1]):
                    return True
        return False


def _unread(card: atr.MemoryCard | atr.ProcessorCard) -> Content:
    return Content(tag=card.tag if isinstance(card, atr.MemoryCard) else "iso14443", state="none")


def _ms(duration_s: float) -> float:
    return round(duration_s * 1000, 1)
