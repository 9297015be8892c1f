"""Cards in software for a vpcd reader (or the rig's USB reader), with the faults that real cards have.

A card is a client of the reader: two bytes of length, big-endian, then one control byte (0 off, 1 on, 2 reset; 4 asks
for the ATR) or a command to answer. Being connected is lying on the reader; closing the connection is being taken away.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from pathlib import Path

STORAGE_ATR = "3B8F8001804F0CA00000030603{name:04X}00000000"
BUZZER = bytes.fromhex("FF0040")

OK = b"\x90\x00"
NOT_FOUND = b"\x6a\x82"
WRONG_OFFSET = b"\x6b\x00"
NOT_SUPPORTED = b"\x6a\x81"
UNKNOWN_INSTRUCTION = b"\x6d\x00"
UNKNOWN_CLASS = b"\x6e\x00"


def storage_atr(name: int) -> bytes:
    """A memory card's ATR as PC/SC part 3 has readers make it, ISO 14443 A."""
    body = bytes.fromhex(STORAGE_ATR.format(name=name))
    check = 0
    for byte in body[1:]:
        check ^= byte
    return body + bytes([check])


def uri_message(uri: str) -> bytes:
    """An NDEF message of one URI record, without prefix."""
    payload = b"\x00" + uri.encode()
    return bytes([0xD1, 1, len(payload)]) + b"U" + payload


class VirtualCard:
    """One card. `where`: vpcd's TCP port on this machine, or the path of a reader's UNIX socket.

    `pull_at` takes the card away instead of answering that command (1: the first since it was put down), `freeze_at`
    never answers it, `swap_for` puts another card down at once when this one is pulled. `buzzer`: play a reader that
    has one; what it was told is in `signals`.
    """

    atr = bytes.fromhex("3B80800101")

    def __init__(self, where: int | Path, *, uid: bytes = bytes.fromhex("04A1B2C3D4E580")) -> None:
        self.where, self.uid = where, uid
        self.pull_at = self.freeze_at = 0
        self.swap_for: VirtualCard | None = None
        self.buzzer = False
        self.signals: list[bytes] = []
        self.commands: list[bytes] = []  # since it was put down
        self.frozen, self._thaw = threading.Event(), threading.Event()
        self._lies = False
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def insert(self, *, patience_s: float = 10.0) -> None:
        """Puts the card down; waits for a reader that is only just starting."""
        self.frozen.clear()
        self._thaw.clear()
        self.commands = []
        self._lies, self._socket = True, _reach(self.where, patience_s)
        self._thread = threading.Thread(target=self._live, args=(self._socket,), daemon=True)
        self._thread.start()

    def remove(self) -> None:
        """Takes the card away; nothing if it is not there."""
        self._lies = False
        self.thaw()
        connection, self._socket = self._socket, None
        if connection:
            _close(connection)
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(5)

    def thaw(self) -> None:
        self._thaw.set()

    def __enter__(self) -> VirtualCard:
        self.insert()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _live(self, connection: socket.socket) -> None:
        """A card lies where it is when its reader loses it or dies: it is there again as soon as the reader is."""
        while self._lies:
            try:
                self._serve(connection, _take(connection))
            except OSError:
                connection.close()
                connection = self._lie_on() or connection

    def _lie_on(self) -> socket.socket | None:
        while self._lies:
            try:
                connection = self._socket = _reach(self.where, 0.0)
            except OSError:
                time.sleep(0.02)
                continue
            if not self._lies:  # taken away meanwhile
                connection.close()
            return connection
        return None

    def _serve(self, connection: socket.socket, message: bytes) -> None:
        if len(message) == 1:
            if message[0] == 4:
                _give(connection, self.atr)
            else:
                self.reset()
            return
        self.commands.append(message)
        if len(self.commands) == self.freeze_at:
            self.frozen.set()
            self._thaw.wait()
            if not self._lies:
                return
        if len(self.commands) == self.pull_at:
            self.remove()
            if self.swap_for:
                self.swap_for.insert()
            return
        _give(connection, self._answer(message))

    def _answer(self, command: bytes) -> bytes:
        if self.buzzer and command.startswith(BUZZER):
            self.signals.append(command)
            return OK
        return self.answer(command)

    def reset(self) -> None:
        """The reader powered the card anew."""

    def answer(self, command: bytes) -> bytes:
        """Data and status word; cards override it."""
        return UNKNOWN_INSTRUCTION


def _reach(where: int | Path, patience_s: float) -> socket.socket:
    end_s = time.monotonic() + patience_s
    while True:
        connection = socket.socket(socket.AF_UNIX if isinstance(where, Path) else socket.AF_INET)
        try:
            connection.connect(str(where) if isinstance(where, Path) else ("127.0.0.1", where))
        except OSError:
            connection.close()
            if time.monotonic() > end_s:
                raise
            time.sleep(0.02)
        else:
            if connection.family == socket.AF_INET:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection


