"""The udev rules, followed for devices as the kernel shows them: what each reader gets, and that others get nothing."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
from pathlib import Path

import pytest

RULES = Path(__file__).parent.parent.parent / "systemd/udev/70-holdfast-readers.rules"
CLAUSE = re.compile(r'\s*([A-Z]+(?:\{[^}]+\})?)(==|!=|\+=|=)"([^"]*)"\s*(?:,|$)')
NOTHING: dict[str, str] = {}


def clauses(line: str) -> list[tuple[str, str, str]]:
    found = [match.groups() for match in CLAUSE.finditer(line)]
    assert "".join(f'{k}{o}"{v}"' for k, o, v in found) == re.sub(r"\s*,\s*", "", line.strip()), f"not a rule: {line}"
    return [(key, operator, value) for key, operator, value in found]


def follow(device: dict[str, str]) -> dict[str, str]:
    """What the rules set for a device, given by the keys that rules match on (udev(7)); missing keys are empty."""
    lines = [line for line in RULES.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    rules = [clauses(line) for line in lines]
    labels = {value: at for at, rule in enumerate(rules) for key, _, value in rule if key == "LABEL"}
    at, given = 0, {}
    while at < len(rules):
        rule, at = rules[at], at + 1
        if all(holds(device, *clause) for clause in rule if clause[1] in {"==", "!="}):
            assigned = {key: value for key, operator, value in rule if operator == "="}
            assigned.pop("LABEL", None)
            at = labels[assigned.pop("GOTO")] if "GOTO" in assigned else at
            given |= assigned
    return given


def holds(device: dict[str, str], key: str, operator: str, value: str) -> bool:
    matched = any(fnmatch.fnmatchcase(device.get(key, ""), each) for each in value.split("|"))
    return matched == (operator == "==")


def usb(vendor: str, product: str) -> dict[str, str]:
    kinds = {"ACTION": "add", "SUBSYSTEM": "usb", "ENV{DEVTYPE}": "usb_device"}
    return {**kinds, "ATTR{idVendor}": vendor, "ATTR{idProduct}": product}


def interface(kind: str) -> dict[str, str]:
    return {"ACTION": "add", "SUBSYSTEM": "usb", "ENV{DEVTYPE}": "usb_interface", "ATTR{bInterfaceClass}": kind}


def tty(name: str, vendor: str = "", product: str = "") -> dict[str, str]:
    kinds = {"ACTION": "add", "SUBSYSTEM": "tty", "KERNEL": name}
    return {**kinds, "ATTRS{idVendor}": vendor, "ATTRS{idProduct}": product}


@pytest.mark.parametrize("reader", ["072f:2200", "072f:223b", "04e6:5591", "054c:06c1", "054c:06c3"])
def test_an_nfc_reader_is_open_to_its_group_and_stays_awake(reader: str):
    given = follow(usb(*reader.split(":")))
    assert given == {"GROUP": "plugdev", "MODE": "0660", "ATTR{power/control}": "on"}


@pytest.mark.parametrize("bridge", ["1a86:7523", "10c4:ea60", "0403:6001", "067b:2303"])
def test_a_serial_bridge_stays_awake_and_is_no_modem(bridge: str):
    vendor, product = bridge.split(":")
    assert follow(usb(vendor, product)) == {"ATTR{power/control}": "on", "ENV{ID_MM_DEVICE_IGNORE}": "1"}
    port = {"GROUP": "dialout", "MODE": "0660"}
    assert follow(tty("ttyUSB0", vendor, product)) == {**port, "ENV{ID_MM_PORT_IGNORE}": "1"}


def test_any_camera_or_smart_card_reader_stays_awake():
    assert follow(interface("0e")) == {"ATTR{../power/control}": "on"}
    assert follow(interface("0b")) == {"ATTR{../power/control}": "on"}


def test_cameras_keyboards_and_ports_belong_to_their_groups():
    assert follow({"ACTION": "add", "SUBSYSTEM": "video4linux"}) == {"GROUP": "video", "MODE": "0660"}
    assert follow({"ACTION": "add", "SUBSYSTEM": "input", "KERNEL": "event3"}) == {"GROUP": "input", "MODE": "0660"}
    assert follow(tty("ttyACM1")) == {"GROUP": "dialout", "MODE": "0660"}


@pytest.mark.parametrize(
    "device",
    [
        usb("046d", "c31c"),
        usb("072f", "9999"),
        interface("08"),
        tty("tty0"),
        {"ACTION": "add", "SUBSYSTEM": "block", "KERNEL": "sda"},
        {"ACTION": "add", "SUBSYSTEM": "input", "KERNEL": "js0"},
        {**usb("072f", "2200"), "ACTION": "remove"},
    ],
)
def test_whatever_is_no_reader_and_whatever_goes_is_left_alone(device: dict[str, str]):
    assert follow(device) == NOTHING


def _udev_can_verify() -> bool:
    """`udevadm verify` came with systemd 254; with an older one the tests above are all there is."""
    udevadm = shutil.which("udevadm") or "false"
    return subprocess.run([udevadm, "verify", "--help"], capture_output=True, check=False).returncode == 0


if _udev_can_verify():

    def test_udev_itself_takes_the_rules():
        said = subprocess.run(
            ["udevadm", "verify", "--resolve-names=never", "--no-style", str(RULES)],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert said.returncode == 0, said.stdout + said.stderr
