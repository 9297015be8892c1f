"""Terminals: how one joins by a single-use code, and how its requests are known to be its own."""

from __future__ import annotations

import hashlib
import secrets

import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from loyalty.ids import TerminalId
from server import store
from server.keys import Keys
from server.schema import enrolment_codes, nonces, terminals
from sync.protocol.messages import ENROL_CONTEXT, Enrol, Enrolled
from sync.protocol.signing import CREATED_WITHIN_S, SignatureError, SignedRequest, verify_request

CODE_LIFETIME_MS = 15 * 60 * 1000
CODE_BITS = 80
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class RefusedError(Exception):
    """A request that is not believed. Nothing of it was applied."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


def new_code(tx: sa.Connection, *, outlet: str, label: str, now_ms: int) -> str:
    """A single-use code for one terminal of an outlet: 80 bits, good for 15 minutes."""
    bits = secrets.randbits(CODE_BITS)
    symbols = "".join(_ALPHABET[bits >> shift & 31] for shift in range(CODE_BITS - 5, -1, -5))
    tx.execute(
        enrolment_codes.insert().values(
            hash=_hash(symbols), outlet=outlet, label=label, expires_ms=now_ms + CODE_LIFETIME_MS
        )
    )
    return "-".join(symbols[at : at + 4] for at in range(0, 16, 4))


def _hash(code: str) -> bytes:
    plain = code.upper().replace("-", "").replace(" ", "").replace("O", "0").replace("I", "1").replace("L", "1")
    return hashlib.sha256(b"holdfast-enrolment" + plain.encode()).digest()


def enrol(tx: sa.Connection, keys: Keys, asked: Enrol, now_ms: int) -> Enrolled:
    """A terminal joins; raises RefusedError."""
    try:
        key = Ed25519PublicKey.from_public_bytes(asked.public_key)
        key.verify(asked.proof, ENROL_CONTEXT + asked.code.encode())
    except (InvalidSignature, ValueError) as error:
        raise RefusedError(403, "enrolment.proof", "The key and its proof do not belong together.") from error
    hash_ = _hash(asked.code)
    e = enrolment_codes.c
    found = tx.execute(sa.select(enrolment_codes).where(e.hash == hash_)).one_or_none()
    if found is None or found.used_ms is not None or found.expires_ms < now_ms:
        raise RefusedError(
            403,
            "enrolment.code",
            "This enrolment code is unknown, used, or older than 15 minutes. "
            "Make a new one: holdfast-server enrolment-code --outlet ... --label ...",
        )
    tx.execute(enrolment_codes.update().where(e.hash == hash_).values(used_ms=now_ms))
    terminal, enrolment = TerminalId(secrets.token_bytes(16)), secrets.token_bytes(16)
    tx.execute(
        terminals.insert().values(
            id=terminal,
            outlet=found.outlet,
            label=asked.label or found.label,
            public_key=asked.public_key,
            enrolment=enrolment,
            status="active",
            enrolled_ms=now_ms,
            heard_ms=now_ms,
        )
    )
    return Enrolled(
        terminal=terminal,
        enrolment=enrolment,
        outlet=found.outlet,
        centre=store.generation(tx).hex(),
        keys=keys.public(),
        token_key=keys.token_key,
        token_key_id=keys.token_key_id,
        code_key=keys.code_key,
    )


def identify(tx: sa.Connection, request: SignedRequest, terminal_text: str, now_ms: int) -> tuple[TerminalId, str]:
    """(terminal, nonce) of a request that the terminal itself signed just now; raises RefusedError. Writes nothing, so
    that strangers never take the writer's place."""
    terminal = _terminal_id(terminal_text)
    found = tx.execute(
        sa.select(terminals.c.public_key, terminals.c.status).where(terminals.c.id == terminal)
    ).one_or_none()
    if found is None:
        raise RefusedError(401, "identity.unknown", "This centre does not know the terminal. Enrol it again.")
    keys = {terminal_text: Ed25519PublicKey.from_public_bytes(found.public_key)}
    try:
        _, nonce = verify_request(request, keys, now_ms=now_ms)
    except SignatureError as error:
        clock = str(error).startswith("signed ")  # as verify_request says it of a signature that is good but old
        code = "identity.clock" if clock else "identity.signature"
        raise RefusedError(401, code, f"The request was not signed as agreed: {error}.") from error
    if found.status != "active":
        raise RefusedError(403, "identity.revoked", "This terminal was revoked. Its rows are kept: ask the centre.")
    return terminal, nonce


def _terminal_id(text: str) -> TerminalId:
    try:
        return TerminalId(bytes.fromhex(text))
    except ValueError as error:
        raise RefusedError(401, "identity.unknown", "The request names no terminal.") from error


def remember(tx: sa.Connection, terminal: TerminalId, nonce: str, now_ms: int) -> None:
    """A nonce is good once: kept for as long as a signature is. Raises RefusedError."""
    tx.execute(nonces.delete().where(nonces.c.at_ms < now_ms - 2 * CREATED_WITHIN_S * 1000))
    seen = sa.select(nonces.c.at_ms).where(nonces.c.terminal == terminal, nonces.c.nonce == nonce)
    if tx.execute(seen).first() is not None:
        raise RefusedError(401, "identity.replayed", "This request was received before.")
    tx.execute(nonces.insert().values(terminal=terminal, nonce=nonce, at_ms=now_ms))
