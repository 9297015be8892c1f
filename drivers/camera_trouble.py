"""Why a camera gives no pictures: finds the cause that OpenCV does not tell, and words it with its cure."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

PROBE_S = 2.0  # for each step of a probe over the network


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A finding code (camera.absent, camera.busy, camera.frozen, camera.refused, reader.not_permitted) and its text."""

    code: str
    text: str


def is_device(source: str) -> bool:
    return source.startswith("/dev/")


def is_network(source: str) -> bool:
    return "://" in source


def public_name(source: str) -> str:
    """The source without a password, fit for logs."""
    if not is_network(source):
        return source
    at = urlsplit(source)
    return at._replace(netloc=at.netloc.rpartition("@")[2]).geturl()


def why_not_open(source: str) -> Trouble:
    """Looks at a source that could not be opened, or that stopped."""
    if is_network(source):
        return _network(source)
    return _device(source) if is_device(source) else _file(source)


def silent(source: str) -> Trouble:
    """A source that is open and sends nothing."""
    cure = "Restart it, or unplug it for 5 seconds" if not is_device(source) else "Unplug it for 5 seconds"
    return Trouble(code="camera.frozen", text=f"{public_name(source)} sends no pictures. {cure}")


def gone(source: str) -> Trouble:
    """A source that gave pictures until now."""
    return _absent(source, "its pictures ended")


def repeating(source: str) -> Trouble:
    text = f"{public_name(source)} sends the same picture over and over. Restart it, or unplug it for 5 seconds"
    return Trouble(code="camera.frozen", text=text)


def _absent(source: str, why: str) -> Trouble:
    return Trouble(code="camera.absent", text=f"{public_name(source)} is not there ({why}). Check cable and power")


def _device(path: str) -> Trouble:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return _busy(path)
        if error.errno in (errno.EACCES, errno.EPERM):
            cure = "sudo usermod -aG video $USER, then sign in again"
            return Trouble(code="reader.not_permitted", text=f"{path} may not be opened by this user. Fix: {cure}")
        return _absent(path, str(error.strerror))
    return _busy(path)  # a USB camera in use can be opened once more; only its pictures are refused


def _busy(path: str) -> Trouble:
    return Trouble(code="camera.busy", text=f"{path} is in use by another program. Find it: fuser -v {path}")


def _file(path: str) -> Trouble:
    if not Path(path).exists():
        return _absent(path, "no such file")
    return Trouble(code="camera.refused", text=f"{path} is not a film or picture that can be read")


def _network(source: str) -> Trouble:
    at = urlsplit(source)
    try:
        if at.scheme in ("http", "https"):
            return _http(source, at)
        socket.create_connection((at.hostname or "", at.port or 554), PROBE_S).close()
    except TimeoutError:
        return silent(source)
    except (OSError, http.client.HTTPException) as error:
        return _absent(source, str(error) or type(error).__name__)
    except ValueError as error:
        return Trouble(code="camera.refused", text=f"{public_name(source)} is not an address: {error}")
    return Trouble(code="camera.refused", text=f"{public_name(source)} answers, but not with pictures")


def _http(source: str, at: SplitResult) -> Trouble:
    connection = _connection(at)
    try:
        connection.request("GET", (at.path or "/") + (f"?{at.query}" if at.query else ""), headers=_credentials(at))
        answer = connection.getresponse()
        if answer.status in (http.client.SERVICE_UNAVAILABLE, http.client.TOO_MANY_REQUESTS):
            text = f"{public_name(source)} serves others already ({answer.status} {answer.reason}). Close other viewers"
            return Trouble(code="camera.busy", text=text)
        if answer.status >= 400:
            text = f"{public_name(source)} refuses ({answer.status} {answer.reason}). Check address and password"
            return Trouble(code="camera.refused", text=text)
        if answer.read1(1) == b"":
            return _absent(source, "it closed the stream")
    finally:
        connection.close()
    return Trouble(code="camera.refused", text=f"{public_name(source)} answers, but not with pictures")


def _connection(at: SplitResult) -> http.client.HTTPConnection:
    host = at.hostname or ""
    if at.scheme == "http":
        return http.client.HTTPConnection(host, at.port, timeout=PROBE_S)
    lenient = ssl.create_default_context()  # cameras sign their own certificates; nothing secret is read here
    lenient.check_hostname, lenient.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, at.port, timeout=PROBE_S, context=lenient)


def _credentials(at: SplitResult) -> dict[str, str]:
    if at.username is None:
        return {}
    pair = f"{unquote(at.username)}:{unquote(at.password or '')}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
