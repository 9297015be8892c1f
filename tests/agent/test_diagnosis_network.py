"""The first stages of the line, each broken for real in a network of its own: namespaces and virtual cables."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.need import need

SCRIPT = """
import json, sys, time
from agent.diagnosis.examine import examine
from agent.diagnosis.gather_line import HelloVerdict
from agent.diagnosis.situation import Configuration, Situation
known = Configuration(data_dir=sys.argv[1], server_url="http://198.51.100.7", listen="127.0.0.1:0")
report = examine(Situation(now=time.time(), configuration=known), lambda *given: HelloVerdict(signed=False))
print(json.dumps([(f.code, f.reason, f.hidden_by) for f in report.findings if f.area == "line"]))
"""
CABLE = "ip link add eth0 type veth peer name wall; ip link set lo up; "
PLUGGED = CABLE + "ip link set eth0 up; ip link set wall up; ip addr add 192.0.2.9/24 dev eth0; "
IN_A_NETWORK = ("unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-ec")


def _line_findings(setting: str, folder: Path) -> list[list[str]]:
    need(shutil.which("ip"), "ip, of iproute2")
    # a /sys mounted before the network was made shows the old one's interfaces
    start = "mount -t sysfs sysfs /sys; " + setting + 'exec "$0" -c "$1" "$2"'
    tried = subprocess.run([*IN_A_NETWORK, "mount -t sysfs sysfs /sys; " + CABLE], capture_output=True, text=True)
    need(tried.returncode == 0, f"a kernel that gives us a network of our own ({tried.stderr.strip()})")
    ran = subprocess.run(
        [*IN_A_NETWORK, start, sys.executable, SCRIPT, str(folder)], capture_output=True, text=True, check=True
    )
    findings: list[list[str]] = json.loads(ran.stdout)
    return findings


@pytest.mark.parametrize(
    ("setting", "code", "reason"),
    [
        ("ip link set lo up; ", "line.no_link", "none"),
        (CABLE, "line.no_link", "off"),
        (PLUGGED + "ip link set wall down; ip route add default via 192.0.2.1; ", "line.no_link", "unplugged"),
        (PLUGGED, "line.no_gateway", "no_route"),
        (PLUGGED + "ip route add default via 192.0.2.1; ", "line.no_gateway", "silent"),
    ],
)
def test_a_broken_first_stage_is_named_and_hides_the_later_ones(
    setting: str, code: str, reason: str, tmp_path: Path
) -> None:
    findings = _line_findings(setting, tmp_path)
    shown = [(found[0], found[1]) for found in findings if found[2] is None]
    assert shown == [(code, reason)]
    assert [found[0] for found in findings if found[0] == "line.tcp"] == ["line.tcp"]
    assert {found[2] for found in findings[1:]} <= {code}
