"""Kinds of values: each says whether a value is of its kind, and gives back what is sound of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from loyalty.calendar import WEEKDAYS, minute, zone_of
from loyalty.check_report import Report, Table, likely
from loyalty.standards import COUNTRIES, CURRENCIES
from loyalty.terms import MAX_AMOUNT_MINOR, MAX_POINTS
from loyalty.toml_lines import Path

UNSOUND: Final = object()
"""Stands for a value that was refused; it is left out of the sound document."""

Kind = Callable[[Report, Path, Any], Any]

DECIMAL_CURE = "there are no decimals: write 1.5 points per euro as 3 per 200"
LANGUAGES = ("en", "fr", "it")
ID = re.compile(r"[a-z][a-z0-9_-]{0,39}")
MOST_MINOR = MAX_AMOUNT_MINOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key of a table: its kind, and whether it must be there."""

    kind: Kind
    required: bool = False


def must(kind: Kind) -> Key:
    return Key(kind=kind, required=True)


def may(kind: Kind) -> Key:
    return Key(kind=kind)


Spec = dict[str, Key]


def _wrong_type(report: Report, path: Path, value: Any, wanted: str) -> Any:
    if isinstance(value, float):
        report.error(path, "type", "is a decimal number", DECIMAL_CURE)
    else:
        report.error(path, "type", f"is {_described(value)}, not {wanted}", f"write {wanted}")
    return UNSOUND


def _described(value: Any) -> str:
    names = {dict: "a table", list: "a list", bool: "true or false", int: "a number", str: "the text"}
    name = names.get(type(value), "a date or time")
    return f"{name} {value!r}" if isinstance(value, (str, int)) else name


def whole(low: int, high: int, cause: str = "bounds", over: str | None = None) -> Kind:
    """An integer between bounds; `cause` names what is said below, `over` what is said above them."""

    def kind(report: Report, path: Path, value: Any) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            return _wrong_type(report, path, value, f"a whole number from {low:,} to {high:,}")
        if low <= value <= high:
            return value
        said = over if over is not None and value > high else cause
        report.error(path, said, f"{value:,} is not from {low:,} to {high:,}", f"write {low:,} to {high:,}")
        return UNSOUND

    return kind


points = whole(1, MAX_POINTS, "points_range")
points_or_zero = whole(0, MAX_POINTS, "points_range")
minor = whole(1, MOST_MINOR)
minor_or_zero = whole(0, MOST_MINOR)
percent = whole(1, 100, "percent")


def text(low: int = 1, high: int = 40) -> Kind:
    def kind(report: Report, path: Path, value: Any) -> Any:
        if not isinstance(value, str):
            return _wrong_type(report, path, value, "a text in quotes")
        if low <= len(value) <= high:
            return value
        report.error(path, "bounds", f"has {len(value)} characters", f"write {low} to {high} characters")
        return UNSOUND

    return kind


def identifier(report: Report, path: Path, value: Any) -> Any:
    if isinstance(value, str) and ID.fullmatch(value):
        return value
    wanted = "an id: a small letter, then up to 39 small letters, digits, _ or -"
    return _wrong_type(report, path, value, wanted)


def flag(report: Report, path: Path, value: Any) -> Any:
    return value if isinstance(value, bool) else _wrong_type(report, path, value, "true or false")


def one_of(*names: str) -> Kind:
    def kind(report: Report, path: Path, value: Any) -> Any:
        if value in names and isinstance(value, str):
            return value
        return _wrong_type(report, path, value, "one of " + ", ".join(f'"{name}"' for name in names))

    return kind


def words(report: Report, path: Path, value: Any) -> Any:
    """One text in each language."""
    if not isinstance(value, dict):
        return _wrong_type(report, path, value, 'a table like { en = "...", fr = "...", it = "..." }')
    cure = "give en, fr and it, each 1 to 60 characters"
    for language in LANGUAGES:
        said = value.get(language)
        if not isinstance(said, str) or not 1 <= len(said) <= 60:
            problem = "is missing" if said is None else "is not 1 to 60 characters"
            report.error((*path, language), "words", f"{language} {problem}", cure)
    for language in value.keys() - set(LANGUAGES):
        report.error((*path, language), "unknown_key", "is no language of the programme", cure)
    return value


