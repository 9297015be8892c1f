"""The centre's keys: one file beside the database, readable by the service user alone, a key for each purpose."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from loyalty.ids import CardToken, card_token

FILE_NAME = "keys.json"
PURPOSES = ("answer", "grant", "programme", "code")


class KeyFileError(Exception):
    """The centre's keys cannot be read. Without them no terminal believes this centre: restore them from the backup."""


class Keys(msgspec.Struct, kw_only=True, frozen=True):
    """Ed25519 keys by kid (`<purpose>-<8 hex>`), the newest of a purpose last; bytes are base64 in the file."""

    private: dict[str, bytes]
    token_key: bytes
    token_key_id: int
    code_key: bytes
    back_office_token: str

    def current(self, purpose: str) -> tuple[str, Ed25519PrivateKey]:
        """(kid, key) to sign with now."""
        kid = [kid for kid in self.private if kid.startswith(purpose + "-")][-1]
        return kid, Ed25519PrivateKey.from_private_bytes(self.private[kid])

    def public(self) -> dict[str, bytes]:
        """Raw public keys by kid: what a terminal is told."""
        return {
            kid: Ed25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw()
            for kid, raw in self.private.items()
        }

    def token(self, scheme: str, value: str) -> CardToken:
        """A card as the fleet knows it."""
        return card_token(scheme, value, self.token_key, self.token_key_id)


def load(folder: Path) -> Keys:
    """Reads the keys; raises KeyFileError. A centre with members never makes new ones: no terminal would believe it."""
    path = folder / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Keys)
    except (OSError, msgspec.DecodeError) as error:
        raise KeyFileError(f"{path} cannot be read: {error}. Restore it from the backup.") from error


def load_or_make(folder: Path) -> Keys:
    """Reads the keys, or makes them where there are none; raises KeyFileError."""
    path = folder / FILE_NAME
    if path.exists():
        return load(folder)
    keys = Keys(
        private={f"{p}-{secrets.token_hex(4)}": Ed25519PrivateKey.generate().private_bytes_raw() for p in PURPOSES},
        token_key=secrets.token_bytes(32),
        token_key_id=1,
        code_key=secrets.token_bytes(32),
        back_office_token=secrets.token_urlsafe(24),
    )
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keys)))
        file.flush()
        os.fsync(file.fileno())
    return keys
