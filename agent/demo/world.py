"""The demonstration's world: a real centre, a real agent with a virtual counter as its reader, and a second till."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config import load
from agent.demo.line import CuttableLine
from agent.remote import Remote
from drivers import lines

PROGRAMME = Path(__file__).with_name("programme.toml")
OUTLET = "harbour"
BATCH = "welcome"
START_PATIENCE_S = 30.0


class DemoError(Exception):
    """The demonstration could not be set up; says which part and why."""


@dataclass(frozen=True, slots=True)
class Code:
    """An activation code as printed."""

    serial: int
    typed: str
    qr: str


class World:
    """Processes and files of one demonstration, under one folder. `close` ends what it started."""

    def __init__(self, folder: Path, till_port: int = 8765) -> None:
        self.folder = folder
        self._children: list[subprocess.Popen[bytes]] = []
        self._last = ""
        self._counter: socket.socket | None = None
        self.till_port = till_port if _is_free(till_port) else free_port()
        self.centre_port = free_port()
        self.line = CuttableLine(self.centre_port)
        self.codes: list[Code] = []
        self._remote: Remote | None = None

    @property
    def centre_dir(self) -> Path:
        """The centre's database and keys."""
        return self.folder / "centre"

    def till_dir(self, name: str) -> Path:
        """A terminal's files."""
        return self.folder / name

    def config(self, name: str) -> Path:
        """A terminal's configuration."""
        return self.folder / f"{name}.toml"

    # -- building --------------------------------------------------------------------------------------------------

    def build(self, counter_port: int | None = None) -> None:
        """Centre, line, two enrolled terminals, codes; raises DemoError. A folder used before goes on as it was."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = not (self.centre_dir / "centre.db").exists()
        if fresh:
            self.server("init")
            self.server("programme", "load", str(PROGRAMME))
        self._start(["server", "run", *self._at_centre(), "--listen", f"127.0.0.1:{self.centre_port}"])
        self._wait_for(f"http://127.0.0.1:{self.centre_port}/healthz", "the centre")
        self.line.restore()
        for name in ("till", "second-till"):
            self._write_config(name, counter_port)
            if not (self.till_dir(name) / "identity.json").exists():
                code = self.server_json("enrolment-code", "--outlet", OUTLET, "--label", name)["code"]
                self.till(name, "enrol", "--server", f"http://127.0.0.1:{self.line.port}", "--code", code)
        self._codes(fresh)
        self._start(["agent", "agent", "--config", str(self.config("till"))])
        self._wait_for(f"http://127.0.0.1:{self.till_port}/healthz", "the terminal")
        self._remote = Remote(load(self.config("till")).till.socket, "en")
        until = time.monotonic() + START_PATIENCE_S
        while self.remote.get("/status")["programme"] is None:
            if time.monotonic() > until:
                raise DemoError("the terminal did not receive its programme: see agent.log")
            time.sleep(0.05)
        self.till("second-till", "sync")

    def _codes(self, fresh: bool) -> None:
        kept = self.folder / "codes.json"
        if fresh:
            issued = self.server_json("codes", "issue", "--batch", BATCH, "--count", "60")
            kept.write_text(json.dumps(issued))
        self.codes = [Code(code["serial"], code["typed"], code["qr"]) for code in json.loads(kept.read_text())]

    def _write_config(self, name: str, counter_port: int | None) -> None:
        listen = self.till_port if name == "till" else free_port()
        embed = f'embed_from = ["http://127.0.0.1:{counter_port}"]' if counter_port else ""
        self.config(name).write_text(
            f'[terminal]\ndata_dir = "{self.till_dir(name)}"\nlanguage = "en"\n'
            f'[server]\nurl = "http://127.0.0.1:{self.line.port}"\n'
            f'[sync]\ninterval_s = 30\n[till]\nlisten = "127.0.0.1:{listen}"\n'
            f'socket = "{self.folder / name}.sock"\n{embed}\n'
            f'[[readers]]\nname = "counter"\ndriver = "replay"\n'
            f'options = {{ listen = "{self.folder / name}-reader.sock" }}\n'
        )

    @property
    def remote(self) -> Remote:
        """The running agent of the first till."""
        assert self._remote is not None, "build comes first"
        return self._remote

    # -- commands --------------------------------------------------------------------------------------------------

    def server(self, *words: str) -> str:
        """One command of the centre; raises DemoError."""
        return _run(["server", *words, *self._at_centre()])

    def server_json(self, *words: str) -> Any:
        """One command of the centre, as JSON."""
        return json.loads(self.server(*words, "--json"))

    def till(self, name: str, *words: str) -> str:
        """One command of a terminal; raises DemoError."""
        return _run(["agent", *words, "--config", str(self.config(name))])

    def _at_centre(self) -> list[str]:
        return ["--data-dir", str(self.centre_dir)]

    def centre(self, path: str) -> Any:
        """What the centre's back office says."""
        token = json.loads((self.centre_dir / "keys.json").read_text())["back_office_token"]
        url = f"http://127.0.0.1:{self.centre_port}/api/v1{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    # -- the counter -----------------------------------------------------------------------------------------------

    def present(self, said: lines.Said) -> None:
        """Something is held to the reader."""
        if self._counter is None:
            self._counter = _connected(self.folder / "till-reader.sock")
        self._counter.sendall(lines.encode(said))

    # -- processes -------------------------------------------------------------------------------------------------

    def _start(self, command: list[str]) -> None:
        self._last = command[0]
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            words = [sys.executable, "-P", "-m", *command]
            child = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._children.append(child)

    def _wait_for(self, url: str, what: str) -> None:
        until = time.monotonic() + START_PATIENCE_S
        while time.monotonic() < until:
            if self._children[-1].poll() is not None:
                break
            try:
                urllib.request.urlopen(url, timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        tail = (self.folder / f"{self._last}.log").read_text()[-1_000:]
        raise DemoError(f"{what} did not come up:\n{tail}")

    def close(self) -> None:
        """Ends the processes it started, in the reverse order."""
        if self._counter is not None:
            self._counter.close()
        if self._remote is not None:
            self._remote.close()
        for child in reversed(self._children):
            child.terminate()
        for child in reversed(self._children):
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.line.cut()


def _run(words: list[str]) -> str:
    done = subprocess.run([sys.executable, "-P", "-m", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"{' '.join(words[:3])}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _connected(path: Path) -> socket.socket:
    until = time.monotonic() + START_PATIENCE_S
    while True:
        counter = socket.socket(socket.AF_UNIX)
        try:
            counter.connect(str(path))
        except OSError:
            counter.close()
            if time.monotonic() > until:
                raise DemoError("the virtual counter's reader did not come up") from None
            time.sleep(0.05)
        else:
            return counter


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def random_uid() -> str:
    """A seven-byte UID as NTAG cards have: manufacturer 04, no FF at its end."""
    return "04" + secrets.token_bytes(5).hex() + "80"
