from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.token import REPEAT_S, Card, Code, Debounce, Refused, Token, passes_luhn, passes_mod10, read_token
from drivers.lines import NdefRecord, Reading

OURS = ("https://loy.example/c/",)
LINK = "https://loy.example/c/0042"


def card(uid: str, tag: str = "type2", **rest: object) -> Reading:
    return Reading(kind="card", scope="counter", uid=uid, tag=tag, **rest)  # type: ignore[arg-type]


def printed(text: str, symbology: str = "QRCode") -> Reading:
    return Reading(kind="code", scope="camera", symbology=symbology, text=text)


def typed(text: str) -> Reading:
    return Reading(kind="text", scope="scanner", text=text)


def code_of(token: Token) -> str | None:
    return token.code if isinstance(token, Refused) else None


def uri(text: str) -> dict[str, object]:
    return {"ndef": [NdefRecord(kind="uri", text=text)], "ndef_state": "read"}


@pytest.mark.parametrize(
    ("uid", "tag"),
    [
        ("04a1b2c3d4e580", "type2"),
        ("a1b2c3d4", "mifare_classic"),
        ("04a1b2c3d4e5f6071811", "iso14443"),
        ("02fe010203040506", "type3"),
        ("e007000012345678", "iso15693"),
        ("0102030405", "lf"),
    ],
)
def test_a_whole_uid_is_a_token_in_the_order_the_tag_sends_it(uid, tag):
    assert read_token(card(uid, tag)) == Card(scheme="uid", value=uid)


def test_upper_case_uids_are_the_same_card():
    assert read_token(card("04A1B2C3D4E580")) == read_token(card("04a1b2c3d4e580"))


@pytest.mark.parametrize(
    ("uid", "tag", "code"),
    [
        ("04a651ffffffff", "type2", "token.uid_partial"),
        ("00000000", "mifare_classic", "token.uid_partial"),
        ("ffffffffffffff", "type2", "token.uid_partial"),
        ("04a65100000000", "type2", "token.uid_partial"),
        ("8804a6511b2c3d", "type2", "token.uid_partial"),
        ("8804a651", "type2", "token.uid_partial"),
        ("0000000000000000", "type3", "token.uid_partial"),
        ("08123456", "type4", "token.random_uid"),
        ("01fe010203040506", "type3", "token.random_uid"),
        ("04a651", "type2", "token.uid_length"),
        ("04a1b2c3d4e580", "felica", "token.uid_length"),
        ("02fe010203040506", "type2", "token.uid_length"),
        ("", "type2", "token.uid_malformed"),
        ("04a", "type2", "token.uid_malformed"),
        ("zz04a1b2", "type2", "token.uid_malformed"),
    ],
)
def test_a_uid_that_cannot_be_an_identity_is_refused(uid, tag, code):
    assert code_of(read_token(card(uid, tag))) == code


def test_a_felica_idm_may_begin_with_the_cascade_tags_value():
    assert read_token(card("88fe010203040506", "type3")) == Card(scheme="uid", value="88fe010203040506")


def test_our_link_in_the_chip_goes_before_the_uid():
    assert read_token(card("04a1b2c3d4e580", **uri(LINK)), identity_prefixes=OURS) == Card(scheme="ndef", value=LINK)


def test_a_foreign_link_in_the_chip_leaves_the_uid():
    reading = card("04a1b2c3d4e580", **uri("https://elsewhere.example/"))
    assert read_token(reading, identity_prefixes=OURS) == Card(scheme="uid", value="04a1b2c3d4e580")
    assert read_token(card("04a1b2c3d4e580", **uri(LINK))) == Card(scheme="uid", value="04a1b2c3d4e580")


def test_a_signed_code_in_the_chip_goes_before_everything():
    records = [NdefRecord(kind="uri", text=LINK), NdefRecord(kind="text", text="HF1:ABC")]
    reading = card("08123456", "type4", ndef=records, ndef_state="read")
    assert read_token(reading, identity_prefixes=OURS) == Code(text="HF1:ABC")


def test_a_random_uid_with_our_link_is_a_card():
    assert read_token(card("08123456", **uri(LINK)), identity_prefixes=OURS) == Card(scheme="ndef", value=LINK)


@pytest.mark.parametrize("state", ["torn", "unreadable"])
def test_a_random_uid_whose_content_was_not_read_asks_for_another_try(state):
    assert code_of(read_token(card("08123456", ndef_state=state))) == "token.torn"


