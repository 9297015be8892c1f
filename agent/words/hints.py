"""What is close: one thing lacks, and by how much."""

from agent.words.voice import Voice
from loyalty.answer import Hint
from loyalty.terms import MONTH

_IN_MONEY = ("minimum", "basket_amount", "spend")


def hint(voice: Voice, hint: Hint) -> str:
    """A hint of a decision in words: 2 of 3 purchases for “Double points”."""
    rule, kind, have, need = hint
    return voice.say(
        f"almost.{_key(voice, rule, kind)}",
        name=voice.name(rule),
        have=voice.number(have),
        need=voice.number(need),
        lack=_lack(voice, kind, need - have),
    )


def _key(voice: Voice, rule: str, kind: str) -> str:
    if rule == "earn.minimum":
        return "minimum_programme"
    if kind == "visits" and _is_monthly(voice, rule):
        return "visits_month"
    return kind


def _is_monthly(voice: Voice, rule: str) -> bool:
    campaigns = (campaign for campaign in voice.programme.campaigns if campaign.rule == rule)
    return any(campaign.visits is not None and campaign.visits.days == MONTH for campaign in campaigns)


def _lack(voice: Voice, kind: str, amount: int) -> str:
    if kind == "tier":
        return _to_next_tier(voice, amount)
    if kind in _IN_MONEY:
        return voice.money(amount)
    return voice.counted(amount, {"basket_quantity": "items", "visits": "purchases"}.get(kind, "points"))


def _to_next_tier(voice: Voice, amount: int) -> str:
    """A tier counts what its programme says: money spent, points or purchases."""
    by = voice.programme.tiers.by if voice.programme.tiers is not None else "points"
    return voice.money(amount) if by == "spend" else voice.counted(amount, by)
