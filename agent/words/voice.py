"""One language speaking about one programme: what every part of an answer's words needs."""

from dataclasses import dataclass

from agent.words import numbers, texts
from agent.words.money import format_amount
from loyalty.terms import Programme

_OWN_NAMES = {
    "earn.base": "name.base",
    "referral.friend": "name.referral",
    "referral.referrer": "name.referrer",
    "cap.purchase": "name.cap_purchase",
    "cap.day": "name.cap_day",
    "burn.money": "name.money",
}
"""Rules that no document names, and the key of what we call them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    language: str
    programme: Programme

    def say(self, key: str, /, **fields: object) -> str:
        return texts.say(self.language, key, **fields)

    def reason(self, code: str) -> str:
        return texts.reason(self.language, code)

    def name(self, rule: str) -> str:
        """What people call a rule: the programme's name for it, ours, or its id where an older document named it."""
        names = self.programme.names.get(rule, {})
        if self.language in names:
            return names[self.language]
        if rule in _OWN_NAMES:
            return self.say(_OWN_NAMES[rule])
        area, _, own = rule.partition(".")
        return self.say("name.goodwill") if area == "goodwill" else own

    def number(self, value: int) -> str:
        return numbers.number(value, self.language)

    def counted(self, value: int, unit: str = "points") -> str:
        return numbers.counted(value, unit, self.language)

    def money(self, minor: int) -> str:
        return format_amount(minor, self.programme.currency, self.language)

    def percent(self, value: int) -> str:
        return numbers.percent(value, self.language)

    def day(self, text: str) -> str:
        return numbers.day(text, self.language)
