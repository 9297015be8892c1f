"""Purchases, codes and activations: what they give."""

from loyalty import reasons
from loyalty.almost import MOST, hint_of, minimum_hint
from loyalty.answer import Approved, Declined, Effect, Hint
from loyalty.approving import approval_problem
from loyalty.calendar import local_day, micros
from loyalty.campaigns import Fired, choose, judge
from loyalty.case import Case
from loyalty.codes_rules import Opened, judged, outranked
from loyalty.facts import Counts, Pricing
from loyalty.gates import receipt_used
from loyalty.lines import Basket, lines_of, shares
from loyalty.pricing import (
    REFERRER,
    Priced,
    RuleUnits,
    base_rules,
    campaign_rules,
    priced,
    promised,
)
from loyalty.request import ACTIVATE, CODE
from loyalty.rounding import lots
from loyalty.terms import MAX_POINTS, Level
from loyalty.tiers import after_purchase, effective_level

POINTS = 3
"""Where a day's points stand in its counts."""


def earn(case: Case) -> Approved | Declined:
    """A purchase."""
    _read_lines(case)
    case.level, progress = effective_level(case.programme, case.facts, case.moment)
    opened, declined = _codes(case)
    if declined is not None:
        return declined
    good, hints = _campaigns(case)
    taken, kept, declined = _taken(case, good, opened)
    if declined is not None:
        return declined
    referral = _is_referred(case)
    level = case.level if case.qualifying else None
    rules = base_rules(case.programme, case.basket, level, qualifying=case.qualifying, referral=referral)
    rules.extend(campaign_rules(taken))
    room = _day_room(case, case.moment.day)
    price = priced(case.programme, rules, capped=True, day_room=room)
    declined = _refused(case, price, case.request.amount_minor)
    if declined is not None:
        return declined
    counts = _counts(case, price, taken, kept, day=case.moment.day, points_counted=price.points)
    effects = promised(case, taken)
    if referral and case.programme.referral is not None:
        effects.append(("referral", REFERRER, case.facts.referred_by or "", case.programme.referral.referrer_points))
    reached, hint = _next_level(case, progress, counts)
    if reached is not None:
        effects.append(("tier_reached", reached.rule))
    if hint is not None:
        hints.append(hint)
    return _approved(
        case,
        rules,
        price,
        counts,
        effects=effects,
        almost=tuple(hints[:MOST]) if case.qualifying else minimum_hint(case),
        pricing=Pricing(
            tier=level.id if level is not None else None,
            fired=tuple([fired.campaign.id for fired in taken]),
            referral=referral,
            spend_before=_spend_before(case, taken),
            day_room=room,
        ),
    )


def late(case: Case) -> Approved | Declined:
    """A purchase for which the card was forgotten: base and today's tier, on the day it was made."""
    days, bought_at = case.programme.late_days, case.request.bought_at
    if days is None:
        return case.declined(reasons.LATE_OFF)
    if bought_at is not None and micros(bought_at) > case.us:
        return case.declined(reasons.LATE_FUTURE)
    bought = None if bought_at is None else local_day(bought_at, case.place.outlet.zone)
    if bought is None or (case.moment.today - bought).days > days:
        return case.declined(reasons.LATE_TOO_OLD)
    if receipt_used(case):
        return case.declined(reasons.RECEIPT_USED)
    _read_lines(case)
    today, _ = effective_level(case.programme, case.facts, case.moment)
    level = today if case.qualifying else None
    rules = base_rules(case.programme, case.basket, level, qualifying=case.qualifying, referral=False)
    day = bought.isoformat()
    room = _day_room(case, day)
    price = priced(case.programme, rules, capped=True, day_room=room)
    declined = _refused(case, price, case.request.amount_minor)
    if declined is not None:
        return declined
    counts = _counts(case, price, [], [], day=day, points_counted=price.points)
    pricing = Pricing(tier=level.id if level is not None else None, day_room=room)
    return _approved(case, rules, price, counts, pricing=pricing)


def code(case: Case) -> Approved | Declined:
    """Codes without a purchase: only campaigns on codes."""
    if not case.request.codes and case.fails(reasons.CODE_UNKNOWN):
        return case.declined(reasons.CODE_UNKNOWN)
    case.level, _ = effective_level(case.programme, case.facts, case.moment)
    opened, declined = _codes(case)
    return declined if declined is not None else _without_purchase(case, [], opened)


def activate(case: Case) -> Approved | Declined:
    """A card comes to life: only campaigns on activation."""
    case.level, _ = effective_level(case.programme, case.facts, case.moment)
    good = []
    for live in case.place.on_activation:
        verdict = judge(case, live)
        if verdict.reason is None:
            good.append(Fired(live.campaign, verdict.units))
    return _without_purchase(case, good, [])


def _without_purchase(case: Case, good: list[Fired], opened: list[Opened]) -> Approved | Declined:
    taken, kept, declined = _taken(case, good, opened)
    if declined is not None:
        return declined
    rules = campaign_rules(taken)
    price = priced(case.programme, rules, capped=False, day_room=None)
    declined = _refused(case, price, None)
    if declined is not None:
        return declined
    counts = _counts(case, price, taken, kept, day=case.moment.day, points_counted=0)
    pricing = Pricing(
        purchase=False,
        capped=False,
        tier=case.level.id if case.level is not None else None,
        fired=tuple([fired.campaign.id for fired in taken]),
        spend_before=_spend_before(case, taken),
    )
    return _approved(case, rules, price, counts, effects=promised(case, taken), pricing=pricing)


