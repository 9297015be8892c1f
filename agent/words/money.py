"""Amounts of money as people write them. Inside, an amount is an integer of the currency's minor units."""

import re

from agent.words.numbers import POINT, number

# ISO 4217 list one, "minor unit" where it is not 2. Every currency in use that is not here has two decimals.
_NONE = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV")
_CFA = ("XAF", "XOF", "XPF")
_THREE = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_FOUR = ("CLF", "UYW")
_DECIMALS = dict.fromkeys(_NONE + _CFA, 0) | dict.fromkeys(_THREE, 3) | dict.fromkeys(_FOUR, 4)

MAX_MINOR = 10**12  # the most that a decision takes
_MOST_CHARS = 32  # far more than the largest amount has; so no text is long enough to be slow
_WRITTEN = re.compile(r"(-?)([0-9]+)(?:[.,]([0-9]+))?")
_NO_BREAK = "\N{NO-BREAK SPACE}"  # an amount and its currency stay on one line
_EXAMPLE_UNITS = 12
_EXAMPLE_PARTS = "5000"


class AmountError(ValueError):
    """A text that is not an amount. `code` has words for the cashier (`till.amount`, `till.amount_range`)."""

    def __init__(self, code: str, text: str, currency: str) -> None:
        super().__init__(text)
        self.code, self.currency = code, currency

    def fields(self, language: str) -> dict[str, object]:
        """What the sentence of `code` wants filled in."""
        places = decimals(self.currency)
        example = str(_EXAMPLE_UNITS) + (POINT[language] + _EXAMPLE_PARTS[:places] if places else "")
        return {"currency": self.currency, "decimals": places, "example": example}


def decimals(currency: str) -> int:
    """Decimals of a currency by ISO 4217: EUR 2, TND 3, JPY 0."""
    return _DECIMALS.get(currency, 2)


def format_amount(minor: int, currency: str, language: str) -> str:
    """An amount with all its decimals and its currency: 1,240.50 EUR."""
    places = decimals(currency)
    units, parts = divmod(abs(minor), 10**places)
    shown = number(units, language) + (f"{POINT[language]}{parts:0{places}}" if places else "")
    return f"{'-' if minor < 0 else ''}{shown}{_between(language)}{currency}"


def _between(language: str) -> str:
    return " " if language == "en" else _NO_BREAK


def parse_amount(text: str, currency: str) -> int:
    """The minor units of "12", "12.5", "12.50" or "12,50": one separator at most, so that 1,234 is never doubtful.

    Raises AmountError (a ValueError): `till.amount` for what is no number or has more decimals than the currency,
    `till.amount_range` below zero or above 10^12 minor units.
    """
    places = decimals(currency)
    found = _WRITTEN.fullmatch(text.strip())
    if found is None or len(found[3] or "") > places:
        raise AmountError("till.amount", f"{text[:_MOST_CHARS]!r} is no amount of {currency}", currency)
    sign, units, parts = found[1], found[2], found[3] or ""
    if sign or len(units) > _MOST_CHARS or (minor := int(units + parts.ljust(places, "0"))) > MAX_MINOR:
        raise AmountError("till.amount_range", f"{text[:_MOST_CHARS]!r} is out of range", currency)
    return minor
