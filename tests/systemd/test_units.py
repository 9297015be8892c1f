"""The units and what stands beside them, judged by systemd's own tools and by the browser's JavaScript."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.rigs.need import need

ROOT = Path(__file__).parent.parent.parent
SYSTEMD = ROOT / "systemd"
UNITS = ["holdfast-agent.service", "holdfast-server.service"]
EXPOSURE_AT_MOST = {"holdfast-agent.service": 18, "holdfast-server.service": 12}  # tenths, systemd 252


class Unit(configparser.RawConfigParser):
    """A unit file in which a key that stands twice keeps its last value."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, delimiters=("=",), comment_prefixes=("#",), interpolation=None)
        self.read_string(path.read_text("utf-8"))

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    need(shutil.which(str(command[0])), f"{command[0]} (Debian: systemd)")
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)


def on_this_machine(name: str, folder: Path, more: str = "") -> Path:
    """The unit with a program that every machine has: verify looks whether it can be executed."""
    text = (SYSTEMD / name).read_text("utf-8")
    copy = folder / name
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text) + more, "utf-8")
    return copy


@pytest.mark.parametrize("name", UNITS)
def test_systemd_has_nothing_to_say_against_a_unit(name: str, tmp_path: Path):
    said = run("systemd-analyze", "verify", on_this_machine(name, tmp_path))
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_systemd_would_say_it_if_a_unit_had_a_mistake(tmp_path: Path):
    said = run("systemd-analyze", "verify", on_this_machine(UNITS[0], tmp_path, "\n[Service]\nProtectSytem=strict\n"))
    assert "ProtectSytem" in said.stderr


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_exposes_no_more_than_it_must(name: str, tmp_path: Path):
    threshold = f"--threshold={EXPOSURE_AT_MOST[name]}"
    unit = on_this_machine(name, tmp_path)
    said = run("systemd-analyze", "security", "--no-pager", "--offline=true", threshold, unit)
    assert said.returncode == 0, said.stdout.splitlines()[-1]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_a_program_that_the_package_has(name: str):
    program = Path(Unit(SYSTEMD / name)["Service"]["ExecStart"].split()[0])
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert program.parent == Path("/opt/holdfast/bin")
    assert program.name in scripts


def test_the_agent_may_use_the_devices_of_its_readers_and_the_server_none():
    agent, server = (Unit(SYSTEMD / name)["Service"] for name in UNITS)
    majors = re.findall(r"(?m)^DeviceAllow=char-(\d+) rw$", (SYSTEMD / UNITS[0]).read_text("utf-8"))
    assert {int(major) for major in majors} == {4, 13, 81, 166, 188, 189, 204}
    assert agent["SupplementaryGroups"].split() == ["dialout", "video", "input", "plugdev"]
    assert "PrivateDevices" not in agent
    assert server["PrivateDevices"] == "yes"
    assert "DeviceAllow" not in server


def test_the_agent_is_restarted_for_ever_and_watched():
    unit = Unit(SYSTEMD / UNITS[0])
    service = unit["Service"]
    assert (service["Type"], service["WatchdogSec"], service["Restart"]) == ("notify", "30", "always")
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


def test_sysusers_makes_every_user_and_group_that_a_unit_names(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    said = run("systemd-sysusers", f"--root={tmp_path}", SYSTEMD / "sysusers.d/holdfast.conf")
    assert said.returncode == 0, said.stderr
    users = {line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    groups = {line.split(":")[0] for line in (tmp_path / "etc/group").read_text().splitlines()}
    for service in (Unit(SYSTEMD / name)["Service"] for name in UNITS):
        assert service["User"] in users
        assert {service["Group"], *service.get("SupplementaryGroups", "").split()} <= groups


def test_tmpfiles_makes_the_configuration_readable_to_the_terminal_alone(tmp_path: Path):
    """Owner and group are put as those of whoever runs the test, who may not give files away."""
    text = (SYSTEMD / "tmpfiles.d/holdfast.conf").read_text("utf-8")
    assert re.findall(r"(?m)^\S+ (\S+) \S+ (\S+) (\S+)$", text) == [
        ("/etc/holdfast", "root", "holdfast"),
        ("/etc/holdfast/agent.toml", "root", "holdfast"),
    ]
    mine = tmp_path / "mine.conf"
    mine.write_text(text.replace("root holdfast", f"{os.geteuid()} {os.getegid()}"))
    (tmp_path / "root/etc/holdfast").mkdir(parents=True)
    (tmp_path / "root/etc/holdfast/agent.toml").write_text("")
    said = run("systemd-tmpfiles", "--create", f"--root={tmp_path / 'root'}", mine)
    assert (said.returncode, said.stderr) == (0, "")
    assert (tmp_path / "root/etc/holdfast").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "root/etc/holdfast/agent.toml").stat().st_mode & 0o777 == 0o640


PAGE = """<pre id="said"></pre><script>
var rules = [], polkit = {Result: {YES: "yes", NOT_HANDLED: "not handled"}, addRule: function (f) { rules.push(f); }};
%s
document.getElementById("said").textContent = %s.map(function (pair) {
    return rules.map(function (rule) { return rule({id: pair[0]}, {user: pair[1]}); }).join();
}).join("; ");
</script>"""


def test_polkit_lets_the_terminal_use_pcscd_and_nobody_else(tmp_path: Path):
    need(shutil.which("chromium"), "chromium")
    asked = """[["org.debian.pcsc-lite.access_pcsc", "holdfast"], ["org.debian.pcsc-lite.access_card", "holdfast"],
               ["org.debian.pcsc-lite.access_pcsc", "www-data"], ["org.freedesktop.login1.reboot", "holdfast"]]"""
    page = tmp_path / "page.html"
    page.write_text(PAGE % ((SYSTEMD / "polkit/50-holdfast-pcscd.rules").read_text("utf-8"), asked), "utf-8")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    said = run("chromium", "--headless", "--no-sandbox", "--disable-gpu", profile, "--dump-dom", page.as_uri())
    assert '<pre id="said">yes; yes; not handled; not handled</pre>' in said.stdout


def test_the_kernels_own_nfc_drivers_are_kept_away_from_readers():
    lines = (SYSTEMD / "modprobe.d/holdfast.conf").read_text("utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["blacklist pn533_usb", "blacklist port100"]


def test_the_handbook_names_every_file():
    handbook = (ROOT / "docs/systemd.md").read_text("utf-8")
    files = [path.relative_to(ROOT).as_posix() for path in SYSTEMD.rglob("*") if path.is_file()]
    assert [name for name in files if name not in handbook] == []
