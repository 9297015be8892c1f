"""`holdfast agent` as a process of its own, on files and ports of a test's own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from drivers import lines

PATIENCE_S = 40.0  # a loaded machine is slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Terminal:
    """One agent over `data_dir`, which must be enrolled; its files besides (configuration, sockets) are in `folder`.

    `readers`: TOML of [[readers]], added to the virtual counter's. A context manager that starts and ends it.
    """

    def __init__(
        self,
        folder: Path,
        data_dir: Path,
        *,
        server_url: str = "http://127.0.0.1:9",
        automatic: bool = False,
        readers: str = "",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.data_dir, self.port = folder, data_dir, free_port()
        self.config, self.socket = folder / "agent.toml", folder / "agent.sock"
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.config.write_text(
            f'[terminal]\ndata_dir = "{data_dir}"\n[server]\nurl = "{server_url}"\n'
            f"[sync]\nautomatic = {str(automatic).lower()}\ninterval_s = 30\n"
            f'[till]\nlisten = "127.0.0.1:{self.port}"\nsocket = "{self.socket}"\n'
            f'[[readers]]\nname = "counter"\ndriver = "replay"\n'
            f'options = {{ listen = "{folder / "counter.sock"}" }}\n{readers}'
        )
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = self._client()

    def _client(self) -> httpx.Client:
        """Over the UNIX socket, as commands are."""
        transport = httpx.HTTPTransport(uds=str(self.socket))
        return httpx.Client(transport=transport, base_url="http://agent/api/v1", timeout=PATIENCE_S)

    # The process

    def start(self) -> None:
        """Returns when it answers."""
        with (self.folder / "agent.log").open("ab") as log:
            command = [sys.executable, "-P", "-m", "agent", "agent", "--config", str(self.config)]
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._env, start_new_session=True
            )
        end_s = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError("the agent did not come up: " + self.log()[-2_000:])
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url + "/healthz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """As a power cut would end it; its children end by themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_S)
        self._fresh()

    def stop(self) -> int:
        """As systemd does; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE_S)
        self._fresh()
        return code

    def _fresh(self) -> None:
        self.http.close()
        self.http, self._process = self._client(), None

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def __enter__(self) -> Terminal:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            code = self.stop()
            assert code == 0, self.log()[-2_000:]
        self.http.close()

    # What people and programs do with it

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get("/status").json()
        return found

    def reader(self, name: str) -> dict[str, Any]:
        return next(reader for reader in self.status()["readers"] if reader["name"] == name)

    def wait_for(self, what: str, test: Any) -> None:
        """Until `test` of the status holds."""
        end_s = time.monotonic() + PATIENCE_S
        while not test(found := self.status()):
            assert time.monotonic() < end_s, f"{what} did not come: {found}"
            time.sleep(0.05)

    def ready(self, *names: str) -> None:
        """Until these readers are ready."""
        wanted = set(names or ["counter"])
        self.wait_for(
            f"{wanted}", lambda found: wanted <= {r["name"] for r in found["readers"] if r["state"] == "ready"}
        )

    def present(self, *said: lines.Said) -> None:
        """Something is held to the virtual counter."""
        with socket.socket(socket.AF_UNIX) as counter:
            counter.connect(str(self.folder / "counter.sock"))
            for line in said:
                counter.sendall(lines.encode(line))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of `holdfast` on this terminal."""
        return holdfast(*words, "--config", str(self.config), env=self._env)

    @contextlib.contextmanager
    def events(self) -> Iterator[Events]:
        """The stream of server-sent events, read in the background; it has begun."""
        with self._client() as client, client.stream("GET", "/stream", timeout=None) as response:
            events = Events(response)
            events.next("hello")
            yield events


class Events:
    """Server-sent events as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        name = ""
        with contextlib.suppress(httpx.HTTPError, httpx.StreamError, OSError, RuntimeError):
            for line in self.response.iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    self._heard.put((name, json.loads(value)))

    def next(self, name: str) -> Any:
        """The data of the next event of that name; others are passed over."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                heard, data = self._heard.get(timeout=max(0.0, end_s - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no event {name} came") from None
            if heard == name:
                return data


def holdfast(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`holdfast` as a process."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "agent", *words], capture_output=True, text=True, check=False, env=env, timeout=100
    )
