"""The one sentence to read out, by what was asked for."""

from agent.words.voice import Voice
from loyalty.answer import Approved
from loyalty.request import ACTIVATE, ADJUST, BURN, CODE, EARN, REVERSE, Request

_MONEY_OFF = "money_off"


def sentence(voice: Voice, answer: Approved, request: Request | None, member: str) -> str:
    """What an approved answer comes to: 51 points for Fiorella."""
    fields = {"counted": voice.counted(abs(answer.points)), "member": member}
    match kind_of(answer, request):
        case "burn":
            return _burned(voice, answer, fields)
        case "reverse":
            return voice.say(_reversed(answer.points), **fields)
        case "adjust":
            return voice.say("sentence.goodwill", **fields)
        case "activate":
            return voice.say("sentence.activated_points" if answer.points else "sentence.activated", **fields)
        case "code" if not answer.points:
            return voice.say("sentence.accepted", **fields)
    return voice.say("sentence.given" if answer.points else "sentence.none", **fields)


def thanks(voice: Voice, answer: Approved) -> str:
    """What the programme has said to whoever takes a reward; empty where it says nothing."""
    taken = (str(effect[1]) for effect in answer.effects if effect[0] == "reward")
    reward = voice.programme.rewards.get(next(taken, "").removeprefix("reward."))
    return reward.thanks.get(voice.language, "") if reward is not None else ""


def kind_of(answer: Approved, request: Request | None) -> str:
    """The kind of the request, told from its answer where the request is not at hand."""
    if request is not None:
        return request.kind
    areas = {rule.partition(".")[0] for rule, _ in answer.breakdown}
    if answer.part or "reverse" in areas:
        return REVERSE
    if areas & {"reward", "burn"}:
        return BURN
    if "goodwill" in areas:
        return ADJUST
    if "earn" in areas:
        return EARN
    return CODE if answer.counts.codes else ACTIVATE


def _burned(voice: Voice, answer: Approved, fields: dict[str, str]) -> str:
    for name, rule, value in (effect for effect in answer.effects if len(effect) == 3):
        if name == _MONEY_OFF:
            return voice.say("sentence.money", money=voice.money(int(value)), **fields)
        return voice.say("sentence.reward", name=voice.name(str(rule)), **fields)
    return voice.say("sentence.taken_back", **fields)


def _reversed(points: int) -> str:
    if not points:
        return "sentence.unchanged"
    return "sentence.given_back" if points > 0 else "sentence.taken_back"
