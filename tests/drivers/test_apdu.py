"""Reading cards by APDU: transcripts by hex, virtual cards without a reader, and cards that answer anything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import apdu
from drivers.apdu import Content, NoIdentityError, StatusError, TornReadError, Transmit
from drivers.atr import MemoryCard, ProcessorCard
from drivers.lines import NdefRecord
from tests.rigs.virtual_card import Ntag213, Type4, VirtualCard, uri_message

NTAG = MemoryCard(name="Mifare Ultralight", tag="type2")
UID = bytes.fromhex("04A1B2C3D4E580")
SHOP = [NdefRecord(kind="uri", text="https://shop.example/card/1234567890")]
MESSAGE = uri_message("https://shop.example/card/1234567890")
AGAIN = ("FFCA000000", "04A1B2C3D4E580 9000")


def transcript(*lines: tuple[str, str]) -> Transmit:
    """Answers as written, and insists on the commands as written."""
    left = list(lines)

    def transmit(command: bytes) -> tuple[bytes, int]:
        asked, answer = left.pop(0)
        assert command.hex().upper() == asked.replace(" ", "")
        got = bytes.fromhex(answer)
        return got[:-2], int.from_bytes(got[-2:], "big")

    return transmit


def held(card: VirtualCard) -> Transmit:
    """A virtual card in the hand, without a reader."""

    def transmit(command: bytes) -> tuple[bytes, int]:
        answer = card.answer(command)
        return answer[:-2], int.from_bytes(answer[-2:], "big")

    return transmit


def test_a_uid_is_given_in_the_order_of_the_card() -> None:
    assert apdu.read_uid(transcript(AGAIN)) == UID


@pytest.mark.parametrize(
    "uid", ["04A651FFFFFFFF", "00000000", "00000000000000", "8804A651", "", "04", "04A1B2C3D4", "FFFFFFFF"]
)
def test_a_part_of_a_uid_is_not_believed(uid: str) -> None:
    with pytest.raises(TornReadError):
        apdu.read_uid(transcript(("FFCA000000", uid + "9000")))


@pytest.mark.parametrize("uid", ["8F1B2C3D", "04A1B2C3D4E580", "E00401000A1B2C3D", "04A1B2C3D4E580112233"])
def test_a_uid_of_every_length_that_there_is_is_taken(uid: str) -> None:
    assert apdu.read_uid(transcript(("FFCA000000", uid + "9000"))) == bytes.fromhex(uid)


@pytest.mark.parametrize("status", ["6A81", "6D00", "6E00", "6881"])
def test_a_reader_that_knows_no_uid_is_told_from_one_that_failed(status: str) -> None:
    with pytest.raises(NoIdentityError):
        apdu.read_uid(transcript(("FFCA000000", status)))
    with pytest.raises(StatusError, match="6300: the operation failed"):
        apdu.read_uid(transcript(("FFCA000000", "6300")))


def test_a_short_message_on_an_ntag_takes_two_reads() -> None:
    transmit = transcript(
        ("FFB0000310", "E1101200 0103A00C 34030CD1 01085504 9000"),
        ("FFB0000710", "73686F70 2E6578FE 00000000 00000000 9000"),
    )
    read = apdu.read_content(NTAG, UID, transmit)
    assert read == Content(tag="type2", state="read", records=[NdefRecord(kind="uri", text="https://shop.ex")])


@pytest.mark.parametrize(
    ("pages", "state"),
    [
        ("E1101200 0300FE00 00000000 00000000", "empty"),
        ("E1101200 0303D000 00FE0000 00000000", "empty"),
        ("00000000 00000000 00000000 00000000", "none"),
        ("E1101200 FE000000 00000000 00000000", "none"),
        ("E1201200 0300FE00 00000000 00000000", "unreadable"),
        ("E110120F 0300FE00 00000000 00000000", "empty"),
        ("E11012F0 0300FE00 00000000 00000000", "unreadable"),
    ],
)
def test_a_tag_without_a_message_says_why(pages: str, state: str) -> None:
    transmit = transcript(("FFB0000310", pages + "9000"))
    assert apdu.read_content(NTAG, UID, transmit) == Content(tag="type2", state=state)


def test_a_torn_message_is_reported_when_the_card_is_still_there() -> None:
    torn = ("FFB0000310", "E1101200 0305D101 FE000000 00000000 9000")
    assert apdu.read_content(NTAG, UID, transcript(torn, AGAIN)).state == "torn"
    with pytest.raises(StatusError):
        apdu.read_content(NTAG, UID, transcript(torn, ("FFCA000000", "6300")))
    with pytest.raises(TornReadError, match="another card"):
        apdu.read_content(NTAG, UID, transcript(torn, ("FFCA000000", "04111111111111 9000")))


def test_a_locked_tag_is_unreadable_and_not_empty() -> None:
    locked = ("FFB0000310", "6982")
    assert apdu.read_content(NTAG, UID, transcript(locked, AGAIN)) == Content(tag="type2", state="unreadable")


def test_a_tag_that_ends_before_its_container_says_is_torn() -> None:
    lines = [("FFB0000310", "E1101200 0320D101 1C550400 00000000 9000"), ("FFB0000710", "0000 9000"), AGAIN]
    assert apdu.read_content(NTAG, UID, transcript(*lines)).state == "torn"


def test_a_reader_that_names_the_right_length_is_asked_again() -> None:
    lines = [("FFB0000310", "6C04"), ("FFB0000304", "E1101200 9000"), AGAIN]
    assert apdu.read_content(NTAG, UID, transcript(*lines)).state == "torn"
    assert apdu.read_uid(transcript(("FFCA000000", "6C07"), ("FFCA000007", "04A1B2C3D4E580 9000"))) == UID


@pytest.mark.parametrize("size", [0, 1, 9, 20, 100, 130])
def test_messages_of_every_length_are_read_from_an_ntag(size: int) -> None:
    card = Ntag213(0, message=uri_message("x" * size))
    assert apdu.read_content(NTAG, card.uid, held(card)).records == [NdefRecord(kind="uri", text="x" * size)]


@pytest.mark.parametrize("mle", [15, 59, 240, 255, 65_535])
def test_a_type_4_card_is_never_asked_for_more_than_it_gives_at_once(mle: int) -> None:
    text = "https://shop.example/" + "x" * 200
    card = Type4(0, message=uri_message(text), mle=mle)
    read = apdu.read_content(ProcessorCard(), card.uid, held(card))
    assert read == Content(tag="type4", state="read", records=[NdefRecord(kind="uri", text=text)])


SELECTED = [
    ("00A4040007D276000085010100", "9000"),
    ("00A4000C02E103", "9000"),
]
CONTAINER = "000F20003B00340406E10400FF0000"
FILE = [*SELECTED, ("00B000000F", CONTAINER + "9000"), ("00A4000C02E104", "9000")]
PROCESSOR_UID = ("FFCA000000", "04112233445566 9000")


@pytest.mark.parametrize(
    ("lines", "tag", "state"),
    [
        ([("00A4040007D276000085010100", "6A82")], "iso14443", "none"),
        ([*SELECTED[:1], ("00A4000C02E103", "6A82")], "type4", "unreadable"),
        ([*SELECTED, ("00B000000F", "000F" + "9000")], "type4", "torn"),
        ([*SELECTED, ("00B000000F", "00" * 15 + "9000")], "type4", "torn"),
        ([*SELECTED, ("00B000000F", "000F20003B00340406E10400FFFFFF 9000")], "type4", "unreadable"),
        ([*FILE, ("00B0000002", "00FE 9000")], "type4", "torn"),
        ([*FILE, ("00B0000002", "0004 9000"), ("00B0000204", "D101 9000")], "type4", "torn"),
        ([*FILE, ("00B0000002", "0004 9000"), ("00B0000204", "D1010C55 9000")], "type4", "torn"),
        ([*FILE, ("00B0000002", "0004 9000"), ("00B0000204", "6B00")], "type4", "unreadable"),
    ],
)
def test_every_way_a_type_4_card_can_fail_has_its_state(lines: list[tuple[str, str]], tag: str, state: str) -> None:
    read = apdu.read_content(ProcessorCard(), bytes.fromhex("04112233445566"), transcript(*lines, PROCESSOR_UID))
    assert (read.tag, read.state, read.records) == (tag, state, [])


def test_a_type_4_card_with_length_zero_is_empty() -> None:
    transmit = transcript(*FILE, ("00B0000002", "0000 9000"))
    assert apdu.read_content(ProcessorCard(), UID, transmit) == Content(tag="type4", state="empty")


def test_a_card_that_needs_keys_is_not_asked() -> None:
    card = MemoryCard(name="Mifare Classic 1K", tag="mifare_classic")
    assert apdu.read_content(card, UID, transcript()) == Content(tag="mifare_classic", state="unreadable")


ANSWERS = st.one_of(
    st.tuples(st.binary(max_size=20), st.sampled_from([0x9000, 0x9000, 0x6300, 0x6C10, 0x6A82])),
    st.tuples(st.binary(min_size=16, max_size=16).map(lambda b: b"\xe1\x10\x12\x00" + b[4:]), st.just(0x9000)),
    st.tuples(st.just(bytes.fromhex(CONTAINER)), st.just(0x9000)),
    st.tuples(st.binary(max_size=70), st.integers(0, 0xFFFF)),
)


@settings(max_examples=400)
@given(st.sampled_from([NTAG, ProcessorCard()]), st.lists(ANSWERS, min_size=1, max_size=12))
def test_a_card_that_answers_anything_is_read_or_refused_in_so_many_commands(
    card: MemoryCard | ProcessorCard, answers: list[tuple[bytes, int]]
) -> None:
    asked: list[bytes] = []

    def transmit(command: bytes) -> tuple[bytes, int]:
        asked.append(command)
        return answers[min(len(asked), len(answers)) - 1]

    try:
        read = apdu.read_content(card, apdu.read_uid(transmit), transmit)
    except (NoIdentityError, StatusError, TornReadError):
        pass
    else:
        assert bool(read.records) == (read.state == "read")
    assert len(asked) < 1200  # 8 KiB by 15 bytes, each asked twice at most


@given(st.binary(max_size=144))
def test_whatever_an_ntag_holds_its_uid_is_read_and_nothing_is_invented(area: bytes) -> None:
    card = Ntag213(0, area=area)
    read = apdu.read_content(NTAG, card.uid, held(card))
    assert read.tag == "type2"
    assert bool(read.records) == (read.state == "read")


@given(st.integers(1, len(MESSAGE) - 1))
def test_a_message_half_written_on_an_ntag_is_torn(cut: int) -> None:
    card = Ntag213(0, area=bytes([3, cut]) + MESSAGE[:cut] + b"\xfe")
    assert apdu.read_content(NTAG, card.uid, held(card)) == Content(tag="type2", state="torn")


def test_beeps_and_lights_differ_and_are_one_command_of_nine_bytes() -> None:
    orders = {apdu.signal(pattern, sound=sound) for pattern in ("yes", "no", "look") for sound in (True, False)}
    assert len(orders) == 6
    assert {order[:3] + order[4:5] for order in orders} == {b"\xff\x00\x40\x04"}
    assert apdu.is_played(0x9003)
    assert not apdu.is_played(0x6300)
