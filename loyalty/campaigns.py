"""Campaigns: whether one's conditions hold, what it would give, and which are taken."""

from msgspec import Struct

from loyalty import reasons
from loyalty.calendar import in_slots, local_day
from loyalty.case import Case
from loyalty.lines import Basket
from loyalty.place import LiveCampaign
from loyalty.request import ACTIVATE
from loyalty.rounding import points_up
from loyalty.since import budget_taken
from loyalty.terms import Budget, Campaign, Gives, Limit, MemberConditions

Lack = tuple[str, tuple[str, int, int] | None]
"""The reason of something that lacks and can be closed at a till, and its hint: kind, have, need."""

NOTHING_LACKS: tuple[Lack, ...] = ()


class Verdict(Struct, frozen=True):
    """`units` it would give; the earliest `reason` why not (None: it stands); `hint` where one thing alone lacks."""

    units: int
    reason: str | None = None
    hint: tuple[str, int, int] | None = None


NOT_NOW = Verdict(0, reasons.CODE_NOT_NOW)
ELSEWHERE = Verdict(0, reasons.CODE_PLACE)
NOT_ENTITLED = Verdict(0, reasons.CODE_NOT_ENTITLED)


class Fired(Struct, frozen=True):
    """A campaign and the exact units it gives."""

    campaign: Campaign
    units: int


def judge(case: Case, live: LiveCampaign) -> Verdict:
    """Every condition, then the limit, what it would give, and the budget; reasons in the order of codes' reasons."""
    campaign = live.campaign
    if not live.starts <= case.us < live.ends:
        return NOT_NOW
    if campaign.slots is not None and not in_slots(campaign.slots, case.moment.week_minute):
        return NOT_NOW
    if not live.here:
        return ELSEWHERE
    if campaign.member is not None and not _entitled(case, campaign.member):
        return NOT_ENTITLED
    lacks = _lacking(case, campaign)
    units = worth(campaign.gives, case.basket, with_base=case.qualifying)
    if not units and not campaign.gives.promises:
        first = lacks[0][0] if lacks else reasons.CODE_BASKET
        return Verdict(0, reasons.CODE_BASKET if first == reasons.CODE_PROGRESS else first)
    if campaign.limit is not None and not _within_limit(case, campaign.id, campaign.limit):
        return Verdict(0, lacks[0][0] if lacks else reasons.CODE_LIMIT)
    if campaign.budget is not None and not _affordable(case, campaign.id, campaign.budget, units):
        return Verdict(0, lacks[0][0] if lacks else reasons.CODE_QUOTA)
    if lacks:
        return Verdict(units, lacks[0][0], lacks[0][1] if len(lacks) == 1 else None)
    return Verdict(units)


def worth(gives: Gives, basket: Basket, *, with_base: bool) -> int:
    """Exact units: fixed, times, per item and extra rate, then at most the maximum. Below the programme's minimum
    lines have no base points for `times` to work on."""
    units = gives.fixed
    if gives.more or gives.per_item or gives.extra:
        sums = basket.within(gives.scope)
        if with_base:
            units += sums.base * gives.more // gives.per
        units += sums.quantity * gives.per_item + sums.paid * gives.extra
    if gives.most is not None and units > gives.most:
        return gives.most
    return units


def choose(good: list[Fired], stack_limit: int) -> list[Fired]:
    """Those taken, by priority then id: an exclusive one alone, one of a group, as many as may be stacked."""
    taken: list[Fired] = []
    groups: set[str] = set()
    for fired in good:
        campaign = fired.campaign
        if len(taken) >= stack_limit:
            break
        if (campaign.exclusive and taken) or campaign.group in groups:
            continue
        taken.append(fired)
        if campaign.exclusive:
            break
        if campaign.group is not None:
            groups.add(campaign.group)
    return taken


def _entitled(case: Case, asked: MemberConditions) -> bool:
    facts = case.facts
    if not facts.known:
        return False
    return (
        (asked.new_member_days is None or _is_new(case, asked.new_member_days))
        and not (asked.first_purchase and facts.purchases > 0)
        and (asked.tiers is None or (case.level is not None and case.level.id in asked.tiers))
        and not (asked.birthday_month and facts.birth_month != case.moment.today.month)
        and (asked.tags_any is None or not asked.tags_any.isdisjoint(facts.tags))
        and (asked.tags_none is None or asked.tags_none.isdisjoint(facts.tags))
    )


def _is_new(case: Case, days: int) -> bool:
    activated_at = case.facts.activated_at
    if activated_at is None:
        return case.request.kind == ACTIVATE  # activated today
    age = case.moment.today - local_day(activated_at, case.place.outlet.zone)
    return 0 <= age.days < days


def _lacking(case: Case, campaign: Campaign) -> list[Lack] | tuple[Lack, ...]:
    """What lacks of the things that can be closed at a till, each by itself."""
    if not campaign.asks_more:
        return NOTHING_LACKS if case.qualifying or campaign.on != "purchase" else [(reasons.CODE_MINIMUM, None)]
    lacks: list[Lack] = []
    if not case.qualifying and campaign.on == "purchase":
        lacks.append((reasons.CODE_MINIMUM, None))
    if case.eligible < campaign.minimum_minor:
        lacks.append((reasons.CODE_MINIMUM, ("minimum", case.eligible, campaign.minimum_minor)))
    for table in campaign.baskets:
        sums = case.basket.within(table.scope)
        if table.quantity is not None and sums.quantity < table.quantity:
            lacks.append((reasons.CODE_BASKET, ("basket_quantity", sums.quantity, table.quantity)))
        if table.amount_minor is not None and sums.amount < table.amount_minor:
            lacks.append((reasons.CODE_BASKET, ("basket_amount", sums.amount, table.amount_minor)))
    if campaign.spend is not None or campaign.visits is not None:
        lacks.extend(_lacking_progress(case, campaign))
    return lacks


def _lacking_progress(case: Case, campaign: Campaign) -> list[Lack]:
    if not case.facts.known:
        return [(reasons.CODE_PROGRESS, None)]
    lacks: list[Lack] = []
    if campaign.spend is not None:
        have = case.spend_in(campaign.spend.days) + (case.eligible if case.qualifying else 0)
        if have < campaign.spend.at_least_minor:
            lacks.append((reasons.CODE_PROGRESS, ("spend", have, campaign.spend.at_least_minor)))
    if campaign.visits is not None:
        asked, adds = campaign.visits, case.adds_visit()
        have = case.visits_in(asked.days) + adds
        if asked.every:
            over = have % asked.every
            if over or not adds:
                lacks.append((reasons.CODE_PROGRESS, ("visits", over, asked.every) if over else None))
        elif have < asked.at_least:
            lacks.append((reasons.CODE_PROGRESS, ("visits", have, asked.at_least)))
    return lacks


def _within_limit(case: Case, campaign: str, limit: Limit) -> bool:
    times = case.facts.campaigns.get(campaign)
    if times is None:
        return True
    moment = case.moment
    key = "total" if limit.per == "campaign" else moment.month if limit.per == "month" else moment.day
    return times.get(key, 0) < limit.per_member


def _affordable(case: Case, campaign: str, budget: Budget, units: int) -> bool:
    """Hard: the cost fits what the outlet's allowance has left. Soft: anything is left of the total."""
    known = case.facts.budgets.get(campaign)
    taken = budget_taken(case.facts, case.rows, campaign, points=budget.points, returns=not budget.hard)
    if not budget.hard:
        return (0 if known is None else known.used) + taken < budget.total
    cost = points_up(units, case.programme.unit) if budget.points else 1
    return cost <= (0 if known is None else known.left) - taken
