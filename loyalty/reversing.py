"""Returns: what is left of a purchase is priced again under the rules that applied that day, and the difference is
the return's points. So parts always sum to the whole, whatever their order, and nothing is divided."""

from collections.abc import Sequence
from dataclasses import dataclass

from loyalty import reasons
from loyalty.answer import Approved, Declined, Effect, RulePoints
from loyalty.approving import approval_problem
from loyalty.campaigns import Fired, worth
from loyalty.case import Case
from loyalty.facts import Counts, Entry, Pricing, Taken
from loyalty.lines import Basket, lines_of, quantity_of, shares
from loyalty.pricing import REFERRER, Priced, base_rules, campaign_rules, priced
from loyalty.request import Line, Request
from loyalty.since import entry_returns, entry_taken
from loyalty.terms import Campaign, Programme


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A purchase priced by what is left of it."""

    price: Priced
    fired: tuple[str, ...]
    qualifying: bool
    spend_minor: int
    referral: bool

    def shown(self, campaign: str) -> int:
        """The campaign's line; 0 once it went."""
        if campaign not in self.fired:
            return 0
        return self.price.lines[len(self.price.lines) - len(self.fired) + self.fired.index(campaign)][1]


def reverse(case: Case, entry_programme: Programme) -> Approved | Declined:
    """Undoes an entry, whole or in part. `entry_programme` is the version by which the entry was priced: lines and
    points are asked of that, gates and approval of the programme in force."""
    of = case.request.of or ""
    entry = case.facts.entries.get(of)
    if entry is None:
        return case.declined(reasons.REVERSAL_UNKNOWN)
    if entry.request is not None:
        return _reverse_purchase(case, entry, entry.request, of, entry_programme)
    if entry.kind == "burn":
        return _reverse_burn(case, entry, of)
    return _reverse_credit(case, entry, of, entry_programme)


def _reverse_purchase(
    case: Case, entry: Entry, purchase: Request, of: str, programme: Programme
) -> Approved | Declined:
    first = lines_of(purchase.amount_minor or 0, purchase.lines)
    left = _less(first, entry_taken(entry, case.rows, of))
    if not any(line.amount_minor for line in left):
        return case.declined(reasons.REVERSAL_ALREADY)
    part, reason = _part(case.request, left)
    if reason is not None:
        return case.declined(reason)
    pricing = entry.pricing or Pricing()
    before = _priced_left(programme, purchase, first, left, pricing)
    after = _priced_left(programme, purchase, first, _less(left, part), pricing)
    return _difference(case, entry, programme, before, after, part)


def _less(lines: Sequence[Line], taken: Sequence[Taken]) -> list[Line]:
    """The lines with what was taken of them gone."""
    amounts: dict[int, int] = {}
    quantities: dict[int, int] = {}
    for no, amount, quantity in taken:
        amounts[no] = amounts.get(no, 0) + amount
        quantities[no] = quantities.get(no, 0) + quantity
    return [
        Line(
            no=line.no,
            amount_minor=max(0, line.amount_minor - amounts.get(line.no, 0)),
            category=line.category,
            product=line.product,
            quantity=max(0, quantity_of(line) - quantities.get(line.no, 0)),
        )
        for line in lines
    ]


def _part(request: Request, left: Sequence[Line]) -> tuple[list[Taken], str | None]:
    """What this return takes: the lines it names, a share of its amount, or all that is left."""
    if not request.whole and request.lines:
        return _part_by_lines(request.lines, left)
    if not request.whole and request.amount_minor is not None:
        return _part_by_amount(request.amount_minor, left)
    everything = [(line.no, line.amount_minor, quantity_of(line)) for line in left]
    return [taken for taken in everything if taken[1] or taken[2]], None


def _part_by_lines(lines: Sequence[Line], left: Sequence[Line]) -> tuple[list[Taken], str | None]:
    by_no = {line.no: line for line in left}
    if any(line.no not in by_no for line in lines):
        return [], reasons.REVERSAL_LINE
    part = [(line.no, line.amount_minor, line.quantity or 0) for line in lines]
    for no, amount, quantity in part:
        if amount > by_no[no].amount_minor or quantity > quantity_of(by_no[no]):
            return [], reasons.REVERSAL_TOO_MUCH
    return part, None


def _part_by_amount(amount: int, left: Sequence[Line]) -> tuple[list[Taken], str | None]:
    """Shared over the remaining lines as vouchers are; items go when their line's amount is 0."""
    amounts = [line.amount_minor for line in left]
    if amount > sum(amounts):
        return [], reasons.REVERSAL_TOO_MUCH
    part = []
    for line, share in zip(left, shares(amount, amounts), strict=True):
        if share:
            part.append((line.no, share, quantity_of(line) if share == line.amount_minor else 0))
    return part, None


def _priced_left(
    programme: Programme, purchase: Request, first: Sequence[Line], left: Sequence[Line], pricing: Pricing
) -> Left:
    """Points of a purchase as a function of its remaining lines and its record, without choosing anew."""
    basket = Basket(programme, left, _paid_left(purchase, first, left))
    eligible = basket.all.amount
    qualifying = eligible >= max(1, programme.earning.minimum_minor)
    anything = any(line.amount_minor for line in left)
    by_id = {campaign.id: campaign for campaign in programme.campaigns}
    fired = []
    for name in pricing.fired:
        campaign = by_id.get(name)
        if campaign is None or not _stays(campaign, basket, pricing, qualifying=qualifying, anything=anything):
            continue
        units = worth(campaign.gives, basket, with_base=qualifying)
        if units or campaign.gives.promises or campaign.on == "code":
            fired.append(Fired(campaign, units))
    levels = programme.tiers.levels if programme.tiers is not None else ()
    level = next((level for level in levels if level.id == pricing.tier), None)
    referral = pricing.referral and qualifying
    rules = base_rules(programme, basket, level, qualifying=qualifying, referral=referral)
    rules.extend(campaign_rules(fired))
    return Left(
        price=priced(programme, rules, capped=pricing.capped, day_room=pricing.day_room),
        fired=tuple(one.campaign.id for one in fired),
        qualifying=qualifying,
        spend_minor=eligible if qualifying else 0,
        referral=referral,
    )


