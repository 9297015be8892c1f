"""Codes that a person types: ten symbols of Crockford's base 32 (50 bits) and a check symbol, shown as ABCDE-FGHJK-C.

The check symbol is the number modulo 37. As 37 is a prime and no divisor of 32 or 31, one wrong symbol and two
neighbours swapped are always seen, the check symbol among them.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

import msgspec

SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CHECK_SYMBOLS = SYMBOLS + "*~$=U"
DATA_LENGTH = 10
LENGTH = DATA_LENGTH + 1
BITS = 50
HASH_BYTES = 16
KEY_BYTES_MIN = 16
INPUT_MAX = 256  # longer than any code with whatever stands between its symbols

_LOOKALIKES = str.maketrans("OIL", "011")
_GUESSES = {"U": "V"}
_HASH_CONTEXT = b"hf1 typed code"


class CodeError(ValueError):
    """A presented code that cannot be taken. `code` is the stable name, `text` tells the cashier what to do."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class TypedCode(msgspec.Struct, frozen=True, kw_only=True):
    """A typed code whose check symbol is right. `number` has 50 bits."""

    number: int

    def __str__(self) -> str:
        return make(self.number)


def make(number: int) -> str:
    """The code for a number of 50 bits, as it is shown: "ABCDE-FGHJK-C". Raises ValueError beyond 50 bits."""
    if not 0 <= number < 1 << BITS:
        raise ValueError(f"a typed code carries {BITS} bits; {number} does not fit")
    data = "".join(SYMBOLS[number >> shift & 31] for shift in range(BITS - 5, -1, -5))
    return f"{data[:5]}-{data[5:]}-{CHECK_SYMBOLS[number % 37]}"


def parse(text: str) -> TypedCode:
    """What was typed, in either case and with any spaces and dashes; O counts as 0, I and L as 1.

    Raises CodeError: code.length, code.symbol (names the symbol and its place), code.mistyped.
    """
    symbols = _symbols(text)
    if len(symbols) != LENGTH:
        raise CodeError("code.length", _length_text(len(symbols)))
    number = 0
    for place, symbol in enumerate(symbols[:DATA_LENGTH], start=1):
        number = number << 5 | _value(symbol, place, SYMBOLS)
    if number % 37 != _value(symbols[-1], LENGTH, CHECK_SYMBOLS):
        raise CodeError("code.mistyped", "One symbol is wrong, or two are swapped. Compare the code with the card.")
    return TypedCode(number=number)


def stored_hash(code: TypedCode, key: bytes) -> bytes:
    """What is kept of a code in place of itself: 16 bytes of HMAC-SHA-256 under a secret key of at least 16 bytes.

    Keyed, because 50 bits are few enough to try them all against a plain hash. Raises ValueError for a short key.
    """
    if len(key) < KEY_BYTES_MIN:
        raise ValueError(f"the key of stored codes has {len(key)} bytes; at least {KEY_BYTES_MIN} are needed")
    return hmac.digest(key, _HASH_CONTEXT + code.number.to_bytes(8, "big"), hashlib.sha256)[:HASH_BYTES]


def _symbols(text: str) -> str:
    """Upper case by ASCII only: str.upper would turn one letter into two ("ß" into "SS") and shift the places."""
    kept = (c for c in text[:INPUT_MAX] if not _between(c))
    return "".join(chr(ord(c) - 32) if "a" <= c <= "z" else c for c in kept).translate(_LOOKALIKES)


def _between(character: str) -> bool:
    """Spaces of any width and dashes of any length, which word processors like to put in, and marks without width."""
    return character == "\u2212" or unicodedata.category(character) in {"Zs", "Zl", "Zp", "Cc", "Cf", "Pd"}


def _length_text(count: int) -> str:
    if count < LENGTH:
        return f"{count} of {LENGTH} symbols were typed. Type the rest of the code."
    return f"{count} symbols were typed; a code has {LENGTH}. Leave out what does not belong to it."


def _value(symbol: str, place: int, alphabet: str) -> int:
    value = alphabet.find(symbol)
    if value < 0:
        guess = _GUESSES.get(symbol)
        hint = f"; perhaps {guess}" if guess else ""
        raise CodeError("code.symbol", f"{symbol!r} at place {place} is never used{hint}.")
    return value
