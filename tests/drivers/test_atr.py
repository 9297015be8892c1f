"""Answers-to-reset as readers give them. Lines of the table were seen on readers or are PC/SC part 3's own examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.atr import Card, MemoryCard, ProcessorCard, UnsupportedCard, card_of


def storage(standard: int, name: int) -> bytes:
    body = bytes.fromhex("8F8001804F0CA000000306") + bytes([standard, name >> 8, name & 255, 0, 0, 0, 0])
    check = 0
    for byte in body:
        check ^= byte
    return b"\x3b" + body + bytes([check])


def test_the_helper_makes_the_atr_that_a_reader_makes() -> None:
    assert storage(3, 3).hex() == "3b8f8001804f0ca0000003060300030000000068"


@pytest.mark.parametrize(
    ("standard", "name", "tag"),
    [
        (0x03, 0x0001, "mifare_classic"),
        (0x03, 0x0002, "mifare_classic"),
        (0x03, 0x0003, "type2"),
        (0x03, 0x0026, "mifare_classic"),
        (0x03, 0x003A, "type2"),
        (0x03, 0xF004, "type1"),
        (0x03, 0xF011, "felica"),
        (0x11, 0x003B, "felica"),
        (0x11, 0xF012, "felica"),
        (0x0B, 0x0014, "iso15693"),
        (0x0B, 0x0000, "iso15693"),
        (0x03, 0x0000, "iso14443"),
        (0x03, 0xFF88, "iso14443"),
        (0x06, 0x0007, "iso14443"),
    ],
)
def test_a_memory_card_is_known_by_its_name_and_else_by_its_standard(standard: int, name: int, tag: str) -> None:
    card = card_of(storage(standard, name))
    assert isinstance(card, MemoryCard)
    assert card.tag == tag


@pytest.mark.parametrize(
    "atr", ["3B80800101", "3B8180018080", "3B888001000000009171710098", "3B8D80010073C821100241394F20BD"]
)
def test_a_processor_card_without_contacts_is_asked_what_it_is(atr: str) -> None:
    assert card_of(bytes.fromhex(atr)) == ProcessorCard()


@pytest.mark.parametrize(
    ("atr", "name"),
    [
        ("3B6500002063CB6800", "contact card"),
        ("3B9F96C00A31FE45436D014A2D3C5A696E9000D0", "contact card"),
        ("3F6525082204689000", "contact card"),
        ("", "without an ATR"),
        (storage(0x0D, 0).hex(), "contact memory card"),
        (storage(0x05, 0x0009).hex(), "memory card 05 0009"),
        ("3B8F8001804F0CA00000030603", "torn ATR"),
    ],
)
def test_cards_that_give_no_identity_are_named(atr: str, name: str) -> None:
    card = card_of(bytes.fromhex(atr))
    assert isinstance(card, UnsupportedCard)
    assert name in card.name


@given(st.binary(max_size=33))
def test_every_answer_to_reset_is_one_of_three_kinds(atr: bytes) -> None:
    card: Card = card_of(atr)
    assert isinstance(card, MemoryCard | ProcessorCard | UnsupportedCard)
