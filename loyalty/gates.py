"""The gates, before anything is counted: the first reason wins."""

from collections.abc import Iterator

from loyalty import reasons
from loyalty.case import Case
from loyalty.request import ACTIVATE, ADJUST, BURN, CODE, EARN, KINDS, LATE, REVERSE, Line, Request
from loyalty.terms import MAX_AMOUNT_MINOR, Programme

ON_STALE_REFUSED = (BURN, ADJUST, CODE)


def request_problem(programme: Programme, request: Request) -> str | None:
    """What is wrong with the request as such, wherever it is decided."""
    if request.kind not in KINDS:
        return reasons.REQUEST_KIND
    if request.outlet not in programme.outlets:
        return reasons.REQUEST_OUTLET
    if request.currency is not None and request.currency != programme.currency:
        return reasons.REQUEST_CURRENCY
    if request.kind in (EARN, LATE):
        return _purchase_problem(request)
    if request.kind == REVERSE:
        return _return_problem(request)
    return None


def _purchase_problem(request: Request) -> str | None:
    amount = request.amount_minor
    if amount is None or not 1 <= amount <= MAX_AMOUNT_MINOR:
        return reasons.REQUEST_AMOUNT
    lines = request.lines
    if lines and (_badly_numbered(lines, least_quantity=1) or sum(line.amount_minor for line in lines) != amount):
        return reasons.REQUEST_LINES
    if not 0 <= request.vouchers_minor <= amount:
        return reasons.REQUEST_VOUCHERS
    return None


def _return_problem(request: Request) -> str | None:
    if request.whole:
        return None
    if request.lines:
        return reasons.REQUEST_LINES if _badly_numbered(request.lines, least_quantity=0) else None
    if request.amount_minor is not None and not 1 <= request.amount_minor <= MAX_AMOUNT_MINOR:
        return reasons.REQUEST_AMOUNT
    return None


def _badly_numbered(lines: tuple[Line, ...], *, least_quantity: int) -> bool:
    for line in lines:
        if line.amount_minor < 0 or (line.quantity is not None and line.quantity < least_quantity):
            return True
    return len({line.no for line in lines}) != len(lines)


def standing_problem(case: Case) -> str | None:
    """Programme, card and receipt; then an unknown member is flagged. At the centre all of it is flags."""
    for reason in _standing(case):
        if case.fails(reason):
            return reason
    if not case.facts.known:
        case.flags.append(reasons.UNKNOWN_MEMBER)
    return None


def _standing(case: Case) -> Iterator[str]:
    validity, request = case.place.validity, case.request
    if case.us < validity.starts:
        yield reasons.NOT_STARTED
    elif case.us >= validity.ends:
        yield reasons.ENDED
    elif case.us >= case.place.offline_until:
        if request.kind in ON_STALE_REFUSED or (request.codes and request.kind == EARN):
            yield reasons.STALE
        else:
            case.flags.append(reasons.STALE)
    status = case.facts.status
    if status != "active" or request.kind == ACTIVATE:
        card = _card_problem(case, status)
        if card is not None:
            yield card
    if request.kind == EARN and receipt_used(case):
        yield reasons.RECEIPT_USED


def _card_problem(case: Case, status: str) -> str | None:
    if status == "blocked":
        return reasons.BLOCKED
    if status == "closed":
        return reasons.CLOSED
    if case.request.kind == ACTIVATE:
        return reasons.ALREADY_ACTIVE if status == "active" and case.facts.known else None
    return reasons.NOT_ACTIVE if status == "none" else None


def receipt_used(case: Case) -> bool:
    """Whether an earlier row, whoever's, has this receipt number."""
    receipt = case.request.receipt
    if receipt is None:
        return False
    return receipt in case.facts.receipts or bool(case.rows.with_receipt(receipt))
