"""NDEF from tags: messages by hex, laws by chance."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.lines import MAX_LINE_BYTES, NdefRecord, Reading, encode
from drivers.ndef import (
    MAX_MESSAGE_BYTES,
    NdefError,
    find_message,
    parse_message,
    read_message,
    seek_message,
    text,
    uri,
)


def record(payload: bytes, *, kind: bytes = b"U", tnf: int = 1, flags: int = 0xC0, name: bytes = b"") -> bytes:
    """One record in its shortest form; `flags` are MB, ME and CF."""
    short = len(payload) < 256
    header = flags | tnf | (0x10 if short else 0) | (0x08 if name else 0)
    length = len(payload).to_bytes(1 if short else 4, "big")
    name_length = bytes([len(name)]) if name else b""
    return bytes([header, len(kind)]) + length + name_length + kind + name + payload


URI_ON_TAG = bytes.fromhex("D1010D5504") + b"shop.example"


def test_a_uri_is_given_its_prefix() -> None:
    assert read_message(URI_ON_TAG) == [NdefRecord(kind="uri", text="https://shop.example")]


def test_a_reserved_prefix_code_stands_for_none() -> None:
    assert uri(b"\x24card:7") == "card:7"


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"\x02enCaf\xc3\xa9", "Café"),
        (b"\x82fr\x00C\x00a", "Ca"),
        (b"\x82fr\xff\xfeC\x00a\x00", "Ca"),
        (b"\x82fr\xfe\xff\x00C\x00a", "Ca"),
        (b"\x05en-GB", ""),
    ],
)
def test_text_is_read_in_both_encodings_without_its_language(payload: bytes, says: str) -> None:
    assert text(payload) == says


def test_a_smart_poster_gives_its_uri_alone() -> None:
    inner = record(b"\x02enShop", kind=b"T", flags=0x80) + record(b"\x04shop.example", flags=0x40)
    assert read_message(record(inner, kind=b"Sp")) == [NdefRecord(kind="uri", text="https://shop.example")]


@pytest.mark.parametrize(
    ("tnf", "kind", "said"),
    [
        (1, b"Sig", "urn:nfc:wkt:Sig"),
        (2, b"text/vcard", "text/vcard"),
        (3, b"http://ns.example/a", "http://ns.example/a"),
        (4, b"shop.example:card", "urn:nfc:ext:shop.example:card"),
        (5, b"", "unknown"),
        (7, b"", "unknown"),
        (2, b"\xff\x01", "\\xff\x01"),
    ],
)
def test_other_records_are_named_and_carry_no_text(tnf: int, kind: bytes, said: str) -> None:
    assert read_message(record(b"data", tnf=tnf, kind=kind)) == [NdefRecord(kind=said)]


def test_a_chunked_record_is_put_together() -> None:
    pieces = (
        record(b"\x04shop", flags=0xA0)
        + record(b".exa", kind=b"", tnf=6, flags=0x20)
        + record(b"mple", kind=b"", tnf=6, flags=0x40)
    )
    assert read_message(pieces) == [NdefRecord(kind="uri", text="https://shop.example")]


def test_a_message_of_an_empty_record_says_nothing() -> None:
    assert read_message(bytes.fromhex("D00000")) == []
    assert read_message(b"") == []


def test_long_records_and_record_names_are_understood() -> None:
    message = record(b"\x00" + b"x" * 300, flags=0x80, name=b"first") + record(b"\x02en!", kind=b"T", flags=0x40)
    assert [r.kind for r in read_message(message)] == ["uri", "text"]


@pytest.mark.parametrize(
    ("hexes", "says"),
    [
        ("11010155", "without its beginning"),
        ("91010155 04".replace(" ", ""), "without its end"),
        ("D1010155 04 00".replace(" ", ""), "bytes after the last"),
        ("91010155 04 D1010155 04".replace(" ", ""), "begins in the middle"),
        ("D1010D5504", "breaks off"),
        ("D1", "breaks off"),
        ("C101000000FF55", "breaks off"),
        ("D6000100", "without a first chunk"),
        ("F101015504", "without its last chunk"),
        ("B101015504 51010155 04".replace(" ", ""), "without its last chunk"),
        ("D0010055", "empty record"),
        ("D5010055", "type where none"),
        ("D1010055", "URI record without content"),
        ("D1010054", "text record without content"),
        ("D101015405", "inside its language"),
        ("D101025504FF", "not utf-8"),
        ("D10200 5370".replace(" ", ""), "smart poster with 0"),
    ],
)
def test_a_torn_message_is_an_error_that_says_why(hexes: str, says: str) -> None:
    with pytest.raises(NdefError, match=says):
        read_message(bytes.fromhex(hexes))


@given(st.binary(max_size=40), st.data())
def test_a_message_cut_anywhere_is_torn_and_never_empty(payload: bytes, data: st.DataObject) -> None:
    message = record(b"\x00a", flags=0x80) + record(payload, kind=b"x", flags=0x40)
    end = data.draw(st.integers(1, len(message) - 1))
    with pytest.raises(NdefError):
        parse_message(message[:end])


@given(st.lists(st.tuples(st.sampled_from([b"U", b"x", b"long"]), st.binary(max_size=300)), min_size=1, max_size=5))
def test_records_come_back_as_they_were_written(pairs: list[tuple[bytes, bytes]]) -> None:
    last = len(pairs) - 1
    message = b"".join(
        record(payload, kind=kind, flags=(0x80 if n == 0 else 0) | (0x40 if n == last else 0))
        for n, (kind, payload) in enumerate(pairs)
    )
    assert [(r.type, r.payload) for r in parse_message(message)] == pairs


@given(st.one_of(st.binary(max_size=600), st.binary(max_size=600).map(lambda b: b"\xd1" + b)))
def test_any_bytes_are_a_message_or_torn(message: bytes) -> None:
    try:
        read_message(message)
    except NdefError:
        pass


@pytest.mark.parametrize(
    "message",
    [
        record(b"\x00" + b"\x01" * (MAX_MESSAGE_BYTES - 20)),
        record(b"\x07" * 99, flags=0x80) + record(b"\x07", flags=0) * 62 + record(b"\x07" * 5000, flags=0x40),
        record(b"", kind=b"\xff" * 255, tnf=2, flags=0x80)
        + record(b"", kind=b"\xff" * 255, tnf=2, flags=0) * 29
        + record(b"", kind=b"\x01" * 255, tnf=2, flags=0x40),
    ],
)
def test_the_longest_message_fits_a_line(message: bytes) -> None:
    reading = Reading(kind="card", scope="x" * 128, ndef=read_message(message))
    assert len(encode(reading)) < MAX_LINE_BYTES
    assert msgspec.json.decode(encode(reading), type=Reading) == reading


def test_more_than_the_limits_is_refused() -> None:
    with pytest.raises(NdefError, match="at most 8192"):
        parse_message(bytes(MAX_MESSAGE_BYTES + 1))
    with pytest.raises(NdefError, match="more than 64 records"):
        parse_message(record(b"", flags=0x80) + record(b"", flags=0) * 63 + record(b"", flags=0x40))
    with pytest.raises(NdefError, match="at most 8192"):
        find_message(bytes.fromhex("03FF2100") + bytes(0x2100))


@pytest.mark.parametrize(
    ("area", "found"),
    [
        ("0300FE", b""),
        ("0103A00C34 0303D00000 FE", b"\xd0\x00\x00"),
        ("0000 0203112233 FD020102 0302AABB", b"\xaa\xbb"),
        ("FE 0302AABB", None),
        ("00000000", None),
        ("", None),
        ("0103A00C34", None),
        ("03FF0003AABBCC", b"\xaa\xbb\xcc"),
        ("0301AA 0301BB", b"\xaa"),
    ],
)
def test_the_first_message_block_is_found_behind_others(area: str, found: bytes | None) -> None:
    assert find_message(bytes.fromhex(area)) == found


@pytest.mark.parametrize("area", ["03", "0305AABB", "03FF", "03FF00", "03FF0004AABB", "0110AA", "01"])
def test_a_block_that_leads_past_the_tag_is_torn(area: str) -> None:
    with pytest.raises(NdefError):
        find_message(bytes.fromhex(area))


@given(st.binary(max_size=200))
def test_no_more_of_a_tag_is_read_than_there_is(area: bytes) -> None:
    def read(at: int, count: int) -> bytes:
        assert at >= 0
        assert count > 0
        assert at + count <= len(area)
        return area[at : at + count]

    try:
        seek_message(read, len(area))
    except NdefError:
        pass
