"""Cards on readers: the driver as a child process, the real pcscd, cards in software."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.lines import Command, Fault, Health, NdefRecord, Reading, Removed, Result
from tests.rigs.driver_child import DriverChild
from tests.rigs.pcscd import Pcscd
from tests.rigs.virtual_card import (
    ContactCard,
    MemoryCard,
    MifareClassic,
    Ntag213,
    RandomCard,
    Type4,
    VirtualCard,
    storage_atr,
    uri_message,
)

SHOP = "https://shop.example/card/17"
OTHER_UID = bytes.fromhex("04999999999999")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pcscd]:
    with Pcscd(tmp_path_factory.mktemp("pcscd"), readers=("Counter", "Guest")) as pcscd:
        yield pcscd


@pytest.fixture
def counter(rig: Pcscd) -> int:
    return rig.port("Counter")


@pytest.fixture
def driver(rig: Pcscd) -> Iterator[DriverChild]:
    with DriverChild("pcsc", {}, env=rig.env) as child:
        child.ready()
        yield child


def tap(driver: DriverChild, card: VirtualCard) -> Reading:
    """Puts the card down until it is read, takes it away, and waits until that is seen."""
    with card:
        reading = driver.reading()
    driver.wait_for(Removed, lambda removed: removed.scope == reading.scope)
    return reading


def test_an_ntag_gives_its_uid_and_its_message(rig: Pcscd, driver: DriverChild, counter: int) -> None:
    reading = tap(driver, Ntag213(counter, message=uri_message(SHOP)))
    assert reading.uid == "04a1b2c3d4e580"
    assert reading.tag == "type2"
    assert reading.scope == rig.slot("Counter")
    assert reading.ndef == [NdefRecord(kind="uri", text=SHOP)]
    assert reading.ndef_state == "read"
    assert reading.elapsed_ms.keys() == {"connect", "uid", "ndef"}


def test_a_type_4_card_gives_a_long_message_in_pieces(driver: DriverChild, counter: int) -> None:
    text = SHOP + "x" * 200
    card = Type4(counter, message=uri_message(text), mle=15)
    reading = tap(driver, card)
    assert (reading.tag, reading.uid, reading.ndef_state) == ("type4", "04112233445566", "read")
    assert reading.ndef == [NdefRecord(kind="uri", text=text)]
    assert len(card.commands) > 15


def test_a_card_that_needs_keys_gives_its_uid_alone(driver: DriverChild, counter: int) -> None:
    reading = tap(driver, MifareClassic(counter))
    assert (reading.tag, reading.uid, reading.ndef_state) == ("mifare_classic", "8f1b2c3d", "unreadable")
    felica = MemoryCard(counter, name=0xF011, uid=bytes.fromhex("0101020304050607"))
    reading = tap(driver, felica)
    assert (reading.tag, reading.uid, reading.ndef_state) == ("felica", "0101020304050607", "unreadable")


def test_a_new_tag_is_empty_and_an_unformatted_one_has_none(driver: DriverChild, counter: int) -> None:
    assert tap(driver, Ntag213(counter)).ndef_state == "empty"
    assert tap(driver, Ntag213(counter, message=None)).ndef_state == "none"


def test_a_torn_message_leaves_the_uid_and_is_not_called_empty(driver: DriverChild, counter: int) -> None:
    reading = tap(driver, Ntag213(counter, area=b"\x03\x60" + uri_message(SHOP)))
    assert (reading.uid, reading.ndef_state, reading.ndef) == ("04a1b2c3d4e580", "torn", [])


def test_two_readers_read_at_the_same_time(rig: Pcscd, driver: DriverChild, counter: int) -> None:
    with Ntag213(counter), Type4(rig.port("Guest")):
        first, second = driver.reading(), driver.reading()
    driver.wait_for(Removed)
    driver.wait_for(Removed)
    found = {first.scope: first.tag, second.scope: second.tag}
    assert found == {rig.slot("Counter"): "type2", rig.slot("Guest"): "type4"}


def test_a_card_that_lies_is_read_once(driver: DriverChild, counter: int) -> None:
    with Ntag213(counter):
        driver.reading()
        driver.wait_for(Health, lambda health: any(device.card for device in health.devices))
    driver.wait_for(Removed)
    assert len([said for said in driver.rest() if isinstance(said, Reading)]) == 1


def test_a_card_that_lies_there_at_the_start_is_read(rig: Pcscd, counter: int) -> None:
    card = Ntag213(counter)
    card.insert()
    with DriverChild("pcsc", {}, env=rig.env) as driver:
        assert driver.reading().uid == "04a1b2c3d4e580"
        card.remove()
        driver.wait_for(Removed)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (ContactCard, "contact card (ATR 3b6500002063cb6800)"),
        (VirtualCard, "the reader gives no UID"),
        (lambda port: MemoryCard(port, name=0x0009, uid=bytes(4)), "no whole UID"),
    ],
)
def test_a_card_without_identity_is_named_and_never_read(
    driver: DriverChild, counter: int, make: Callable[[int], VirtualCard], name: str
) -> None:
    with make(counter):
        fault = driver.wait_for(Fault)
        assert name in fault.text
    assert driver.fault(fault.code, over=True)
    assert not [said for said in driver.rest() if isinstance(said, Reading)]


@pytest.mark.parametrize("make", [Ntag213, Type4])
def test_a_card_pulled_at_any_moment_is_no_reading_and_the_next_tap_is(
    driver: DriverChild, counter: int, make: Callable[..., VirtualCard]
) -> None:
    whole = make(counter, message=uri_message(SHOP))
    expected = tap(driver, whole)
    for number in range(1, len(whole.commands) + 1):
        whole.pull_at = number
        whole.insert()
        fault = driver.wait_for(Fault)
        assert (fault.code, fault.scope) == ("reader.read_failed", expected.scope)
        driver.wait_for(Removed)
        driver.fault("reader.read_failed", over=True)
        whole.remove()
    assert len([said for said in driver.rest() if isinstance(said, Reading)]) == 1
    whole.pull_at = 0
    again = tap(driver, whole)
    assert (again.uid, again.ndef, again.ndef_state) == (expected.uid, expected.ndef, expected.ndef_state)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_card_swapped_while_it_is_read_gives_the_other_card_whole(
    driver: DriverChild, counter: int, number: int
) -> None:
    first = Ntag213(counter, message=uri_message(SHOP))
    second = Ntag213(counter, uid=OTHER_UID, message=uri_message("https://other.example"))
    first.pull_at, first.swap_for = number, second
    first.insert()
    reading = driver.reading()
    second.remove()
    driver.wait_for(Removed)
    assert reading.uid == OTHER_UID.hex()
    assert reading.ndef == [NdefRecord(kind="uri", text="https://other.example")]


@pytest.mark.parametrize("atr", [storage_atr(0x0003), bytes.fromhex("3B80800101")])
def test_cards_that_answer_anything_stop_nothing(driver: DriverChild, counter: int, atr: bytes) -> None:
    for seed in range(2):
        with RandomCard(counter, seed=seed, atr=atr):
            driver.wait_for(
                object, lambda said: isinstance(said, Reading) or (isinstance(said, Fault) and not said.over)
            )
        driver.wait_for(Removed)
    assert tap(driver, Ntag213(counter, uid=OTHER_UID)).uid == OTHER_UID.hex()


def test_one_reader_failing_does_not_stop_the_other(rig: Pcscd, driver: DriverChild, counter: int) -> None:
    with RandomCard(counter, seed=1, atr=b"\x3b\x80"):
        driver.wait_for(Fault)
        assert tap(driver, Ntag213(rig.port("Guest"))).scope == rig.slot("Guest")


def test_a_reader_held_by_another_program_is_told_and_read_when_it_is_free(rig: Pcscd, counter: int) -> None:
    hold = (
        "import sys; from smartcard.scard import *; c = SCardEstablishContext(2)[1];"
        f"print(SCardConnect(c, {rig.slot('Counter')!r}, SCARD_SHARE_EXCLUSIVE, 3)[0], flush=True); sys.stdin.read()"
    )
    card = Ntag213(counter)
    with DriverChild("pcsc", {}, env=rig.env) as watching:
        card.insert()
        watching.reading()  # pcscd has seen the card
        with subprocess.Popen(
            [sys.executable, "-c", hold], env=rig.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdin is not None and holder.stdout is not None
            assert holder.stdout.readline() == b"0\n"
            with DriverChild("pcsc", {}, env=rig.env) as driver:
                assert driver.fault("reader.busy").scope == rig.slot("Counter")
                holder.stdin.close()
                driver.fault("reader.busy", over=True)
                assert driver.reading().uid == "04a1b2c3d4e580"
        card.remove()
        watching.wait_for(Removed)


def answer(driver: DriverChild, command: Command) -> Result:
    driver.tell(command)
    return driver.wait_for(Result, lambda result: result.id == command.id)


def test_a_reader_with_a_buzzer_plays_and_one_without_refuses_quietly(driver: DriverChild, counter: int) -> None:
    card = Ntag213(counter)
    card.buzzer = True
    with card:
        driver.reading()
        assert answer(driver, Command(command="beep", id=1, pattern="yes")).ok
        assert answer(driver, Command(command="light", id=2, pattern="no")).ok
    driver.wait_for(Removed)
    assert len(card.signals) == 2
    refused = answer(driver, Command(command="beep", id=3, pattern="no"))
    assert not refused.ok and refused.text
    with Type4(counter):
        driver.reading()
        assert not answer(driver, Command(command="beep", id=4, pattern="yes")).ok
    driver.wait_for(Removed)
    assert not answer(driver, Command(command="beep", id=5, scope="No such reader")).ok
    assert not [said for said in driver.rest() if isinstance(said, Fault)]


def test_a_buzzer_switched_off_stays_off(rig: Pcscd) -> None:
    with DriverChild("pcsc", {"buzzer": False}, env=rig.env) as driver:
        driver.ready()
        assert "switched off" in (answer(driver, Command(command="beep", id=1)).text or "")


def test_a_paused_driver_reads_nothing_until_it_goes_on(driver: DriverChild, counter: int) -> None:
    assert answer(driver, Command(command="pause", id=1)).ok
    driver.wait_for(Health, lambda health: health.state == "paused")
    with Ntag213(counter):
        driver.wait_for(Health, lambda health: any(device.card for device in health.devices))
        driver.wait_for(Health)
        assert not [said for said in driver.rest() if isinstance(said, Reading)]
        assert answer(driver, Command(command="resume", id=2)).ok
        assert driver.reading().uid == "04a1b2c3d4e580"
    driver.wait_for(Removed)


def test_a_self_test_names_the_readers(rig: Pcscd, driver: DriverChild) -> None:
    result = answer(driver, Command(command="self_test", id=9))
    assert result.ok
    assert rig.slot("Guest") in result.data["readers"]  # type: ignore[operator]


def test_only_readers_that_match_are_watched(rig: Pcscd) -> None:
    with DriverChild("pcsc", {"match": "Guest", "ndef": False}, env=rig.env) as driver:
        assert {device.scope for device in driver.ready().devices} == {"Guest 00 00", "Guest 00 01"}
        reading = tap(driver, Ntag213(rig.port("Guest"), message=uri_message(SHOP)))
        assert (reading.ndef, reading.ndef_state) == ([], "none")


def test_a_match_that_nothing_matches_says_which_readers_there_are(rig: Pcscd) -> None:
    with DriverChild("pcsc", {"match": "ACR1252"}, env=rig.env) as driver:
        assert "Guest 00 00" in driver.fault("reader.not_present").text


@pytest.mark.parametrize("options", [{"mach": "x"}, {"poll_s": 0}, {"ndef": "yes"}])
def test_options_that_make_no_sense_end_it(options: object, tmp_path: Path) -> None:
    child = DriverChild("pcsc", options, env={"PCSCLITE_CSOCK_NAME": str(tmp_path / "none")})
    assert child.fault("config.reader_options")
    assert child.end() == 2
