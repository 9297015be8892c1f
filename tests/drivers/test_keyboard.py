from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import lines
from drivers.keyboard import Driver, Options, find_by_name
from drivers.keys import EV_SYN, EVENT, IDLE_RESET_S, SYN_DROPPED, KeyEvent, Typist, parse_events
from drivers.lines import Fault, Health, Hello, Reading
from drivers.program import Ears, Voice
from drivers.typed import MAX_TEXT, Spoiled
from tests.rigs.driver_child import PATIENCE_S, DriverChild
from tests.rigs.keystrokes import Recorded, event, keys
from tests.rigs.need import need

DIGITS = "5 11 11 7 4 9 2 4 4 4 10 4 2"  # 4006381333931 on the keys of a US keyboard
EAN = "4006381333931"


def typed(layout: str, transcript: str, typist: Typist | None = None) -> list[object]:
    typist = typist or Typist(layout)  # type: ignore[arg-type]
    came = [typist.press(event, 1.0) for event in parse_events(keys(transcript))]
    return [line for line in came if line is not None]


def test_an_event_laid_out_as_the_kernel_does_is_understood():
    """struct input_event of a 64-bit machine, byte by byte: the 4 key goes down."""
    need(EVENT.size == 24, "a 64-bit machine")
    recorded = bytes.fromhex("00a2296900000000 40e2010000000000 0100 0500 01000000")
    assert parse_events(recorded) == [KeyEvent(kind=1, code=5, value=1)]


def test_bytes_that_are_no_whole_event_are_dropped():
    assert parse_events(event(1, 5, 1) + b"\x00" * 7) == [KeyEvent(kind=1, code=5, value=1)]


@pytest.mark.parametrize(
    ("layout", "transcript", "line"),
    [
        ("us", f"{DIGITS} enter", EAN),
        ("us", "71 72 73 96", "789"),
        ("us", "+42 35 33 -42 2 +54 39 -54 30 12 2 enter", "HF1:a-1"),
        ("us", "35 20 20 25 31 +42 39 -42 53 53 38 24 21 52 18 45 30 50 25 38 18 enter", "https://loy.example"),
        ("fr", f"+42 {DIGITS} -42 enter", EAN),
        ("fr", "+42 35 33 2 -42 52 16 7 enter", "HF1:a-"),
        ("fr", "39 44 17 51 +100 11 -100 enter", "mwz;@"),
        ("it", f"{DIGITS} enter", EAN),
        ("it", "+42 35 33 -42 2 +42 52 8 -42 53 +100 39 -100 enter", "HF1:/-@"),
        ("us", "58 30 2 58 30 enter", "A1a"),
        ("us", "58 +42 30 -42 enter", "a"),
    ],
)
def test_keys_become_the_text_of_their_layout(layout, transcript, line):
    assert typed(layout, transcript) == [line]


def test_digits_of_a_scanner_set_to_another_layout_are_not_digits():
    assert typed("fr", f"{DIGITS} enter") == ['\'àà-"_&"""ç"&']


def test_enter_alone_is_no_line():
    assert typed("us", "enter enter") == []


def test_a_repeating_key_types_once():
    typist = Typist("us")
    assert typed("us", "+5", typist) == []
    assert [typist.press(KeyEvent(kind=1, code=5, value=2), 1.0) for _ in range(9)] == [None] * 9
    assert typed("us", "-5 enter", typist) == ["4"]


@pytest.mark.parametrize("transcript", ["5 59 11 enter", "5 +29 27 -29 11 enter"])
def test_a_key_without_character_spoils_the_line_and_not_the_next(transcript):
    typist = Typist("us")
    (line,) = typed("us", transcript, typist)
    assert isinstance(line, Spoiled)
    assert typed("us", f"{DIGITS} enter", typist) == [EAN]


def test_keys_lost_by_the_kernel_spoil_the_line():
    typist = Typist("us")
    typed("us", "5 +42", typist)
    assert typist.press(KeyEvent(kind=EV_SYN, code=SYN_DROPPED, value=0), 1.0) is None
    (line,) = typed("us", "11 enter", typist)
    assert isinstance(line, Spoiled)
    assert typed("us", "30 enter", typist) == ["a"]


def test_what_was_begun_and_left_is_forgotten():
    typist = Typist("us")
    typed("us", "11 11", typist)
    events = parse_events(keys(f"{DIGITS} enter"))
    came = [typist.press(event, 1.0 + IDLE_RESET_S) for event in events]
    assert [line for line in came if line is not None] == [EAN]


def test_a_line_too_long_is_spoiled():
    (line,) = typed("us", "5 " * (MAX_TEXT + 1) + "enter")
    assert isinstance(line, Spoiled)
    assert typed("us", "5 " * MAX_TEXT + "enter") == ["4" * MAX_TEXT]


@given(st.lists(st.builds(KeyEvent, kind=st.integers(0, 5), code=st.integers(0, 767), value=st.integers(-1, 3))))
def test_no_events_break_it(events):
    typist = Typist("it")
    for number, each in enumerate(events):
        line = typist.press(each, number * 0.01)
        assert line is None or isinstance(line, Spoiled) or line.isprintable()


