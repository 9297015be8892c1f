"""A private pcscd, the real one, with virtual readers; no root, no service manager, any number side by side.

`export PCSCLITE_CSOCK_NAME=<socket_path>` for every client, before its first PC/SC call.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.rigs.need import need

PCSCD = "/usr/sbin/pcscd"
VPCD = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
PATIENCE_S = 15.0

# pcscd takes its listening socket as descriptor 3, as systemd would hand it; it dies with the test (PR_SET_PDEATHSIG).
LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
if sys.argv[2]:
    os.environ["LD_PRELOAD"] = sys.argv[2]
os.execv(sys.argv[3], sys.argv[3:])
"""


class Pcscd:
    """pcscd with one vpcd reader for each of `readers` (names); a context manager that starts and kills it.

    `port(name)` is where a card of that reader connects; `slot(name)` is what PC/SC clients call its first slot.
    """

    def __init__(self, directory: Path, readers: Sequence[str] = ("Counter",)) -> None:
        need(importlib.util.find_spec("smartcard"), "pyscard (needs gcc, swig and libpcsclite-dev to build)")
        need(Path(PCSCD).exists(), "pcscd (apt install pcscd)")
        need(VPCD.exists() or not readers, "vpcd (apt install vsmartcard-vpcd)")
        self.directory = directory
        self.socket_path = directory / "pcscd.comm"
        self._ports = {name: _free_pair() for name in readers}
        self._process: subprocess.Popen[bytes] | None = None
        (directory / "conf").mkdir(parents=True, exist_ok=True)
        for name in readers:
            self._configure(name)

    @property
    def env(self) -> dict[str, str]:
        """What a client needs in its environment."""
        return {"PCSCLITE_CSOCK_NAME": str(self.socket_path)}

    def port(self, name: str) -> int:
        return self._ports[name]

    def slot(self, name: str) -> str:
        return f"{name} 00 00"

    def _configure(self, name: str) -> None:
        """pcscd tells drivers apart by path: each reader has a copy."""
        driver = self.directory / f"{name.replace(' ', '_')}.so"
        shutil.copy(VPCD.resolve(), driver)
        port = f"0x{self._ports[name]:X}"
        text = f'FRIENDLYNAME "{name}"\nDEVICENAME /dev/null:{port}\nLIBPATH {driver}\nCHANNELID {port}\n'
        (self.directory / "conf" / driver.stem).write_text(text)

    def start(self) -> None:
        """Returns when every reader listens for cards."""
        self._launch({})
        waited = {number for port in self._ports.values() for number in (port, port + 1)}
        self._wait(lambda: waited <= _listening())

    def stop(self) -> None:
        """Asks it to end; nothing if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.kill()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _launch(self, env: Mapping[str, str], preload: str = "") -> None:
        self.socket_path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as door, (self.directory / "log").open("ab") as log:
            door.bind(str(self.socket_path))
            self.socket_path.chmod(0o666)
            door.listen(16)
            command = [PCSCD, "--foreground", "--config", str(self.directory / "conf")]
            self._process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(door.fileno()), preload, *command],
                pass_fds=(door.fileno(),),
                stdout=log,
                stderr=log,
                env={**os.environ, **env},
            )

    def _wait(self, ready: Callable[[], bool]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not ready():
            if self._process is None or self._process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError("pcscd did not come up: " + (self.directory / "log").read_text()[-1000:])
            time.sleep(0.01)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process:
            process.send_signal(how)
            process.wait(PATIENCE_S)


def _free_pair() -> int:
    """A port that is free together with the next: vpcd listens on both, one for each slot, on every interface."""
    for _ in range(200):
        port = random.randrange(20_000, 32_000, 2)  # below the ports that the system gives out by itself
        if _is_free(port) and _is_free(port + 1):
            return port
    raise RuntimeError("no two free ports side by side")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def _listening() -> set[int]:
    """TCP ports of this machine that are listened on. Never connect to find out: that would be a card put down."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].rsplit(":", 1)[1], 16) for row in rows if row[3] == "0A"}
