"""The line's gatherers against real sockets, real TLS and a real HTTP server, judged end to end."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent.diagnosis import gather_network
from agent.diagnosis.examine import examine
from agent.diagnosis.facts import Answer
from agent.diagnosis.gather_line import HelloVerdict, centre_at, greet
from agent.diagnosis.model import Finding, Report
from agent.diagnosis.situation import Configuration, Queue, Situation
from tests.rigs.certificates import make_issuer, server_context

Answering = Callable[[BaseHTTPRequestHandler], None]
SIGNATURE = "x-signed-for"


def verify(nonce: str, status: int, headers: Mapping[str, str], body: bytes) -> HelloVerdict:
    """Stands for the exchange's own verification: the header must name our nonce."""
    signed = headers.get(SIGNATURE) == nonce
    return HelloVerdict(signed=signed, centre_time_s=time.time() + float(headers.get("x-skew", "0")), protocol=1)


def answer(status: int, body: bytes = b"<html>page</html>", **headers: str) -> Answering:
    def reply(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return reply


def centre(status: int = 200, skew_s: float = 0.0) -> Answering:
    """The centre itself: a token in plain, a signed greeting."""

    def reply(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/.well-known/holdfast":
            answer(200, b"holdfast 1\n")(request)
        else:
            nonce = request.path.partition("nonce=")[2]
            answer(status, b"{}", **{SIGNATURE: nonce, "x-skew": str(skew_s)})(request)

    return reply


@contextmanager
def serving(reply: Answering, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A web server on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def finish_request(self, request: object, client_address: object) -> None:
            if context is None:
                super().finish_request(request, client_address)
                return
            try:
                with context.wrap_socket(request, server_side=True) as secured:
                    super().finish_request(secured, client_address)
            except OSError:  # a client that refuses our certificate hangs up: that is the test
                pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def listening(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A bare TCP listener: each connection is handed to `talk` and kept open till the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def run() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                kept.append(client)
                talk(client)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for client in kept:
                client.close()


def examined(url: str, folder: Path, quick: bool = False, pending: int = 0) -> Report:
    configuration = Configuration(data_dir=str(folder), server_url=url, listen="127.0.0.1:0")
    situation = Situation(now=time.time(), configuration=configuration, queue=Queue(pending=pending))
    return examine(situation, verify, quick)


def line_finding(url: str, folder: Path) -> Finding:
    """The one finding about the way to the centre; the machine's own network plays no part on the loopback."""
    areas = ("line", "centre", "clock", "version")
    shown = [finding for finding in examined(url, folder).shown if finding.area in areas]
    assert len(shown) == 1, [(finding.code, finding.reason) for finding in shown]
    return shown[0]


def outcome(url: str, folder: Path) -> tuple[str, str]:
    finding = line_finding(url, folder)
    return finding.code, finding.reason


def test_a_signed_greeting_from_the_centre_leaves_nothing_to_say(tmp_path: Path) -> None:
    with serving(centre()) as port:
        report = examined(f"http://127.0.0.1:{port}", tmp_path)
    assert [finding.code for finding in report.findings if finding.area != "storage"] == []
    assert report.undecided == ()


def test_each_greeting_carries_a_fresh_nonce() -> None:
    seen = []

    def reply(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.path)
        centre()(request)

    with serving(reply) as port:
        where = centre_at(f"http://127.0.0.1:{port}/")
        assert where is not None
        answers = [greet(where, verify) for _ in range(2)]
    assert all(isinstance(each, Answer) and each.signed for each in answers)
    assert len(set(seen)) == 2
    assert all(path.startswith("/sync/v1/hello?nonce=") for path in seen)


def test_a_time_that_nobody_signed_is_no_time() -> None:
    with serving(answer(200, **{"x-skew": "-7200"})) as port:
        where = centre_at(f"http://127.0.0.1:{port}")
        assert where is not None
        unsigned = greet(where, verify)
    assert isinstance(unsigned, Answer)
    assert (unsigned.offset_s, unsigned.protocol) == (None, None)


def test_a_closed_port_is_a_refusal(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert outcome(f"http://127.0.0.1:{port}", tmp_path) == ("line.tcp", "refused")


def test_a_host_that_swallows_connections_is_a_timeout(tmp_path: Path) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # a full backlog: the kernel drops what comes after
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        try:
            assert outcome(f"http://127.0.0.1:{port}", tmp_path) == ("line.tcp", "timeout")
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_centre_that_accepts_and_says_nothing_is_silent(scheme: str, tmp_path: Path) -> None:
    with listening(lambda client: None) as port:
        assert outcome(f"{scheme}://127.0.0.1:{port}", tmp_path) == ("centre.down", "silent")


def test_a_centre_that_drips_its_answer_for_ever_is_silent_too(tmp_path: Path) -> None:
    stop = threading.Event()

    def drip(client: socket.socket) -> None:
        def run() -> None:
            try:
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")
                while not stop.wait(0.2):
                    client.sendall(b"x")
            except OSError:
                pass

        threading.Thread(target=run, daemon=True).start()

    try:
        with listening(drip) as port:
            assert outcome(f"http://127.0.0.1:{port}", tmp_path) == ("centre.down", "silent")
    finally:
        stop.set()


def test_a_centre_that_hangs_up_is_cut(tmp_path: Path) -> None:
    with listening(lambda client: client.shutdown(socket.SHUT_RDWR)) as port:
        assert outcome(f"http://127.0.0.1:{port}", tmp_path) == ("centre.down", "cut")


def test_something_that_is_no_web_server_is_garbage(tmp_path: Path) -> None:
    with listening(lambda client: client.sendall(b"220 mail ready\r\n\r\n")) as port:
        assert outcome(f"http://127.0.0.1:{port}", tmp_path) == ("centre.down", "garbage")


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (answer(200), ("line.portal", "page")),
        (answer(302, Location="http://login.hotspot.example/"), ("line.portal", "redirect")),
        (answer(401), ("line.portal", "refused")),
        (answer(403), ("line.portal", "refused")),
        (answer(511), ("line.portal", "status_511")),
        (answer(404), ("line.portal", "unsigned")),
        (answer(502), ("centre.down", "failing")),
        (answer(503), ("centre.down", "failing")),
        (centre(401), ("centre.refused", "refused")),
        (centre(403), ("centre.refused", "refused")),
        (centre(503), ("centre.busy", "busy")),
        (centre(426), ("centre.version", "too_old")),
        (centre(500), ("centre.down", "error")),
        (centre(skew_s=-7200), ("clock.wrong", "far")),
        (centre(skew_s=90), ("clock.wrong", "drift")),
    ],
)
def test_only_a_signature_makes_an_answer_the_centres_own(
    reply: Answering, found: tuple[str, str], tmp_path: Path
) -> None:
    with serving(reply) as port:
        assert outcome(f"http://127.0.0.1:{port}", tmp_path) == found


def test_a_verifier_that_crashes_leaves_the_line_undecided_and_not_found_well(tmp_path: Path) -> None:
    def broken(nonce: str, status: int, headers: Mapping[str, str], body: bytes) -> HelloVerdict:
        raise RuntimeError("planted")

    with serving(centre()) as port:
        configuration = Configuration(
            data_dir=str(tmp_path), server_url=f"http://127.0.0.1:{port}", listen="127.0.0.1:0"
        )
        report = examine(Situation(now=time.time(), configuration=configuration), broken)
    doubts = {doubt.code: doubt.missing[0].why for doubt in report.undecided}
    assert doubts["centre.down"] == "crashed"


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ({"begins_days": -60, "ends_days": -2}, "dates"),
        ({"begins_days": 2, "ends_days": 60}, "dates"),
        ({"host": "other.example"}, "name"),
    ],
)
def test_a_certificate_is_judged_by_what_is_wrong_with_it(
    certificate: dict[str, float], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = make_issuer(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(issuer.file))
    with serving(centre(), server_context(tmp_path, issuer, **certificate)) as port:
        finding = line_finding(f"https://localhost:{port}", tmp_path)
    assert (finding.code, finding.reason) == ("line.tls", reason)
    if reason == "name":
        assert "other.example" in finding.text


def test_an_issuer_that_this_machine_does_not_know_is_named(tmp_path: Path) -> None:
    stranger = make_issuer(tmp_path, "Strange Inspector")
    with serving(centre(), server_context(tmp_path, stranger)) as port:
        finding = line_finding(f"https://localhost:{port}", tmp_path)
    assert (finding.code, finding.reason) == ("line.tls", "issuer")
    assert "Strange Inspector" in finding.cause


def test_a_trusted_centre_over_tls_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = make_issuer(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(issuer.file))
    with serving(centre(), server_context(tmp_path, issuer)) as port:
        report = examined(f"https://localhost:{port}", tmp_path)
    assert [finding.code for finding in report.findings if finding.area in ("line", "centre")] == []
    assert report.undecided == ()


def test_plain_http_on_a_port_for_tls_is_told_as_such(tmp_path: Path) -> None:
    with serving(centre()) as port:
        assert outcome(f"https://localhost:{port}", tmp_path) == ("line.tls", "not_tls")


def test_a_name_that_nobody_knows_is_found_at_the_first_stage(tmp_path: Path) -> None:
    report = examined("https://no-such-host.invalid", tmp_path)
    roots = {finding.code for finding in report.findings if finding.area == "line"}
    assert "line.dns" in roots
    assert not roots & {"line.tcp", "line.tls", "line.portal", "centre.down"}
    later = {doubt.code: doubt.hidden_by for doubt in report.undecided}
    assert later["line.tcp"] is not None


def test_a_quick_examination_asks_nothing_of_the_network(tmp_path: Path) -> None:
    calls: list[socket.socket] = []
    with listening(calls.append) as port:
        report = examined(f"http://127.0.0.1:{port}", tmp_path, quick=True)
    assert calls == []
    assert {doubt.missing[0].why for doubt in report.undecided} == {"skipped"}


def planted_link(root: Path, name: str, *, flags: str, carrier: str | None, device: bool = True) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "flags").write_text(flags)
    if carrier is not None:
        (folder / "carrier").write_text(carrier)
    if device:
        (folder / "device").mkdir()


def test_links_leave_out_the_loopback_and_the_bridges_of_containers(tmp_path: Path) -> None:
    planted_link(tmp_path, "lo", flags="0x9", carrier="1", device=False)
    planted_link(tmp_path, "eth0", flags="0x1003", carrier="0\n")
    planted_link(tmp_path, "wlan0", flags="0x1002", carrier=None)
    planted_link(tmp_path, "docker0", flags="0x1003", carrier="1", device=False)
    (tmp_path / "docker0" / "bridge").mkdir()
    found = {link.name: (link.on, link.carrier) for link in gather_network.links(tmp_path)}
    assert found == {"eth0": (True, False), "wlan0": (False, False)}


def test_a_gateway_that_the_neighbour_table_knows_as_unreachable_does_not_answer(tmp_path: Path) -> None:
    head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
    (tmp_path / "route").write_text(head + "eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n")
    (tmp_path / "arp").write_text("head\n192.0.2.1 0x1 0x0 00:00:00:00:00:00 * eth0\n")
    (gateway,) = gather_network.gateways(tmp_path)
    assert (gateway.address, gateway.answers) == ("192.0.2.1", False)
    (tmp_path / "arp").write_text("head\n192.0.2.1 0x1 0x2 02:00:00:00:00:01 * eth0\n")
    assert gather_network.gateways(tmp_path)[0].answers