class Stage:
    """The driver's loop in a thread, with recorded keyboards plugged in one after another."""

    def __init__(self, *keyboards: Recorded | OSError) -> None:
        self._keyboards = list(keyboards)
        self._out = io.BytesIO()
        self._ear, self._mouth = os.pipe()
        driver = Driver(Options(device="/dev/input/event3"), Voice(self._out), Ears(self._ear), self._open)
        self._thread = threading.Thread(target=driver.run)
        self._thread.start()

    def _open(self) -> Recorded:
        keyboard = self._keyboards.pop(0)
        if isinstance(keyboard, OSError):
            raise keyboard
        return keyboard

    def wait_for(self, test: Callable[[lines.Said], bool]) -> lines.Said:
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            for line in self._out.getvalue().splitlines():
                if test(said := lines.decode_said(line)):
                    return said
            time.sleep(0.01)
        raise AssertionError(self._out.getvalue().decode())

    def end(self) -> None:
        os.close(self._mouth)
        self._thread.join(PATIENCE_S)
        os.close(self._ear)
        assert not self._thread.is_alive()


def text_is(text: str) -> Callable[[lines.Said], bool]:
    return lambda said: isinstance(said, Reading) and said.text == text


def fault_is(code: str, *, over: bool = False) -> Callable[[lines.Said], bool]:
    return lambda said: isinstance(said, Fault) and said.code == code and said.over is over


def test_a_recorded_scan_is_a_reading():
    keyboard = Recorded()
    stage = Stage(keyboard)
    keyboard.type(keys(f"{DIGITS} enter"))
    assert stage.wait_for(text_is(EAN)) == Reading(kind="text", scope="/dev/input/event3", text=EAN)
    stage.wait_for(lambda said: isinstance(said, Health) and said.devices[0].model == "Recorded scanner")
    stage.end()
    keyboard.unplug()


def test_an_unplugged_keyboard_is_found_again_and_its_half_line_forgotten():
    first, second = Recorded(), Recorded()
    stage = Stage(first, OSError(2, "No such file or directory"), second)
    first.type(keys("11 11"))
    first.unplug()
    stage.wait_for(fault_is("reader.gone"))
    stage.wait_for(fault_is("reader.gone", over=True))
    second.type(keys(f"{DIGITS} enter"))
    stage.wait_for(text_is(EAN))
    stage.end()
    second.unplug()


def test_a_keyboard_grabbed_by_another_program_is_busy():
    keyboard = Recorded()
    stage = Stage(OSError(16, "Device or resource busy"), keyboard)
    stage.wait_for(fault_is("reader.busy"))
    stage.wait_for(fault_is("reader.busy", over=True))
    stage.end()
    keyboard.unplug()


def test_a_spoiled_line_is_a_fault():
    keyboard = Recorded()
    stage = Stage(keyboard)
    keyboard.type(keys("59 enter"))
    stage.wait_for(fault_is("reader.read_failed"))
    keyboard.type(keys(f"{DIGITS} enter"))
    stage.wait_for(text_is(EAN))
    stage.end()
    keyboard.unplug()


@pytest.mark.parametrize(
    ("device", "code"),
    [("/dev/input/event99", "reader.not_present"), ("/dev/null", "reader.not_present")],
)
def test_an_absent_keyboard_is_not_present(device, code):
    with DriverChild("keyboard", {"device": device}) as child:
        assert child.wait_for(Hello).driver == "keyboard"
        child.fault(code)


@pytest.mark.parametrize("options", [{}, {"device": "a", "name": "b"}, {"name": "a", "layout": "de"}, {"device": ""}])
def test_wrong_options_end_it_with_2(options):
    child = DriverChild("keyboard", options)
    assert child.wait_for(Fault).code == "config.reader_options"
    assert child.end() == 2


def test_a_missing_library_ends_it_with_3_and_the_cure(tmp_path):
    (tmp_path / "evdev.py").write_text("raise ImportError('No module named evdev')")
    child = DriverChild("keyboard", {"name": "scanner"}, env={"PYTHONPATH": str(tmp_path)})
    assert "pip install evdev" in child.fault("reader.library_missing").text
    assert child.end() == 3


def test_a_keyboard_is_found_by_a_part_of_its_name_among_its_buttons(tmp_path):
    for number, name, capabilities in [
        (2, "Power Button", "10000000000000 0"),
        (9, "Acme Scanner Consumer Control", "3e000b00000000 0 0 0"),
        (10, "Acme Scanner", "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe"),
    ]:
        folder = tmp_path / f"event{number}" / "device"
        (folder / "capabilities").mkdir(parents=True)
        (folder / "name").write_text(name + "\n")
        (folder / "capabilities" / "key").write_text(capabilities + "\n")
    assert find_by_name("acme scan", tmp_path) == "/dev/input/event10"
    with pytest.raises(OSError, match="no keyboard"):
        find_by_name("other", tmp_path)
