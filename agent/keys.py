"""Who may use the local API: POS keys, kept hashed, and the sessions of our own page."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

import msgspec

FILE_NAME = "pos-keys.json"
PREFIX = "hfp_"


class PosKey(msgspec.Struct, kw_only=True, frozen=True):
    """One key of POS software: its name is the scope of Idempotency-Keys."""

    name: str
    hash: str


class PosKeys:
    """The keys of this terminal, read again when the file changed."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME
        self._read_at = -1
        self._keys: list[PosKey] = []

    def make(self, name: str) -> str:
        """A new key, shown this once; it replaces one of the same name."""
        secret = PREFIX + secrets.token_urlsafe(24)
        kept = [key for key in self._load() if key.name != name]
        self._save([*kept, PosKey(name=name, hash=_hash(secret))])
        return secret

    def remove(self, name: str) -> bool:
        """Takes a key away; False where there is none of that name."""
        kept = [key for key in self._load() if key.name != name]
        gone = len(kept) < len(self._load())
        self._save(kept)
        return gone

    def names(self) -> list[str]:
        """Whose keys there are."""
        return [key.name for key in self._load()]

    def owner(self, secret: str) -> str | None:
        """Whose key this is."""
        given = _hash(secret)
        return next((key.name for key in self._load() if secrets.compare_digest(key.hash, given)), None)

    def _load(self) -> list[PosKey]:
        try:
            changed = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        if changed != self._read_at:
            self._keys, self._read_at = msgspec.json.decode(self._path.read_bytes(), type=list[PosKey]), changed
        return self._keys

    def _save(self, keys: list[PosKey]) -> None:
        draft = self._path.with_suffix(".new")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(keys))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        self._read_at = -1


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Sessions:
    """Sessions of pages that this agent served; they end with it."""

    LIMIT = 64

    def __init__(self) -> None:
        self._tokens: dict[str, None] = {}

    def new(self) -> str:
        """A session; the oldest ends when there are too many."""
        token = secrets.token_urlsafe(24)
        self._tokens[token] = None
        while len(self._tokens) > self.LIMIT:
            del self._tokens[next(iter(self._tokens))]
        return token

    def knows(self, token: str | None) -> bool:
        """Whether it is one of ours."""
        return token is not None and token in self._tokens
