"""Vectors: decisions written down, so that two who build the rule apart can compare. One JSON object each: `id`,
`programme` (a name, or `{base, patch}` with a merge patch), `facts`, `own_rows`, `request`, `now`, `expect`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import convert

from loyalty.answer import as_json
from loyalty.decide import decide
from loyalty.facts import Facts, OwnRow
from loyalty.programme import Programme, from_document
from loyalty.request import Request

Documents = Mapping[str, Mapping[str, Any]]


def differences(vector: Mapping[str, Any], documents: Documents) -> list[str]:
    """What the answer says otherwise than `expect`, one text for each key; empty when they agree.

    `documents` are the programmes by name, as TOML or JSON gives them.
    Raises KeyError, ProgrammeError or msgspec.ValidationError for a vector that cannot be read.
    """
    answer = answer_of(vector, documents)
    return [
        f"{key}: expected {expected!r}, got {answer.get(key)!r}"
        for key, expected in vector["expect"].items()
        if answer.get(key) != expected
    ]


def answer_of(vector: Mapping[str, Any], documents: Documents) -> dict[str, Any]:
    """The answer to a vector as JSON. `entry_programme`, where given, is the version its entry was priced by."""
    priced_by = vector.get("entry_programme")
    return as_json(
        decide(
            _programme(vector["programme"], documents),
            convert(vector["facts"], Facts),
            convert(vector.get("own_rows", []), list[OwnRow]),
            convert(vector["request"], Request),
            datetime.fromisoformat(vector["now"]),
            entry_programme=None if priced_by is None else _programme(priced_by, documents),
        )
    )


def _programme(named: str | Mapping[str, Any], documents: Documents) -> Programme:
    if isinstance(named, str):
        return from_document(documents[named])
    patched: Mapping[str, Any] = merged(documents[named["base"]], named["patch"])
    return from_document(patched)


def merged(target: Any, patch: Any) -> Any:
    """JSON merge patch, RFC 7396: tables are merged key by key, null takes a key away, all else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
