"""Mistakes as they are found, each at its place in the document."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from loyalty.mistakes import Mistake
from loyalty.toml_lines import Path, TomlLines

Table = dict[str, Any]


class Report:
    """Collects mistakes; `lines` says where a path stands."""

    def __init__(self, lines: TomlLines) -> None:
        self._lines = lines
        self._found: dict[Mistake, None] = {}

    def error(self, path: Path, cause: str, text: str, cure: str) -> None:
        self._add(path, cause, text, cure, warning=False)

    def warn(self, path: Path, cause: str, text: str, cure: str) -> None:
        self._add(path, cause, text, cure, warning=True)

    def unknown(self, path: Path, what: str, name: str, known: Sequence[str] | frozenset[str]) -> None:
        """A name that the document does not have."""
        self.error(path, f"unknown_{what}", f"there is no {what} {name!r}", likely(name, known, f"add the {what}"))

    def mistakes(self) -> list[Mistake]:
        """All that was found, by line; errors before warnings of the same line."""
        return sorted(self._found, key=lambda m: (m.line, m.warning))

    def _add(self, path: Path, cause: str, text: str, cure: str, *, warning: bool) -> None:
        said = f"{named(path)}: {text}" if path else text
        mistake = Mistake(line=self._lines.of(path), code=f"document.{cause}", text=said, cure=cure, warning=warning)
        self._found.setdefault(mistake)


def named(path: Path) -> str:
    """A path as people write it: `campaigns[2].when.starts`, counted from 1."""
    said = ""
    for part in path:
        said += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if said else part
    return said


def likely(name: str, known: Sequence[str] | frozenset[str], otherwise: str) -> str:
    """A cure for a name that nobody knows: the nearest that is known."""
    near = get_close_matches(name, sorted(known), n=1)
    return f"did you mean {near[0]!r}? Or {otherwise}" if near else otherwise
