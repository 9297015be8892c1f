"""Signatures on requests and answers (RFC 9421, Ed25519) and the digest of what they carry (RFC 9530).

A request covers method, path, content digest and terminal. An answer covers status and content digest and repeats the
request's nonce, so that no other answer, and no portal or proxy in between, can pass for it.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)
from http_message_signatures.exceptions import HTTPMessageSignaturesException

from sync.protocol.kids import cose_kid as cose_kid

TERMINAL_HEADER = "Holdfast-Terminal"
CREATED_WITHIN_S = 300
_REQUEST_COVERS = ("@method", "@path", "content-digest", "holdfast-terminal")
_ANSWER_COVERS = ("@status", "content-digest")
_REQUEST_TAG = "holdfast-request"
_ANSWER_TAG = "holdfast-answer"


class SignatureError(Exception):
    """Not signed by whom it should be, or not for this request. Nothing of it was used."""


@dataclass(kw_only=True)
class SignedRequest:
    """What of a request is signed; `headers` gains the signature."""

    method: str
    url: str
    body: bytes
    headers: MutableMapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class SignedAnswer:
    """What of an answer is signed; `headers` gains the signature."""

    status_code: int
    body: bytes
    headers: MutableMapping[str, str] = field(default_factory=dict)
    request: None = None


class _Keys(HTTPSignatureKeyResolver):
    def __init__(self, public: Mapping[str, Ed25519PublicKey], private: Ed25519PrivateKey | None = None) -> None:
        self._public, self._private = public, private

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey | None:
        return self._public.get(key_id)

    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey | None:
        return self._private


def sign_request(
    request: SignedRequest, key: Ed25519PrivateKey, key_id: str, *, terminal: str, nonce: str, now_ms: int
) -> None:
    """Adds the headers that prove who sends this and when."""
    request.headers[TERMINAL_HEADER] = terminal
    _sign(request, key, key_id, nonce, now_ms, _REQUEST_TAG, _REQUEST_COVERS)


def sign_answer(answer: SignedAnswer, key: Ed25519PrivateKey, key_id: str, *, nonce: str, now_ms: int) -> None:
    """Adds the headers that prove that the centre gave this answer to the request with this nonce."""
    _sign(answer, key, key_id, nonce, now_ms, _ANSWER_TAG, _ANSWER_COVERS)


def verify_request(request: SignedRequest, keys: Mapping[str, Ed25519PublicKey], *, now_ms: int) -> tuple[str, str]:
    """(key id, nonce) of a request signed by one of `keys` within five minutes of now; raises SignatureError."""
    key_id, nonce, created_s = _verify(request, keys, _REQUEST_TAG, _REQUEST_COVERS)
    if abs(now_ms / 1000 - created_s) > CREATED_WITHIN_S:
        raise SignatureError(f"signed {now_ms / 1000 - created_s:.0f} s ago by its own clock")
    return key_id, nonce


def verify_answer(answer: SignedAnswer, keys: Mapping[str, Ed25519PublicKey], *, nonce: str) -> int:
    """The centre's time (Unix seconds) of an answer to the request with `nonce`; raises SignatureError."""
    _, answered, created_s = _verify(answer, keys, _ANSWER_TAG, _ANSWER_COVERS)
    if answered != nonce:
        raise SignatureError("an answer to another request")
    return created_s


def _sign(
    message: SignedRequest | SignedAnswer,
    key: Ed25519PrivateKey,
    key_id: str,
    nonce: str,
    now_ms: int,
    tag: str,
    covers: tuple[str, ...],
) -> None:
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=_Keys({}, key))
    created = datetime.datetime.fromtimestamp(now_ms // 1000, tz=datetime.UTC)
    signer.sign(
        message,
        key_id=key_id,
        created=created,
        nonce=nonce,
        label="holdfast",
        tag=tag,
        covered_component_ids=covers,
        body=message.body,
    )


class _AnyClock(HTTPMessageVerifier):
    """The library compares `created` with its own clock; here time is an argument and the caller compares."""

    def validate_created_and_expires(self, sig_input: object, max_age: object = None) -> None:
        return None


def _verify(
    message: SignedRequest | SignedAnswer, keys: Mapping[str, Ed25519PublicKey], tag: str, covers: tuple[str, ...]
) -> tuple[str, str, int]:
    verifier = _AnyClock(signature_algorithm=algorithms.ED25519, key_resolver=_Keys(keys))
    try:
        (result,) = verifier.verify(message, max_age=None, expect_tag=tag, require_components=covers, body=message.body)
        created, key_id = result.parameters["created"], result.parameters["keyid"]
    except (InvalidSignature, HTTPMessageSignaturesException, UnsupportedAlgorithm, KeyError, ValueError) as error:
        raise SignatureError(f"not signed as agreed: {error}") from error
    if not isinstance(created, int) or not isinstance(key_id, str) or not isinstance(result.nonce, str):
        raise SignatureError("the signature lacks its time, key id or nonce")
    return key_id, result.nonce, created
