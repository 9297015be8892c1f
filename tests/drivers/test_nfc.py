from __future__ import annotations

import itertools

import pytest

from drivers.lines import Command, Fault, Health, Hello, NdefRecord, Reading, Removed, Result
from tests.rigs.driver_child import DriverChild
from tests.rigs.pn532 import PN532
from tests.rigs.tags import Classic, Type1, Type2, Type3, Type4, Type4B, tlv

LINK = NdefRecord(kind="uri", text="https://loy.example/c/0042?")
NAME = NdefRecord(kind="text", text="card-0042")


@pytest.fixture
def reader(tmp_path):
    reader = PN532(tmp_path / "reader")
    yield reader
    if reader.cable.is_plugged:
        reader.unplug()


@pytest.fixture
def child(reader):
    with DriverChild("nfcpy", {"path": f"serial:{reader.cable.path}"}) as child:
        child.ready()
        yield child


@pytest.mark.parametrize(
    ("tag", "kind", "uid"),
    [
        (Type1(), "type1", "01020304"),
        (Type2(), "type2", "04a1b2c3d4e580"),
        (Type3(), "type3", "02fe010203040506"),
        (Type4(), "type4", "04112233445566"),
        (Type4B(), "type4", "a1b2c3d4"),
    ],
)
def test_a_tag_of_each_type_is_read_whole_and_its_leaving_is_said(reader, child, tag, kind, uid):
    reader.tag = tag
    reading = child.reading()
    assert (reading.tag, reading.uid, reading.ndef_state) == (kind, uid, "read")
    assert reading.ndef == [LINK, NAME]
    reader.tag = None
    assert child.wait_for(Removed).scope == reading.scope


def test_a_card_that_stays_is_read_once(reader, child):
    reader.tag = Type2()
    child.reading()
    begun = len(child.said)
    for _ in range(3):
        assert child.wait_for(Health, lambda health: health.devices[0].card).counts["readings"] == 1
    assert all(isinstance(said, Health) for said in child.said[begun:])


def test_another_card_in_its_place_is_removed_and_read(reader, child):
    reader.tag = Type2()
    child.reading()
    reader.tag = Type2(uid="04ffeeddccbbaa")
    child.wait_for(Removed)
    assert child.reading().uid == "04ffeeddccbbaa"


@pytest.mark.parametrize(
    ("tag", "state"),
    [
        (Type2(b""), "none"),
        (Type2(tlv(b"")), "empty"),
        (Type2(tlv(bytes.fromhex("D00000"))), "empty"),
        (Type2(tlv(bytes.fromhex("D101FF5504"))), "torn"),
        (Type2(locked_from=4), "unreadable"),
        (Type2(locked_from=8), "unreadable"),
        (Type4(b""), "empty"),
        (Classic(), "none"),
    ],
)
def test_an_empty_tag_is_told_from_one_without_ndef_and_from_one_that_cannot_be_read(reader, child, tag, state):
    reader.tag = tag
    reading = child.reading()
    assert (reading.uid, reading.ndef_state, reading.ndef) == (tag.uid.hex(), state, [])


def test_a_mifare_classic_card_is_known_by_its_uid(reader, child):
    reader.tag = Classic()
    assert child.reading().tag == "mifare_classic"
    reader.tag = None
    child.wait_for(Removed)


def test_a_phones_random_uid_is_passed_on_as_it_is(reader, child):
    reader.tag = Type4(uid=None)
    reading = child.reading()
    assert (reading.uid[:2], len(reading.uid), reading.ndef) == ("08", 8, [LINK, NAME])


@pytest.mark.parametrize(("make", "first"), [(Type1, 2), (Type2, 1), (Type3, 1), (Type4, 1)])
def test_a_card_pulled_at_any_command_is_never_an_empty_one(reader, child, make, first):
    """Type 1 begins at its second command: the first, RID, is how it is found at all."""
    faults = 0
    for place in itertools.count(first):
        reader.pull_at, reader.tag = place, make()
        outcome = child.wait_for(Reading | Fault, lambda said: not getattr(said, "over", False))
        if isinstance(outcome, Reading):
            assert (outcome.ndef_state, outcome.ndef) == ("read", [LINK, NAME])
            break
        assert outcome.code == "reader.read_failed"
        faults += 1
    assert faults
    child.wait_for(Removed)


def test_after_a_pull_the_next_try_counts(reader, child):
    reader.pull_at, reader.tag = 4, Type2()
    child.fault("reader.read_failed")
    reader.tag = Type2()
    child.fault("reader.read_failed", over=True)
    assert child.reading().ndef_state == "read"
    assert child.wait_for(Health).counts == {"readings": 1, "torn": 1, "reconnects": 0}


