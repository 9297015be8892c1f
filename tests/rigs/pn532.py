"""A PN532 on a pseudo-terminal, as NXP's user manual UM0701-02 describes it: enough of it for nfcpy's own driver."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from pathlib import Path

from tests.rigs.cable import Cable
from tests.rigs.tags import Tag

ACK = bytes.fromhex("0000FF00FF00")
FIFO_DATA, SENS_REQ = 0x6339, 0x26  # the FIFO still holds the request when nothing answered it


class PN532:
    """The chip, and the field before it. Put a tag into `tag`, take it away with None."""

    def __init__(self, path: Path) -> None:
        self.cable = Cable(path)
        self.tag: Tag | None = None
        self.mute = False
        self.pull_at: int | None = None  # the tag is pulled away just before its n-th command from now
        self.commands: list[bytes] = []  # that tags were sent
        self._active: Tag | None = None  # the one tag that was selected since the field came on
        self._registers: dict[int, int] = {}
        self.plug()

    def plug(self) -> None:
        self.cable.plug()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        self._stop.set()
        self._thread.join()
        self.cable.unplug()

    def _serve(self) -> None:
        pending = b""
        while not self._stop.is_set():
            if not select.select([self.cable.host], [], [], 0.02)[0]:
                continue
            with contextlib.suppress(BlockingIOError):
                pending += os.read(self.cable.host, 4096)
            commands, pending = _frames(pending)
            for command in commands:
                if not self.mute:
                    os.write(self.cable.host, ACK)
                    os.write(self.cable.host, _frame(bytes([0xD5, command[0] + 1]) + self._execute(command)))

    # The chip

    def _execute(self, command: bytes) -> bytes:
        code, data = command[0], command[1:]
        match code:
            case 0x00:  # Diagnose, line test
                return data
            case 0x02:  # GetFirmwareVersion
                return bytes.fromhex("32010607")
            case 0x06:  # ReadRegister
                return bytes(self._register(address) for address in _addresses(data, 2))
            case 0x08:  # WriteRegister
                self._registers.update(zip(_addresses(data, 3), data[2::3], strict=True))
                return b""
            case 0x32 if data[0] == 0x01 and not data[1] & 1:  # RFConfiguration, field off
                self._active = None
                return b""
            case 0x4A:  # InListPassiveTarget
                return self._list(data[1])
            case 0x42:  # InCommunicateThru
                return self._talk(data)
            case 0x40:  # InDataExchange
                return self._talk(data[1:])
            case _:
                return b"\x00" if code in (0x16, 0x44, 0x52, 0x54) else b""

    def _register(self, address: int) -> int:
        if address == FIFO_DATA:
            return 0 if self.tag is not None and self.tag.technology == "J" else SENS_REQ
        return self._registers.get(address, 0)

    def _list(self, modulation: int) -> bytes:
        """Modulations: 0 type A, 1 and 2 FeliCa, 3 type B, 4 Jewel (UM0701-02, 7.3.5)."""
        tag = self.tag
        if tag is None or {"A": 0, "F": 1, "B": 3, "J": 4}[tag.technology] != modulation:
            return b"\x00"
        self._active = tag
        if modulation == 0:
            uid = tag.uid
            return b"\x01\x01" + tag.sens_res + tag.sel_res + bytes([len(uid)]) + uid
        if modulation == 1:
            return b"\x01\x01\x14\x01" + tag.uid + tag.PMM + tag.SYSTEM
        if modulation == 3:
            return b"\x01\x01" + tag.found + b"\x01\x00"
        return b"\x01\x01\x0c\x00" + tag.uid

    def _talk(self, command: bytes) -> bytes:
        """Status 0 and the tag's answer, or status 1: none came in time."""
        self.commands.append(command)
        if self.pull_at is not None:
            self.pull_at -= 1
            if self.pull_at == 0:
                self.tag = self.pull_at = None
        answer = self.tag.answer(command) if self.tag is not None and self.tag is self._active else None
        return b"\x01" if answer is None else b"\x00" + answer


def _addresses(data: bytes, step: int) -> list[int]:
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), step)]


def _frame(data: bytes) -> bytes:
    """UM0701-02, 6.2.1.1 and 6.2.1.2: normal, and extended from 256 bytes on."""
    count = len(data)
    if count < 256:
        head = bytes([count, -count & 0xFF])
    else:
        head = b"\xff\xff" + count.to_bytes(2, "big") + bytes([-(count >> 8) - (count & 0xFF) & 0xFF])
    return b"\x00\x00\xff" + head + data + bytes([-sum(data) & 0xFF, 0])


def _frames(data: bytes) -> tuple[list[bytes], bytes]:
    """The host's whole commands (code and parameters), and what is left. Its ACKs are passed over."""
    commands: list[bytes] = []
    while (at := data.find(b"\x00\xff")) >= 0:
        body = data[at + 2 :]
        if body[:2] == b"\x00\xff":  # ACK: cancels the command before it
            data = body[2:]
            continue
        extended = body[:2] == b"\xff\xff"
        head = 5 if extended else 2
        if len(body) < head:
            return commands, data
        count = int.from_bytes(body[2:4], "big") if extended else body[0]
        if len(body) < head + count + 2:
            return commands, data
        data = body[head + count + 2 :]
        if body[head] == 0xD4:
            commands.append(body[head + 1 : head + count])
    return commands, data[-1:]