@pytest.mark.parametrize("state", ["none", "empty", "torn", "unreadable"])
def test_where_no_links_are_in_use_the_uid_identifies_whatever_the_content(state):
    assert read_token(card("04a1b2c3d4e580", ndef_state=state)) == Card(scheme="uid", value="04a1b2c3d4e580")


def test_where_links_identify_a_torn_card_is_never_taken_for_its_uid():
    assert code_of(read_token(card("04a1b2c3d4e580", ndef_state="torn"), identity_prefixes=OURS)) == "token.torn"


@pytest.mark.parametrize(
    ("symbology", "text", "value"),
    [
        ("EAN13", "4006381333931", "4006381333931"),
        ("EAN-8", "96385074", "96385074"),
        ("UPC-A", "036000291452", "0036000291452"),
        ("UPCA", "0036000291452", "0036000291452"),
        ("Code128", "12345678", "12345678"),
        ("Code128", "1234567890123456789", "1234567890123456789"),
        ("QRCode", "4006381333931", "4006381333931"),
    ],
)
def test_a_printed_number_is_a_token(symbology, text, value):
    assert read_token(printed(text, symbology)) == Card(scheme="num", value=value)


def test_a_number_is_the_same_card_from_camera_scanner_and_keyboard():
    tokens = {
        read_token(printed("036000291452", "UPC-A")),
        read_token(typed("036000291452\r\n")),
        read_token(typed("0036000291452")),
        read_token(typed("0 36000 29145 2")),
    }
    assert tokens == {Card(scheme="num", value="0036000291452")}


@pytest.mark.parametrize(
    ("symbology", "text"), [("EAN13", "4006381333932"), ("EAN8", "96385075"), ("UPCA", "036000291453")]
)
def test_a_wrong_check_digit_is_refused(symbology, text):
    assert code_of(read_token(printed(text, symbology))) == "token.check_digit"


def test_luhn_is_asked_of_other_numbers_where_it_is_in_use():
    assert read_token(typed("79927398713"), luhn=True) == Card(scheme="num", value="79927398713")
    assert code_of(read_token(typed("79927398714"), luhn=True)) == "token.check_digit"
    assert read_token(typed("79927398714")) == Card(scheme="num", value="79927398714")
    assert read_token(typed("4006381333931"), luhn=True) == Card(scheme="num", value="4006381333931")


@given(st.text("0123456789", min_size=7, max_size=18), st.data())
def test_one_wrong_digit_never_passes_either_check(body, data):
    place = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != body[place]]))
    for passes in (passes_mod10, passes_luhn):
        whole = next(body + check for check in "0123456789" if passes(body + check))
        assert not passes(whole[:place] + other + whole[place + 1 :])


@pytest.mark.parametrize(
    "text", ["7K3MQ-ZX9TA-4", "7k3mq zx9ta 4", "7K3MQZX9TA4", "7K3MQZX9TA~", "O1LIQ-ZX9TA-U", "12345-67890-1"]
)
def test_a_typed_code_is_passed_on_as_typed(text):
    assert read_token(typed(f" {text}\r\n")) == Code(text=text)


def test_eleven_digits_in_a_row_are_a_number():
    assert read_token(typed("12345678901")) == Card(scheme="num", value="12345678901")


def test_a_signed_code_keeps_its_closing_space():
    assert read_token(typed("HF1:AB C \r\n")) == Code(text="HF1:AB C ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("WIFI:S:shop;T:WPA;P:secret;;", "Wi-Fi code"),
        ("BEGIN:VCARD\r\nVERSION:3.0\r\nEND:VCARD", "contact"),
        ("https://menu.example/", "link that is not ours"),
        ("WWW.MENU.EXAMPLE", "link that is not ours"),
        ("https://loy.example.evil/c/0042", "link that is not ours"),
        ("mailto:someone@shop.example", "e-mail"),
        ("BCD\n002\n1\nSCT", "payment"),
        ("Buy two,\nget three", "a text"),
        ("\x00\x01", "without readable text"),
        ("", "nothing"),
        ("1234567", "7 digits"),
    ],
)
def test_what_is_not_a_card_is_refused_by_name(text, words):
    refused = read_token(printed(text), identity_prefixes=OURS)
    assert isinstance(refused, Refused)
    assert (refused.code, words in refused.text) == ("token.alien_code", True)


def test_a_products_short_barcode_is_not_a_card():
    assert code_of(read_token(printed("01234565", "UPC-E"))) == "token.alien_code"


