"""What a reading says of itself: a card's token, a code to pass on, or a refusal in words. Pure.

A card has one token whatever read it: a number is the same from a camera, a scanner and the keyboard; a link is the
same in the chip (NDEF) and in print. A wrong member is worse than no member, so what is doubtful is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from drivers.lines import Reading

Scheme = Literal["uid", "num", "ndef"]

CODE_PREFIX = "HF1:"
MAX_CODE_CHARS = 1024  # a signed code is some 350 characters; a QR code holds up to 4,296
MAX_TEXT_CHARS = 256
NUMBER_DIGITS = range(8, 20)  # EAN-8 to the 19 digits of ISO/IEC 7812
REPEAT_S = 2.0

# ISO/IEC 14443-3 (4, 7, 10), JIS X 6319-4 IDm (8), ISO/IEC 15693-3 (8), EM4100 (5)
UID_BYTES: dict[str, tuple[int, ...]] = {"type3": (8,), "felica": (8,), "iso15693": (8,), "lf": (5,)}
UID_BYTES_14443 = (4, 7, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card's token. uid: hex, lower case, as the tag sends it; num: digits; ndef: our link or text, chip or print."""

    scheme: Scheme
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Something to redeem, as it was read or typed: a signed code, or eleven Crockford symbols, grouped or not."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing to go by. `code` is stable (`token.…`); `text` is short English for the technician."""

    code: str
    text: str


Token = Card | Code | Refused


def read_token(reading: Reading, *, identity_prefixes: tuple[str, ...] = (), luhn: bool = False) -> Token:
    """A reading's token. `identity_prefixes`: how our links and texts begin (a host's should end in "/").

    `luhn`: printed numbers that are no GTIN must end in a check digit of ISO/IEC 7812-1 annex B.
    """
    if reading.kind == "card":
        return _of_card(reading, identity_prefixes)
    text = reading.text or ""
    if not reading.confirmed:
        return Refused(code="token.unconfirmed", text="The code was read once and not confirmed: hold it still")
    return _of_text(text, _plain(reading.symbology), identity_prefixes, luhn)


# Cards: chip first, then UID


def _of_card(reading: Reading, prefixes: tuple[str, ...]) -> Token:
    uid = _of_uid((reading.uid or "").lower(), reading.tag)
    words = _of_ndef([record.text for record in reading.ndef if record.text], prefixes)
    if words is not None:
        return words
    needed = uid.code == "token.random_uid" if isinstance(uid, Refused) else False
    if reading.ndef_state == "torn" and (needed or prefixes):
        return Refused(code="token.torn", text="The card was taken away too soon: hold it again")
    if reading.ndef_state == "unreadable" and needed:
        return Refused(code="token.torn", text="The card's content cannot be read and its UID is random")
    return uid


def _of_ndef(texts: list[str], prefixes: tuple[str, ...]) -> Token | None:
    """The first signed code, else the first link or text of ours, else nothing."""
    codes = [text for text in texts if text.startswith(CODE_PREFIX)]
    ours = [text for text in texts if text.startswith(prefixes)]
    if codes:
        return _signed(codes[0])
    return _words(ours[0]) if ours else None


def _of_uid(uid: str, tag: str | None) -> Card | Refused:
    if not re.fullmatch(r"(?:[0-9a-f]{2})+", uid):
        return Refused(code="token.uid_malformed", text="The reader gave no UID in hex")
    octets = bytes.fromhex(uid)
    allowed = _uid_lengths(tag)
    if len(octets) not in allowed:
        expected = ", ".join(str(length) for length in allowed)
        return Refused(code="token.uid_length", text=f"UID of {len(octets)} bytes; {tag or 'a tag'} has {expected}")
    if _is_partial(octets):
        return Refused(code="token.uid_partial", text="Only a part of the UID was read: hold the card again")
    if _is_random(octets):
        return Refused(code="token.random_uid", text="The UID is a new one at every tap: phones and passports do so")
    return Card(scheme="uid", value=uid)


def _uid_lengths(tag: str | None) -> tuple[int, ...]:
    if tag is None:
        return (*UID_BYTES_14443, 8)
    return UID_BYTES.get(tag, UID_BYTES_14443)


def _is_partial(octets: bytes) -> bool:
    """As readers give them when a card leaves during anticollision (`04a651ffffffff`).

    Two closing FF are enough to refuse: one genuine card in 65,536 ends so, and a wrong member is worse.
    """
    if len(octets) in UID_BYTES_14443 and octets[0] == 0x88:  # ISO/IEC 14443-3, 6.5.4: the cascade tag is no UID byte
        return True
    blank = octets.count(0x00) == len(octets)
    return blank or octets.endswith(b"\xff\xff") or (len(octets) >= 7 and not any(octets[3:]))


def _is_random(octets: bytes) -> bool:
    """ISO/IEC 14443-3, 6.5.4 (4 bytes from 08) and ISO/IEC 18092 (an NFCID2 from 01FE)."""
    return (len(octets) == 4 and octets[0] == 0x08) or (len(octets) == 8 and octets.startswith(b"\x01\xfe"))


# Print: codes, numbers, our links, and what else people hold under a camera


def _of_text(text: str, symbology: str, prefixes: tuple[str, ...], luhn: bool) -> Token:
    if text.startswith(CODE_PREFIX):
        return _signed(text.rstrip("\r\n"))  # base45 may end in a space
    text = text.strip()
    if len(text) > MAX_CODE_CHARS:
        return Refused(code="token.too_long", text=f"{len(text)} characters: this is a text, not a card")
    if text.startswith(prefixes):
        return _words(text)
    digits = re.sub(r"[ -]", "", text)
    if _is_typed_code(text):
        return Code(text=text)
    if digits.isascii() and digits.isdigit():
        return _of_number(digits, symbology, luhn)
    return Refused(code="token.alien_code", text=f"This is {_kind_of_alien(text)}, not a card")


