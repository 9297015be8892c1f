"""What an idle terminal takes, and how soon it is there: the agent and its sync worker, without drivers.

A real agent, enrolled at a real centre that has gone since, is started, asked until it answers, left alone until its
worker has tried to exchange, and weighed by its proportional set size (proc(5), smaps_rollup). The centre has gone so
that it shares no pages with them. Baselines: bare interpreters, weighed and started likewise.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

from agent.config import load
from agent.demo.world import World
from agent.remote import Remote
from benchmarks.measure import RUNS, Figure, figure, folder

MEMORY_AIM_MB, START_AIM_S, IDLE_AIM = 130.0, 1.0, 0.01
PATIENCE_S, SETTLE_S, IDLE_S = 30.0, 1.0, 4.0
TILL = "second-till"
_BARE = [sys.executable, "-P", "-c"]


def run(runs: int = RUNS, idle_s: float = IDLE_S) -> dict[str, Figure]:
    """`memory.idle` in MB of agent and worker together, `memory.agent`, `memory.worker`, `start.ready`, `idle.cpu`."""
    with tempfile.TemporaryDirectory(dir=folder()) as place:
        world = World(Path(place))
        try:
            world.build()
        finally:
            world.close()
        measured = [_one_run(world.config(TILL), idle_s) for _ in range(runs)]
    ready, agent, worker, cpu, bare_start, bare_mb = (median(values) for values in zip(*measured, strict=True))
    both, two_bare = agent + worker, 2 * bare_mb
    return {
        "memory.idle": figure(
            both, "MB", baseline=two_bare, aim=f"<= {MEMORY_AIM_MB:.0f}", met=both <= MEMORY_AIM_MB, runs=runs
        ),
        "memory.agent": figure(agent, "MB", baseline=bare_mb, aim="told apart", met=True, runs=runs),
        "memory.worker": figure(worker, "MB", baseline=bare_mb, aim="told apart", met=True, runs=runs),
        "start.ready": figure(
            ready, "s", baseline=bare_start, aim=f"<= {START_AIM_S}", met=ready <= START_AIM_S, runs=runs, digits=3
        ),
        "idle.cpu": figure(
            cpu, "share of a core", baseline=None, aim=f"<= {IDLE_AIM}", met=cpu <= IDLE_AIM, runs=runs, digits=4
        ),
    }


def _one_run(config: Path, idle_s: float) -> tuple[float, float, float, float, float, float]:
    """Seconds until ready, MB of agent and of worker, share of a core while idle; then start and MB of a bare one."""
    with _process([sys.executable, "-P", "-m", "agent", "agent", "--config", str(config)]) as agent:
        began = time.perf_counter()
        _until_healthy(load(config).till.listen)
        ready_s = time.perf_counter() - began
        with closing(Remote(load(config).till.socket, "en")) as remote:
            _until_tried(remote)
        time.sleep(SETTLE_S)
        worker = _child_running(agent, "sync")
        cpu_s = _cpu_s(agent) + _cpu_s(worker)
        time.sleep(idle_s)
        share = (_cpu_s(agent) + _cpu_s(worker) - cpu_s) / idle_s
        sizes = pss_mb(agent), pss_mb(worker)
    return ready_s, *sizes, share, *_bare()


def _bare() -> tuple[float, float]:
    began = time.perf_counter()
    subprocess.run([*_BARE, "pass"], check=True)
    start_s = time.perf_counter() - began
    with _process([*_BARE, "input()"]) as idle:
        time.sleep(SETTLE_S)
        return start_s, pss_mb(idle)


@contextmanager
def _process(command: list[str]) -> Iterator[int]:
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield child.pid
    finally:
        child.terminate()
        child.communicate()


def _until_healthy(listen: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://{listen}/healthz", timeout=1).close()
        except OSError:
            time.sleep(0.005)
        else:
            return
    raise TimeoutError(f"no agent answered on {listen} within {PATIENCE_S:.0f} s")


def _until_tried(remote: Remote) -> None:
    until = time.monotonic() + PATIENCE_S
    while not any(found["code"] == "line.down" for found in remote.get("/status")["findings"]):
        if time.monotonic() > until:
            raise TimeoutError(f"the worker did not try to exchange within {PATIENCE_S:.0f} s")
        time.sleep(0.05)


def _child_running(parent: int, module: str) -> int:
    """The child process that runs `python -m module`."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    for pid in (pid for task in tasks for pid in task.read_text("ascii").split()):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if module.encode() in words:
            return int(pid)
    raise LookupError(f"process {parent} has no child that runs {module}")


def pss_mb(pid: int) -> float:
    """Its memory, shared pages counted in parts: proc(5), smaps_rollup, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(f"the kernel does not tell the PSS of process {pid}")


def _cpu_s(pid: int) -> float:
    """User and system time of all its threads (proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
