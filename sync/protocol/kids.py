"""Names of keys. A kid is a purpose and hex digits: `grant-0000000a`."""

from __future__ import annotations


def cose_kid(kid: str) -> bytes:
    """The key id as signed codes, grants and documents name it: its last eight hex digits, four bytes."""
    return bytes.fromhex(kid[-8:])
