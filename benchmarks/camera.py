"""What an idle camera costs: CPU time of the driver's process on 640 x 480 MJPEG over HTTP at 30 frames a second.

The baseline is a process that decodes and converts every frame and does no more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.rigs.mjpeg import MjpegCamera
from tests.rigs.pictures import jpegs

RUNS = 5
WARM_UP_S, MEASURED_S = 3.0, 4.0
AIM = 0.06
PLAIN = (
    "import sys, cv2; cv2.setNumThreads(1)\n"
    "c = cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])\n"
    "while c.read()[0]: pass"
)


def run() -> dict[str, dict[str, Any]]:
    """`camera.idle_cpu`: share of a core, median of RUNS, each interleaved with its baseline."""
    ours, theirs = [], []
    with MjpegCamera(jpegs(count=30)) as camera:
        driver = ["-P", "-m", "drivers", "camera", "--options", json.dumps({"source": camera.url})]
        for _ in range(RUNS):
            ours.append(_share([sys.executable, *driver]))
            theirs.append(_share([sys.executable, "-c", PLAIN, camera.url]))
    value, base = median(ours), median(theirs)
    figure = {
        "value": round(value, 4),
        "unit": "share of a core",
        "baseline": round(base, 4),
        "ratio": round(value / base, 2),
        "aim": f"<= {AIM}",
        "met": value <= AIM,
        "runs": RUNS,
    }
    return {"camera.idle_cpu": figure}


def _share(command: list[str]) -> float:
    """CPU time over wall time of a child, once it has settled."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(WARM_UP_S)
        began, cpu = time.monotonic(), _cpu_s(child.pid)
        time.sleep(MEASURED_S)
        return (_cpu_s(child.pid) - cpu) / (time.monotonic() - began)
    finally:
        child.kill()
        child.communicate()


def _cpu_s(pid: int) -> float:
    """User and system time of all its threads (proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
