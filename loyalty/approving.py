"""The second pair of eyes, asked last, so that nobody is fetched for something that fails anyway."""

from loyalty import reasons
from loyalty.case import Case


def approval_problem(case: Case, points: int, amount_minor: int | None) -> str | None:
    """Why the approval that this size needs does not hold; a request that is held for the centre is flagged so.
    `points` are taken without sign; `amount_minor` is None where the request has no amount."""
    asked = case.programme.approvals
    if asked is None:
        return None
    too_many = asked.points_over is not None and abs(points) > asked.points_over
    too_much = asked.amount_over_minor is not None and (amount_minor or 0) > asked.amount_over_minor
    if not too_many and not too_much:
        return None
    approval = case.request.approval
    if approval is None and asked.may_hold and case.request.hold:
        case.flags.append(reasons.APPROVAL_HELD)
        return None
    if approval is None:
        reason = reasons.APPROVAL_NEEDED
    elif approval.operator == case.request.operator:
        reason = reasons.APPROVAL_SAME_PERSON
    elif approval.role not in asked.roles:
        reason = reasons.APPROVAL_ROLE
    else:
        return None
    return reason if case.fails(reason) else None
