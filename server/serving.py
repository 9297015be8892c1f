"""Runs the centre's web application on one address, and tells the service manager how it is."""

from __future__ import annotations

import os
import socket

import uvicorn

from server.keys import Keys
from server.store import Store
from server.web import app


class PortInUseError(Exception):
    """The address is taken by another program."""


def serve(store: Store, keys: Keys, listen: str) -> None:
    """Until told to stop; raises PortInUseError."""
    host, _, port = listen.rpartition(":")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), int(port)))
    except (OSError, ValueError, OverflowError) as error:
        listener.close()
        raise PortInUseError(
            f"{listen} cannot be listened on: {error}. Another program may be using it: give --listen another port."
        ) from error
    config = uvicorn.Config(app(store, keys), log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Says that it is ready when it is: connections are taken from here on."""
        await super().startup(sockets)
        if self.started:
            notify("READY=1")


def notify(state: str) -> None:
    """Tells systemd (sd_notify(3)) where it asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect("\0" + address[1:] if address.startswith("@") else address)
        out.sendall(state.encode())
