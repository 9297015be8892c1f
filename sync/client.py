"""The only door to the network: signed requests out, authenticated answers in, every failure put into its class."""

from __future__ import annotations

import math
import secrets
import ssl
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import NamedTuple, TypeVar

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sync.identity import Identity
from sync.protocol.messages import (
    MAX_WIRE_BYTES,
    MEDIA_TYPE,
    Answer,
    Enrol,
    Enrolled,
    Hello,
    MessageError,
    Request,
    pack_message,
    read_message,
)
from sync.protocol.signing import (
    SignatureError,
    SignedAnswer,
    SignedRequest,
    sign_request,
    verify_answer,
)
from sync.retry import Failure

EXCHANGE_PATH = "/sync/v1/exchange"
HELLO_PATH = "/sync/v1/hello"
ENROL_PATH = "/sync/v1/enrol"
NONCE_HEADER = "Holdfast-Nonce"
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0

M = TypeVar("M", bound=msgspec.Struct)


class ExchangeFailedError(Exception):
    """An exchange did not happen; `failure` says of which class. Nothing was lost and nothing was used."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Traffic(NamedTuple):
    """An answer and what it cost."""

    answer: Answer
    bytes_sent: int
    bytes_received: int
    elapsed_s: float


class Problem(msgspec.Struct, kw_only=True):
    """A refusal in the centre's words, as RFC 9457."""

    code: str = ""
    detail: str = ""


def connect(server_url: str, ca_file: str | None = None) -> httpx.Client:
    """An HTTP client; TLS is verified against the system's authorities, or those of a private CA's file."""
    verify = ssl.create_default_context(cafile=ca_file)
    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    return httpx.Client(base_url=server_url.rstrip("/"), verify=verify, timeout=timeout, follow_redirects=False)


class Client:
    """Speaks to one centre as one terminal. `wall_ms` reads the clock."""

    def __init__(self, identity: Identity, http: httpx.Client, wall_ms: Callable[[], int]) -> None:
        self._identity, self._http, self._wall_ms = identity, http, wall_ms
        self._key, self._keys = identity.key, identity.keys_for("answer")

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def exchange(self, request: Request) -> Traffic:
        """One round trip; raises ExchangeFailedError. Signed afresh each time."""
        body, nonce, began = pack_message(request), secrets.token_hex(16), time.monotonic()
        url = str(self._http.base_url).rstrip("/") + EXCHANGE_PATH
        signed = SignedRequest(method="POST", url=url, body=body)
        terminal = self._identity.terminal.hex()
        sign_request(signed, self._key, terminal, terminal=terminal, nonce=nonce, now_ms=self._wall_ms())
        response = _sent(self._http, "POST", EXCHANGE_PATH, body, dict(signed.headers))
        answer = _authenticated(response, self._keys, nonce, Answer)
        return Traffic(answer, len(body), len(response.content), time.monotonic() - began)


def hello(http: httpx.Client, keys: dict[str, Ed25519PublicKey]) -> Hello:
    """Asks the centre who it is; raises ExchangeFailedError, of class line for anything it did not sign."""
    nonce = secrets.token_hex(16)
    response = _sent(http, "GET", HELLO_PATH, b"", {NONCE_HEADER: nonce})
    return _authenticated(response, keys, nonce, Hello)


def enrol(http: httpx.Client, asked: Enrol) -> Enrolled:
    """Joins a centre. The answer is signed by a key it brings itself: TLS and the fingerprint on both screens prove it.

    Raises ExchangeFailedError.
    """
    nonce = secrets.token_hex(16)
    response = _sent(http, "POST", ENROL_PATH, pack_message(asked), {NONCE_HEADER: nonce})
    if response.status != 200:
        raise ExchangeFailedError(_refusal(response))
    try:
        enrolled = read_message(response.content, Enrolled)
    except MessageError as error:
        raise ExchangeFailedError(Failure(kind="line", text=f"This is not a Holdfast centre: {error}")) from error
    keys = {k: Ed25519PublicKey.from_public_bytes(raw) for k, raw in enrolled.keys.items() if k.startswith("answer-")}
    return _authenticated(response, keys, nonce, Enrolled)


class Reply(NamedTuple):
    """An answer as it came, not yet believed."""

    status: int
    headers: httpx.Headers
    content: bytes


def _sent(http: httpx.Client, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
    headers = {**headers, "Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE}
    try:
        with http.stream(method, path, content=body, headers=headers) as response:
            return Reply(response.status_code, response.headers, _read_bounded(response))
    except httpx.HTTPError as error:
        raise ExchangeFailedError(Failure(kind="line", text=f"{type(error).__name__}: {error}")) from error


def _read_bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > MAX_WIRE_BYTES:
            raise ExchangeFailedError(Failure(kind="body", text=f"an answer above {MAX_WIRE_BYTES} bytes"))
    return bytes(content)


def _authenticated(response: Reply, keys: dict[str, Ed25519PublicKey], nonce: str, shape: type[M]) -> M:
    answer = SignedAnswer(status_code=response.status, body=response.content, headers=dict(response.headers))
    try:
        verify_answer(answer, keys, nonce=nonce)
    except SignatureError as error:
        text = f"answered {response.status}, but not by the centre ({error}): a portal or proxy in between?"
        raise ExchangeFailedError(Failure(kind="line", text=text, code="line.unsigned")) from error
    if response.status != 200:
        raise ExchangeFailedError(_refusal(response))
    try:
        return read_message(response.content, shape)
    except MessageError as error:
        raise ExchangeFailedError(Failure(kind="body", text=str(error))) from error


def _refusal(response: Reply) -> Failure:
    """A refusal that the centre signed, by its status."""
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        problem = Problem()
    text, status = problem.detail or f"HTTP {response.status}", response.status
    if status in (429, 503):
        wait = _retry_after_s(response.headers.get("Retry-After"))
        return Failure(kind="busy", text=text, retry_after_s=wait, code=problem.code)
    if status in (401, 403):
        return Failure(kind="identity", text=text, code=problem.code)
    if status in (409, 422, 426):
        return Failure(kind="contract", text=text, code=problem.code)
    return Failure(kind="line" if status >= 500 else "contract", text=text, code=problem.code)


def _retry_after_s(value: str | None) -> float | None:
    """Retry-After in seconds (RFC 9110, 10.2.3): a number, or a date."""
    if value is None:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