def _close(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the reader went first
    connection.close()


def _take(connection: socket.socket) -> bytes:
    return _exactly(connection, int.from_bytes(_exactly(connection, 2), "big"))


def _exactly(connection: socket.socket, count: int) -> bytes:
    """Raises OSError at the end of the stream."""
    got = b""
    while len(got) < count:
        if connection.family == socket.AF_INET:  # vpcd writes length and body apart: a delayed ACK costs 40 ms
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        piece = connection.recv(count - len(got))
        if not piece:
            raise ConnectionResetError("the reader closed")
        got += piece
    return got


def _give(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(len(answer).to_bytes(2, "big") + answer)


class MemoryCard(VirtualCard):
    """A card without processor that gives its UID and nothing else; `name` as PC/SC part 3 numbers it."""

    def __init__(self, where: int | Path, *, name: int, uid: bytes = bytes.fromhex("8F1B2C3D")) -> None:
        super().__init__(where, uid=uid)
        self.atr = storage_atr(name)

    def answer(self, command: bytes) -> bytes:
        if command == bytes.fromhex("FFCA000000"):
            return self.uid + OK
        if command[:2] == b"\xff\xca":
            return NOT_SUPPORTED
        if command[:2] == b"\xff\xb0":
            return self.read(command)
        return UNKNOWN_INSTRUCTION if command[0] == 0xFF else UNKNOWN_CLASS

    def read(self, command: bytes) -> bytes:
        return b"\x69\x82"  # only with a key


class MifareClassic(MemoryCard):
    """Mifare Classic 1K: nothing of it can be read without a key."""

    def __init__(self, where: int | Path, *, uid: bytes = bytes.fromhex("8F1B2C3D")) -> None:
        super().__init__(where, name=0x0001, uid=uid)


class Ntag213(MemoryCard):
    """NFC Forum Type 2: 45 pages of four bytes, data from page 4, 144 bytes of it. `area` replaces the data area."""

    PAGES = 45

    def __init__(
        self,
        where: int | Path,
        *,
        uid: bytes = bytes.fromhex("04A1B2C3D4E580"),
        message: bytes | None = b"",
        area: bytes | None = None,
    ) -> None:
        super().__init__(where, name=0x0003, uid=uid)
        if area is None:
            lock_control = bytes.fromhex("0103A00C34")
            area = lock_control + (b"" if message is None else bytes([3, len(message)]) + message) + b"\xfe"
        assert len(area) <= 144, "an NTAG213 holds 144 bytes"
        checks = bytes([0x88 ^ uid[0] ^ uid[1] ^ uid[2]]), bytes([uid[3] ^ uid[4] ^ uid[5] ^ uid[6]])
        head = uid[:3] + checks[0] + uid[3:] + checks[1] + bytes.fromhex("480000 E1101200")
        self.memory = (head + area).ljust(self.PAGES * 4, b"\0")

    def read(self, command: bytes) -> bytes:
        page, count = command[2] << 8 | command[3], command[4]
        if page >= self.PAGES:
            return NOT_FOUND
        if not 0 < count <= 16:
            return b"\x6c\x10"
        return (self.memory + self.memory)[page * 4 :][:count] + OK  # a READ past the end rolls over to page 0


class Type4(VirtualCard):
    """ISO 14443-4 with the NFC Forum's application; READ BINARY gives `mle` bytes at most."""

    def __init__(
        self,
        where: int | Path,
        *,
        uid: bytes = bytes.fromhex("04112233445566"),
        message: bytes = b"",
        mle: int = 0x3B,
        size: int = 2048,
    ) -> None:
        super().__init__(where, uid=uid)
        self.mle = mle
        container = bytes.fromhex("000F20") + mle.to_bytes(2, "big") + bytes.fromhex("00340406E104")
        self.files = {
            "E103": container + size.to_bytes(2, "big") + b"\x00\x00",
            "E104": (len(message).to_bytes(2, "big") + message).ljust(size, b"\0"),
        }
        self.application = False
        self.file: bytes | None = None

    def reset(self) -> None:
        self.application, self.file = False, None

    def answer(self, command: bytes) -> bytes:
        if command == bytes.fromhex("FFCA000000"):
            return self.uid + OK
        if command[0] != 0x00:
            return UNKNOWN_CLASS
        match command[1]:
            case 0xA4:
                return self._select(command)
            case 0xB0:
                return self._read(command)
            case _:
                return UNKNOWN_INSTRUCTION

    def _select(self, command: bytes) -> bytes:
        name = command[5 : 5 + command[4]]
        if command[2] == 0x04:
            self.application, self.file = name == bytes.fromhex("D2760000850101"), None
            return OK if self.application else NOT_FOUND
        self.file = self.files.get(name.hex().upper()) if self.application else None
        return NOT_FOUND if self.file is None else OK

    def _read(self, command: bytes) -> bytes:
        if self.file is None:
            return b"\x69\x86"
        at, count = command[2] << 8 | command[3], command[4] or 256
        if count > self.mle:
            return b"\x67\x00"
        return WRONG_OFFSET if at > len(self.file) else self.file[at : at + count] + OK


class ContactCard(VirtualCard):
    """A bank card or SIM in contacts: the reader has no UID to give."""

    atr = bytes.fromhex("3B6500002063CB6800")

    def answer(self, command: bytes) -> bytes:
        return UNKNOWN_CLASS


class RandomCard(VirtualCard):
    """Answers anything to everything, the same for the same `seed`."""

    def __init__(self, where: int | Path, *, seed: int, atr: bytes) -> None:
        super().__init__(where)
        self.atr, self._chance = atr, random.Random(seed)

    def answer(self, command: bytes) -> bytes:
        status = self._chance.choice([OK, OK, OK, b"\x63\x00", self._chance.randbytes(2)])
        return self._chance.randbytes(self._chance.choice([0, 2, 4, 7, 15, 16, 60])) + status
