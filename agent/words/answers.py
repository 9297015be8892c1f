"""A decision in words: the verdict, the sentence to read out, how the points came about, and what is close."""

from msgspec import Struct

from agent.words.breakdown import effects, lines
from agent.words.hints import hint
from agent.words.sentence import sentence, thanks
from agent.words.voice import Voice
from loyalty.answer import Answer, Approved, Declined
from loyalty.reasons import APPROVAL_HELD
from loyalty.request import Request
from loyalty.terms import Programme

QUOTE, PROVISIONAL, FINAL = "quote", "provisional", "final"


class Words(Struct, frozen=True, kw_only=True):
    """What the cashier sees and says. `lines` begins with one for each line of the decision's breakdown; after those
    come what else follows from it (vouchers, a new tier) and its flags. `almost`: what lacks, at most three."""

    verdict: str
    sentence: str
    lines: tuple[str, ...] = ()
    almost: tuple[str, ...] = ()


def answer(
    language: str,
    answer: Answer,
    programme: Programme,
    *,
    provisional: bool | None,
    name: str | None,
    request: Request | None = None,
) -> Words:
    """The words of a decision. `provisional` None: a quote, nothing is written. `name`: the member's, as it may be read
    out. With its `request` the words are more exact: what was paid, and whether a card was activated.

    Raises KeyError for a language without words.
    """
    voice = Voice(language=language, programme=programme)
    if isinstance(answer, Declined):
        return _declined(voice, answer)
    return _approved(voice, answer, request, name, _standing(provisional))


def _declined(voice: Voice, answer: Declined) -> Words:
    return Words(
        verdict=voice.say("verdict.not_yet" if answer.almost else "verdict.no"),
        sentence=voice.reason(answer.reason),
        lines=(voice.say("declined.nothing"),),
        almost=tuple(hint(voice, one) for one in answer.almost),
    )


def _approved(voice: Voice, answer: Approved, request: Request | None, name: str | None, standing: str) -> Words:
    said = [sentence(voice, answer, request, name or voice.say("name.card"))]
    if APPROVAL_HELD in answer.flags:
        said.append(voice.say("tail.held"))
    elif standing != FINAL:
        said.append(voice.say(f"tail.{standing}"))
    if standing != QUOTE:
        said.append(thanks(voice, answer))
    flags = (voice.reason(flag) for flag in answer.flags if flag != APPROVAL_HELD)
    return Words(
        verdict=voice.say(f"verdict.{standing}"),
        sentence=" ".join(part for part in said if part),
        lines=(*lines(voice, answer, request), *effects(voice, answer), *flags),
        almost=tuple(hint(voice, one) for one in answer.almost),
    )


def _standing(provisional: bool | None) -> str:
    if provisional is None:
        return QUOTE
    return PROVISIONAL if provisional else FINAL