def ratio(report: Report, path: Path, value: Any) -> Any:
    if not isinstance(value, list) or len(value) != 2:
        return _wrong_type(report, path, value, "a ratio like [3, 2]")
    parts = [whole(1, 1000)(report, path, part) for part in value]
    return UNSOUND if UNSOUND in parts else parts


def rate(report: Report, path: Path, value: Any) -> Any:
    if not isinstance(value, list) or len(value) != 2:
        return _wrong_type(report, path, value, "points per minor units, like [1, 50]")
    parts = [points(report, path, value[0]), minor(report, path, value[1])]
    return UNSOUND if UNSOUND in parts else parts


def local(report: Report, path: Path, value: Any) -> Any:
    """A local date or date-time, without an offset."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        cure = "write the time as the outlet's clock reads it, without Z or +01:00"
        report.error(path, "offset_given", "has an offset", cure)
        return UNSOUND
    if not isinstance(value, date):
        return _wrong_type(report, path, value, "a date or time without quotes, like 2026-04-05T09:00:00")
    if not 1971 <= value.year <= 9998:
        report.error(path, "bounds", f"the year {value.year} is out of use", "write a year from 1971 to 9998")
        return UNSOUND
    return value


def month_day(report: Report, path: Path, value: Any) -> Any:
    wanted = 'a day of the year like "12-31"'
    try:
        date.fromisoformat(f"2024-{value}" if isinstance(value, str) and len(value) == 5 else "")
    except ValueError:
        return _wrong_type(report, path, value, wanted)
    return value


def currency(report: Report, path: Path, value: Any) -> Any:
    if isinstance(value, str) and value in CURRENCIES:
        return value
    report.error(path, "currency", f"{value!r} is no currency in use", "write its ISO 4217 code, like EUR")
    return UNSOUND


def country(report: Report, path: Path, value: Any) -> Any:
    if isinstance(value, str) and value in COUNTRIES:
        return value
    report.error(path, "country", f"{value!r} is no country", "write its two letters of ISO 3166, like IT")
    return UNSOUND


def time_zone(report: Report, path: Path, value: Any) -> Any:
    try:
        zone_of(value if isinstance(value, str) else "")
    except (KeyError, ValueError):
        report.error(path, "time_zone", f"{value!r} is no time zone", "write its IANA name, like Europe/Rome")
        return UNSOUND
    return value


def weekday(report: Report, path: Path, value: Any) -> Any:
    return one_of(*WEEKDAYS)(report, path, value)


def slot(report: Report, path: Path, value: Any) -> Any:
    """A slot of hours: start inside, end outside, 24:00 allowed as end."""
    wanted = 'a slot like ["18:00", "20:00"]'
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(part, str) for part in value):
        return _wrong_type(report, path, value, wanted)
    try:
        start, end = minute(value[0]), minute(value[1])
    except ValueError:
        report.error(path, "type", f"{value!r} are no times of day", f"write {wanted}")
        return UNSOUND
    if start == end or start == minute("24:00"):
        cure = "let the slot end after it starts; one that ends earlier runs past midnight"
        report.error(path, "window_order", f"the slot {value[0]} to {value[1]} has no length", cure)
        return UNSOUND
    return value


def listed(kind: Kind, low: int = 0, high: int = 10_000) -> Kind:
    """A list, its sound items kept."""

    def check(report: Report, path: Path, value: Any) -> Any:
        if not isinstance(value, list):
            return _wrong_type(report, path, value, "a list")
        if not low <= len(value) <= high:
            report.error(path, "bounds", f"has {len(value)} items", f"give {low} to {high:,}")
        items = [kind(report, (*path, i), item) for i, item in enumerate(value)]
        return [item for item in items if item is not UNSOUND]

    return check


def table(spec: Spec) -> Kind:
    """A table of known keys, its sound ones kept."""

    def check(report: Report, path: Path, value: Any) -> Any:
        if not isinstance(value, dict):
            return _wrong_type(report, path, value, "a table")
        sound: Table = {}
        for key, item in value.items():
            if key not in spec:
                report.error(
                    (*path, key), "unknown_key", "is no key of this table", likely(key, list(spec), "leave it out")
                )
                continue
            kept = spec[key].kind(report, (*path, key), item)
            if kept is not UNSOUND:
                sound[key] = kept
        for key, known in spec.items():
            if known.required and key not in value:
                report.error(path, "missing", f"{key} is missing", f"add {key}")
        return sound

    return check
