"""Signed codes: what is printed is read back, everything else is refused with a name and a sentence for the cashier."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import base45
import cbor2
import msgspec
import pytest
import segno
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from loyalty import cose, typed
from loyalty.codes import ActivationCode, CodeError, SignedCode, encode, read

GOLDEN = json.loads((Path(__file__).parent.parent / "golden/1/codes.json").read_text("utf-8"))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
KID = b"\x01\x02\x03\x04"
KEYS = {KID: KEY.public_key()}
ISSUED = 1_767_225_600  # 2026-01-01 00:00 UTC
EXPIRES = 1_798_761_600  # 2027-01-01 00:00 UTC
CODE = ActivationCode(
    programme="grocer",
    code_id=bytes(range(200, 216)),
    batch="spring",
    serial=1234,
    issued_at_s=ISSUED,
    expires_at_s=EXPIRES,
    kind="activation",
)
TEXT = encode(CODE, KEY, KID)
CODES_OF_ERRORS = {
    "code.alien", "code.newer", "code.torn", "code.foreign_key", "code.bad_signature", "code.other_programme",
    "code.not_yet", "code.expired",
}  # fmt: skip


def read_now(text: str, now_s: int = ISSUED, programme: str = "grocer") -> SignedCode:
    return read(text, KEYS, now_s=now_s, programme=programme)


def refused(text: str, now_s: int = ISSUED, programme: str = "grocer") -> CodeError:
    with pytest.raises(CodeError) as caught:
        read_now(text, now_s, programme)
    return caught.value


def signed_text(payload: bytes, key: Ed25519PrivateKey = KEY, kid: bytes = KID) -> str:
    return "HF1:" + base45.b45encode(cose.sign1(payload, key, kid)).decode()


def changed(**fields: object) -> ActivationCode:
    return msgspec.structs.replace(CODE, **fields)


IDS = st.from_regex(r"\A[a-z][a-z0-9_-]{0,39}\Z")
CODES = st.builds(
    ActivationCode,
    programme=IDS,
    code_id=st.binary(min_size=16, max_size=16),
    batch=IDS,
    serial=st.integers(1, (1 << 53) - 1),
    issued_at_s=st.integers(0, 4_000_000_000),
    expires_at_s=st.integers(4_000_000_001, 253_402_300_799),
    kind=st.sampled_from(["activation", "bonus"]),
)


@given(CODES)
def test_what_is_encoded_is_read_back(code: ActivationCode):
    signed = read_now(encode(code, KEY, KID), code.issued_at_s, code.programme)
    assert signed == SignedCode(code=code, kid=KID)


def test_the_claims_are_those_of_a_web_token():
    message = base45.b45decode(TEXT.removeprefix("HF1:"))
    claims = cbor2.loads(cose.verify1(message, KEYS))
    assert claims == {3: "grocer", 4: EXPIRES, 6: ISSUED, 7: bytes(range(200, 216)), -65537: [0, "spring", 1234]}


def test_claims_of_a_later_version_are_passed_over():
    payload = cbor2.loads(cose.verify1(base45.b45decode(TEXT.removeprefix("HF1:")), KEYS))
    assert read_now(signed_text(cose.encode_plain({**payload, 2: "later", -65538: [1]}))).code == CODE


@pytest.mark.parametrize("text", [TEXT.lower(), f"  {TEXT}\r\n", f"\t{TEXT.swapcase()} "])
def test_caps_lock_and_spaces_around_a_code_are_forgiven(text: str):
    assert read_now(text).code == CODE


@given(st.binary(min_size=1, max_size=9))
def test_no_base45_text_ends_in_a_space_that_stripping_would_lose(data: bytes):
    assert not base45.b45encode(data).endswith(b" ")


def test_a_code_is_good_from_its_issue_until_just_before_its_end():
    assert read_now(TEXT, EXPIRES - 1).code == CODE
    assert refused(TEXT, EXPIRES).code == "code.expired"
    assert refused(TEXT, EXPIRES).text.startswith("This code was good until 2027-01-01 00:00 UTC.")
    assert read_now(TEXT, ISSUED - 300).code == CODE
    assert refused(TEXT, ISSUED - 301).code == "code.not_yet"
    assert "2026-01-01 00:00 UTC" in refused(TEXT, ISSUED - 301).text


def test_a_code_of_another_programme_is_told_apart():
    error = refused(TEXT, programme="perfumery")
    assert error.code == "code.other_programme"
    assert "grocer" in error.text
    assert "perfumery" in error.text


def test_a_key_that_is_not_known_and_one_that_lies_are_told_apart():
    assert refused(encode(CODE, OTHER, b"\x09")).code == "code.foreign_key"
    assert refused(encode(CODE, OTHER, KID)).code == "code.bad_signature"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://example.com/HF1:", "web page"),
        ("www.example.com", "web page"),
        ("WIFI:S:shop;T:WPA;P:secret;;", "Wi-Fi"),
        ("BEGIN:VCARD\nFN:A\nEND:VCARD", "contact"),
        ("8076809513388", "product"),
        ("", "Nothing was read"),
        ("hello", "not one of ours"),
        ("HC1:6BFOXN%TSMAHN-H", "not one of ours"),
        ("HF1", "not one of ours"),
        ("x" * 100_000, "not one of ours"),
        (" " * 100_000 + TEXT, "Nothing was read"),
    ],
)
def test_what_is_not_ours_is_alien_and_named(text: str, said: str):
    error = refused(text)
    assert error.code == "code.alien"
    assert said.replace("ours", "our codes") in error.text


def test_every_cut_of_a_code_is_torn():
    for length in range(len("HF1:"), len(TEXT)):
        assert refused(TEXT[:length]).code == "code.torn"


@pytest.mark.parametrize(
    "text", ["HF1:", "HF1:ÄÖ", "HF1:#", "HF1:ZZZ", "HF1:" + "0" * 100_000, TEXT + "00", TEXT + TEXT]
)
def test_what_cannot_be_decoded_is_torn(text: str):
    assert refused(text).code == "code.torn"


def test_a_code_of_a_later_kind_asks_for_an_update():
    assert refused("HF2:ANYTHING").code == "code.newer"


CLAIMS = {3: "grocer", 4: EXPIRES, 6: ISSUED, 7: bytes(16), -65537: [0, "spring", 1]}


@pytest.mark.parametrize(
    "claims",
    [
        {},
        [],
        b"",
        {k: v for k, v in CLAIMS.items() if k != 4},
        {**CLAIMS, 3: "Grocer"},
        {**CLAIMS, 3: 7},
        {**CLAIMS, 4: EXPIRES + 0.5},
        {**CLAIMS, 4: True},
        {**CLAIMS, 6: -1},
        {**CLAIMS, 4: 1 << 60},
        {**CLAIMS, 7: bytes(15)},
        {**CLAIMS, -65537: [2, "spring", 1]},
        {**CLAIMS, -65537: [-1, "spring", 1]},
        {**CLAIMS, -65537: [0, "spring\n", 1]},
        {**CLAIMS, -65537: [0, "spring", 0]},
        {**CLAIMS, -65537: [0, "spring"]},
        {**CLAIMS, -65537: "spring"},
    ],
)
def test_signed_claims_of_another_shape_ask_for_an_update(claims: object):
    assert refused(signed_text(cbor2.dumps(claims, canonical=True))).code == "code.newer"


def test_a_signed_payload_that_is_no_cbor_asks_for_an_update():
    assert refused(signed_text(b"\xff\xff")).code == "code.newer"
    assert refused(signed_text(b"")).code == "code.newer"
    assert refused(signed_text(cose.encode_plain(CLAIMS) + b"\x00")).code == "code.newer"


@pytest.mark.parametrize(
    "fields",
    [
        {"programme": "Grocer"}, {"code_id": bytes(15)}, {"serial": 0}, {"batch": "a" * 41}, {"issued_at_s": -1},
        {"expires_at_s": ISSUED}, {"expires_at_s": 253_402_300_800}, {"kind": "voucher"},
    ],
)  # fmt: skip
def test_a_code_that_no_terminal_would_take_is_not_encoded(fields: dict[str, object]):
    with pytest.raises(ValueError, match=r"no terminal would take|ends before|not in tuple"):
        encode(changed(**fields), KEY, KID)


@given(st.text() | st.text().map(lambda t: "HF1:" + t) | st.text("0123456789ABCDEF $%*+-./:").map(lambda t: "HF1:" + t))
def test_only_code_errors_leave_whatever_the_text(text: str):
    assert refused(text).code in CODES_OF_ERRORS


@given(st.binary(max_size=300))
def test_only_code_errors_leave_whatever_the_bytes(data: bytes):
    assert refused("HF1:" + base45.b45encode(data).decode()).code in CODES_OF_ERRORS


@given(st.binary(max_size=120))
def test_only_code_errors_leave_whatever_was_signed(payload: bytes):
    assert refused(signed_text(payload)).code in CODES_OF_ERRORS


@given(st.integers(0, 10_000), st.integers(1, 255), st.integers(0, 10_000))
def test_no_change_of_bytes_goes_through(place: int, difference: int, second: int):
    data = bytearray(base45.b45decode(TEXT.removeprefix("HF1:")))
    data[place % len(data)] ^= difference
    data[second % len(data)] ^= difference >> 1
    if bytes(data) != base45.b45decode(TEXT.removeprefix("HF1:")):
        assert refused("HF1:" + base45.b45encode(bytes(data)).decode()).code in CODES_OF_ERRORS


@given(st.integers(4, len(TEXT) - 1), st.characters())
def test_no_change_of_one_character_goes_through(place: int, character: str):
    text = TEXT[:place] + character + TEXT[place + 1 :]
    if text.upper() != TEXT:
        assert refused(text).code in CODES_OF_ERRORS


@given(st.characters(codec="ascii", exclude_categories=["Cc"]))
def test_every_refusal_has_a_sentence_that_says_what_to_do(first: str):
    assert re.fullmatch(r"[A-Z].+[.;] .+\.", refused(first + "x").text)


def printed(code: ActivationCode) -> segno.QRCode:
    return segno.make(encode(code, KEY, KID), error="m", micro=False, boost_error=False)


def test_a_code_fits_a_small_qr_in_alphanumeric_mode():
    """Level M holds 221 characters in version 8, 262 in version 9; 96 are the signature, 24 the code's id."""
    assert (printed(CODE).mode, printed(CODE).version) == ("alphanumeric", 8)
    longer = printed(changed(programme="perfumery", batch="spring-bonus-2026", serial=1_000_000))
    assert (longer.mode, longer.version) == ("alphanumeric", 9)
    longest = printed(changed(programme="p" * 40, batch="b" * 40, serial=(1 << 53) - 1))
    assert (longest.mode, longest.version) == ("alphanumeric", 11)


