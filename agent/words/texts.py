"""The texts themselves: read once for each language, filled in when they are said."""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

LANGUAGES = ("en", "fr", "it")


def say(language: str, key: str, /, **fields: object) -> str:
    """The text of a key (`line.base`) with its fields filled in.

    Raises KeyError for a language or a key that has no words, and for a field that is wanted and not given.
    """
    return texts(language)[key].format_map(fields)


def reason(language: str, code: str, /, **fields: object) -> str:
    """The sentence for a reason, flag or fault (`code.used`). Without one of its own, or without the fields that it
    wants, a general sentence names the code: at a till a poor sentence is better than none."""
    try:
        return say(language, f"reason.{code}", **fields)
    except KeyError:
        return say(language, "declined.other", code=code)


@cache
def texts(language: str) -> Mapping[str, str]:
    """All texts of a language by dotted key. Raises KeyError for a language without words."""
    if language not in LANGUAGES:
        raise KeyError(f"no words in {language!r}; there are {', '.join(LANGUAGES)}")
    document = tomllib.loads(files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8"))
    return MappingProxyType(dict(_flat(document)))


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, str):
            yield before + name, value
        else:
            yield from _flat(value, f"{before}{name}.")
