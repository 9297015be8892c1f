"""Gathers all facts side by side, each with its own limit. Impure, timed, never raises."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from agent.diagnosis import gather_machine as machine
from agent.diagnosis.facts import Facts, LineFacts
from agent.diagnosis.gather_line import VerifyHello, centre_at, gather_line, line_unasked
from agent.diagnosis.model import Fact
from agent.diagnosis.situation import Configuration, Situation
from agent.diagnosis.timed import Started, skipped

T = TypeVar("T")

LOCAL_LIMIT_S = 1.5  # all of these take milliseconds; a till that is just starting may need a second
DISK_LIMIT_S = 2.0
READER_CONFIGURATION = Path("/etc/reader.conf.d")


def gather(situation: Situation, verify_hello: VerifyHello, *, quick: bool = False) -> Facts:
    """All facts for one examination, within 10 s; `quick` asks nothing of the network and takes half a second."""
    known = situation.configuration
    readers = known.readers if known is not None else ()
    socket = Started(lambda: machine.pcsc_socket(situation.pcsc_socket), LOCAL_LIMIT_S)
    service = Started(lambda: machine.service("pcscd.service"), LOCAL_LIMIT_S)
    installed = Started(machine.pcscd_installed, LOCAL_LIMIT_S)
    libraries = Started(lambda: machine.missing_libraries(READER_CONFIGURATION), LOCAL_LIMIT_S)
    nodes = Started(lambda: machine.device_nodes(readers), LOCAL_LIMIT_S)
    space = Started(lambda: machine.disk_space(known.data_dir), DISK_LIMIT_S) if known else None
    written = Started(lambda: machine.disk_write(known.data_dir), DISK_LIMIT_S) if known else None
    port = (
        Started(lambda: machine.till_port(known.listen), LOCAL_LIMIT_S)
        if known and not situation.till_listening
        else None
    )
    line = _line(known, verify_hello, quick=quick)
    return Facts(
        situation=situation,
        socket=socket.fact(),
        service=service.fact(),
        pcscd_installed=installed.fact(),
        missing_libraries=libraries.fact(),
        nodes=nodes.fact(),
        line=line,
        space=_or_skipped(space, "no configuration"),
        written=_or_skipped(written, "no configuration"),
        port=_or_skipped(port, "the till itself listens" if known else "no configuration"),
    )


def _line(known: Configuration | None, verify_hello: VerifyHello, *, quick: bool) -> LineFacts:
    centre = centre_at(known.server_url) if known else None
    if centre is None:
        return line_unasked("no server in the configuration")
    if quick:
        return line_unasked("not asked in a quick examination")
    return gather_line(centre, verify_hello)


def _or_skipped(started: Started[T] | None, why: str) -> Fact[T]:
    return started.fact() if started is not None else skipped(why)
