"""Signed activation and bonus codes, as printed: "HF1:" and the base45 (RFC 9285) of a COSE_Sign1 over the claims of a
CBOR Web Token (RFC 8392). A terminal proves one with no line; that it is used once only, the exchange sees to.

Claims: aud 3 = programme, exp 4, iat 6, cti 7 = code id, and one private claim: [kind, batch, serial]. Claims not known
are passed over (RFC 8392, section 3). All characters are in QR's alphanumeric alphabet, where three take 16.5 bits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import base45
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from loyalty import cose
from loyalty.typed import CodeError

PREFIX = "HF1:"
TEXT_MAX = 2048  # what is looked at: the longest message takes 1,540 characters, the rest are spaces around it
CODE_ID_BYTES = 16
CLOCK_SLACK_S = 300  # a clock this much behind the centre's still takes a code made a moment ago, as the exchange does

Kind = Literal["activation", "bonus"]
Id = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_-]{0,39}\Z")]
Serial = Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
Seconds = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800)]  # to the end of the year 9999
CodeId = Annotated[bytes, msgspec.Meta(min_length=CODE_ID_BYTES, max_length=CODE_ID_BYTES)]

_KINDS: tuple[Kind, ...] = ("activation", "bonus")  # a kind's place is its number in the claim


class _Claim:
    """Numbers of claims (RFC 8392, section 4); the last is the first that is free for private use."""

    AUD = 3
    EXP = 4
    IAT = 6
    CTI = 7
    DETAIL = -65537


class ActivationCode(msgspec.Struct, frozen=True, kw_only=True):
    """What a code says. Times are Unix seconds; it is good from `issued_at_s` until just before `expires_at_s`."""

    programme: Id
    code_id: CodeId
    batch: Id
    serial: Serial
    issued_at_s: Seconds
    expires_at_s: Seconds
    kind: Kind


class SignedCode(msgspec.Struct, frozen=True, kw_only=True):
    """A code whose signature held, and the key that made it: were that key stolen, its codes could be told apart."""

    code: ActivationCode
    kid: bytes


def encode(code: ActivationCode, key: Ed25519PrivateKey, kid: bytes) -> str:
    """The text for a QR code. Raises ValueError for a code that `read` would not take."""
    payload = cose.encode_plain(
        {
            _Claim.AUD: code.programme,
            _Claim.EXP: code.expires_at_s,
            _Claim.IAT: code.issued_at_s,
            _Claim.CTI: code.code_id,
            _Claim.DETAIL: [_KINDS.index(code.kind), code.batch, code.serial],
        }
    )
    if code.issued_at_s >= code.expires_at_s:
        raise ValueError(f"the code ends before it begins: {code}")
    try:
        _as_code(cose.decode_plain(payload))
    except ValueError as error:
        raise ValueError(f"no terminal would take this code: {error}") from error
    body: bytes = base45.b45encode(cose.sign1(payload, key, kid))
    return PREFIX + body.decode("ascii")


def read(text: str, keys: Mapping[bytes, Ed25519PublicKey], *, now_s: int, programme: str) -> SignedCode:
    """The code in a scanned text, proven and in force.

    Spaces around it and small letters are forgiven: no base45 text ends in a space, and caps lock turns the case of all
    that a keyboard scanner types. Raises CodeError, the first that applies of code.alien, code.newer, code.torn,
    code.foreign_key, code.bad_signature, code.newer (also a signed text of another shape), code.other_programme,
    code.not_yet, code.expired.
    """
    message = _message(text)
    try:
        payload = cose.verify1(message, keys)
    except cose.CoseError as error:
        raise _refusal(_OF_COSE[type(error)]) from error
    code = _read_claims(payload)
    _check_in_force(code, now_s, programme)
    return SignedCode(code=code, kid=cose.key_id(message))


def _message(text: str) -> bytes:
    body = text[:TEXT_MAX].strip().upper()
    if not body.startswith(PREFIX):
        raise _stranger(body)
    try:
        message: bytes = base45.b45decode(body[len(PREFIX) :].encode("ascii"))
    except ValueError as error:
        raise _refusal("code.torn") from error
    return message


def _read_claims(payload: bytes) -> ActivationCode:
    try:
        return _as_code(cose.decode_plain(payload))
    except ValueError as error:  # msgspec's and CoseError are both one
        raise _refusal("code.newer") from error


def _as_code(claims: object) -> ActivationCode:
    match claims:
        case {
            _Claim.AUD: aud,
            _Claim.EXP: exp,
            _Claim.IAT: iat,
            _Claim.CTI: cti,
            _Claim.DETAIL: [0 | 1 as kind, batch, serial],
        }:
            fields = {"programme": aud, "expires_at_s": exp, "issued_at_s": iat, "code_id": cti}
            fields |= {"kind": _KINDS[int(kind)], "batch": batch, "serial": serial}
            return msgspec.convert(fields, ActivationCode)
    raise ValueError("not the claims of a code")


def _check_in_force(code: ActivationCode, now_s: int, programme: str) -> None:
    if code.programme != programme:
        text = f"This code belongs to the programme {code.programme}, not to {programme}. It is of no use here."
        raise CodeError("code.other_programme", text)
    if now_s + CLOCK_SLACK_S < code.issued_at_s:
        since = _moment(code.issued_at_s)
        text = f"This code is good from {since} on. If that is past, this terminal's clock is slow: call a technician."
        raise CodeError("code.not_yet", text)
    if now_s >= code.expires_at_s:
        text = f"This code was good until {_moment(code.expires_at_s)}. It cannot be used any more; offer a new one."
        raise CodeError("code.expired", text)


def _moment(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


_OF_COSE: dict[type[cose.CoseError], str] = {
    cose.MalformedError: "code.torn",
    cose.UnknownKeyError: "code.foreign_key",
    cose.BadSignatureError: "code.bad_signature",
}

_TEXTS = {
    "code.torn": "Only part of the code was read. Flatten or wipe it and scan again, or type what is printed below it.",
    "code.foreign_key": "This terminal does not know the key of this code. Press sync now, then scan it again.",
    "code.bad_signature": "This code was forged or altered. Do not take it; keep it and call your supervisor.",
    "code.newer": "This terminal is too old for this code. Type what is printed below it; have the terminal updated.",
}


def _refusal(code: str) -> CodeError:
    return CodeError(code, _TEXTS[code])


_STRANGERS = [
    (r"HTTPS?:|WWW\.", "This code opens a web page"),
    (r"WIFI:", "This code joins a Wi-Fi network"),
    (r"BEGIN:|MECARD:|TEL:|SMSTO:|MAILTO:|GEO:", "This code is a contact or a place for a telephone"),
    (r"[0-9]{8,14}\Z", "This is the barcode of a product"),
    (r"\Z", "Nothing was read"),
    (r"", "This is not one of our codes"),
]


def _stranger(body: str) -> CodeError:
    if re.match(r"HF[0-9]+:", body):
        return _refusal("code.newer")
    said = next(text for pattern, text in _STRANGERS if re.match(pattern, body))
    return CodeError("code.alien", f"{said}. Ask for the card or voucher that has our code, and scan that.")
