"""COSE_Sign1 (RFC 9052, section 4.2) with Ed25519 (RFC 9053, section 2.2): one signer, nothing optional.

A message has exactly one form: tag 18, the algorithm and the key id in the protected header and no other parameter, an
empty unprotected header, definite lengths, keys in order. Any other encoding of the same content is refused, so bytes
that verify cannot be altered in any way and still verify.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_BYTES = 1024  # several times the longest code; whatever is longer is not looked into
DOCUMENT_MAX_BYTES = 1024 * 1024 + 256  # a programme's document of 1 MiB, signed
MAX_DEPTH = 4
KID_BYTES_MAX = 32

_TAG_SIGN1 = b"\xd2"  # tag 18 in one byte (RFC 9052, section 2)
_ALGORITHM, _KID, _EDDSA = 1, 4, -8


class CoseError(ValueError):
    """A signed message that cannot be taken; `code` is the stable name of the reason."""

    code = "cose"


class MalformedError(CoseError):
    """Not a message of the one form that is taken here."""

    code = "cose.malformed"


class UnknownKeyError(CoseError):
    """Signed with a key that the reader does not have."""

    code = "cose.unknown_key"


class BadSignatureError(CoseError):
    """The signature is not of this content under the key it names."""

    code = "cose.bad_signature"


class _Parts(NamedTuple):
    kid: bytes
    payload: bytes
    signature: bytes


def sign1(payload: bytes, key: Ed25519PrivateKey, kid: bytes, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The tagged message, at most `max_bytes`. Same input, same bytes. Raises ValueError on a size."""
    if not 1 <= len(kid) <= KID_BYTES_MAX:
        raise ValueError(f"a key id has 1 to {KID_BYTES_MAX} bytes, not {len(kid)}")
    message = _assemble(_Parts(kid, payload, key.sign(to_be_signed(_protected(kid), payload))))
    if len(message) > max_bytes:
        raise ValueError(f"the signed message would have {len(message)} bytes; readers take at most {max_bytes}")
    return message


def verify1(message: bytes, keys: Mapping[bytes, Ed25519PublicKey], *, max_bytes: int = MAX_BYTES) -> bytes:
    """The payload, once its signature holds. Raises MalformedError, UnknownKeyError or BadSignatureError."""
    parts = _parts(message, max_bytes)
    key = keys.get(parts.kid)
    if key is None:
        raise UnknownKeyError(f"signed with key {parts.kid.hex()}, which is not among the {len(keys)} known")
    try:
        key.verify(parts.signature, to_be_signed(_protected(parts.kid), parts.payload))
    except InvalidSignature:
        raise BadSignatureError(f"the signature does not fit the content under key {parts.kid.hex()}") from None
    return parts.payload


def key_id(message: bytes) -> bytes:
    """The key id that a message names, not verified. Raises MalformedError."""
    return _parts(message, MAX_BYTES).kid


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """The Sig_structure of one signer without external data (RFC 9052, section 4.4)."""
    return encode_plain(["Signature1", protected, b"", payload])


def decode_plain(data: bytes, max_bytes: int = MAX_BYTES) -> object:
    """One CBOR item without tags, indefinite lengths or doubled keys, at most `max_bytes` and 4 levels deep.

    Tags are refused because the decoder would build dates, regular expressions and cycles from a stranger's bytes.
    Raises MalformedError.
    """
    if len(data) > max_bytes:
        raise MalformedError(f"{len(data)} bytes; at most {max_bytes} are read")
    source = io.BytesIO(data)
    try:
        item: object = cbor2.CBORDecoder(
            source,
            tag_hook=_refuse_tag,
            semantic_decoders=_NO_TAGS,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        ).decode()
    except (cbor2.CBORError, ValueError, TypeError) as error:
        raise MalformedError(f"not plain CBOR: {error}") from error
    if source.tell() != len(data):
        raise MalformedError(f"{len(data) - source.tell()} bytes left over")
    return item


def encode_plain(item: object) -> bytes:
    """Deterministic CBOR of integers, texts, bytes, lists and maps (RFC 8949, section 4.2.3: shorter keys first)."""
    return cbor2.dumps(item, canonical=True)


def _refuse_tag(*_: object) -> NoReturn:
    raise ValueError("a tag where none belongs")


# Every tag that the decoder would act on by itself; those it does not know go to tag_hook.
_NO_TAGS = dict.fromkeys(
    [*range(6), 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799], _refuse_tag
)


def _protected(kid: bytes) -> bytes:
    return encode_plain({_ALGORITHM: _EDDSA, _KID: kid})


def _assemble(parts: _Parts) -> bytes:
    return _TAG_SIGN1 + encode_plain([_protected(parts.kid), {}, parts.payload, parts.signature])


def _parts(message: bytes, max_bytes: int) -> _Parts:
    if not message.startswith(_TAG_SIGN1):
        raise MalformedError("not a tagged COSE_Sign1")
    match decode_plain(message[1:], max_bytes):
        case [bytes(protected), _, bytes(payload), bytes(signature)]:
            parts = _Parts(_read_kid(protected), payload, signature)
        case _:
            raise MalformedError("not the four parts of a COSE_Sign1")
    if _assemble(parts) != message:
        raise MalformedError("not in the one form that is taken: other headers, other lengths, or bytes left over")
    return parts


def _read_kid(protected: bytes) -> bytes:
    match decode_plain(protected):
        case {4: bytes(kid)}:
            return kid
    raise MalformedError("the protected header names no key")