def test_an_unplugged_reader_is_found_again_when_it_is_back(reader, child):
    reader.tag = Type2()
    child.reading()
    reader.unplug()
    child.wait_for(Removed)
    child.fault("reader.gone")
    assert child.wait_for(Health, lambda health: health.code == "reader.gone").state == "searching"
    reader.plug()
    child.fault("reader.gone", over=True)
    assert child.reading().uid == "04a1b2c3d4e580"
    assert child.wait_for(Health).counts["reconnects"] == 1


def test_a_reader_unplugged_twice_is_said_twice(reader, child):
    for _ in range(2):
        reader.unplug()
        child.fault("reader.gone")
        reader.plug()
        child.fault("reader.gone", over=True)


def test_a_mute_reader_is_named_and_used_again_when_it_speaks(reader, child):
    reader.mute = True
    child.fault("reader.mute")
    assert child.wait_for(Health, lambda health: health.code == "reader.mute").state == "faulty"
    child.wait_for(Health)
    reader.mute = False
    child.fault("reader.mute", over=True)
    reader.tag = Type2()
    child.reading()
    assert [said.code for said in child.said if isinstance(said, Fault)].count("reader.mute") == 2


def test_an_absent_reader_is_not_present_and_found_when_it_comes(reader):
    reader.unplug()
    with DriverChild("nfcpy", {"path": f"serial:{reader.cable.path}"}) as child:
        assert child.wait_for(Hello).driver == "nfcpy"
        child.fault("reader.not_present")
        reader.plug()
        child.fault("reader.not_present", over=True)
        child.ready()


def test_a_reader_in_use_by_another_program_is_busy(reader, child):
    with DriverChild("nfcpy", {"path": f"serial:{reader.cable.path}"}) as second:
        second.fault("reader.busy")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("usb", "reader.not_present"),
        ("usb:072f:2200", "reader.not_present"),
        ("tty:USB77:pn532", "reader.not_present"),
        ("serial:/dev/null", "reader.not_present"),
        ("serial:/tmp/a;b", "reader.not_present"),
    ],
)
def test_a_path_without_a_reader_is_said_to_be_so(path, code):
    with DriverChild("nfcpy", {"path": path}) as child:
        assert child.wait_for(Fault).code == code


def test_a_usb_reader_that_may_not_be_opened_is_told_from_an_absent_one(monkeypatch):
    """nfcpy gives up in silence on a path that may mean several readers; ours asks for each by its place."""
    from drivers import nfc_frontend
    from drivers.keeper import ReaderError

    found = [(0x1D6B, 0x0002, 1, 1), (0x072F, 0x2200, 250, 250)]
    monkeypatch.setattr(nfc_frontend.nfc.clf.transport.USB, "find", lambda path: found)
    with pytest.raises(ReaderError, match="may not open") as caught:
        nfc_frontend.Frontend("usb")
    assert caught.value.code == "reader.not_permitted"


@pytest.mark.parametrize("options", [{"path": ""}, {"technologies": []}, {"technologies": ["900X"]}, {"pth": "usb"}])
def test_wrong_options_end_it_with_2(options):
    child = DriverChild("nfcpy", options)
    child.fault("config.reader_options")
    assert child.end() == 2


def test_a_missing_library_ends_it_with_3_and_the_cure(tmp_path):
    (tmp_path / "usb1").mkdir()
    (tmp_path / "usb1" / "__init__.py").write_text("raise OSError('libusb-1.0.so.0: cannot open')")
    child = DriverChild("nfcpy", {}, env={"PYTHONPATH": str(tmp_path)})
    fault = child.fault("reader.library_missing")
    assert "apt-get install libusb-1.0-0" in fault.text
    child.wait_for(Health, lambda health: health.state == "faulty")
    assert child.end() == 3


def test_while_paused_no_card_is_read(reader, child):
    child.tell(Command(command="pause", id=1))
    assert child.wait_for(Result).ok
    child.wait_for(Health, lambda health: health.state == "paused")
    reader.tag = Type2()
    child.wait_for(Health)
    assert not any(isinstance(said, Reading) for said in child.said)
    child.tell(Command(command="resume", id=2))
    child.reading()


def test_a_self_test_asks_the_reader(reader, child):
    child.tell(Command(command="self_test", id=1))
    assert child.wait_for(Result) == Result(id=1, ok=True, text="PN532v1.6")
    child.tell(Command(command="light", id=2))
    assert not child.wait_for(Result).ok
