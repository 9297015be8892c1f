"""The door to the network: every failure in its class, by a real server that behaves badly."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from golden import golden

from loyalty.ids import TerminalId
from sync import client
from sync.client import Client, ExchangeFailedError
from sync.identity import Identity
from sync.protocol.messages import MAX_WIRE_BYTES, Answer, Request, pack_message, read_message
from sync.protocol.signing import SignedAnswer, sign_answer
from sync.retry import Failure

CENTRE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
KID = "answer-00000001"
NOW_MS = 1_790_000_000_000
TERMINAL = TerminalId(bytes(range(16)))
REQUEST = read_message(bytes.fromhex(golden("request.json")[0]["wire"]), Request)
GOOD = bytes.fromhex(golden("answer.json")[0]["wire"])
PORTAL = b"<html><title>Welcome to the hotel</title></html>"

Behaviour = Callable[[BaseHTTPRequestHandler, str], None]


@contextmanager
def centre(behave: Behaviour) -> Iterator[str]:
    """A server on loopback; `behave` gets the handler and the request's nonce."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            found = re.search(r'nonce="([^"]+)"', self.headers["Signature-Input"])
            assert found is not None
            behave(self, found.group(1))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def say(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    *,
    nonce: str | None = None,
    key: Ed25519PrivateKey = CENTRE,
    sent: bytes | None = None,
    **headers: str,
) -> None:
    """An answer; signed when a nonce is given. `sent` is what really goes out instead of the body."""
    answer = SignedAnswer(status_code=status, body=body)
    if nonce is not None:
        sign_answer(answer, key, KID, nonce=nonce, now_ms=NOW_MS)
    handler.send_response(status)
    for name, value in {**answer.headers, "Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body if sent is None else sent)


def identity() -> Identity:
    return Identity(
        terminal=TERMINAL,
        enrolment=bytes(16),
        outlet="rome",
        private_key=bytes(32),
        centre_keys={KID: CENTRE.public_key().public_bytes_raw()},
        token_key=bytes(32),
        token_key_id=1,
        code_key=bytes(32),
    )


def exchange(url: str, timeout_s: float = 20.0) -> client.Traffic:
    http = httpx.Client(base_url=url, timeout=timeout_s)
    speaking = Client(identity(), http, lambda: NOW_MS)
    try:
        return speaking.exchange(REQUEST)
    finally:
        speaking.close()


def failure(url: str, timeout_s: float = 20.0) -> Failure:
    with pytest.raises(ExchangeFailedError) as failed:
        exchange(url, timeout_s)
    return failed.value.failure


def failure_of(behave: Behaviour, timeout_s: float = 20.0) -> Failure:
    with centre(behave) as url:
        return failure(url, timeout_s)


def test_a_signed_answer_to_our_request_is_believed() -> None:
    with centre(lambda handler, nonce: say(handler, 200, GOOD, nonce=nonce)) as url:
        traffic = exchange(url)
    assert traffic.answer == read_message(GOOD, Answer)
    assert (traffic.bytes_sent, traffic.bytes_received) == (len(pack_message(REQUEST)), len(GOOD))


def test_nobody_listening_is_a_broken_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert failure(f"http://127.0.0.1:{taken.getsockname()[1]}").kind == "line"


def test_a_name_that_nobody_knows_is_a_broken_line() -> None:
    assert failure("http://centre.invalid").kind == "line"


def test_a_connection_that_is_cut_is_a_broken_line() -> None:
    assert failure_of(lambda handler, _: handler.connection.shutdown(socket.SHUT_RDWR)).kind == "line"


def test_a_centre_that_never_answers_is_a_broken_line() -> None:
    over = threading.Event()
    try:
        assert failure_of(lambda *_: over.wait(30) and None, timeout_s=0.3).kind == "line"
    finally:
        over.set()


def test_an_answer_cut_in_the_middle_is_a_broken_line() -> None:
    def cut(handler: BaseHTTPRequestHandler, nonce: str) -> None:
        say(handler, 200, GOOD, nonce=nonce, sent=GOOD[:40])
        handler.connection.shutdown(socket.SHUT_RDWR)

    assert failure_of(cut).kind == "line"


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 409, 429, 500, 503, 511])
def test_whatever_the_centre_did_not_sign_is_a_broken_line(status: int) -> None:
    found = failure_of(lambda handler, _: say(handler, status, PORTAL, Location="http://portal/", Retry_After="1"))
    assert (found.kind, found.code, found.retry_after_s) == ("line", "line.unsigned", None)


def test_an_answer_signed_by_somebody_else_is_a_broken_line() -> None:
    assert failure_of(lambda handler, nonce: say(handler, 200, GOOD, nonce=nonce, key=STRANGER)).kind == "line"


def test_an_answer_to_another_request_is_a_broken_line() -> None:
    assert failure_of(lambda handler, _: say(handler, 200, GOOD, nonce="another")).kind == "line"


def test_an_answer_with_another_body_than_was_signed_is_a_broken_line() -> None:
    wrong = GOOD[:-1] + bytes([GOOD[-1] ^ 1])
    assert failure_of(lambda handler, nonce: say(handler, 200, GOOD, nonce=nonce, sent=wrong)).kind == "line"


REFUSAL = b'{"code": "terminal.revoked", "detail": "This terminal was revoked."}'


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "identity"),
        (403, "identity"),
        (409, "contract"),
        (422, "contract"),
        (426, "contract"),
        (429, "busy"),
        (500, "line"),
        (503, "busy"),
    ],
)
def test_a_refusal_that_the_centre_signed_is_of_its_class_and_says_why(status: int, kind: str) -> None:
    found = failure_of(lambda handler, nonce: say(handler, status, REFUSAL, nonce=nonce))
    assert (found.kind, found.code, found.text) == (kind, "terminal.revoked", "This terminal was revoked.")


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [("17", 17.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("inf", None), ("nan", None), (formatdate(0), 0.0)],
)
def test_retry_after_is_read_as_seconds_or_date(value: str, expected_s: float | None) -> None:
    found = failure_of(lambda handler, nonce: say(handler, 503, REFUSAL, nonce=nonce, Retry_After=value))
    assert (found.kind, found.retry_after_s) == ("busy", expected_s)


@pytest.mark.parametrize("body", [b"", b"garbage", GOOD[:60], pack_message(REQUEST)])
def test_a_signed_answer_that_cannot_be_read_is_a_bad_body(body: bytes) -> None:
    assert failure_of(lambda handler, nonce: say(handler, 200, body, nonce=nonce)).kind == "body"


def test_an_answer_above_all_bounds_is_left_unread() -> None:
    def endless(handler: BaseHTTPRequestHandler, _: str) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(MAX_WIRE_BYTES // 65_536 + 64):
                handler.wfile.write(bytes(65_536))
        except OSError:
            pass

    assert failure_of(endless).kind == "body"


def test_each_try_is_signed_afresh() -> None:
    nonces: list[str] = []

    def note(handler: BaseHTTPRequestHandler, nonce: str) -> None:
        nonces.append(nonce)
        say(handler, 503, REFUSAL, nonce=nonce)

    with centre(note) as url:
        failure(url)
        failure(url)
    assert len(set(nonces)) == 2


def test_a_connection_verifies_tls_against_the_ca_that_is_given(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        client.connect("https://centre.example", str(tmp_path / "missing.pem"))
