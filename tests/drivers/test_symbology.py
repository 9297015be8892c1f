"""What a symbol is called, whether its digits are right, and when a text is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.symbology import (
    REPEAT_FRAMES,
    Ballot,
    Repeats,
    Sighting,
    check_right,
    gs1_check_right,
    lengthen,
    named,
    shorten,
)

EAN = "4006381333931"
OTHER_EAN = "9780345460950"


def seen(text: str, symbology: str = "EAN13", family: str = "zxing", x: float = 0.4) -> Sighting:
    corners = ((x, 0.4), (x + 0.2, 0.4), (x + 0.2, 0.6), (x, 0.6))
    return Sighting(family=family, symbology=symbology, text=text, corners=corners)


@pytest.mark.parametrize(
    ("engine_says", "we_say"),
    [
        (("EAN13", "0882428015268"), ("UPCA", "882428015268")),
        (("UPCA", "0882428015268"), ("UPCA", "882428015268")),
        (("UPCA", "882428015268"), ("UPCA", "882428015268")),
        (("EAN13", EAN), ("EAN13", EAN)),
        (("UPCE", "0049000006582"), ("UPCE", "04965802")),
        (("UPCE", "04965802"), ("UPCE", "04965802")),
        (("QRCode", "0882428015268"), ("QRCode", "0882428015268")),
    ],
)
def test_one_symbol_has_one_name_and_text_whatever_an_engine_calls_it(
    engine_says: tuple[str, str], we_say: tuple[str, str]
) -> None:
    assert named(*engine_says) == we_say


@given(st.from_regex(r"[01][0-9]{7}", fullmatch=True))
def test_upc_e_stands_for_the_same_twelve_digits_after_shortening(upce: str) -> None:
    upca = lengthen(upce)
    short = shorten(upca)
    assert short is not None
    assert len(upca) == 12
    assert lengthen(short) == upca


@given(st.from_regex(r"[0-9]{12}", fullmatch=True), st.integers(0, 11))
def test_a_single_wrong_digit_never_passes_the_check(body: str, place: int) -> None:
    right = next(body + str(d) for d in range(10) if gs1_check_right(body + str(d)))
    wrong = right[:place] + str((int(right[place]) + 1) % 10) + right[place + 1 :]
    assert check_right("EAN13", right)
    assert not check_right("EAN13", wrong)


def test_symbols_without_a_check_never_pass_one() -> None:
    assert not any(check_right(name, "123456") for name in ("ITF", "Code39", "Codabar", "EAN13"))


def test_a_matrix_code_is_believed_by_itself() -> None:
    ballot = Ballot()
    ballot.count("zxing", [seen("hello", "QRCode")])
    assert [(code.text, code.confirmed) for code in ballot.codes()] == [("hello", True)]


def test_a_linear_code_seen_once_is_told_but_not_believed() -> None:
    ballot = Ballot()
    ballot.count("zxing", [seen(EAN)])
    ballot.count("zxing", [seen(EAN)])  # the same stage again is no second pass
    assert [(code.text, code.confirmed) for code in ballot.codes()] == [(EAN, False)]


def test_two_passes_of_zxing_make_a_linear_code_believed_and_the_first_stage_is_named() -> None:
    ballot = Ballot()
    ballot.count("zxing", [seen(EAN)])
    ballot.count("zxing-again", [seen(EAN)])
    code = ballot.codes()[0]
    assert (code.confirmed, code.stage) == (True, "zxing")


def test_a_wrong_check_digit_is_never_believed() -> None:
    ballot = Ballot()
    for stage, family in (("a", "zxing"), ("b", "zxing"), ("c", "zbar")):
        ballot.count(stage, [seen("4006381333932", family=family)])
    assert not ballot.settled()


def test_a_text_disputed_by_another_reading_of_the_same_bars_is_not_believed() -> None:
    ballot = Ballot()
    for stage in ("zxing", "zxing-again"):
        ballot.count(stage, [seen(EAN)])
    ballot.count("zbar-small", [seen(OTHER_EAN, family="zbar")])
    assert not ballot.settled()


def test_two_codes_side_by_side_do_not_dispute_each_other() -> None:
    ballot = Ballot()
    for stage in ("zxing", "zxing-again"):
        ballot.count(stage, [seen(EAN, x=0.1), seen(OTHER_EAN, x=0.7)])
    assert {code.text for code in ballot.codes() if code.confirmed} == {EAN, OTHER_EAN}


def test_a_symbol_without_check_digit_needs_two_families() -> None:
    ballot = Ballot()
    for stage in ("zxing", "zxing-again", "zxing-band"):
        ballot.count(stage, [seen("30712345", "ITF")])
    assert not ballot.settled()
    ballot.count("zbar-small", [seen("30712345", "ITF", family="zbar")])
    assert ballot.settled()


def test_in_a_video_a_linear_code_must_come_twice_within_half_a_second() -> None:
    repeats = Repeats()
    assert not repeats.believed(1, seen(EAN))
    assert not repeats.believed(2 + REPEAT_FRAMES, seen(EAN))
    assert repeats.believed(2 + 2 * REPEAT_FRAMES, seen(EAN))


def test_in_a_video_two_sightings_in_one_frame_are_one() -> None:
    repeats = Repeats()
    assert not repeats.believed(1, seen(EAN))
    assert not repeats.believed(1, seen(EAN))


def test_in_a_video_a_dispute_is_waited_out() -> None:
    repeats = Repeats()
    repeats.believed(1, seen(OTHER_EAN))
    repeats.believed(2, seen(EAN))
    assert not repeats.believed(3, seen(EAN))
    assert repeats.believed(2 + REPEAT_FRAMES, seen(EAN))
