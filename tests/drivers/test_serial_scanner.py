from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.lines import Command, Fault, Health, Reading, Result
from drivers.serial_scanner import IDLE_END_S, PARTIAL_S, Assembler
from drivers.typed import MAX_TEXT, Spoiled
from tests.rigs.cable import Cable
from tests.rigs.driver_child import DriverChild

EAN = "4006381333931"


@pytest.fixture
def scanner(tmp_path):
    cable = Cable(tmp_path / "scanner")
    cable.plug()
    yield cable
    if cable.is_plugged:
        cable.unplug()


@pytest.fixture
def child(scanner):
    with DriverChild("serial", {"port": str(scanner.path)}) as child:
        child.ready()
        yield child


def scan(scanner: Cable, data: bytes) -> None:
    os.write(scanner.host, data)


def test_a_line_is_a_reading(scanner, child):
    scan(scanner, EAN.encode() + b"\r\n")
    assert child.reading() == Reading(kind="text", scope=str(scanner.path), text=EAN)


def test_a_line_in_pieces_is_one_reading(scanner, child):
    scan(scanner, EAN[:5].encode())
    scan(scanner, EAN[5:].encode() + b"\r")
    assert child.reading().text == EAN


def test_a_line_without_end_is_a_fault_and_does_not_spoil_the_next(scanner, child):
    scan(scanner, b"400638")
    assert "suffix" in child.fault("reader.read_failed").text
    scan(scanner, EAN.encode() + b"\r")
    child.fault("reader.read_failed", over=True)
    assert child.reading().text == EAN


def test_a_wrong_baud_rate_is_named(scanner, child):
    scan(scanner, b"\xf8\x80\xfe\r")
    assert "baud" in child.fault("reader.read_failed").text


def test_an_unplugged_scanner_is_found_again_when_it_is_back(scanner, child):
    scan(scanner, b"40063")
    scanner.unplug()
    child.fault("reader.gone")
    assert child.wait_for(Health, lambda health: health.code == "reader.gone").state == "searching"
    scanner.plug()
    child.fault("reader.gone", over=True)
    child.ready()
    scan(scanner, EAN.encode() + b"\r")
    assert child.reading().text == EAN


def test_an_absent_scanner_is_not_present(tmp_path):
    with DriverChild("serial", {"port": str(tmp_path / "nothing")}) as child:
        child.fault("reader.not_present")
        assert child.wait_for(Health, lambda health: health.code is not None).state == "searching"


def test_what_is_no_serial_port_is_not_present():
    with DriverChild("serial", {"port": "/dev/null"}) as child:
        child.fault("reader.not_present")


def test_a_port_held_by_another_program_is_busy_until_it_is_free(scanner):
    with DriverChild("serial", {"port": str(scanner.path)}) as first:
        first.ready()
        second = DriverChild("serial", {"port": str(scanner.path)})
        second.fault("reader.busy")
    second.fault("reader.busy", over=True)
    assert second.end() == 0


def test_what_is_scanned_while_paused_is_not_said_later(scanner, child):
    child.tell(Command(command="pause", id=1))
    assert child.wait_for(Result).ok
    child.wait_for(Health, lambda health: health.state == "paused")
    scan(scanner, b"111\r222")
    child.wait_for(Health)
    child.wait_for(Health)
    child.tell(Command(command="resume", id=2))
    child.ready()
    scan(scanner, EAN.encode() + b"\r")
    assert child.reading().text == EAN


@pytest.mark.parametrize("options", [{}, {"port": ""}, {"port": "x", "baud": 1}, {"port": "x", "terminator": "bell"}])
def test_wrong_options_end_it_with_2(options):
    child = DriverChild("serial", options)
    assert child.wait_for(Fault).code == "config.reader_options"
    assert child.end() == 2


def test_a_missing_library_ends_it_with_3_and_the_cure(tmp_path):
    (tmp_path / "serial.py").write_text("raise ImportError('No module named serial')")
    child = DriverChild("serial", {"port": "/dev/ttyS0"}, env={"PYTHONPATH": str(tmp_path)})
    assert "pip install pyserial" in child.fault("reader.library_missing").text
    assert child.end() == 3


@pytest.mark.parametrize(
    ("terminator", "data", "codes"),
    [
        ("any", b"1\r\n2\n3\r", ["1", "2", "3"]),
        ("cr", b"1\r2\r", ["1", "2"]),
        ("lf", b"1\n", ["1"]),
        ("crlf", b"1\r\n2\r\n", ["1", "2"]),
        ("tab", b"1\t2\t", ["1", "2"]),
        ("any", "Caf\u00e9 1\r".encode(), ["Caf\u00e9 1"]),
    ],
)
def test_each_terminator_ends_a_code(terminator, data, codes):
    assert Assembler(terminator).feed(data, 0.0) == codes


def test_a_code_without_terminator_ends_by_silence():
    assembler = Assembler("idle")
    assert assembler.feed(EAN.encode(), 5.0) == []
    assert assembler.silence(5.0 + IDLE_END_S / 2) == []
    assert assembler.silence(5.0 + IDLE_END_S) == [EAN]
    assert assembler.silence(9.0) == []


def test_control_characters_are_refused():
    assert isinstance(Assembler("any").feed(b"12\x0034\r", 0.0)[0], Spoiled)


def test_a_code_too_long_is_refused_once_and_skipped_to_its_end():
    assembler = Assembler("any")
    assert [type(code) for code in assembler.feed(b"x" * (MAX_TEXT + 1), 0.0)] == [Spoiled]
    assert assembler.feed(b"x" * 2 * MAX_TEXT, 0.1) == []
    assert assembler.feed(b"rest\r" + EAN.encode() + b"\r", 0.2) == [EAN]


def test_a_code_too_long_that_never_ends_is_forgotten_by_silence():
    assembler = Assembler("any")
    assembler.feed(b"x" * (MAX_TEXT + 1), 0.0)
    assert assembler.silence(PARTIAL_S) == []
    assert assembler.feed(EAN.encode() + b"\r", 2.0) == [EAN]


@given(st.lists(st.text("0123456789ABC -", min_size=1), min_size=1), st.data())
def test_codes_come_out_as_sent_however_the_bytes_are_cut(codes, data):
    stream = "".join(code + "\r\n" for code in codes).encode()
    assembler, got = Assembler("any"), []
    while stream:
        count = data.draw(st.integers(1, len(stream)))
        got += assembler.feed(stream[:count], 0.0)
        stream = stream[count:]
    assert got == codes


@given(st.lists(st.binary(max_size=6000)))
def test_no_bytes_break_it_and_memory_stays_bounded(chunks):
    assembler = Assembler("any")
    for chunk in chunks:
        for code in assembler.feed(chunk, 0.0):
            assert isinstance(code, Spoiled) or code.isprintable()
        assert len(assembler._pending) <= MAX_TEXT