def _paid_left(purchase: Request, first: Sequence[Line], left: Sequence[Line]) -> list[int] | None:
    """A line's voucher share shrinks with it."""
    if not purchase.vouchers_minor:
        return None
    whole = [line.amount_minor for line in first]
    parts = shares(purchase.vouchers_minor, whole)
    return [
        line.amount_minor - (share * line.amount_minor // amount if amount else 0)
        for line, share, amount in zip(left, parts, whole, strict=True)
    ]


def _stays(campaign: Campaign, basket: Basket, pricing: Pricing, *, qualifying: bool, anything: bool) -> bool:
    """Whether what a campaign asks of lines and spend still holds; facts of member, time and code stay as they were.
    One on `code` stays until the whole purchase is gone."""
    if campaign.on == "code":
        return anything
    if not qualifying or basket.all.amount < campaign.minimum_minor:
        return False
    for table in campaign.baskets:
        sums = basket.within(table.scope)
        if sums.quantity < (table.quantity or 0) or sums.amount < (table.amount_minor or 0):
            return False
    if campaign.spend is None:
        return True
    return pricing.spend_before.get(campaign.id, 0) + basket.all.amount >= campaign.spend.at_least_minor


def _difference(
    case: Case, entry: Entry, programme: Programme, before: Left, after: Left, part: list[Taken]
) -> Approved | Declined:
    points = after.price.points - before.price.points
    reason = approval_problem(case, points, sum(amount for _, amount, _ in part))
    if reason is not None:
        return case.declined(reason)
    went = [name for name in before.fired if name not in after.fired]
    counts = Counts(
        day=entry.day,
        visits=int(after.qualifying) - int(before.qualifying),
        spend_minor=after.spend_minor - before.spend_minor,
        base=after.price.lines[0][1] - before.price.lines[0][1],
        points_counted=points,
        balance=points,
        campaigns=_fewer(before, after, went),
    )
    return Approved(
        points=points,
        breakdown=_lines_between(before.price, after.price),
        counts=counts,
        flags=tuple(case.flags),
        effects=_revoked(programme, went, referral=before.referral and not after.referral),
        part=tuple(part),
    )


def _lines_between(before: Priced, after: Priced) -> tuple[RulePoints, ...]:
    """The differences by rule, in the order of the lines; those of 0 are left out."""
    now = dict(after.breakdown)
    then = dict(before.breakdown)
    rules = dict.fromkeys((*then, *now))
    differences = [(rule, now.get(rule, 0) - then.get(rule, 0)) for rule in rules]
    return tuple((rule, points) for rule, points in differences if points)


def _fewer(before: Left, after: Left, went: list[str]) -> dict[str, tuple[int, int]]:
    """Campaign uses and points that come back."""
    found = {}
    for name in before.fired:
        change = (-1 if name in went else 0, after.shown(name) - before.shown(name))
        if change != (0, 0):
            found[name] = change
    return found


def _revoked(programme: Programme, went: Sequence[str], *, referral: bool) -> tuple[Effect, ...]:
    """What a campaign that went had promised, and a referral's reward, are taken back if still unused."""
    promising = {campaign.id: campaign.rule for campaign in programme.campaigns if campaign.gives.promises}
    effects: list[Effect] = [("revoke", promising[name]) for name in went if name in promising]
    return (*effects, ("revoke", REFERRER)) if referral else tuple(effects)


def _reverse_burn(case: Case, entry: Entry, of: str) -> Approved | Declined:
    """Gives back what was not yet given back, to the account and never to the allowance."""
    given = abs(entry.taken_points) + sum(row.balance for row in entry_returns(entry, case.rows, of))
    points = abs(entry.points) - given
    if points <= 0:
        return case.declined(reasons.REVERSAL_ALREADY)
    return _in_one_line(case, entry, entry.rule, points)


def _reverse_credit(case: Case, entry: Entry, of: str, programme: Programme) -> Approved | Declined:
    """A code, an activation or goodwill: whole, once, by minus its points."""
    if entry.taken or entry.taken_points or entry_returns(entry, case.rows, of):
        return case.declined(reasons.REVERSAL_ALREADY)
    fallback = next((f"campaign.{name}" for name in entry.campaigns), "")
    used = {name: (-times, -points) for name, (times, points) in entry.campaigns.items()}
    effects = _revoked(programme, tuple(entry.campaigns), referral=False)
    return _in_one_line(case, entry, entry.rule or fallback, -entry.points, campaigns=used, effects=effects)


def _in_one_line(
    case: Case,
    entry: Entry,
    rule: str,
    points: int,
    *,
    campaigns: dict[str, tuple[int, int]] | None = None,
    effects: tuple[Effect, ...] = (),
) -> Approved | Declined:
    if case.request.lines and not case.request.whole:
        return case.declined(reasons.REVERSAL_LINE)
    reason = approval_problem(case, points, None)
    if reason is not None:
        return case.declined(reason)
    return Approved(
        points=points,
        breakdown=((f"reverse.{rule}", points),) if rule else (),
        counts=Counts(day=entry.day, balance=points, campaigns=campaigns or {}),
        flags=tuple(case.flags),
        effects=effects,
    )
