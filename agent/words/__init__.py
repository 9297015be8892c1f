"""Words for the cashier, in English, French and Italian: one file a language, all with the same keys."""

from agent.words.answers import Words, answer
from agent.words.money import AmountError, decimals, format_amount, parse_amount
from agent.words.texts import LANGUAGES, reason, say

__all__ = [
    "LANGUAGES",
    "AmountError",
    "Words",
    "answer",
    "decimals",
    "format_amount",
    "parse_amount",
    "reason",
    "say",
]
