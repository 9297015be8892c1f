"""Burns: a reward, or points as money. One burn, one allowance."""

from loyalty import reasons
from loyalty.answer import Approved, Declined, Effect
from loyalty.approving import approval_problem
from loyalty.case import Case
from loyalty.facts import Counts
from loyalty.since import allowance_left, stock_left
from loyalty.tiers import effective_level

MONEY = "burn.money"


def burn(case: Case) -> Approved | Declined:
    """Points for a reward, always one of it, or for money off."""
    if case.request.reward is not None or case.request.points is None:
        return _burn_reward(case, case.request.reward or "")
    return _burn_money(case, case.request.points)


def _burn_reward(case: Case, reward_id: str) -> Approved | Declined:
    live = case.place.rewards.get(reward_id)
    if live is None:
        return case.declined(reasons.BURN_REWARD)
    reward = live.reward
    if case.us not in live.span:
        return case.declined(reasons.BURN_WINDOW)
    if reward.outlets is not None and case.request.outlet not in reward.outlets:
        return case.declined(reasons.BURN_PLACE)
    level, _ = effective_level(case.programme, case.facts, case.moment)
    if reward.tiers is not None and (level is None or level.id not in reward.tiers):
        return case.declined(reasons.BURN_TIER)
    if reward.stock and stock_left(case.facts, case.rows, reward.id) < 1:
        return case.declined(reasons.BURN_STOCK)
    return _paid(case, reward.rule, reward.points, ("reward", reward.rule, 1), amount_minor=None)


def _burn_money(case: Case, points: int) -> Approved | Declined:
    burning = case.programme.burning
    if burning is None:
        return case.declined(reasons.BURN_OFF)
    if points % burning.points:
        return case.declined(reasons.BURN_STEP)
    if points < max(1, burning.minimum_points):
        return case.declined(reasons.BURN_MINIMUM)
    money = points // burning.points * burning.value_minor
    return _paid(case, MONEY, points, ("money_off", MONEY, money), amount_minor=money)


def _paid(case: Case, rule: str, price: int, effect: Effect, *, amount_minor: int | None) -> Approved | Declined:
    if not case.facts.known:
        return case.declined(reasons.BURN_UNKNOWN)
    if case.facts.balance < price:
        return case.declined(reasons.BURN_BALANCE, (rule, "points", case.facts.balance, price))
    allowance = _allowance(case, price)
    if allowance is None:
        return case.declined(reasons.BURN_ALLOWANCE)
    reason = approval_problem(case, -price, amount_minor)
    if reason is not None:
        return case.declined(reason)
    return Approved(
        points=-price,
        breakdown=((rule, -price),),
        counts=Counts(day=case.moment.day, balance=-price),
        flags=tuple(case.flags),
        effects=(effect,),
        allowance=allowance,
    )


def _allowance(case: Case, price: int) -> str | None:
    """The first, in the order given, whose rest covers the whole price."""
    for allowance in case.facts.allowances:
        if allowance_left(case.rows, allowance.id, allowance.as_of, allowance.left) >= price:
            return allowance.id
    return None
