"""Signatures: whatever was changed, and whoever else signed, ends in SignatureError and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sync.protocol.signing import (
    CREATED_WITHIN_S,
    SignatureError,
    SignedAnswer,
    SignedRequest,
    sign_answer,
    sign_request,
    verify_answer,
    verify_request,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NOW_MS = 1_790_000_000_000
URL = "https://loyalty.example/sync/v1/exchange"
KEYS = {"till-1": KEY.public_key()}
BODY = b"what is sent"


def request() -> SignedRequest:
    made = SignedRequest(method="POST", url=URL, body=BODY)
    sign_request(made, KEY, "till-1", terminal="till-1", nonce="n1", now_ms=NOW_MS)
    return made


def answer() -> SignedAnswer:
    made = SignedAnswer(status_code=200, body=BODY)
    sign_answer(made, KEY, "till-1", nonce="n1", now_ms=NOW_MS)
    return made


def unbelieved(made: SignedRequest, now_ms: int = NOW_MS) -> None:
    with pytest.raises(SignatureError):
        verify_request(made, KEYS, now_ms=now_ms)


def test_what_was_signed_is_believed() -> None:
    assert verify_request(request(), KEYS, now_ms=NOW_MS) == ("till-1", "n1")
    assert verify_answer(answer(), KEYS, nonce="n1") == NOW_MS // 1000


@given(at=st.integers(0, len(BODY) - 1), mask=st.integers(1, 255))
def test_no_byte_of_a_body_can_be_changed(at: int, mask: int) -> None:
    made, told = request(), answer()
    wrong = bytearray(BODY)
    wrong[at] ^= mask
    made.body = told.body = bytes(wrong)
    unbelieved(made)
    with pytest.raises(SignatureError):
        verify_answer(told, KEYS, nonce="n1")


@pytest.mark.parametrize("name", ["Content-Digest", "Signature", "Signature-Input", "Holdfast-Terminal"])
@given(data=st.data())
def test_no_byte_of_a_header_can_be_changed_or_left_out(name: str, data: st.DataObject) -> None:
    made = request()
    found = next(key for key in made.headers if key.lower() == name.lower())
    value = made.headers[found]
    at = data.draw(st.integers(0, len(value) - 1))
    changed = chr(data.draw(st.integers(33, 126).filter(lambda code: chr(code) != value[at])))
    made.headers[found] = value[:at] + changed + value[at + 1 :]
    try:
        verify_request(made, KEYS, now_ms=NOW_MS)
    except SignatureError:
        pass
    else:
        assert name in ("Signature", "Signature-Input", "Content-Digest")  # another way to write the same
        assert (made.method, made.url, made.body) == ("POST", URL, BODY)
    del made.headers[found]
    unbelieved(made)


@given(garbage=st.dictionaries(st.sampled_from(["Signature", "Signature-Input", "Content-Digest"]), st.text()))
def test_garbage_in_headers_is_not_believed(garbage: dict[str, str]) -> None:
    made = request()
    before = dict(made.headers)
    made.headers.update(garbage)
    if dict(made.headers) != before:
        unbelieved(made)


def spoil_method(made: SignedRequest) -> None:
    made.method = "GET"


def spoil_path(made: SignedRequest) -> None:
    made.url = URL.replace("exchange", "enrol")


def spoil_key(made: SignedRequest) -> None:
    made.headers.clear()
    sign_request(made, OTHER, "till-1", terminal="till-1", nonce="n1", now_ms=NOW_MS)


def spoil_key_id(made: SignedRequest) -> None:
    made.headers.clear()
    sign_request(made, KEY, "till-2", terminal="till-1", nonce="n1", now_ms=NOW_MS)


def spoil_all(made: SignedRequest) -> None:
    made.headers.clear()


@pytest.mark.parametrize("spoil", [spoil_method, spoil_path, spoil_key, spoil_key_id, spoil_all])
def test_a_request_for_something_else_or_by_somebody_else_is_not_believed(
    spoil: Callable[[SignedRequest], None],
) -> None:
    made = request()
    spoil(made)
    unbelieved(made)


def test_a_request_is_believed_within_five_minutes_of_its_making() -> None:
    edge_ms = CREATED_WITHIN_S * 1000
    for aside_ms in (-edge_ms, edge_ms):
        verify_request(request(), KEYS, now_ms=NOW_MS + aside_ms)
    for aside_ms in (-edge_ms - 2000, edge_ms + 2000):
        unbelieved(request(), NOW_MS + aside_ms)


def test_an_answer_to_another_request_or_of_another_status_is_not_believed() -> None:
    with pytest.raises(SignatureError):
        verify_answer(answer(), KEYS, nonce="n2")
    told = answer()
    told.status_code = 403
    with pytest.raises(SignatureError):
        verify_answer(told, KEYS, nonce="n1")


def test_a_request_can_never_pass_for_an_answer() -> None:
    told = SignedAnswer(status_code=200, body=BODY, headers=dict(request().headers))
    with pytest.raises(SignatureError):
        verify_answer(told, KEYS, nonce="n1")
