"""Identifiers and the keyed hash of a card: a distinct type for each, so that none is taken for another."""

from __future__ import annotations

import hashlib
import hmac
from typing import NewType

TerminalId = NewType("TerminalId", bytes)  # 16 random bytes, given once at enrolment
EventId = NewType("EventId", bytes)  # the first 16 bytes of a row's hash
AccountId = NewType("AccountId", bytes)  # the event id of the row that activated it
AllowanceId = NewType("AllowanceId", bytes)  # 16 random bytes of the centre
CardToken = NewType("CardToken", bytes)  # one byte of key id, then 8 bytes of HMAC
Generation = NewType("Generation", bytes)  # 16 random bytes: one life of the centre's database

NO_GENERATION = Generation(bytes(16))
TOKEN_BYTES = 9


def card_token(scheme: str, value: str, key: bytes, key_id: int) -> CardToken:
    """What a card says of itself, hashed: HMAC-SHA-256 (RFC 2104) under the fleet's key, cut to 64 bits after a key id.

    Two of a million cards share 64 bits with a probability of 3e-8; the key keeps a stolen list from being guessed.
    """
    digest = hmac.new(key, f"hft1:{scheme}:{value}".encode(), hashlib.sha256).digest()
    return CardToken(bytes([key_id]) + digest[:8])


def fingerprint(public_key: bytes) -> str:
    """Five groups of four letters that two people can compare aloud: the start of SHA-256 of a raw public key."""
    letters = hashlib.sha256(public_key).hexdigest()[:20].upper()
    return "-".join(letters[at : at + 4] for at in range(0, 20, 4))
