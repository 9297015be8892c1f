"""COSE_Sign1: against the working group's vectors, against a message put together by hand, against strangers."""

from __future__ import annotations

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from loyalty import cose
from loyalty.cose import BadSignatureError, CoseError, MalformedError, UnknownKeyError

# RFC 8032, section 7.1, test 1
KEY = Ed25519PrivateKey.from_private_bytes(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
)
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KID = b"11"
KEYS = {KID: KEY.public_key()}
PAYLOAD = b"This is the content."
MESSAGE = cose.sign1(PAYLOAD, KEY, KID)


def test_the_signature_of_the_working_groups_example_is_made_again():
    """cose-wg examples, eddsa-sig-01: Ed25519 key of RFC 8032, protected header {alg: EdDSA, content type: 0}."""
    protected = bytes.fromhex("a201270300")
    signature = KEY.sign(cose.to_be_signed(protected, PAYLOAD)).hex()
    assert signature == (
        "7142fd2ff96d56db85bee905a76ba1d0b7321a95c8c4d3607c5781932b7afb87"
        "11497dfa751bf40b58b3bcc32300b1487f3db34085eef013bf08f4a44d6fef0d"
    )


def test_the_bytes_to_be_signed_are_those_of_the_working_groups_example():
    """cose-wg examples, eddsa-sig-02 (and every sign1 example whose only protected parameter is EdDSA)."""
    assert cose.to_be_signed(bytes.fromhex("a10127"), PAYLOAD).hex() == (
        "846a5369676e61747572653143a101274054546869732069732074686520636f6e74656e742e"
    )


def test_a_message_is_byte_for_byte_the_one_put_together_by_hand():
    protected = bytes.fromhex("a2 01 27 04 42 3131")  # {1: -8, 4: '11'}
    sig_structure = b"\x84" + b"\x6aSignature1" + b"\x47" + protected + b"\x40" + b"\x54" + PAYLOAD
    by_hand = b"\xd2\x84" + b"\x47" + protected + b"\xa0" + b"\x54" + PAYLOAD + b"\x58\x40" + KEY.sign(sig_structure)
    assert by_hand == MESSAGE


def test_what_was_signed_comes_back():
    assert cose.verify1(MESSAGE, KEYS) == PAYLOAD
    assert cose.key_id(MESSAGE) == KID


def test_the_key_is_chosen_by_its_id_among_several():
    keys = {b"a": OTHER.public_key(), **KEYS}
    assert cose.verify1(MESSAGE, keys) == PAYLOAD
    with pytest.raises(UnknownKeyError, match="3131") as caught:
        cose.verify1(MESSAGE, {b"a": OTHER.public_key()})
    assert caught.value.code == "cose.unknown_key"


def test_another_key_under_the_same_id_is_a_bad_signature():
    with pytest.raises(BadSignatureError) as caught:
        cose.verify1(cose.sign1(PAYLOAD, OTHER, KID), KEYS)
    assert caught.value.code == "cose.bad_signature"


def test_no_bit_of_a_message_can_be_turned():
    for bit in range(len(MESSAGE) * 8):
        torn = bytearray(MESSAGE)
        torn[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CoseError):
            cose.verify1(bytes(torn), KEYS)


def test_a_message_cut_short_or_with_bytes_after_it_is_malformed():
    for length in range(len(MESSAGE)):
        with pytest.raises(MalformedError):
            cose.verify1(MESSAGE[:length], KEYS)
    with pytest.raises(MalformedError, match="left over"):
        cose.verify1(MESSAGE + b"\x00", KEYS)


def variant(*, protected: object = None, unprotected: object = None, tag: int = 18, canonical: bool = True) -> bytes:
    """A message whose signature holds, in a form of one's own."""
    header = cbor2.dumps({1: -8, 4: KID} if protected is None else protected, canonical=canonical)
    signature = KEY.sign(cose.to_be_signed(header, PAYLOAD))
    parts = [header, {} if unprotected is None else unprotected, PAYLOAD, signature]
    return cbor2.dumps(cbor2.CBORTag(tag, parts))


def test_a_variant_without_a_difference_is_the_message():
    assert variant() == MESSAGE


