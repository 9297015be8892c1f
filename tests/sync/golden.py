"""Reads the golden files: what was written once in a format, and has to be read for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parent.parent / "golden" / "1"


def golden(name: str) -> Any:
    """The content of one JSON file of format 1."""
    return json.loads((FOLDER / name).read_text())


def named(value: Any) -> Any:
    """A message or row as JSON: fields by name, bytes as hex."""
    if isinstance(value, msgspec.Struct):
        tag = type(value).__struct_config__.tag
        fields = {name: named(getattr(value, name)) for name in value.__struct_fields__}
        return {"type": tag, **fields} if tag else fields
    if isinstance(value, bytes | msgspec.Raw):
        return bytes(value).hex()
    if isinstance(value, list | tuple):
        return [named(item) for item in value]
    if isinstance(value, dict):
        return {str(key): named(item) for key, item in value.items()}
    return value
