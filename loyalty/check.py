"""Checking a document: all mistakes at once."""

import tomllib
from typing import Any

from loyalty.mistakes import Mistake


def check(data: bytes) -> list[Mistake]:
    """All mistakes of the document, in order of their lines."""
    return []


def table_of(data: bytes) -> dict[str, Any]:
    """The document as TOML reads it. Raises ValueError when it is not TOML in UTF-8."""
    return tomllib.loads(data.decode())
