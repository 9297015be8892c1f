"""What goes wrong around the cards: service, cables, rights, frozen cards. Real pcscd and hot-plug code."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers import lines, pcsc
from drivers.lines import Command, Fault, Health, Reading, Removed, Result
from tests.rigs.driver_child import DriverChild
from tests.rigs.need import need
from tests.rigs.pcscd import Pcscd
from tests.rigs.usb_bus import UsbBus, build
from tests.rigs.virtual_card import Ntag213, Type4, uri_message

ACR122U = "ACS ACR122U PICC Interface 00 00"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Pcscd]:
    with Pcscd(tmp_path) as pcscd:
        yield pcscd


def faults(said: list[lines.Said]) -> list[tuple[str, bool]]:
    return [(line.code, line.over) for line in said if isinstance(line, Fault)]


def test_a_service_that_dies_and_comes_back_is_told_once_each_and_cards_are_read_again(rig: Pcscd) -> None:
    port = rig.port("Counter")
    with DriverChild("pcsc", {}, env=rig.env) as driver:
        driver.ready()
        with Ntag213(port):
            driver.reading()
        driver.wait_for(Removed)
        for _ in range(2):
            rig.kill()
            fault = driver.fault("reader.no_service")
            assert "sudo systemctl start pcscd.socket" in fault.text
            health = driver.wait_for(Health, lambda health: health.state == "faulty")
            assert health.code == "reader.no_service"
            rig.start()
            driver.fault("reader.no_service", over=True)
            driver.ready()
        with Type4(port):
            assert driver.reading().tag == "type4"
        assert faults(driver.rest()) == [("reader.no_service", False), ("reader.no_service", True)] * 2


def test_a_service_that_dies_while_a_card_is_read_gives_no_reading_of_it(rig: Pcscd) -> None:
    card = Ntag213(rig.port("Counter"))
    card.freeze_at = 2
    with DriverChild("pcsc", {}, env=rig.env) as driver:
        driver.ready()
        card.insert()
        assert card.frozen.wait(20)
        rig.kill()
        driver.fault("reader.no_service")
        card.remove()
        rig.start()
        driver.fault("reader.no_service", over=True)
        with Ntag213(rig.port("Counter"), uid=bytes.fromhex("04999999999999")):
            driver.reading()
        assert [line.uid for line in driver.rest() if isinstance(line, Reading)] == ["04999999999999"]


def test_a_card_that_lies_on_through_a_restart_is_read_again_but_was_never_removed(rig: Pcscd) -> None:
    with DriverChild("pcsc", {}, env=rig.env) as driver:
        with Ntag213(rig.port("Counter")):
            driver.reading()
            rig.restart()
            driver.reading()
            assert not [line for line in driver.rest() if isinstance(line, Removed)]
        driver.wait_for(Removed)


def test_a_driver_without_service_waits_for_it(tmp_path: Path) -> None:
    rig = Pcscd(tmp_path)
    with DriverChild("pcsc", {}, env=rig.env) as driver:
        driver.fault("reader.no_service")
        with rig:
            driver.fault("reader.no_service", over=True)
            driver.ready()
            assert driver.said[0] == lines.Hello(driver="pcsc", capabilities=["beep", "light", "pause", "self_test"])


def test_a_frozen_card_silences_the_heartbeat_and_the_next_driver_reads(rig: Pcscd) -> None:
    card = Type4(rig.port("Counter"), message=uri_message("https://shop.example"))
    card.freeze_at = 2
    driver = DriverChild("pcsc", {}, env=rig.env)
    driver.ready()
    card.insert()
    assert card.frozen.wait(20)
    time.sleep(0.2)  # what was said before the freeze arrives
    heard = len(driver.rest())
    time.sleep(lines.HEARTBEAT_S + 0.5)
    assert len(driver.rest()) == heard
    driver.process.kill()
    driver.end()
    card.remove()
    card.freeze_at = 0
    time.sleep(1.0)  # pcscd looks every 0.4 s, and takes a card put down between two looks for the one that hung
    with DriverChild("pcsc", {}, env=rig.env) as fresh, card:
        assert fresh.reading().uid == card.uid.hex()


def test_a_driver_that_hangs_ends_with_its_agent(rig: Pcscd) -> None:
    card = Ntag213(rig.port("Counter"))
    card.freeze_at = 1
    driver = DriverChild("pcsc", {}, env=rig.env)
    driver.ready()
    card.insert()
    assert card.frozen.wait(20)
    assert driver.end() == 0
    card.remove()


def test_stop_ends_it_cleanly(rig: Pcscd) -> None:
    driver = DriverChild("pcsc", {}, env=rig.env)
    driver.ready()
    driver.tell(Command(command="stop"))
    assert driver.process.wait(20) == 0
    driver.end()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("usb"))


def test_a_reader_unplugged_and_plugged_again_reads_again(tmp_path: Path, library: Path) -> None:
    with UsbBus(tmp_path, library, present="") as bus, DriverChild("pcsc", {}, env=bus.env) as driver:
        assert "lsusb" in driver.fault("reader.not_present").text
        assert driver.wait_for(Health, lambda health: health.code == "reader.not_present").state == "searching"
        bus.plug(0)
        driver.fault("reader.not_present", over=True)
        for _ in range(2):
            driver.ready()
            bus.unplug(0)
            assert driver.fault("reader.gone").scope == ACR122U
            assert driver.wait_for(Health, lambda health: health.code == "reader.gone").devices[0].state == "searching"
            bus.plug(0)
            driver.fault("reader.gone", over=True)
        driver.ready()
        with Ntag213(bus.card_door(0)):
            assert driver.reading().scope == ACR122U
        told = [("reader.not_present", False), ("reader.not_present", True)]
        assert faults(driver.rest()) == told + [("reader.gone", False), ("reader.gone", True)] * 2


def test_a_reader_unplugged_leaves_the_other_reading(tmp_path: Path, library: Path) -> None:
    with UsbBus(tmp_path, library, present="01") as bus, DriverChild("pcsc", {}, env=bus.env) as driver:
        driver.wait_for(Health, lambda health: len(health.devices) == 2)
        with Ntag213(bus.card_door(0)):
            lost = driver.reading().scope
            bus.unplug(0)
            assert driver.fault("reader.gone").scope == lost
        with Ntag213(bus.card_door(1)):
            assert driver.reading().scope != lost
        assert driver.ready().state == "ready"


def test_a_reader_unplugged_in_the_middle_of_a_card_gives_no_reading(tmp_path: Path, library: Path) -> None:
    with UsbBus(tmp_path, library) as bus, DriverChild("pcsc", {}, env=bus.env) as driver:
        driver.ready()
        card = Ntag213(bus.card_door(0))
        card.freeze_at = 2
        card.insert()
        assert card.frozen.wait(20)
        bus.unplug(0)
        card.remove()
        driver.fault("reader.gone")
        bus.plug(0)
        driver.fault("reader.gone", over=True)
        card.freeze_at = 0
        with card:
            driver.reading()
        assert len([line for line in driver.rest() if isinstance(line, Reading)]) == 1


def test_another_reader_takes_the_place_of_one_that_went(tmp_path: Path, library: Path) -> None:
    with UsbBus(tmp_path, library, present="01") as bus, DriverChild("pcsc", {}, env=bus.env) as driver:
        driver.wait_for(Health, lambda health: len(health.devices) == 2)
        bus.unplug(0)
        gone = driver.fault("reader.gone").scope
        bus.plug(0)
        bus.plug(2)
        assert driver.fault("reader.gone", over=True).scope == gone
        driver.wait_for(Health, lambda health: len(health.devices) == 3)


def test_a_reader_plays_its_buzzer_with_no_card_on_it(tmp_path: Path, library: Path) -> None:
    with UsbBus(tmp_path, library) as bus, DriverChild("pcsc", {}, env=bus.env) as driver:
        driver.ready()
        driver.tell(Command(command="beep", id=1, pattern="yes"))
        assert driver.wait_for(Result).ok
        assert bus.signals(0) == 1


def test_a_missing_library_is_named_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert pcsc.main([]) == 3
    said = [lines.decode_said(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert isinstance(said[1], Fault)
    assert said[1].code == "reader.library_missing"
    assert "apt install" in said[1].text


def test_a_socket_that_is_not_for_this_user_is_no_service_that_is_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    need(Path("/usr/include/PCSC").exists(), "pyscard's library")
    from smartcard import scard

    from drivers.pcsc_service import ServiceError, _check_service

    (tmp_path / "pcscd.comm").touch()
    monkeypatch.setenv("PCSCLITE_CSOCK_NAME", str(tmp_path / "pcscd.comm"))
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may use any socket
    with pytest.raises(ServiceError) as denied:
        _check_service(scard.SCARD_E_NO_SERVICE, admission=True)
    assert denied.value.code == "reader.not_permitted"