@pytest.mark.parametrize("text", ["x" * 4096, "HF1:" + "A" * 4096, LINK + "x" * 300, "1" * 20])
def test_what_is_too_long_is_refused(text):
    assert code_of(read_token(printed(text), identity_prefixes=OURS)) == "token.too_long"


def test_our_link_is_the_same_card_in_print_and_in_the_chip():
    in_chip = read_token(card("04a1b2c3d4e580", **uri(LINK)), identity_prefixes=OURS)
    assert read_token(printed(LINK), identity_prefixes=OURS) == in_chip


def test_a_code_that_was_not_confirmed_is_refused():
    reading = Reading(kind="code", scope="camera", symbology="EAN13", text="4006381333931", confirmed=False)
    assert code_of(read_token(reading)) == "token.unconfirmed"


@given(
    st.builds(
        Reading,
        kind=st.sampled_from(["card", "code", "text"]),
        scope=st.just("x"),
        uid=st.none() | st.text(max_size=24),
        tag=st.none() | st.sampled_from(["type2", "felica", "lf", "something"]),
        text=st.none() | st.text(max_size=2000),
        symbology=st.none() | st.text(max_size=9),
        ndef_state=st.sampled_from(["none", "read", "empty", "torn", "unreadable"]),
    )
)
def test_every_reading_gets_an_answer(reading):
    token = read_token(reading, identity_prefixes=OURS, luhn=True)
    assert isinstance(token, Card | Code) or token.code.startswith("token.")


@given(st.binary(min_size=7, max_size=7))
def test_every_uid_is_kept_as_it_is_or_refused(octets):
    token = read_token(card(octets.hex()))
    assert isinstance(token, Refused) or token == Card(scheme="uid", value=octets.hex())


A = Card(scheme="uid", value="04a1b2c3d4e580")
B = Card(scheme="num", value="4006381333931")


def test_a_card_that_is_read_again_while_held_is_one_presentation():
    debounce = Debounce()
    assert [debounce.is_new(A, "nfc", now_s) for now_s in (0.0, 1.5, 3.0, 4.9)] == [True, False, False, False]


def test_a_card_not_seen_for_two_seconds_is_new():
    debounce = Debounce()
    assert [debounce.is_new(A, "camera", now_s) for now_s in (0.0, REPEAT_S)] == [True, True]


def test_a_card_that_left_the_field_is_new_at_once():
    debounce = Debounce()
    debounce.is_new(A, "nfc", 0.0)
    debounce.removed("nfc")
    assert debounce.is_new(A, "nfc", 0.1)


def test_a_card_in_two_fields_is_one_until_it_left_both():
    debounce = Debounce()
    assert debounce.is_new(A, "left", 0.0)
    assert not debounce.is_new(A, "right", 0.1)
    debounce.removed("left")
    assert not debounce.is_new(A, "right", 0.2)
    debounce.removed("right")
    assert debounce.is_new(A, "right", 0.3)


def test_two_cards_do_not_hide_each_other():
    debounce = Debounce()
    assert [debounce.is_new(token, "nfc", 0.0) for token in (A, B, A, B)] == [True, True, False, False]


def test_a_failed_attempt_uses_up_nothing():
    debounce = Debounce()
    torn = Refused(code="token.torn", text="again")
    assert debounce.is_new(torn, "nfc", 0.0)
    assert debounce.is_new(A, "nfc", 0.1)
    debounce.release(A)
    assert debounce.is_new(A, "nfc", 0.2)


@given(st.lists(st.tuples(st.floats(0.0, 1.9), st.sampled_from(["nfc", "camera"])), min_size=1, max_size=20))
def test_without_a_gap_there_is_one_presentation_however_many_readings(steps):
    debounce, now_s, begun = Debounce(), 0.0, 0
    for pause_s, scope in steps:
        now_s += pause_s
        begun += debounce.is_new(A, scope, now_s)
    assert begun == 1


def test_a_reader_whose_process_ended_holds_no_card_any_more() -> None:
    debounce, card = Debounce(), Card(scheme="uid", value="04a1b2c3d4e580")
    assert debounce.is_new(card, "tap/ACR122", 0.0)
    debounce.gone("other/")
    assert not debounce.is_new(card, "tap/ACR122", 0.5)
    debounce.gone("tap/")
    assert debounce.is_new(card, "tap/ACR122", 1.0)
