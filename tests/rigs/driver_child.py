"""A driver as the agent runs it: a real child process that prints lines and takes commands."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from drivers import lines
from drivers.lines import Command, Fault, Health, Reading, Said

T = TypeVar("T", bound=Said)

PATIENCE_S = 20.0  # how long a test waits for a line that must come; a loaded machine is slow


class DriverChild:
    """`python -m drivers NAME --options ...`. A context manager: leaving closes its input; it must then end with 0."""

    def __init__(self, name: str, options: object, *, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "drivers", name, "--options", json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self.said: list[Said] = []
        self._queue: queue.Queue[Said | None] = queue.Queue()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(lines.decode_said(line))
        self._queue.put(None)

    def wait_for(self, kind: type[T], test: Callable[[T], bool] = lambda _: True) -> T:
        """The next line of that kind for which `test` holds; lines before it are passed over (and kept in `said`)."""
        until_s = time.monotonic() + PATIENCE_S
        while (said := self._next(until_s)) is not None:
            self.said.append(said)
            if isinstance(said, kind) and test(said):
                return said
        raise AssertionError(f"the line waited for did not come; said: {self.said[-20:]}")

    def _next(self, until_s: float) -> Said | None:
        """None when the driver has ended, or patience has."""
        try:
            return self._queue.get(timeout=max(0.0, until_s - time.monotonic()))
        except queue.Empty:
            return None

    def reading(self) -> Reading:
        return self.wait_for(Reading)

    def fault(self, code: str, *, over: bool = False) -> Fault:
        return self.wait_for(Fault, lambda fault: fault.code == code and fault.over is over)

    def ready(self) -> Health:
        return self.wait_for(Health, lambda health: health.state == "ready")

    def rest(self) -> list[Said]:
        """All that has been said and not waited for by now."""
        while not self._queue.empty():
            if (said := self._queue.get()) is not None:
                self.said.append(said)
        return self.said

    def tell(self, command: Command) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(lines.encode(command))
        self.process.stdin.flush()

    def end(self) -> int:
        """Closes its input and waits for it to end; returns the exit code."""
        assert self.process.stdin is not None and self.process.stdout is not None and self.process.stderr is not None
        self.process.stdin.close()
        code = self.process.wait(PATIENCE_S)
        self._thread.join(PATIENCE_S)
        self.errors = self.process.stderr.read().decode()
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def __enter__(self) -> DriverChild:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.process.stderr is not None and self.process.stderr.closed:
            return
        if kind is not None:
            self.process.kill()
            self.end()
            print(self.errors, file=sys.stderr)
            return
        assert self.end() == 0, self.errors
