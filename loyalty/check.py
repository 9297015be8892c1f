"""Checking a document: all mistakes at once, each with its line, its code, what is wrong and a cure."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from loyalty.check_campaigns import check_campaigns
from loyalty.check_names import check_names, tables_at
from loyalty.check_report import Report, Table
from loyalty.check_schema import sound_document
from loyalty.check_terms import check_terms
from loyalty.check_warnings import check_warnings
from loyalty.check_windows import check_windows
from loyalty.mistakes import Mistake
from loyalty.toml_lines import Path, TomlLines

MOST_BYTES = 1 << 20
NATURES = (("campaigns", "on"), ("batches", "use"), ("rewards", "kind"))


def check(data: bytes, *, now: datetime | None = None, loaded: Iterable[Mapping[str, Any]] = ()) -> list[Mistake]:
    """All mistakes of a document, by line. `now`, where given, is when it would be loaded; `loaded` are the documents
    that were loaded before it, in order."""
    if len(data) > MOST_BYTES:
        text = f"the document has {len(data):,} bytes, at most {MOST_BYTES:,} are read"
        return [_whole(0, "too_large", text, "split the chain into programmes, or shorten lists")]
    try:
        source = data.decode()
        document = tomllib.loads(source)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return [_whole(line, "syntax", "this is not UTF-8", "save the document as UTF-8")]
    except tomllib.TOMLDecodeError as error:
        return [_whole(_line_of(error, source), "syntax", str(error), "correct it by the rules of TOML 1.0")]
    return _checked(document, source, now, list(loaded))


def table_of(data: bytes) -> dict[str, Any]:
    """The document as TOML reads it. Raises ValueError when it is not TOML in UTF-8."""
    return tomllib.loads(data.decode())


def _checked(document: Table, source: str, now: datetime | None, loaded: list[Mapping[str, Any]]) -> list[Mistake]:
    report = Report(TomlLines(source))
    sound = sound_document(report, document)
    check_names(report, sound)
    check_windows(report, sound, now)
    check_campaigns(report, sound)
    check_terms(report, sound)
    check_warnings(report, sound)
    _check_loaded(report, sound, loaded)
    return report.mistakes()


def _whole(line: int, cause: str, text: str, cure: str) -> Mistake:
    return Mistake(line=line, code=f"document.{cause}", text=text, cure=cure)


def _line_of(error: tomllib.TOMLDecodeError, source: str) -> int:
    found = re.search(r"at line (\d+)", str(error))
    return int(found[1]) if found else source.count("\n") + 1


def _check_loaded(report: Report, document: Table, loaded: list[Mapping[str, Any]]) -> None:
    """A version is never reused, and an id is never used again for something else."""
    name = document.get("programme", {}).get("id")
    before = [dict(old) for old in loaded if old["programme"]["id"] == name]
    if not before:
        return
    newest = max(old["programme"]["version"] for old in before)
    if document["programme"].get("version", newest + 1) <= newest:
        text = f"version {newest} was loaded already"
        report.error(("programme", "version"), "version_not_newer", text, f"write version = {newest + 1}")
    for key, nature in NATURES:
        _check_reuse(report, document, before, key, nature)


def _check_reuse(report: Report, document: Table, before: list[Table], key: str, nature: str) -> None:
    """Used again: dropped by a later version and back, or of another nature than it was."""
    last = {table["id"] for table in tables_at(before[-1], key)}
    was = {table["id"]: table.get(nature) for old in before for table in tables_at(old, key)}
    for i, table in enumerate(tables_at(document, key)):
        name = table.get("id")
        if name not in was:
            continue
        path: Path = (key, i, "id")
        if name not in last:
            report.error(path, "id_reused", f"{name!r} stood for something earlier and was dropped", "choose a new id")
        elif was[name] != table.get(nature):
            text = f"{name!r} was {was[name] or 'the default'} so far, not {table.get(nature)}"
            report.error(path, "id_reused", text, "choose a new id")
