"""Opens what a terminal works with: the lock, the till's files, the sockets. Each failure says what to do."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
from pathlib import Path

from agent.config import Config
from agent.till import Till
from loyalty.rows import Moment
from sync import clocks, identity
from sync.files import StorageError
from sync.journal import Journal
from sync.snapshot import Snapshot, SnapshotReader


class InUseError(Exception):
    """Another process is the terminal already, or the port is taken."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def lock(data_dir: Path) -> int:
    """There is never a second writer: the lock is held while this process lives. Raises InUseError, StorageError."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        handle = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(
            "storage.full" if error.errno == errno.ENOSPC else "storage.read_only",
            f"{data_dir} cannot be used: {error.strerror}. Nothing was done. Check that there is space and that the "
            "folder belongs to the user that Holdfast runs as.",
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise InUseError(
            "till.in_use",
            f"Another agent or command is working in {data_dir}. Nothing was done; wait for it, or stop it.",
        ) from error
    return handle


def build_till(who: identity.Identity, data_dir: Path) -> Till:
    """The till over its files, which are made if they are not there. The caller holds the lock."""
    journal = Journal.open_or_create(data_dir, who.terminal, who.enrolment)
    Snapshot.open_or_create(data_dir).close()
    boot, nonce = clocks.boot_id(), secrets.token_bytes(8)

    def moment() -> Moment:
        return Moment(wall_ms=clocks.wall_ms(), boot_id=boot, boottime_ms=clocks.boottime_ms(), nonce=nonce)

    return Till(journal=journal, snapshot=_Reopened(data_dir), identity=who, moment=moment)


class _Reopened:
    """The snapshot, opened again when a new file has taken its place."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir, self._path = data_dir, str(data_dir / "snapshot.db")
        self._reader: SnapshotReader | None = None
        self._inode = 0

    def __call__(self) -> SnapshotReader:
        try:
            inode = os.stat(self._path).st_ino  # noqa: PTH116 - each tap asks
        except OSError:
            if self._reader is not None:
                return self._reader  # thrown away under us: what was open is good until the next start
            raise
        if self._reader is None or inode != self._inode:
            if self._reader is not None:
                self._reader.close()
            self._reader, self._inode = SnapshotReader.open(self._data_dir), inode
        return self._reader


def listener(config: Config) -> list[socket.socket]:
    """The sockets of pages and local API: loopback, and a UNIX socket for commands. Raises InUseError."""
    host, port = config.address()
    tcp = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        tcp.bind((host, port))
    except OSError as error:
        raise InUseError(
            "till.port_in_use",
            f"{config.till.listen} cannot be listened on: {error.strerror}. Another program has it: stop that one, or "
            "choose another address under [till] listen.",
        ) from error
    return [tcp, _unix(Path(config.till.socket))]


def _unix(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_socket():
            path.unlink()  # left by an agent that was killed
        listening.bind(str(path))
        path.chmod(0o660)
    except OSError as error:
        raise InUseError("till.socket", f"{path} cannot be made: {error}. See [till] socket.") from error
    return listening
