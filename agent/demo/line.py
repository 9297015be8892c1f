"""The line between terminal and centre, as a TCP relay that can be cut and restored."""

from __future__ import annotations

import contextlib
import socket
import threading


class CuttableLine:
    """Listens on `port` and relays to the centre while it is up; cut, it refuses and breaks what is open."""

    def __init__(self, centre_port: int) -> None:
        self._centre_port = centre_port
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.port = 0
        self.up = False

    def restore(self) -> None:
        """The line works from now on."""
        if self.up:
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        self.port, self._listener, self.up = listener.getsockname()[1], listener, True
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """The line is dead from now on, in the middle of whatever it carries."""
        self.up = False
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        with self._lock:
            broken, self._open = self._open, set()
        for end in broken:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                if self._listener is not listener or not self.up:
                    return
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._centre_port))
            except OSError:  # no centre: a broken connection, as on a real line
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with self._lock:
            self._open -= {source, target}
