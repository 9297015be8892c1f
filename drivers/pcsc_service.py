"""The only door to pyscard: PC/SC calls in, answers and our own errors out. WinSCard API as pcsc-lite has it.

Of pyscard only its lowest layer is used. Its monitor threads end in silence when the service does, and its
connections report a pulled card as "Command successful".
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartcard import scard

SOCKET_PATH = "/run/pcscd/pcscd.comm"  # pcsclite.h, unless PCSCLITE_CSOCK_NAME names another
HOTPLUG = "\\\\?PnP?\\Notification"  # a reader's name that stands for "any reader comes or goes"
ESCAPE = 1  # CCID's escape command by SCardControl, as libccid numbers it

DENIED = (scard.SCARD_W_SECURITY_VIOLATION, scard.SCARD_E_NO_ACCESS)


class ServiceError(Exception):
    """The service does not answer, or not to us: this context is dead, make another. `code` names the finding."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class CardLostError(Exception):
    """The card or its reader stopped answering: pulled, swapped, unplugged, too far away, or the service died."""


class CardForbiddenError(Exception):
    """We may use the service, but not its cards."""


class ReaderBusyError(Exception):
    """Another program has the reader for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A reader as the service sees it now. `events` counts cards that came and went since the service started."""

    name: str
    raw: int
    events: int
    card: bool


class Connection:
    """A card in a reader, ours alone while connected."""

    def __init__(self, handle: Any, protocol: int) -> None:
        self._handle, self._protocol = handle, protocol

    def atr(self) -> bytes:
        """Raises CardLostError."""
        result, _, _, _, atr = scard.SCardStatus(self._handle)
        _check_card(result)
        return bytes(atr)

    def transmit(self, apdu: bytes) -> tuple[bytes, int]:
        """Waits for ever for a card that is frozen. Raises CardLostError."""
        header = scard.SCARD_PCI_T0 if self._protocol == scard.SCARD_PROTOCOL_T0 else scard.SCARD_PCI_T1
        result, answer = scard.SCardTransmit(self._handle, header, list(apdu))
        _check_card(result)
        return _split(answer)


class Service:
    """One context of the smart-card service. Raises ServiceError when there is none to be had."""

    def __init__(self) -> None:
        result, self._context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
        _check_service(result, admission=True)
        self._hotplug = int(scard.SCARD_STATE_UNAWARE)

    def close(self) -> None:
        scard.SCardReleaseContext(self._context)

    def readers(self) -> list[str]:
        """Names of the readers attached. Raises ServiceError."""
        result, names = scard.SCardListReaders(self._context, [])
        if result == scard.SCARD_E_NO_READERS_AVAILABLE:
            return []
        _check_service(result)
        return list(names)

    def wait(self, known: dict[str, int], timeout_s: float) -> list[Seen]:
        """Waits until one of the readers (name: last `raw`, at first 0) changes, and says how all are now.

        [] if a reader went meanwhile: list them anew. Raises ServiceError.
        """
        asked = [*known.items(), (HOTPLUG, self._hotplug)]
        started_s = time.monotonic()
        result, states = scard.SCardGetStatusChange(self._context, int(timeout_s * 1000), asked)
        if result == scard.SCARD_E_UNKNOWN_READER:
            return []
        if result != scard.SCARD_E_TIMEOUT:
            _check_service(result)
        self._hotplug = states[-1][1] & ~scard.SCARD_STATE_CHANGED  # newer services count readers in it
        seen = [_seen(name, raw) for name, raw, _ in states[: len(known)]]
        if all(reader.raw == known[reader.name] for reader in seen):
            _sleep_out(started_s, timeout_s)
        return seen

    @contextmanager
    def connection(self, reader: str) -> Iterator[Connection]:
        """The card in `reader`, ours alone meanwhile. Raises CardLostError, CardForbiddenError, ReaderBusyError."""
        protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        result, handle, protocol = scard.SCardConnect(self._context, reader, scard.SCARD_SHARE_SHARED, protocols)
        _check_card(result)
        try:
            _check_card(scard.SCardBeginTransaction(handle))
            yield Connection(handle, protocol)
        finally:
            scard.SCardEndTransaction(handle, scard.SCARD_LEAVE_CARD)
            scard.SCardDisconnect(handle, scard.SCARD_LEAVE_CARD)

    def through_card(self, reader: str, command: bytes) -> tuple[bytes, int]:
        """A command that the reader takes for itself on its way to the card. Raises as `connection` does."""
        with self.connection(reader) as connection:
            return connection.transmit(command)

    def escape(self, reader: str, command: bytes) -> tuple[bytes, int]:
        """A command to the reader itself, card or none. Raises CardLostError if it takes none; else as `connection`."""
        result, handle, _ = scard.SCardConnect(self._context, reader, scard.SCARD_SHARE_DIRECT, 0)
        _check_card(result)
        try:
            result, answer = scard.SCardControl(handle, scard.SCARD_CTL_CODE(ESCAPE), list(command))
            _check_card(result)
            return _split(answer)
        finally:
            scard.SCardDisconnect(handle, scard.SCARD_LEAVE_CARD)


def _seen(name: str, raw: int) -> Seen:
    raw &= ~scard.SCARD_STATE_CHANGED
    return Seen(name=name, raw=raw, events=raw >> 16, card=bool(raw & scard.SCARD_STATE_PRESENT))


def _sleep_out(started_s: float, timeout_s: float) -> None:
    """A service that reports a change where none is must not make a busy loop of us."""
    time.sleep(max(0.0, started_s + min(timeout_s, 0.02) - time.monotonic()))


def _split(answer: list[int]) -> tuple[bytes, int]:
    if len(answer) < 2:
        raise CardLostError("an answer without a status word")
    return bytes(answer[:-2]), answer[-2] << 8 | answer[-1]


def _check_card(result: int) -> None:
    """A call on one reader. Whatever its failure, the others go on: whether the service lives, `readers` will tell."""
    if result == scard.SCARD_S_SUCCESS:
        return
    if result == scard.SCARD_E_SHARING_VIOLATION:
        raise ReaderBusyError(_text(result))
    if result in DENIED:
        raise CardForbiddenError(_text(result))
    raise CardLostError(_text(result))


def _check_service(result: int, *, admission: bool = False) -> None:
    """A call on the context, which any failure makes worthless.

    `admission`: this call may be denied us. Of any other, "Access denied" means that the service died under it.
    """
    if result == scard.SCARD_S_SUCCESS:
        return
    if admission and (result in DENIED or _is_locked()):
        raise ServiceError("reader.not_permitted", f"This user may not use the smart-card service: {_text(result)}")
    raise ServiceError("reader.no_service", f"The smart-card service does not answer: {_text(result)}")


def _text(result: int) -> str:
    return f"{str(scard.SCardGetErrorMessage(result)).strip()} (0x{result & 0xFFFFFFFF:08X})"


def _is_locked() -> bool:
    """The service's socket is there and not for us; the library reports that as no service at all."""
    path = Path(os.environ.get("PCSCLITE_CSOCK_NAME", SOCKET_PATH))
    return path.exists() and not os.access(path, os.R_OK | os.W_OK)
