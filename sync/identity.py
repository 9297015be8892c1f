"""Who this terminal is: one file, readable by the service user alone, written once by `holdfast enrol`."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from loyalty.ids import CardToken, TerminalId, card_token
from sync.protocol.kids import cose_kid

FILE_NAME = "identity.json"


class Identity(msgspec.Struct, kw_only=True, frozen=True):
    """The terminal's key and what the centre told it at enrolment. Bytes are base64 in the file."""

    terminal: TerminalId
    enrolment: bytes
    outlet: str
    private_key: bytes  # Ed25519, raw
    centre_keys: dict[str, bytes]  # kid: Ed25519 public key, raw. Kids begin with their purpose: answer-, grant-, ...
    token_key: bytes
    token_key_id: int
    code_key: bytes

    @property
    def key(self) -> Ed25519PrivateKey:
        """The private key, ready for signing."""
        return Ed25519PrivateKey.from_private_bytes(self.private_key)

    def keys_for(self, purpose: str) -> dict[str, Ed25519PublicKey]:
        """The centre's keys of one purpose: answer, grant, programme, code."""
        return {
            kid: Ed25519PublicKey.from_public_bytes(raw)
            for kid, raw in self.centre_keys.items()
            if kid.startswith(purpose + "-")
        }

    def cose_keys_for(self, purpose: str) -> dict[bytes, Ed25519PublicKey]:
        """The same keys as COSE names them: kid as bytes."""
        return {cose_kid(kid): key for kid, key in self.keys_for(purpose).items()}

    def token(self, scheme: str, value: str) -> CardToken:
        """A card as this fleet knows it."""
        return card_token(scheme, value, self.token_key, self.token_key_id)


class NotEnrolledError(Exception):
    """This terminal has no identity, or one that cannot be read."""


def load(data_dir: Path) -> Identity:
    """Raises NotEnrolledError, which says what to do."""
    path = data_dir / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Identity)
    except FileNotFoundError:
        raise NotEnrolledError(
            f"This terminal has not joined a centre yet ({path} is missing). "
            "Run: holdfast enrol --server URL --code CODE"
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise NotEnrolledError(
            f"The terminal's identity cannot be read ({path}: {error}). Restore the file, or enrol again: "
            "the journal stays."
        ) from error


def save(data_dir: Path, identity: Identity) -> Path:
    """Writes the file so that it is whole or not there, mode 0600."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path, draft = data_dir / FILE_NAME, data_dir / (FILE_NAME + ".new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(identity)))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return path
