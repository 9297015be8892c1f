"""Runs the agent in the foreground: systemd's main process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from agent.app import Agent
from agent.config import Config
from agent.opening import listener
from agent.web.api import app
from agent.web.pages import routes

WATCHDOG_EVERY_S = 10.0
FIRST = asyncio.FIRST_COMPLETED


def run(config: Config) -> None:
    """Until SIGTERM or SIGINT. Raises NotEnrolledError, InUseError, StorageError, JournalError."""
    asyncio.run(_serve(config))


async def _serve(config: Config) -> None:
    agent = Agent(config)  # first of all the lock: a second agent must not take the socket from the first
    sockets = listener(config)
    host, port = config.address()
    hosts = {f"{host}:{port}", f"localhost:{port}", f"127.0.0.1:{port}"}
    application = app(agent, hosts, routes())
    server = _Server(
        uvicorn.Config(
            application, log_level="warning", access_log=False, timeout_graceful_shutdown=2, lifespan="off", ws="none"
        )
    )
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    with contextlib.suppress(asyncio.CancelledError):
        serving = asyncio.create_task(server.serve(sockets))
        await asyncio.wait({serving, asyncio.create_task(server.listening.wait())}, return_when=FIRST)
        agent.start()  # the children come after the first answer: they would take the processor from it
        notify("READY=1")
        beating = asyncio.create_task(_beat())
        await asyncio.wait({serving, asyncio.create_task(stopping.wait())}, return_when=FIRST)
        notify("STOPPING=1")
        beating.cancel()
        agent.hub.close()
        server.should_exit = True
        await serving
    await agent.stop()
    with contextlib.suppress(OSError):
        Path(config.till.socket).unlink()


class _Server(uvicorn.Server):
    """Signals are ours: the children have to end too. `listening` is set once callers are answered."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves them alone."""
        yield


async def _beat() -> None:
    """Tells systemd's watchdog that the loop turns."""
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(WATCHDOG_EVERY_S)


def notify(state: str) -> None:
    """Tells systemd (sd_notify(3)) where it asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out, contextlib.suppress(OSError):
        out.connect("\0" + address[1:] if address.startswith("@") else address)
        out.sendall(state.encode())
