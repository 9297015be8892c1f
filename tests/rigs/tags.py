"""NFC tags as they answer over the air: one method, a command frame in, the answer or silence out."""

from __future__ import annotations

import os
from typing import Protocol

RECORDS = bytes.fromhex("9101 14 55 04") + b"loy.example/c/0042?" + bytes.fromhex("5101 0c 54 02") + b"encard-0042"
"""An NDEF message: the link https://loy.example/c/0042? and the text card-0042 in English."""


class Tag(Protocol):
    """What a simulated reader needs of a tag. `uid` is asked for at every activation: a random one changes."""

    technology: str  # A, B, F, or J for Jewel (Type 1)

    @property
    def uid(self) -> bytes: ...

    def answer(self, command: bytes) -> bytes | None: ...


def crc_a(data: bytes) -> bytes:
    """ISO/IEC 14443-3 annex B, CRC_A."""
    crc = 0x6363
    for byte in data:
        byte = (byte ^ crc) & 0xFF
        byte = (byte ^ byte << 4) & 0xFF
        crc = (crc >> 8 ^ byte << 8 ^ byte << 3 ^ byte >> 4) & 0xFFFF
    return crc.to_bytes(2, "little")


def tlv(message: bytes) -> bytes:
    """An NDEF TLV and the terminator (Type 2 Tag 1.1, 2.3)."""
    return bytes([0x03, len(message)]) + message + b"\xfe"


class Type2:
    """An NTAG213. `locked_from`: pages from there on are refused, as behind a password. `blank`: never formatted."""

    technology, sens_res, sel_res = "A", b"\x00\x44", b"\x00"

    def __init__(self, area: bytes = tlv(RECORDS), *, uid: str = "04a1b2c3d4e580", locked_from: int = 45) -> None:
        self.uid = bytes.fromhex(uid)
        self._locked_from = locked_from
        self.memory = bytearray(180)
        self.memory[12:16] = bytes.fromhex("E1101200") if area else bytes(4)
        self.memory[16 : 16 + len(area)] = area

    def answer(self, command: bytes) -> bytes | None:
        match command[0]:
            case 0x30 if command[1] < self._locked_from:  # READ four pages, from the start again after the last
                start = command[1] * 4
                data = bytes((self.memory + self.memory)[start : start + 16])
            case 0x60:
                data = bytes.fromhex("0004040201000F03")  # GET_VERSION
            case 0x50:
                return None  # HALT
            case _:
                return b"\x00"  # NAK
        return data + crc_a(data)


class Classic:
    """A MIFARE Classic card: nothing is to be read without a key."""

    technology, sens_res, sel_res = "A", b"\x00\x04", b"\x08"
    uid = bytes.fromhex("a1b2c3d4")

    def answer(self, command: bytes) -> bytes | None:
        return None


class Type4:
    """ISO-DEP with the NDEF application (Type 4 Tag 2.0). `uid` None: a new one at each activation, as phones."""

    technology, sens_res, sel_res = "A", b"\x03\x44", b"\x20"
    CAPABILITIES = bytes.fromhex("000F20007F007F0406E104010000FF")

    def __init__(self, message: bytes = RECORDS, *, uid: str | None = "04112233445566") -> None:
        self._uid = uid
        self._files = {b"\xe1\x03": self.CAPABILITIES, b"\xe1\x04": len(message).to_bytes(2, "big") + message}
        self._file = b""

    @property
    def uid(self) -> bytes:
        return bytes.fromhex(self._uid) if self._uid else b"\x08" + os.urandom(3)

    def answer(self, command: bytes) -> bytes | None:
        pcb = command[0]
        if pcb == 0xE0:
            return bytes.fromhex("0578807002")  # RATS: frames of 256 bytes
        if pcb & 0xE2 == 0x02:
            return bytes([pcb]) + self._apdu(command[1:])
        if pcb & 0xE6 == 0xA2:
            return bytes([0xA2 | pcb & 1])  # R(NAK), the presence check
        return None

    def _apdu(self, apdu: bytes) -> bytes:
        if apdu[:4] == b"\x00\xa4\x04\x00":
            return b"\x90\x00" if apdu[5 : 5 + apdu[4]].hex() == "d2760000850101" else b"\x6a\x82"
        if apdu[:2] == b"\x00\xa4":
            self._file = self._files.get(bytes(apdu[5:7]), b"")
            return b"\x90\x00" if self._file else b"\x6a\x82"
        start = int.from_bytes(apdu[2:4], "big")
        return self._file[start : start + (apdu[4] or 256)] + b"\x90\x00"


class Type4B(Type4):
    """The same over type B (ISO/IEC 14443-3, 7). Answers DESELECT and WUPB, by which nfcpy starts it afresh."""

    technology = "B"
    PROTOCOL = bytes.fromhex("00000000 008171")  # application data; 106 kbit/s, frames of 256 bytes, ISO/IEC 14443-4

    def __init__(self, message: bytes = RECORDS) -> None:
        super().__init__(message, uid="a1b2c3d4")

    @property
    def found(self) -> bytes:
        """ATQB."""
        return b"\x50" + self.uid + self.PROTOCOL

    def answer(self, command: bytes) -> bytes | None:
        match command[0]:
            case 0xCA:
                return bytes(command)
            case 0x05:
                return self.found
            case 0x1D:
                return b"\x00" if command[1:5] == self.uid else None  # ATTRIB
            case _:
                return super().answer(command)


class Type3:
    """A FeliCa card with the NDEF system (JIS X 6319-4, Type 3 Tag 1.0)."""

    technology = "F"
    uid = bytes.fromhex("02fe010203040506")
    PMM, SYSTEM = b"\xff" * 8, b"\x12\xfc"

    def __init__(self, message: bytes = RECORDS) -> None:
        head = bytes([0x10, 4, 1, 0, 15, 0, 0, 0, 0, 0, 1]) + len(message).to_bytes(3, "big")
        self.memory = head + sum(head).to_bytes(2, "big") + message.ljust(240, b"\x00")

    def answer(self, command: bytes) -> bytes | None:
        code = command[1]
        if code == 0x00:
            return bytes([18, 0x01]) + self.uid + self.PMM
        if command[2:10] != self.uid or code != 0x06:
            return None
        count = command[13]
        blocks = [command[15 + 2 * place] for place in range(count)]
        data = b"".join(self.memory[16 * block : 16 * block + 16] for block in blocks)
        return bytes([13 + len(data), 0x07]) + self.uid + bytes([0, 0, count]) + data


class Type1:
    """A Topaz 96 (Type 1 Tag 1.2). PN532 boards send its commands by InDataExchange."""

    technology = "J"
    uid = bytes.fromhex("01020304")

    def __init__(self, message: bytes = RECORDS) -> None:
        self.memory = (self.uid + bytes(4) + bytes.fromhex("E1100E00") + tlv(message)).ljust(120, b"\x00")

    def answer(self, command: bytes) -> bytes | None:
        match command[0]:
            case 0x78:
                return b"\x11\x48" + self.uid  # RID
            case 0x00:
                return b"\x11\x48" + self.memory  # RALL
            case 0x01:
                return bytes([command[1], self.memory[command[1]]])
            case _:
                return None
