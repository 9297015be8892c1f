"""What an answer-to-reset says of the card on a PC/SC reader (PC/SC 2, part 3, 3.1.3.2.3; ISO 7816-3, 8.2).

A contactless reader makes the ATR up: memory cards are named in it, processor cards (ISO 14443-4) keep their
historical bytes behind `3B 8n 80 01`. Everything else sits in contacts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TagType = Literal["type1", "type2", "mifare_classic", "iso14443", "felica", "iso15693"]

PCSC_RID = bytes.fromhex("4F0CA000000306")  # application identifier, 12 bytes, of the PC/SC workgroup


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCard:
    """A contactless card without processor, whose UID the reader gives."""

    name: str
    tag: TagType


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorCard:
    """An ISO 14443-4 card: perhaps an NFC Forum Type 4 tag, perhaps a bank card; asking it tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsupportedCard:
    """A card that gives no identity here: contact cards, memory cards with changing or no UID."""

    name: str


Card = MemoryCard | ProcessorCard | UnsupportedCard

MEMORY_CARDS: dict[int, MemoryCard] = {  # NN NN of part 3's supplement; 0xF0.. as readers with a PN532 report them
    0x0001: MemoryCard(name="Mifare Classic 1K", tag="mifare_classic"),
    0x0002: MemoryCard(name="Mifare Classic 4K", tag="mifare_classic"),
    0x0003: MemoryCard(name="Mifare Ultralight", tag="type2"),  # NTAG21x too
    0x0006: MemoryCard(name="SR176", tag="iso14443"),
    0x0007: MemoryCard(name="SRI X4K", tag="iso14443"),
    0x0012: MemoryCard(name="Tag-it", tag="iso15693"),
    0x0013: MemoryCard(name="LRI512", tag="iso15693"),
    0x0014: MemoryCard(name="ICODE SLI", tag="iso15693"),
    0x0021: MemoryCard(name="LRI64", tag="iso15693"),
    0x0024: MemoryCard(name="LRI12", tag="iso15693"),
    0x0025: MemoryCard(name="LRI128", tag="iso15693"),
    0x0026: MemoryCard(name="Mifare Mini", tag="mifare_classic"),
    0x0027: MemoryCard(name="my-d move", tag="type2"),
    0x0028: MemoryCard(name="my-d NFC", tag="type2"),
    0x002F: MemoryCard(name="Jewel", tag="type1"),
    0x0030: MemoryCard(name="Topaz", tag="type1"),
    0x0035: MemoryCard(name="ICODE SLI-X", tag="iso15693"),
    0x0036: MemoryCard(name="Mifare Plus SL1 2K", tag="mifare_classic"),
    0x0037: MemoryCard(name="Mifare Plus SL1 4K", tag="mifare_classic"),
    0x0038: MemoryCard(name="Mifare Plus SL2 2K", tag="iso14443"),
    0x0039: MemoryCard(name="Mifare Plus SL2 4K", tag="iso14443"),
    0x003A: MemoryCard(name="Mifare Ultralight C", tag="type2"),
    0x003B: MemoryCard(name="FeliCa", tag="felica"),
    0xF004: MemoryCard(name="Topaz or Jewel", tag="type1"),
    0xF011: MemoryCard(name="FeliCa 212K", tag="felica"),
    0xF012: MemoryCard(name="FeliCa 424K", tag="felica"),
}

STANDARDS: dict[int, MemoryCard] = {  # SS, for names not listed above; part 3's supplement
    0x03: MemoryCard(name="ISO 14443 A memory card", tag="iso14443"),
    0x09: MemoryCard(name="ISO 15693 memory card", tag="iso15693"),
    0x0A: MemoryCard(name="ISO 15693 memory card", tag="iso15693"),
    0x0B: MemoryCard(name="ISO 15693 memory card", tag="iso15693"),
    0x0C: MemoryCard(name="ISO 15693 memory card", tag="iso15693"),
    0x11: MemoryCard(name="FeliCa", tag="felica"),
}

CONTACT_MEMORY: dict[int, str] = {
    0x0D: "contact memory card (I2C)",
    0x0E: "contact memory card (extended I2C)",
    0x0F: "contact memory card (2WBP)",
    0x10: "contact memory card (3WBP)",
}


def card_of(atr: bytes) -> Card:
    """The kind of card behind any answer-to-reset, whole or not."""
    if len(atr) < 4 or atr[0] != 0x3B or atr[1] >> 4 != 8 or atr[2:4] != b"\x80\x01":
        return UnsupportedCard(name=f"contact card (ATR {atr.hex()})" if atr else "card without an ATR")
    at = atr.find(PCSC_RID)
    if at < 0:
        return ProcessorCard()
    named = atr[at + len(PCSC_RID) :][:3]
    if len(named) < 3:
        return UnsupportedCard(name=f"memory card with a torn ATR ({atr.hex()})")
    return _memory_card(named[0], int.from_bytes(named[1:], "big"))


def _memory_card(standard: int, name: int) -> Card:
    if standard in CONTACT_MEMORY:
        return UnsupportedCard(name=CONTACT_MEMORY[standard])
    known = MEMORY_CARDS.get(name) or STANDARDS.get(standard)
    return known or UnsupportedCard(name=f"memory card {standard:02X} {name:04X}")
