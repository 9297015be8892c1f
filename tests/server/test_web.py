"""The centre on the network, over a real socket: every answer to a terminal is signed and bound, and nothing unsigned
or unreadable is applied or breaks it."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from server import schema, terminals
from server.web import PORTAL_TOKEN, app
from sync.protocol import messages
from sync.protocol.messages import (
    MAX_PLAIN_BYTES,
    MAX_WIRE_BYTES,
    Answer,
    Enrol,
    Enrolled,
    Hello,
    pack_message,
    read_message,
    zstd,
)
from sync.protocol.signing import SignatureError, SignedAnswer, SignedRequest, sign_request, verify_answer
from tests.rigs.centre import Centre, Till

FRAMEWORK = (400, 413)  # may answer plainly before any of ours is asked


class Served:
    """A centre behind a real uvicorn on a free port."""

    def __init__(self, centre: Centre) -> None:
        self.centre = centre
        config = uvicorn.Config(app(centre.store, centre.keys, lambda: centre.now_ms), log_level="critical")
        self._server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.http = httpx.Client(base_url=self.url, timeout=30)
        self.keys = {
            kid: Ed25519PublicKey.from_public_bytes(raw)
            for kid, raw in centre.keys.public().items()
            if kid.startswith("answer-")
        }

    def close(self) -> None:
        """Ends it."""
        self.http.close()
        self._server.should_exit = True
        self._thread.join(20)
        self.centre.store.engine.dispose()

    def verified(self, response: httpx.Response, nonce: str) -> bytes:
        """The body, if the centre signed it for this nonce; raises SignatureError."""
        signed = SignedAnswer(status_code=response.status_code, body=response.content, headers=dict(response.headers))
        verify_answer(signed, self.keys, nonce=nonce)
        return response.content

    def problem(self, response: httpx.Response, nonce: str) -> tuple[int, str]:
        """(status, code) of a signed refusal."""
        body = msgspec.json.decode(self.verified(response, nonce))
        assert response.headers["content-type"].startswith("application/problem+json") and body["detail"]
        assert body["status"] == response.status_code
        return response.status_code, body["code"]

    def signed(self, till: Till, body: bytes, **changed: Any) -> tuple[SignedRequest, str]:
        """A request as a terminal signs it."""
        request, nonce = (
            SignedRequest(method="POST", url=f"{self.url}/sync/v1/exchange", body=body),
            secrets.token_hex(16),
        )
        name = till.terminal.hex()
        now_ms = self.centre.now_ms + changed.get("ahead_ms", 0)
        key = changed.get("key", till.private)
        sign_request(request, key, name, terminal=name, nonce=changed.get("nonce", nonce), now_ms=now_ms)
        return request, changed.get("nonce", nonce)

    def send(self, request: SignedRequest, body: bytes | None = None) -> httpx.Response:
        """It is sent."""
        content = request.body if body is None else body
        return self.http.post("/sync/v1/exchange", content=content, headers=dict(request.headers))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(Centre(tmp_path_factory.mktemp("web")))
    yield running
    running.close()


@pytest.fixture
def till(served: Served) -> Till:
    return served.centre.enrol()


def rows(served: Served) -> int:
    count: int = served.centre.all(sa.select(sa.func.count()).select_from(schema.rows))[0][0]
    return count


# -- who it is ---------------------------------------------------------------------------------


def test_hello_is_signed_and_bound_to_the_nonce(served: Served) -> None:
    response = served.http.get("/sync/v1/hello", headers={"Holdfast-Nonce": "abc-123"})
    said = read_message(served.verified(response, "abc-123"), Hello)
    assert said.time_ms == served.centre.now_ms and said.protocol == (1, 1)
    with pytest.raises(SignatureError):
        served.verified(response, "another")
    asked = served.http.get("/sync/v1/hello?nonce=q1")
    assert served.verified(asked, "q1")


@pytest.mark.parametrize("nonce", ['a"b', "\xe9\xe8", "x" * 129, "a b", ""])
def test_a_nonce_that_no_terminal_makes_binds_the_answer_to_nothing(served: Served, nonce: str) -> None:
    response = served.http.get("/sync/v1/hello", headers={"Holdfast-Nonce": nonce.encode("latin-1")})
    assert response.status_code == 200 and served.verified(response, "")


def test_the_portal_word_is_plain_and_health_tells_the_generation(served: Served) -> None:
    response = served.http.get("/.well-known/holdfast")
    assert response.text == PORTAL_TOKEN and "signature" not in response.headers
    assert served.http.get("/healthz").json() == {"status": "ok", "generation": (b"G" * 16).hex()}
    assert "holdfast_rows_total" in served.http.get("/metrics").text


# -- joining -----------------------------------------------------------------------------------


def enrol(served: Served, code: str, proof_of: str | None = None) -> tuple[httpx.Response, str]:
    """A terminal asks to join with a code."""
    key, nonce = Ed25519PrivateKey.generate(), secrets.token_hex(8)
    proof = key.sign(messages.ENROL_CONTEXT + (proof_of or code).encode())
    asked = Enrol(code=code, public_key=key.public_key().public_bytes_raw(), proof=proof)
    headers = {"Holdfast-Nonce": nonce}
    return served.http.post("/sync/v1/enrol", content=pack_message(asked), headers=headers), nonce


def code_of(served: Served) -> str:
    with served.centre.store.writing() as tx:
        return terminals.new_code(tx, outlet="station", label="Till", now_ms=served.centre.now_ms)


def test_a_code_joins_one_terminal_once_however_it_is_typed(served: Served) -> None:
    code = code_of(served)
    response, nonce = enrol(served, code.lower().replace("-", " "))
    told = read_message(served.verified(response, nonce), Enrolled)
    assert told.outlet == "station" and set(told.keys) == set(served.centre.keys.public())
    assert served.problem(*enrol(served, code)) == (403, "enrolment.code")


def test_a_code_expires_and_a_wrong_proof_does_not_use_it_up(served: Served) -> None:
    code = code_of(served)
    assert served.problem(*enrol(served, code, proof_of="other")) == (403, "enrolment.proof")
    served.centre.now_ms += terminals.CODE_LIFETIME_MS
    assert enrol(served, code)[0].status_code == 200
    late = code_of(served)
    served.centre.now_ms += terminals.CODE_LIFETIME_MS + 1
    assert served.problem(*enrol(served, late)) == (403, "enrolment.code")
    assert served.problem(*enrol(served, "NONE-SUCH")) == (403, "enrolment.code")


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_join_nobody(served: Served, body: bytes) -> None:
    for content in (body, zstd.compress(body)):
        response = served.http.post("/sync/v1/enrol", content=content, headers={"Holdfast-Nonce": "n1"})
        assert served.problem(response, "n1")[0] in (403, 422)


# -- the exchange ------------------------------------------------------------------------------


def test_a_signed_request_is_answered_signed(served: Served, till: Till) -> None:
    till.activate(till.terminal[:9])  # type: ignore[arg-type]
    request, nonce = served.signed(till, pack_message(till.request()))
    answer = read_message(served.verified(served.send(request), nonce), Answer)
    assert answer.ack == till.place(1)


def test_the_same_request_twice_is_replayed(served: Served, till: Till) -> None:
    request, nonce = served.signed(till, pack_message(till.request()))
    assert served.send(request).status_code == 200
    assert served.problem(served.send(request), nonce) == (401, "identity.replayed")


def test_another_key_another_body_and_another_name_are_not_believed(served: Served, till: Till) -> None:
    body, before = pack_message(till.request()), rows(served)
    forged, nonce = served.signed(till, body, key=Ed25519PrivateKey.generate())
    assert served.problem(served.send(forged), nonce) == (401, "identity.signature")
    changed, nonce = served.signed(till, body)
    assert served.problem(served.send(changed, body + b"x"), nonce) == (401, "identity.signature")
    other = served.centre.enrol()
    named, nonce = served.signed(other, body)
    assert served.problem(served.send(named), nonce) == (403, "identity.other")
    stranger, nonce = served.signed(till, body)
    stranger.headers["Holdfast-Terminal"] = "00" * 16
    assert served.problem(served.send(stranger), nonce) == (401, "identity.unknown")
    stranger.headers["Holdfast-Terminal"] = "no hex"
    assert served.problem(served.send(stranger), nonce) == (401, "identity.unknown")
    assert rows(served) == before


@pytest.mark.parametrize("ahead_ms", [301_000, -301_000, 10 * 365 * 86_400_000])
def test_a_clock_that_is_off_is_said_to_be(served: Served, till: Till, ahead_ms: int) -> None:
    request, nonce = served.signed(till, pack_message(till.request()), ahead_ms=ahead_ms)
    assert served.problem(served.send(request), nonce) == (401, "identity.clock")


def test_a_revoked_terminal_is_told_so(served: Served, till: Till) -> None:
    served.centre.execute(
        schema.terminals.update().where(schema.terminals.c.id == till.terminal).values(status="revoked")
    )
    request, nonce = served.signed(till, pack_message(till.request()))
    assert served.problem(served.send(request), nonce) == (403, "identity.revoked")


def test_bodies_that_are_torn_bombs_or_nothing_are_refused(served: Served, till: Till) -> None:
    good, before = pack_message(till.request()), rows(served)
    bomb = zstd.compress(bytes(MAX_PLAIN_BYTES + 1))
    assert len(bomb) < 10_000
    for body in (good[:-4], good + good, bomb, b"", b"not zstd", zstd.compress(b"\xc1")):
        request, nonce = served.signed(till, body)
        assert served.problem(served.send(request), nonce) == (422, "exchange.unreadable")
    assert rows(served) == before


def test_a_body_too_large_is_refused_before_it_is_read(served: Served, till: Till) -> None:
    request, _ = served.signed(till, bytes(MAX_WIRE_BYTES + 1))
    assert served.send(request).status_code in FRAMEWORK


def test_a_contract_error_is_signed(served: Served, till: Till) -> None:
    asked = msgspec.structs.replace(till.request(), protocol=(9, 9))
    request, nonce = served.signed(till, pack_message(asked))
    assert served.problem(served.send(request), nonce) == (409, "exchange.version")


@settings(max_examples=30, deadline=None)
@given(body=st.binary(max_size=400), packed=st.booleans())
def test_signed_random_bytes_are_a_signed_problem(served: Served, body: bytes, packed: bool) -> None:
    till = served.__dict__.setdefault("_mad_till", served.centre.enrol())
    request, nonce = served.signed(till, zstd.compress(body) if packed else body)
    assert served.problem(served.send(request), nonce) == (422, "exchange.unreadable")


_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=120)
_SIGNED = st.sampled_from(
    [
        'holdfast=("@method" "@path" "content-digest" "holdfast-terminal");created=1;keyid="k";nonce="n"'
        ';tag="holdfast-request"',
        'holdfast=("@method");created="1";keyid=1',
        "holdfast=();created=1.5",
        'holdfast=("@query-param";name="a");created=1',
        'holdfast=("x";sf "x";key="a" "x";bs "x";req);created=1;alg="none"',
        "a=1, a=2",
        "holdfast=:AAAA:",
    ]
)


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(["own", "00" * 16, "zz", ""]),
    signature=_VALUES | st.just("holdfast=:AAAA:"),
    covers=_VALUES | _SIGNED,
    digest=_VALUES | st.just("sha-256=:AAAA:"),
    body=st.binary(max_size=60),
)
def test_whatever_stands_in_the_headers_is_a_signed_problem(
    served: Served, name: str, signature: str, covers: str, digest: str, body: bytes
) -> None:
    till = served.__dict__.setdefault("_mad_till", served.centre.enrol())
    headers = {
        "Holdfast-Terminal": till.terminal.hex() if name == "own" else name,
        "Signature": signature.strip(),
        "Signature-Input": covers.strip(),
        "Content-Digest": digest.strip(),
    }
    response = served.http.post("/sync/v1/exchange", content=body, headers=headers)
    nonce = "n" if 'nonce="n"' in covers else ""
    assert served.problem(response, nonce)[0] == 401


# -- the back office ---------------------------------------------------------------------------

PATHS = ["terminals", "accounts", "aliases", "codes-used", "outcomes", "reconciliation", "notices"]


@pytest.mark.parametrize("path", PATHS)
def test_the_back_office_shows_nothing_without_its_token(served: Served, path: str) -> None:
    url, token = f"/api/v1/{path}", served.centre.keys.back_office_token
    for given_ in (None, "", "Bearer", f"Bearer {token}x", token, "Basic " + token, "Bearer \xe9"):
        headers = {} if given_ is None else {"Authorization": given_.encode("latin-1")}
        assert served.http.get(url, headers=headers).status_code == 401
    assert served.http.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_the_back_office_says_what_the_books_say(served: Served, till: Till) -> None:
    till.member(991)
    headers = {"Authorization": f"Bearer {served.centre.keys.back_office_token}"}
    assert served.http.get("/api/v1/reconciliation", headers=headers).json()["clean"] is True
    told = served.http.get("/api/v1/terminals", headers=headers).json()
    assert till.terminal.hex() in {line["terminal"] for line in told}
