"""How the points came about, line by line, and what follows from the decision besides points."""

from collections.abc import Iterator

from agent.words.sentence import kind_of
from agent.words.voice import Voice
from loyalty.answer import Approved, Effect, RulePoints
from loyalty.lines import Basket, lines_of, shares
from loyalty.request import REVERSE, Request
from loyalty.terms import Programme

_LINE_KEYS = {
    "earn.base": "line.base_alone",
    "referral.friend": "line.referral",
    "cap.purchase": "line.cap_purchase",
    "cap.day": "line.cap_day",
}
_AREA_KEYS = {"tier": "line.tier", "campaign": "line.campaign", "reward": "line.reward", "goodwill": "line.goodwill"}


def lines(voice: Voice, answer: Approved, request: Request | None) -> Iterator[str]:
    """One text for each line of the breakdown, in its order."""
    if kind_of(answer, request) == REVERSE:
        return (_line_back(voice, line) for line in answer.breakdown)
    return (_line(voice, line, answer, request) for line in answer.breakdown)


def effects(voice: Voice, answer: Approved) -> Iterator[str]:
    """One text for each effect that the lines do not tell already."""
    texts = (_effect(voice, effect) for effect in answer.effects)
    return (text for text in texts if text is not None)


def _line(voice: Voice, line: RulePoints, answer: Approved, request: Request | None) -> str:
    rule, points = line
    fields = {"points": voice.number(abs(points)), "counted": voice.counted(abs(points))}
    if rule == "earn.base" and request is not None:
        return voice.say("line.base", paid=voice.money(_paid_minor(voice.programme, request)), **fields)
    if rule == "burn.money":
        off = next(int(effect[2]) for effect in answer.effects if effect[0] == "money_off")
        return voice.say("line.burn", money=voice.money(off), **fields)
    key = _LINE_KEYS.get(rule) or _AREA_KEYS.get(rule.partition(".")[0], "line.campaign")
    return voice.say(key, name=voice.name(rule), **fields)


def _line_back(voice: Voice, line: RulePoints) -> str:
    """A purchase's lines keep their rules in its return; the others are marked `reverse.<rule>`."""
    rule, points = line
    key = "line.reverse" if points > 0 else "line.taken_back"
    return voice.say(key, name=voice.name(rule.removeprefix("reverse.")), points=voice.number(abs(points)))


def _paid_minor(programme: Programme, request: Request) -> int:
    """What was paid of eligible goods after vouchers: that on which points were given."""
    bought = lines_of(request.amount_minor or 0, request.lines)
    amounts = [line.amount_minor for line in bought]
    off = shares(request.vouchers_minor, amounts)
    return Basket(programme, bought, [amount - share for amount, share in zip(amounts, off, strict=True)]).all.paid


def _effect(voice: Voice, effect: Effect) -> str | None:
    match effect:
        case ("voucher", _, str(reward), str(until)):
            return voice.say("line.voucher", name=voice.name(f"reward.{reward}"), day=voice.day(until))
        case ("discount", _, str(what), int(n), str(until)):
            value = voice.percent(n) if what == "percent" else voice.money(n)
            return voice.say("line.discount", value=value, day=voice.day(until))
        case ("tier_reached", str(rule)):
            return voice.say("line.tier_reached", name=voice.name(rule))
        case ("referral", _, _, int(points)):
            return voice.say("line.referrer", points=voice.number(points))
        case ("revoke", str(rule)):
            return voice.say("line.revoke", name=voice.name(rule))
    return None  # a reward and money off stand in the breakdown
