"""Gatherers of the network below HTTP: interfaces, gateways, names, TCP, TLS."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import ssl
import struct
import time
from functools import partial
from pathlib import Path

from cryptography import x509

from agent.diagnosis.facts import Certificate, Dial, Gateway, Link, Resolved, Tls, TlsFault
from agent.diagnosis.model import Fact, Unknown
from agent.diagnosis.timed import Started

TCP_LIMIT_S = 2.0
TLS_LIMIT_S = 1.5
IFF_UP = 0x1
ATF_COM = 0x2  # linux/if_arp.h: the neighbour's hardware address is known
RTF_GATEWAY = 0x2  # linux/route.h

# OpenSSL's X509_V_ERR_* codes, by what a person has to do about them
VERIFY_FAULTS: dict[int, TlsFault] = {9: "dates", 10: "dates", 62: "name", 64: "name"}


def links(root: Path = Path("/sys/class/net")) -> tuple[Link, ...]:
    """Interfaces that could lead outside: real ones, and virtual ones that are not a bridge or a bridge's port."""
    names = sorted(folder.name for folder in root.iterdir() if folder.name != "lo")
    return tuple(_link(root / name) for name in names if _outward(root / name))


def _outward(folder: Path) -> bool:
    return (folder / "device").exists() or not ((folder / "bridge").exists() or (folder / "master").exists())


def _link(folder: Path) -> Link:
    on = bool(int((folder / "flags").read_text(), 16) & IFF_UP)
    try:
        carrier = (folder / "carrier").read_text().strip() == "1"
    except OSError:  # EINVAL: an interface that is off has no carrier to speak of
        carrier = False
    return Link(name=folder.name, on=on, carrier=carrier)


def gateways(proc_net: Path = Path("/proc/net")) -> tuple[Gateway, ...]:
    """Default routes of both families; whether an IPv6 gateway answers is not told here and taken for yes."""
    silent = _silent_neighbours(proc_net / "arp")
    return tuple(_gateways4(proc_net / "route", silent) + _gateways6(proc_net / "ipv6_route"))


def _rows(table: Path, header: int) -> list[list[str]]:
    lines = table.read_text().splitlines() if table.exists() else []
    return [line.split() for line in lines[header:]]


def _silent_neighbours(arp: Path) -> set[str]:
    return {row[0] for row in _rows(arp, 1) if not int(row[2], 16) & ATF_COM}


def _gateways4(route: Path, silent: set[str]) -> list[Gateway]:
    found = []
    for row in _rows(route, 1):
        if row[1] != "00000000" or row[7] != "00000000":
            continue
        address = socket.inet_ntoa(struct.pack("=I", int(row[2], 16))) if int(row[3], 16) & RTF_GATEWAY else ""
        found.append(Gateway(interface=row[0], address=address, answers=address not in silent))
    return found


def _gateways6(route: Path) -> list[Gateway]:
    return [
        Gateway(interface=row[9], address=str(ipaddress.IPv6Address(int(row[4], 16))), answers=True)
        for row in _rows(route, 0)
        if row[0] == "0" * 32 and row[1] == "00" and row[9] != "lo"
    ]


def resolve(host: str, port: int) -> Resolved:
    """Asks the machine's own resolver, since that is what the exchange will ask. May take 10 s when nothing answers."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        names = {getattr(socket, name): name for name in dir(socket) if name.startswith("EAI_")}
        return Resolved(host=host, error=names.get(error.errno or 0, str(error.errno)))
    return Resolved(host=host, addresses=tuple(dict.fromkeys(str(entry[4][0]) for entry in found)))


def dial(addresses: tuple[str, ...], port: int) -> tuple[Dial, ...]:
    """Connects to every address at once and closes again."""
    started = [Started(partial(_dial, address, port), TCP_LIMIT_S + 0.5) for address in addresses]
    facts = [attempt.fact() for attempt in started]
    return tuple(_dialled(address, fact) for address, fact in zip(addresses, facts, strict=True))


def _dialled(address: str, fact: Fact[Dial]) -> Dial:
    if isinstance(fact, Unknown):
        return Dial(address=address, errno=errno.ETIMEDOUT, took_ms=TCP_LIMIT_S * 1000)
    return fact.value


def _dial(address: str, port: int) -> Dial:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    began = time.monotonic()
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(TCP_LIMIT_S)
        code = client.connect_ex((address, port))
    # with a time limit, EAGAIN is Python's word for "the limit passed"
    code = errno.ETIMEDOUT if code in (errno.EAGAIN, errno.EINPROGRESS) else code
    return Dial(address=address, errno=code, took_ms=(time.monotonic() - began) * 1000)


def handshake(address: str, port: int, host: str) -> Tls:
    """A verified TLS handshake. On failure the certificate is read by a second, unverified one that sends nothing."""
    try:
        with _wrapped(address, port, host, ssl.create_default_context()):
            return Tls(fault="none")
    except ssl.SSLCertVerificationError as error:
        fault = VERIFY_FAULTS.get(error.verify_code, "issuer")
        shown = _certificate(address, port, host)
        return Tls(fault=fault, verify_code=error.verify_code, detail=error.verify_message, certificate=shown)
    except TimeoutError as error:
        return Tls(fault="silent", detail=str(error))
    except ssl.SSLError as error:
        return Tls(fault=_protocol_fault(error.reason or ""), detail=error.reason or str(error))
    except OSError as error:
        return Tls(fault="cut", detail=os.strerror(error.errno) if error.errno else str(error))


def _protocol_fault(reason: str) -> TlsFault:
    if "WRONG_VERSION_NUMBER" in reason or "HTTP_REQUEST" in reason or "RECORD_LAYER" in reason:
        return "not_tls"
    if "EOF" in reason:
        return "cut"
    return "version"


def _wrapped(address: str, port: int, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    raw = socket.create_connection((address, port), TLS_LIMIT_S)
    try:
        return context.wrap_socket(raw, server_hostname=host)
    except BaseException:
        raw.close()
        raise


def _certificate(address: str, port: int, host: str) -> Certificate | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with _wrapped(address, port, host, context) as wrapped:
            shown = wrapped.getpeercert(binary_form=True)
        return read_certificate(shown) if shown else None
    except (OSError, ValueError):
        return None


def read_certificate(der: bytes) -> Certificate:
    """The names, issuer and dates of a certificate; raises ValueError when it is none."""
    certificate = x509.load_der_x509_certificate(der)
    return Certificate(
        names=_names(certificate),
        issuer=certificate.issuer.rfc4514_string(),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)
