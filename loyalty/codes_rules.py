"""Codes presented: each gets its first problem in the order of reasons; what is good opens its campaign."""

from typing import NamedTuple

from loyalty import reasons
from loyalty.almost import code_hint
from loyalty.answer import Hint
from loyalty.calendar import micros
from loyalty.campaigns import Fired, judge
from loyalty.case import Case
from loyalty.facts import CodeFacts
from loyalty.place import LiveBatch, flash_span
from loyalty.request import CODE, PresentedCode
from loyalty.since import code_facts, code_uses


class Opened(NamedTuple):
    """A good code and the campaign it opens."""

    code: str
    fired: Fired


class Problem(NamedTuple):
    """Sorts by the order of reasons, then of presentation."""

    rank: int
    turn: int
    reason: str
    hint: Hint | None


def judged(case: Case) -> tuple[list[Opened], list[Problem]]:
    """The good codes in order of presentation, and the problems of the others, worst reason first."""
    opened: list[Opened] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for index, code in enumerate(case.request.codes):
        found = _judged(case, code, index, again=code.id in seen)
        seen.add(code.id)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            opened.append(found)
    return opened, sorted(problems)


def outranked(opened: list[Opened], taken: list[Fired]) -> list[Opened]:
    """Good codes for which an exclusive, a group, the limit or another code of theirs leaves no room."""
    free = {fired.campaign.id for fired in taken}
    left = []
    for one in opened:
        if one.fired.campaign.id in free:
            free.remove(one.fired.campaign.id)
        else:
            left.append(one)
    return left


def _judged(case: Case, code: PresentedCode, index: int, *, again: bool) -> Opened | Problem:
    live = case.place.batches.get(code.batch) if code.batch is not None else None
    reason = _unknown_problem(case, code, live) or (_problem(case, code, live, index, again) if live else None)
    if reason is not None or live is None:
        return _problem_of(reason or reasons.CODE_UNKNOWN, index)
    if live.opens is None:
        return _problem_of(reasons.CODE_BASKET, index)
    campaign = live.opens.campaign
    if campaign.on == "purchase" and case.request.kind == CODE:
        return _problem_of(reasons.CODE_NEEDS_PURCHASE, index)
    if campaign.on == "activation":
        return _problem_of(reasons.CODE_NOT_NOW, index)
    verdict = judge(case, live.opens)
    if verdict.reason is not None:
        return _problem_of(verdict.reason, index, code_hint(case, campaign, verdict))
    return Opened(code.id, Fired(campaign, verdict.units))


def _problem_of(reason: str, index: int, hint: Hint | None = None) -> Problem:
    return Problem(reasons.CODE_RANK[reason], index, reason, hint)


def _unknown_problem(case: Case, code: PresentedCode, live: LiveBatch | None) -> str | None:
    if code.batch is None:
        return reasons.CODE_UNKNOWN
    if live is None or (code.programme is not None and code.programme != case.programme.id):
        return reasons.CODE_OTHER_PROGRAMME
    return None


def _problem(case: Case, code: PresentedCode, live: LiveBatch, index: int, again: bool) -> str | None:
    """The first problem of a code of one of our batches, before its campaign is asked."""
    known = code_facts(case.facts, code.id)
    return (
        _use_problem(case, code, live, known, again)
        or _time_problem(case, code, live)
        or _right_problem(case, code, live, known)
        or _company_problem(case, live, known, index)
    )


def _use_problem(case: Case, code: PresentedCode, live: LiveBatch, known: CodeFacts, again: bool) -> str | None:
    if known.state == "void":
        return reasons.CODE_VOID
    uses, _ = code_uses(case.facts, case.rows, code.id)
    batch = live.batch
    if again or (batch.use == "once" and (uses >= 1 or known.state == "used")):
        return reasons.CODE_USED
    if batch.use == "times" and uses >= batch.times:
        return reasons.CODE_USED_UP
    return None


def _time_problem(case: Case, code: PresentedCode, live: LiveBatch) -> str | None:
    released = live.release(code.serial)
    if released is None or case.us < released:
        return reasons.CODE_NOT_RELEASED
    if case.us >= live.ends:
        return reasons.CODE_EXPIRED
    flash = live.batch.flash
    if flash is None:
        return None
    begins: int | None = released
    if not flash.from_release:
        activated_at = case.facts.activated_at if case.facts.known else None
        begins = None if activated_at is None else micros(activated_at)
    if begins is None or case.us not in flash_span(live, begins):
        return reasons.CODE_FLASH_OVER
    return None


def _right_problem(case: Case, code: PresentedCode, live: LiveBatch, known: CodeFacts) -> str | None:
    if not live.here:
        return reasons.CODE_REGION
    batch, facts = live.batch, case.facts
    if batch.personal and not (facts.known and known.member is not None and known.member == facts.member):
        return reasons.CODE_PERSONAL
    if batch.use == "per_member" and code_uses(facts, case.rows, code.id)[1] >= batch.times:
        return reasons.CODE_MEMBER_LIMIT
    return None


def _company_problem(case: Case, live: LiveBatch, known: CodeFacts, index: int) -> str | None:
    """What the line or the other codes of this request forbid; all codes presented count, bad ones too."""
    if live.batch.needs_allowance and not known.allowed_here:
        return reasons.CODE_NEEDS_LINE
    if not live.batch.stackable and len(case.request.codes) > 1:
        return reasons.CODE_ALONE
    if index >= case.programme.max_codes:
        return reasons.CODE_TOO_MANY
    return None