def _read_lines(case: Case) -> None:
    request = case.request
    lines = lines_of(request.amount_minor or 0, request.lines)
    paid = None
    if request.vouchers_minor:
        amounts = [line.amount_minor for line in lines]
        paid = [a - share for a, share in zip(amounts, shares(request.vouchers_minor, amounts), strict=True)]
    case.basket = Basket(case.programme, lines, paid)
    if case.basket.unknown_category:
        case.flags.append(reasons.UNKNOWN_CATEGORY)
    case.eligible = case.basket.all.amount
    case.qualifying = case.eligible >= max(1, case.programme.earning.minimum_minor)


def _codes(case: Case) -> tuple[list[Opened], Declined | None]:
    if not case.request.codes:
        return [], None
    opened, problems = judged(case)
    for problem in problems:
        if case.fails(problem.reason):
            return [], case.declined(problem.reason, *(() if problem.hint is None else (problem.hint,)))
    return opened, None


def _campaigns(case: Case) -> tuple[list[Fired], list[Hint]]:
    """The campaigns that would apply without a code, and the hints of those that almost would."""
    good: list[Fired] = []
    hints: list[Hint] = []
    if not case.qualifying:
        return good, hints
    for live in case.place.on_purchase:
        verdict = judge(case, live)
        if verdict.reason is None:
            good.append(Fired(live.campaign, verdict.units))
        elif verdict.hint is not None and len(hints) < MOST:
            hint = hint_of(live.campaign, verdict)
            if hint is not None:
                hints.append(hint)
    return good, hints


def _taken(case: Case, good: list[Fired], opened: list[Opened]) -> tuple[list[Fired], list[str], Declined | None]:
    """The campaigns taken and the codes used up; declined where a good code is outranked."""
    if not opened:
        return choose(good, case.programme.stack_limit), [], None
    by_id = {fired.campaign.id: fired for fired in (*good, *(one.fired for one in opened))}
    in_order = sorted(by_id.values(), key=lambda fired: fired.campaign.order)
    taken = choose(in_order, case.programme.stack_limit)
    losers = outranked(opened, taken)
    for _ in losers:
        if case.fails(reasons.CODE_OUTRANKED):
            return [], [], case.declined(reasons.CODE_OUTRANKED)
    return taken, [one.code for one in opened if one not in losers], None


def _is_referred(case: Case) -> bool:
    facts = case.facts
    return (
        case.programme.referral is not None
        and facts.known
        and facts.referred_by is not None
        and case.qualifying
        and facts.purchases <= 0
    )


def _day_room(case: Case, day: str) -> int | None:
    most = case.programme.earning.max_points_per_day
    if most is None:
        return None
    known = case.facts.days.get(day)
    return most if known is None else max(0, most - known[POINTS])


def _refused(case: Case, price: Priced, amount_minor: int | None) -> Declined | None:
    if price.points > MAX_POINTS:
        return case.declined(reasons.POINTS_RANGE)
    reason = approval_problem(case, price.points, amount_minor)
    return None if reason is None else case.declined(reason)


def _counts(
    case: Case, price: Priced, taken: list[Fired], codes: list[str], *, day: str, points_counted: int
) -> Counts:
    """`taken` are the last of the price's lines. A code or an activation is no visit."""
    first = len(price.lines) - len(taken)
    is_purchase = case.request.kind not in (CODE, ACTIVATE)
    return Counts(
        day=day,
        visits=1 if case.qualifying else 0,
        spend_minor=case.eligible if case.qualifying else 0,
        base=price.lines[0][1] if is_purchase else 0,
        points_counted=points_counted,
        balance=price.points,
        campaigns={one.campaign.id: (1, price.lines[first + i][1]) for i, one in enumerate(taken)},
        codes=tuple(codes),
    )


def _spend_before(case: Case, taken: list[Fired]) -> dict[str, int]:
    return {one.campaign.id: case.spend_in(one.campaign.spend.days) for one in taken if one.campaign.spend is not None}


def _next_level(case: Case, progress: int, counts: Counts) -> tuple[Level | None, Hint | None]:
    tiers = case.programme.tiers
    if tiers is None or not case.qualifying or not case.facts.known:
        return None, None
    return after_purchase(tiers, case.level, progress, (1, counts.spend_minor, counts.base))


def _approved(
    case: Case,
    rules: list[RuleUnits],
    price: Priced,
    counts: Counts,
    *,
    pricing: Pricing,
    effects: list[Effect] | None = None,
    almost: tuple[Hint, ...] = (),
) -> Approved:
    found = lots(
        [points for _, points in price.lines],
        [rule.expires_days for rule in rules],
        price.cut,
        case.moment.today,
        case.programme.expiry,
    )
    return Approved(
        points=price.points,
        breakdown=price.breakdown,
        counts=counts,
        almost=almost,
        flags=tuple(case.flags),
        effects=tuple(effects or ()),
        lots=tuple(found),
        pricing=pricing,
    )
