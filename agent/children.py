"""The supervisor: whatever can hang is a child that speaks lines, started again when it ends or falls silent.

A child ends by itself when its standard input closes, so none outlives the agent. The ladder for readers begins in the
driver (poll again, reconnect, fresh context, reopen); its last rungs are here: a fresh process, and telling staff.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MAX_LINE_BYTES = 1 << 20
LINES_PER_S = 500  # what is said faster waits in the pipe: a child that floods costs the others nothing
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
SETTLED_AFTER_S = 60.0  # a child that lived so long starts the pauses anew
CANNOT_RUN = {2: "options", 3: "library"}  # exit codes that trying again soon does not mend
CANNOT_RUN_PAUSE_S = 60.0
STOP_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A child is gone: its exit code, or None when it was ended for being mute."""

    exit_code: int | None
    pause_s: float
    last_words: str


class Child:
    """One supervised process. `heard` gets each line it prints, `ended` each of its ends; neither may block."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        heard: Callable[[bytes], None],
        ended: Callable[[Ended], None],
        mute_after_s: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self._command = name, list(command)
        self._heard, self._ended, self._mute_after_s = heard, ended, mute_after_s
        self._environment = dict(environment) if environment is not None else None
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._last_line_s = 0.0
        self._last_words = ""
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Keeps the child running from now on."""
        self._task = asyncio.create_task(self._keep(), name=f"child {self.name}")

    async def stop(self) -> None:
        """Ends it: by closing its input, and by force where that is not enough."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._end()

    def tell(self, line: bytes) -> bool:
        """Writes a command; False where nobody is there to hear it."""
        process = self._process
        if process is None or process.stdin is None or process.returncode is not None:
            return False
        try:
            process.stdin.write(line)
        except (BrokenPipeError, ConnectionResetError, RuntimeError):
            return False
        return True

    async def _keep(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            code = await self._once()
            failures = 0 if time.monotonic() - began > SETTLED_AFTER_S else failures + 1
            pause_s = min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S) if failures else 0.0
            if code in CANNOT_RUN:
                pause_s = CANNOT_RUN_PAUSE_S
            self._ended(Ended(exit_code=code, pause_s=pause_s, last_words=self._last_words))
            await asyncio.sleep(pause_s)

    async def _once(self) -> int | None:
        """One life. None when it was ended for being mute."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=MAX_LINE_BYTES,
                start_new_session=True,
                env=self._environment,
            )
        except OSError as error:
            self._last_words = f"{self._command[0]}: {error.strerror}"
            return 127
        self.starts += 1
        self._last_line_s = time.monotonic()
        reading = asyncio.create_task(self._read(self._process))
        complaints = asyncio.create_task(self._listen(self._process))
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=1.0)
                if time.monotonic() - self._last_line_s > self._mute_after_s:
                    return None
            return await self._left(self._process)
        finally:
            reading.cancel()
            complaints.cancel()
            await self._end()

    async def _left(self, process: asyncio.subprocess.Process) -> int | None:
        """The exit code of a child that says no more; None for one that lives on and can only be ended."""
        try:
            return await asyncio.wait_for(process.wait(), STOP_PATIENCE_S)
        except TimeoutError:
            return None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        second, count = 0.0, 0
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # a line beyond the limit: no child of ours does that
                self._last_words = f"said a line of more than {MAX_LINE_BYTES} bytes"
                return
            if not line:
                return
            now = self._last_line_s = time.monotonic()
            second, count = (second, count + 1) if now - second < 1 else (now, 1)
            self._heard_safely(line)
            if count >= LINES_PER_S:
                await asyncio.sleep(max(0.0, second + 1 - now))

    def _heard_safely(self, line: bytes) -> None:
        try:
            self._heard(line)
        except Exception as error:  # noqa: BLE001 - one line that we trip over must not end the listening
            traceback.print_exception(error, file=sys.stderr)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keeps the last line of what it complained, for the log."""
        assert process.stderr is not None
        with contextlib.suppress(ValueError):
            while line := await process.stderr.readline():
                self._last_words = line.decode(errors="replace").strip()[:500]

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            try:
                await asyncio.wait_for(process.wait(), STOP_PATIENCE_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        process._transport.close()  # type: ignore[attr-defined] # else a pipe nobody reads keeps `wait` waiting
        await process.wait()
