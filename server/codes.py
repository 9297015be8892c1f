"""Activation and bonus codes: issued in batches, each as a signed text for a QR code and as eleven symbols to type.

The symbols are shown once, at issuing; only their keyed hash is kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Literal, NamedTuple

import sqlalchemy as sa

from loyalty import codes as signed_codes
from loyalty import typed
from server import feed, store
from server.keys import Keys
from server.schema import batches, codes
from sync.protocol.signing import cose_kid

MAX_BATCH = 100_000
Purpose = Literal["activation", "bonus"]


class Issued(NamedTuple):
    """One code as it is printed or sent."""

    serial: int
    code_id: bytes
    qr_text: str
    typed_text: str


class BatchError(ValueError):
    """The batch cannot be issued as asked. Nothing was issued."""


def issue(
    tx: sa.Connection,
    keys: Keys,
    *,
    batch: str,
    programme: str,
    count: int,
    purpose: Purpose,
    now_ms: int,
    expires_ms: int,
    operator: str,
    bits: Callable[[int], int] = secrets.randbits,
) -> list[Issued]:
    """Makes `count` codes; raises BatchError."""
    if not 1 <= count <= MAX_BATCH:
        raise BatchError(f"A batch has 1 to {MAX_BATCH} codes.")
    if tx.execute(sa.select(batches.c.id).where(batches.c.id == batch)).first():
        raise BatchError(f"There is a batch {batch} already. Choose another name: a batch is issued once.")
    kid, key = keys.current("code")
    issued: list[Issued] = []
    lines = []
    for serial in range(1, count + 1):
        number, code_id = _easily_typed(bits), bits(128).to_bytes(16)
        text = typed.make(number)
        code = signed_codes.ActivationCode(
            programme=programme,
            code_id=code_id,
            batch=batch,
            serial=serial,
            issued_at_s=now_ms // 1000,
            expires_at_s=expires_ms // 1000,
            kind=purpose,
        )
        issued.append(Issued(serial, code_id, signed_codes.encode(code, key, cose_kid(kid)), text))
        hash_ = typed.stored_hash(typed.TypedCode(number=number), keys.code_key)
        lines.append({"id": code_id, "batch": batch, "serial": serial, "stored_hash": hash_, "state": "issued"})
    tx.execute(
        batches.insert().values(id=batch, purpose=purpose, issued_ms=now_ms, expires_ms=expires_ms, operator=operator)
    )
    tx.execute(codes.insert(), lines)
    commit = store.next_commit(tx)
    for first in range(1, count + 1, feed.CODES_PER_ENTRY):
        feed.append(tx, commit, "codes", feed.codes_key(batch, first), batch.encode())
    return issued


def _easily_typed(bits: Callable[[int], int]) -> int:
    """A number whose check symbol is a letter or digit, since `* ~ $ =` are hard to find on some keyboards, and that is
    not all digits, which typed without dashes would pass for a card's number."""
    while True:
        number = bits(typed.BITS)
        text = typed.make(number)
        if text[-1] in typed.SYMBOLS and not text.replace("-", "").isdigit():
            return number


def status(tx: sa.Connection, batch: str | None = None) -> list[dict[str, object]]:
    """Per batch: how many codes are in which state."""
    wanted = sa.select(codes.c.batch, codes.c.state, sa.func.count()).group_by(codes.c.batch, codes.c.state)
    if batch is not None:
        wanted = wanted.where(codes.c.batch == batch)
    found: dict[str, dict[str, object]] = {}
    for name, state, count in tx.execute(wanted.order_by(codes.c.batch)):
        found.setdefault(name, {"batch": name})[state] = count
    return list(found.values())
