"""The vectors are the rule's second text: every one must be met, to the key."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from loyalty import reasons
from loyalty.vectors import differences, merged

FOLDER = Path(__file__).parent / "vectors"
DOCUMENTS = {name: tomllib.loads((FOLDER / f"{name}.toml").read_text()) for name in ("cafe", "grocer", "perfumery")}


def read(name: str) -> list[dict[str, Any]]:
    path = FOLDER / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


VECTORS = read("vectors.jsonl") + read("more.jsonl")


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_a_vector_is_met(vector: dict[str, Any]) -> None:
    assert differences(vector, DOCUMENTS) == []


def test_every_reason_stands_in_a_vector() -> None:
    met = {vector["expect"].get("reason") for vector in VECTORS}
    assert set(reasons.REASONS) - met == set()


def test_a_wrong_expectation_is_told_by_its_key() -> None:
    wrong = VECTORS[0] | {"expect": {"points": 13, "decision": "approved"}}
    assert differences(wrong, DOCUMENTS) == ["points: expected 13, got 12"]


def test_a_merge_patch_replaces_lists_and_removes_nulls() -> None:
    assert merged({"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}, "d": None, "e": {"f": None}}) == {
        "a": {"b": 1, "c": [3]},
        "e": {},
    }