def _signed(text: str) -> Token:
    if len(text) > MAX_CODE_CHARS:
        return Refused(code="token.too_long", text=f"A code of {len(text)} characters; at most {MAX_CODE_CHARS}")
    return Code(text=text)


def _words(text: str) -> Token:
    if len(text) > MAX_TEXT_CHARS:
        return Refused(code="token.too_long", text=f"A link of {len(text)} characters; at most {MAX_TEXT_CHARS}")
    return Card(scheme="ndef", value=text)


def _is_typed_code(text: str) -> bool:
    """Ten Crockford symbols and a check symbol. Eleven digits without grouping are a card's number, not a code."""
    symbols = re.sub(r"[ -]", "", text).upper()
    if not re.fullmatch(r"[0-9A-TV-Z]{10}[0-9A-Z*~$=]", symbols):  # I, L, O stand for 1, 1, 0; U only checks
        return False
    return not text.isdigit()


def _of_number(digits: str, symbology: str, luhn: bool) -> Token:
    if symbology == "upce":
        return Refused(code="token.alien_code", text="This is a product's barcode, not a card")
    if len(digits) > NUMBER_DIGITS[-1]:
        return Refused(code="token.too_long", text=f"A number of {len(digits)} digits; at most {NUMBER_DIGITS[-1]}")
    if len(digits) not in NUMBER_DIGITS:
        return Refused(code="token.alien_code", text=f"This is a number of {len(digits)} digits, not a card")
    is_gtin = len(digits) in (8, 12, 13) and passes_mod10(digits)
    must_check = luhn or symbology in ("ean13", "ean8", "upca")
    if must_check and not is_gtin and not (luhn and passes_luhn(digits)):
        return Refused(code="token.check_digit", text="The check digit is wrong: read or type it again")
    return Card(scheme="num", value="0" + digits if is_gtin and len(digits) == 12 else digits)  # UPC-A is an EAN-13


def passes_mod10(digits: str) -> bool:
    """GS1 General Specifications 7.9: weights 3 and 1 from the right, the check digit included."""
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(digits))) % 10 == 0


def passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B: every second digit from the right doubled, its digits added."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0


ALIENS = (
    (r"WIFI:", "a Wi-Fi code"),
    (r"BEGIN:VCARD|MECARD:|BIZCARD:", "a contact"),
    (r"BEGIN:V(?:EVENT|CALENDAR)", "a calendar entry"),
    (r"(?:MAILTO|MATMSG|SMTP):", "an e-mail address"),
    (r"(?:TEL|SMS|SMSTO|MMSTO):", "a phone number"),
    (r"GEO:", "a place on a map"),
    (r"OTPAUTH:|OTPAUTH-MIGRATION:", "a sign-in code of another service"),
    (r"(?:BITCOIN|ETHEREUM|UPI):|BCD\r?\n|SPC\r?\n", "a payment code"),
    (r"HC1:", "a health certificate"),
    (r"[A-Z][A-Z0-9+.-]*://|WWW\.", "a link that is not ours"),
)


def _kind_of_alien(text: str) -> str:
    for pattern, words in ALIENS:
        if re.match(pattern, text, re.IGNORECASE):
            return words
    if not text:
        return "nothing"
    return "a text" if "".join(text.split()).isprintable() else "a code without readable text"


def _plain(symbology: str | None) -> str:
    """EAN-13, EAN_13 and Ean13 are one name."""
    return re.sub(r"[^a-z0-9]", "", (symbology or "").lower())


# One presentation, however often it is read


@dataclass(slots=True)
class _Held:
    seen_s: float
    scopes: set[str] = field(default_factory=set)


class Debounce:
    """Tells a new presentation from a repeated reading of the same one. Times are seconds of a monotonic clock.

    The same token from any reader is one presentation until it has left every field it was seen in, or has not been
    seen for `REPEAT_S` (cameras and scanners do not say that a code has gone).
    """

    def __init__(self) -> None:
        self._held: dict[Token, _Held] = {}

    def is_new(self, token: Token, scope: str, now_s: float) -> bool:
        """Notes that `token` was read at `scope`; true when a presentation begins with it."""
        self._forget_old(now_s)
        held = self._held.get(token)
        if held is None:
            self._held[token] = _Held(now_s, {scope})
            return True
        held.seen_s = now_s
        held.scopes.add(scope)
        return False

    def removed(self, scope: str) -> None:
        """The card left the field of `scope`."""
        self._left(lambda one: one == scope)

    def gone(self, prefix: str) -> None:
        """Whatever saw the fields that begin so saw its last: it will never say that a card left them."""
        self._left(lambda one: one.startswith(prefix))

    def _left(self, is_left: Callable[[str], bool]) -> None:
        for token, held in list(self._held.items()):
            held.scopes = {scope for scope in held.scopes if not is_left(scope)}
            if not held.scopes:
                del self._held[token]

    def release(self, token: Token) -> None:
        """The attempt failed: it uses up nothing, the next reading counts as new."""
        self._held.pop(token, None)

    def _forget_old(self, now_s: float) -> None:
        self._held = {token: held for token, held in self._held.items() if now_s - held.seen_s < REPEAT_S}
