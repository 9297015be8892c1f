"""From an approved answer to what is kept of it: the one place that knows how."""

from loyalty.answer import Approved
from loyalty.facts import Entry, OwnRow
from loyalty.request import ACTIVATE, ADJUST, BURN, CODE, EARN, LATE, REVERSE, Request

ROW_KINDS = {
    EARN: "earned",
    LATE: "earned",
    CODE: "code_used",
    ACTIVATE: "activated",
    BURN: "burned",
    REVERSE: "reversed",
    ADJUST: "adjusted",
}


def own_row(answer: Approved, request: Request, *, seq: int, member: str) -> OwnRow:
    """The own row of an approved request: `seq` is its number in this terminal's journal."""
    counts = answer.counts
    return OwnRow(
        seq=seq,
        kind=ROW_KINDS[request.kind],
        member=member,
        day=counts.day,
        visits=counts.visits,
        spend_minor=counts.spend_minor,
        base=counts.base,
        points_counted=counts.points_counted,
        balance=counts.balance,
        campaigns=counts.campaigns,
        codes=counts.codes,
        receipt=request.receipt if request.kind in (EARN, LATE) else None,
        reward=request.reward if request.kind == BURN else None,
        quantity=1 if request.kind == BURN and request.reward is not None else 0,
        allowance=answer.allowance,
        points=answer.points,
        reason=request.reason if request.kind == ADJUST else None,
        of=request.of if request.kind == REVERSE else None,
        lines=answer.part,
    )


def entry(answer: Approved, request: Request, *, as_of: int) -> Entry | None:
    """The entry that a later reversal undoes, nothing of it returned as of own row `as_of`; None of a reversal, which
    is never reversed. A purchase keeps its lines and pricing; of anything else the first rule names it."""
    if request.kind == REVERSE:
        return None
    if request.kind in (EARN, LATE):
        purchase = Request(
            kind=request.kind,
            amount_minor=request.amount_minor,
            vouchers_minor=request.vouchers_minor,
            lines=request.lines,
        )
        return Entry(kind=request.kind, as_of=as_of, day=answer.counts.day, request=purchase, pricing=answer.pricing)
    return Entry(
        kind=request.kind,
        as_of=as_of,
        day=answer.counts.day,
        points=answer.points,
        rule=answer.breakdown[0][0] if answer.breakdown else "",
        campaigns=answer.counts.campaigns,
    )
