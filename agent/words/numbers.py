"""Numbers and days as each language writes them."""

from datetime import date

from agent.words.texts import say

NARROW = "\N{NARROW NO-BREAK SPACE}"
GROUP = {"en": ",", "fr": NARROW, "it": "."}
POINT = {"en": ".", "fr": ",", "it": ","}
FIRST_SINGULAR = {"en": 1, "fr": 0, "it": 1}  # French: 0 point, 2 points


def number(value: int, language: str) -> str:
    """A whole number in groups of three: 1,240."""
    return f"{value:,}".replace(",", GROUP[language])


def counted(value: int, unit: str, language: str) -> str:
    """A number with its noun in the right form: 1 point, 51 points. `unit`: points, items or purchases."""
    singular = FIRST_SINGULAR[language] <= abs(value) <= 1
    return say(language, f"count.{unit}.{'one' if singular else 'other'}", n=number(value, language))


def percent(value: int, language: str) -> str:
    """10%."""
    return say(language, "number.percent", n=value)


def day(text: str, language: str) -> str:
    """A local date (ISO 8601, as decisions give it) in words: 31 May 2026. Raises ValueError for another text."""
    that = date.fromisoformat(text)
    key = "number.first_day" if that.day == 1 else "number.day"
    return say(language, key, day=that.day, month=say(language, f"month.{that.month}"), year=that.year)
