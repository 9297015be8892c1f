"""Gatherers of this machine: the smart-card service, device files, the data folder, the till's port."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agent.diagnosis.facts import MissingLibrary, Node, Port, Service, Socket, Space, Written
from agent.diagnosis.situation import Reader
from agent.diagnosis.timed import AbsentHereError

PROBES = 5  # the median of five writes: one slow write alone says nothing
PROBE_BYTES = 4096
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"  # an agent's PATH may lack sbin
DEVICE_OPTIONS = ("path", "device", "port")


def pcsc_socket(path: str) -> Socket:
    """Connects to the smart-card service and leaves at once; nothing is said on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(0.4)
        return Socket(errno=client.connect_ex(path))


def pcscd_installed() -> bool:
    return shutil.which("pcscd", path=SYSTEM_PATH) is not None


def missing_libraries(folder: Path) -> tuple[MissingLibrary, ...]:
    """Reader libraries that the smart-card service's configuration names and that are not there."""
    files = sorted(file for file in folder.glob("*") if file.is_file()) if folder.is_dir() else []
    return tuple(
        MissingLibrary(file=str(file), library=library)
        for file in files
        for library in re.findall(r'^\s*LIBPATH\s+"?([^"\s]+)"?', file.read_text(errors="replace"), re.MULTILINE)
        if not Path(library).exists()
    )


def service(unit: str, manager: Path = Path("/run/systemd/system")) -> Service:
    """The service manager's word on `unit`; raises AbsentHereError where there is none."""
    if not manager.is_dir():
        raise AbsentHereError("no service manager runs here")
    shown = subprocess.run(
        ["systemctl", "show", "-p", "ActiveState,Result", unit], capture_output=True, text=True, timeout=1, check=True
    )
    said = dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)
    return Service(active=said.get("ActiveState", ""), result=said.get("Result", ""))


def device_nodes(readers: tuple[Reader, ...]) -> tuple[Node, ...]:
    """Existence and permission of each device file named in a reader's options. Opening it could reset the device."""
    return tuple(_node(reader.name, path) for reader in readers if (path := _device(reader)) is not None)


def _device(reader: Reader) -> str | None:
    named = (reader.options.get(key) for key in DEVICE_OPTIONS)
    return next((path for path in named if isinstance(path, str) and path.startswith("/")), None)


def _node(reader: str, path: str) -> Node:
    exists = Path(path).exists()
    return Node(reader=reader, path=path, exists=exists, permitted=exists and os.access(path, os.R_OK | os.W_OK))


def disk_space(data_dir: str) -> Space:
    seen = os.statvfs(data_dir)
    return Space(
        free_bytes=seen.f_bavail * seen.f_frsize,
        total_bytes=seen.f_blocks * seen.f_frsize,
        free_inodes=seen.f_favail,
        total_inodes=seen.f_files,
    )


def disk_write(data_dir: str) -> Written:
    """Writes and syncs as the journal does. SQLite's own codes lie in groups; this errno does not."""
    try:
        handle, name = tempfile.mkstemp(prefix=".holdfast-probe-", dir=data_dir)
    except OSError as error:
        return Written(errno=error.errno or errno.EIO, median_ms=0.0)
    try:
        return Written(errno=0, median_ms=statistics.median(_write_ms(handle) for _ in range(PROBES)))
    except OSError as error:
        return Written(errno=error.errno or errno.EIO, median_ms=0.0)
    finally:
        os.close(handle)
        Path(name).unlink(missing_ok=True)


def _write_ms(handle: int) -> float:
    began = time.monotonic()
    written = os.write(handle, bytes(PROBE_BYTES))
    if written < PROBE_BYTES:  # a disk that takes half a page is full; the next write says so
        os.write(handle, bytes(PROBE_BYTES - written))
    os.fdatasync(handle)
    return (time.monotonic() - began) * 1000


def till_port(listen: str) -> Port:
    """Tries to bind the till's address as the till would. Raises ValueError when it is not host:port."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a till that just ended looks like a thief
        try:
            probe.bind((host, int(port)))
            probe.listen(1)
        except OSError as error:
            holder = _holder(int(port)) if error.errno == errno.EADDRINUSE else None
            return Port(errno=error.errno or errno.EINVAL, holder=holder)
    return Port(errno=0)


def _holder(port: int) -> str | None:
    """Name and process id of who listens on `port`; None where the kernel does not let us see it."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in wanted for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} ({process.name})"
        except OSError:  # ended meanwhile, or another user's
            continue
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            field = line.split()
            if field[3] == "0A" and int(field[1].rsplit(":", 1)[1], 16) == port:  # 0A: TCP_LISTEN
                yield field[9]