@pytest.mark.parametrize(
    "message",
    [
        variant(unprotected={4: KID}),
        variant(unprotected={"note": "smuggled"}),
        variant(unprotected=[]),
        variant(protected={1: -8, 4: KID, 3: 0}),
        variant(protected={1: -8, 4: KID, 2: [3], 3: 0}),
        variant(protected={4: KID, 1: -8}, canonical=False),
        variant(protected={1: -7, 4: KID}),
        variant(protected={1: -8}),
        variant(protected={1: -8, 4: "11"}),
        variant(protected=[1, -8]),
        variant(tag=17),
        MESSAGE[1:],
        b"\xd2\x9f" + MESSAGE[2:] + b"\xff",
        MESSAGE.replace(b"\x47\xa2", b"\x58\x07\xa2", 1),
    ],
    ids=[
        "kid unprotected", "text unprotected", "list for unprotected", "more protected", "critical", "other order",
        "other algorithm", "no kid", "kid a text", "list protected", "other tag", "no tag", "indefinite", "long length",
    ],
)  # fmt: skip
def test_any_other_form_is_malformed_even_when_its_signature_holds(message: bytes):
    with pytest.raises(MalformedError) as caught:
        cose.verify1(message, KEYS)
    assert caught.value.code == "cose.malformed"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x9b" + b"\xff" * 8,  # a list of 2**64 - 1
        b"\x5b\x7f" + b"\xff" * 7,  # bytes of 2**63 - 1
        b"\xbf\xff",  # a map without end
        b"\x81" * 500 + b"\x00",  # 500 deep
        b"\xa2\x01\x01\x01\x02",  # one key twice
        b"\xa1\xa1\x01\x01\x01",  # a map as a key is no use, but must not crash
        b"\x61\xff",  # not UTF-8
        b"\x01\x02",  # one item and another
        b"\xff",
        b"\x1c",
        bytes(cose.MAX_BYTES + 1),
    ],
)
def test_hostile_cbor_is_malformed_or_plain(data: bytes):
    try:
        cose.decode_plain(data)
    except MalformedError:
        return
    assert data.startswith(b"\xa1\xa1")


def test_four_levels_are_read_and_five_are_not():
    assert cose.decode_plain(b"\x81\x81\x81\x81\x00") == [[[[0]]]]
    with pytest.raises(MalformedError, match="depth"):
        cose.decode_plain(b"\x81\x81\x81\x81\x81\x00")


def test_no_tag_is_ever_acted_upon():
    """Every tag of up to two bytes, over bodies that some tag or other would take for its own."""
    bodies = [b"\x00", b"\x61\x61", b"\x80", b"\x82\x01\x01", b"\x44" + bytes(4), b"\x50" + bytes(16)]
    heads = [bytes([0xC0 + t]) for t in range(24)] + [bytes([0xD8, t]) for t in range(24, 256)]
    heads += [b"\xd9" + t.to_bytes(2, "big") for t in range(256, 65_536)]
    taken = []
    for data in (head + body for head in heads for body in bodies):
        try:
            taken.append((data, cose.decode_plain(data)))
        except MalformedError:
            continue
    assert taken == []


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"\xd2\x84" + tail))
def test_only_cose_errors_leave_whatever_the_bytes(data: bytes):
    with pytest.raises(CoseError):
        cose.verify1(data, KEYS)


PLAIN = st.recursive(
    st.integers(-(1 << 64), (1 << 64) - 1) | st.binary(max_size=8) | st.text(max_size=8) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(0, 9), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(PLAIN, min_size=3, max_size=5))
def test_only_cose_errors_leave_whatever_well_formed_parts_are_given(parts: list[object]):
    with pytest.raises(CoseError):
        cose.verify1(cbor2.dumps(cbor2.CBORTag(18, parts)), KEYS)


def test_a_message_that_readers_would_refuse_is_not_made():
    with pytest.raises(ValueError, match="at most 1024"):
        cose.sign1(bytes(1000), KEY, KID)
    with pytest.raises(ValueError, match="key id"):
        cose.sign1(PAYLOAD, KEY, b"")
    assert len(cose.verify1(cose.sign1(bytes(900), KEY, bytes(32)), {bytes(32): KEY.public_key()})) == 900
