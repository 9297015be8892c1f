"""Goodwill: points with our apologies, by reason, role and month."""

from loyalty import reasons
from loyalty.answer import Approved, Declined
from loyalty.approving import approval_problem
from loyalty.case import Case
from loyalty.facts import Counts
from loyalty.rounding import lots
from loyalty.terms import MAX_POINTS


def adjust(case: Case) -> Approved | Declined:
    """A credit for one of the document's reasons."""
    reason, points = case.request.reason or "", case.request.points or 0
    allowed = case.programme.compensation.get(reason)
    if allowed is None:
        return case.declined(reasons.COMPENSATION_REASON)
    if case.request.role not in allowed.roles:
        return case.declined(reasons.COMPENSATION_ROLE)
    if points > allowed.max_points:
        return case.declined(reasons.COMPENSATION_TOO_MUCH)
    if case.facts.compensations.get(reason, {}).get(case.moment.month, 0) >= allowed.per_member_month:
        return case.declined(reasons.COMPENSATION_LIMIT)
    if not 1 <= points <= MAX_POINTS:
        return case.declined(reasons.POINTS_RANGE)
    refused = approval_problem(case, points, None)
    if refused is not None:
        return case.declined(refused)
    return Approved(
        points=points,
        breakdown=((f"goodwill.{reason}", points),),
        counts=Counts(day=case.moment.day, balance=points),
        flags=tuple(case.flags),
        lots=tuple(lots([points], [None], 0, case.moment.today, case.programme.expiry)),
    )
