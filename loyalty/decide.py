"""The rule: one decision from a programme, facts, own rows, a request and the time. The same function runs at the
till and again at the centre."""

from collections.abc import Callable, Iterable
from datetime import datetime

from loyalty import earning
from loyalty.answer import Approved, Declined
from loyalty.burning import burn
from loyalty.calendar import moment
from loyalty.case import Case
from loyalty.compensation import adjust
from loyalty.facts import Facts, OwnRow
from loyalty.gates import request_problem, standing_problem
from loyalty.place import place_of
from loyalty.programme import Programme
from loyalty.reasons import REQUEST_OUTLET
from loyalty.request import ACTIVATE, ADJUST, BURN, CODE, EARN, LATE, REVERSE, Request
from loyalty.reversing import reverse
from loyalty.since import as_rows, facts_now

KINDS: dict[str, Callable[[Case], Approved | Declined]] = {
    EARN: earning.earn,
    CODE: earning.code,
    ACTIVATE: earning.activate,
    BURN: burn,
    ADJUST: adjust,
    LATE: earning.late,
}


def decide(
    programme: Programme,
    facts: Facts,
    own_rows: Iterable[OwnRow],
    request: Request,
    now: datetime,
    *,
    entry_programme: Programme | None = None,
) -> Approved | Declined:
    """What the programme says to `request` at the aware instant `now`.

    `own_rows` are all of this terminal's rows that are kept (an `OwnRows` is used as it is). `entry_programme` is, for
    a reversal, the version by which its entry was priced, where that is another than the one in force.
    """
    problem = request_problem(programme, request)
    if problem is not None:
        return Declined(reason=problem)
    place = place_of(programme, request.outlet)
    if place is None:
        return Declined(reason=REQUEST_OUTLET)
    rows = as_rows(own_rows)
    case = Case(programme, place, facts_now(facts, rows), rows, request, moment(now, place.outlet.zone))
    problem = standing_problem(case)
    if problem is not None:
        return case.declined(problem)
    if request.kind == REVERSE:
        return reverse(case, entry_programme or programme)
    return KINDS[request.kind](case)
