"""Typed codes: what is shown, what is forgiven, and that no single slip of the fingers goes through."""

from __future__ import annotations

import hashlib
import hmac
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.typed import CHECK_SYMBOLS, LENGTH, SYMBOLS, CodeError, TypedCode, make, parse, stored_hash

NUMBERS = st.integers(0, (1 << 50) - 1)
KEY = bytes(range(32))


def refused(text: str) -> CodeError:
    with pytest.raises(CodeError) as caught:
        parse(text)
    return caught.value


def bare(number: int) -> str:
    return make(number).replace("-", "")


def test_a_code_is_shown_in_two_groups_of_five_and_a_check_symbol():
    assert make(0) == "00000-00000-0"
    assert (
        make((1 << 50) - 1) == "ZZZZZ-ZZZZZ-X"
    )  # 2 to the 36th is 1 modulo 37, so 2**50 - 1 is 2**14 - 1 = 29, and 29 is X
    assert make(1234) == "00000-0016J-D"  # Crockford's own example: 1234 is 16J with the check symbol D


def test_all_thirty_seven_check_symbols_are_in_use():
    assert {make(number)[-1] for number in range(37)} == set(CHECK_SYMBOLS)


@given(NUMBERS)
def test_what_is_shown_is_read_back(number: int):
    assert parse(make(number)) == TypedCode(number=number)
    assert str(parse(make(number))) == make(number)


@given(NUMBERS, st.randoms())
def test_case_spaces_dashes_and_lookalikes_are_forgiven(number: int, chance: random.Random):
    alike = {"0": "0Oo", "1": "1IiLl"}
    typed = "".join(
        chance.choice(alike.get(symbol, symbol + symbol.lower()))
        + chance.choice(["", "", " ", "-", "–", "\u00a0", "\t"])
        for symbol in bare(number)
    )
    assert parse(typed).number == number


def test_every_single_wrong_symbol_is_caught():
    chance = random.Random(1)
    for _ in range(60):
        right = bare(chance.getrandbits(50))
        for place, old in enumerate(right):
            alphabet = SYMBOLS if place < LENGTH - 1 else CHECK_SYMBOLS
            for new in alphabet.replace(old, ""):
                assert refused(right[:place] + new + right[place + 1 :]).code == "code.mistyped"


def test_every_swap_of_neighbours_is_caught_the_check_symbol_included():
    chance = random.Random(2)
    for _ in range(2_000):
        right = bare(chance.getrandbits(50))
        for place in range(LENGTH - 1):
            swapped = right[:place] + right[place + 1] + right[place] + right[place + 2 :]
            if swapped != right:
                assert refused(swapped).code in {"code.mistyped", "code.symbol"}


@given(NUMBERS, st.integers(0, LENGTH - 1))
def test_a_missing_or_doubled_symbol_is_told_by_the_count(number: int, place: int):
    right = bare(number)
    assert refused(right[:place] + right[place + 1 :]).text.startswith("10 of 11 symbols were typed")
    assert refused(right[:place] + right[place] + right[place:]).text.startswith("12 symbols were typed; a code has 11")


def test_a_symbol_that_is_never_used_is_named_with_its_place():
    error = refused("000U0-00000-0")
    assert error.code == "code.symbol"
    assert error.text == "'U' at place 4 is never used; perhaps V."
    assert refused("0000!-00000-0").text == "'!' at place 5 is never used."
    assert refused("00000-00000-?").text == "'?' at place 11 is never used."


def test_check_symbols_stand_at_the_end_only():
    assert refused("*0000-00000-0").code == "code.symbol"
    assert parse("00000-00010-*") == TypedCode(number=32)


@pytest.mark.parametrize("text", ["", " ", "-" * 10_000, "1" * 100_000, "https://example.com/a/very/long/page"])
def test_what_is_no_code_at_all_is_told_by_its_length(text: str):
    assert refused(text).code == "code.length"


@given(st.text())
def test_only_code_errors_leave_whatever_is_typed(text: str):
    try:
        parse(text)
    except CodeError as error:
        assert error.code in {"code.length", "code.symbol", "code.mistyped"}


def test_letters_that_grow_in_upper_case_do_not_shift_the_places():
    assert refused("00ß00-00000-0").text == "'ß' at place 3 is never used."


@pytest.mark.parametrize("number", [-1, 1 << 50])
def test_a_number_beyond_fifty_bits_is_refused(number: int):
    with pytest.raises(ValueError, match="50 bits"):
        make(number)


def test_a_code_is_stored_as_a_keyed_hash():
    code = parse("00000-0016J-D")
    expected = hmac.new(KEY, b"hf1 typed code" + (1234).to_bytes(8, "big"), hashlib.sha256).digest()[:16]
    assert stored_hash(code, KEY) == expected
    assert stored_hash(code, KEY[::-1]) != expected
    with pytest.raises(ValueError, match="at least 16"):
        stored_hash(code, b"short")