def golden_keys() -> dict[bytes, Ed25519PrivateKey]:
    return {
        bytes.fromhex(kid): Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
        for kid, seed in GOLDEN["keys"].items()
    }


@pytest.mark.parametrize("vector", GOLDEN["typed"], ids=lambda v: v["shown"])
def test_golden_typed_codes_stay_what_they_were(vector: dict[str, str]):
    code = typed.parse(vector["typed"])
    assert (str(code.number), str(code)) == (vector["number"], vector["shown"])
    assert typed.stored_hash(code, bytes.fromhex(GOLDEN["hash_key"])).hex() == vector["stored_hash"]


@pytest.mark.parametrize("vector", GOLDEN["signed"], ids=lambda v: v["id"])
def test_golden_signed_codes_stay_what_they_were(vector: dict[str, object]):
    keys = golden_keys()
    code = msgspec.convert(vector["code"], ActivationCode)
    kid = bytes.fromhex(str(vector["kid"]))
    assert encode(code, keys[kid], kid) == vector["text"]
    assert base64.b64encode(base45.b45decode(str(vector["text"]).removeprefix("HF1:"))).decode() == vector["message"]
    public = {each: key.public_key() for each, key in keys.items()}
    signed = read(str(vector["text"]), public, now_s=code.issued_at_s, programme=code.programme)
    assert signed == SignedCode(code=code, kid=kid)


@pytest.mark.parametrize("vector", GOLDEN["refused"], ids=lambda v: v["id"])
def test_golden_refusals_stay_what_they_were(vector: dict[str, object]):
    public = {kid: key.public_key() for kid, key in golden_keys().items()}
    with pytest.raises(CodeError) as caught:
        read(str(vector["text"]), public, now_s=int(str(vector["now_s"])), programme=str(vector["programme"]))
    assert caught.value.code == vector["code"]
