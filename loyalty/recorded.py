"""Rows as decisions read them, and decisions as rows keep them: the one place that knows both.

The till writes rows with it, the terminal's facts and the centre's second decision read them with it.
"""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from loyalty import rows as kinds
from loyalty.answer import Approved
from loyalty.facts import Counts, Entry, OwnRow, Pricing
from loyalty.ids import AllowanceId, EventId
from loyalty.request import Approval, Line, PresentedCode, Request

_OWN_KINDS = {
    kinds.Kind.earned: "earned",
    kinds.Kind.code_used: "code_used",
    kinds.Kind.activated: "activated",
    kinds.Kind.burned: "burned",
    kinds.Kind.reversed: "reversed",
    kinds.Kind.adjusted: "adjusted",
}


def own_row(seq: int, event: EventId, data: bytes) -> OwnRow | None:
    """A journal row as decisions read it; None for rows that are nobody's purchase, burn or correction."""
    body = kinds.read_body(data)
    kind = _OWN_KINDS.get(body.kind)  # type: ignore[call-overload]
    if kind is None:
        return None
    detail = kinds.read_detail(body)
    answer = detail.answer  # type: ignore[union-attr]
    counted = answer.counts
    account = body.account if body.account is not None else event
    more: dict[str, object] = {}
    if isinstance(detail, kinds.Earned):
        more = {"receipt": detail.receipt}
    elif isinstance(detail, kinds.Burned):
        more = {"reward": detail.reward, "quantity": 1 if detail.reward else 0, "allowance": detail.allowance.hex()}
    elif isinstance(detail, kinds.Reversed):
        more = {"of": detail.of.hex(), "lines": tuple((p.no, p.amount_minor, p.quantity) for p in detail.part)}
    elif isinstance(detail, kinds.Adjusted):
        more = {"reason": detail.reason}
    return OwnRow(
        seq=seq,
        kind=kind,
        member=account.hex(),
        day=counted.day,
        visits=counted.visits,
        spend_minor=counted.spend_minor,
        base=counted.base,
        points_counted=counted.points_counted,
        balance=counted.balance,
        campaigns=counted.campaigns,
        codes=counted.codes,
        points=answer.points,
        **more,  # type: ignore[arg-type]
    )


def entry(seq: int, data: bytes) -> Entry | None:
    """A row as an entry that a reversal may name; None for kinds that cannot be reversed."""
    body = kinds.read_body(data)
    kind = _OWN_KINDS.get(body.kind)  # type: ignore[call-overload]
    if kind is None or kind == "reversed":
        return None
    detail = kinds.read_detail(body)
    answer: kinds.Answered = detail.answer  # type: ignore[union-attr]
    request = request_of(body, detail) if isinstance(detail, kinds.Earned) else None
    pricing = msgspec.msgpack.decode(answer.pricing, type=Pricing) if answer.pricing is not None else None
    return Entry(
        kind=kind,
        as_of=seq,
        day=answer.counts.day,
        request=request,
        pricing=pricing,
        points=answer.points,
        rule=answer.breakdown[0][0] if answer.breakdown else "",
        campaigns=answer.counts.campaigns,
    )


def request_of(body: kinds.Body, detail: kinds.Detail) -> Request:
    """The request that a row was decided on, as the centre decides it again. Raises TypeError for other kinds."""
    approval = getattr(detail, "approval", None)
    asked = Request(
        kind="",
        outlet=getattr(detail, "outlet", ""),
        operator=body.operator,
        approval=Approval(operator=approval.operator, role=approval.role) if approval else None,
        hold=getattr(detail, "held", False),
    )
    return replace(asked, **_asked(detail))


def _asked(detail: kinds.Detail) -> dict[str, Any]:
    match detail:
        case kinds.Earned():
            return {
                "kind": "late" if detail.bought_at else "earn",
                "currency": detail.currency,
                "amount_minor": detail.amount_minor,
                "vouchers_minor": detail.vouchers_minor,
                "lines": tuple(_line(line) for line in detail.lines) or None,
                "receipt": detail.receipt,
                "codes": _codes(detail.codes),
                "bought_at": datetime.datetime.fromisoformat(detail.bought_at) if detail.bought_at else None,
            }
        case kinds.Activated():
            return {"kind": "activate"}
        case kinds.CodeUsed():
            return {"kind": "code", "codes": _codes(detail.codes)}
        case kinds.Burned():
            return {"kind": "burn", "reward": detail.reward, "points": None if detail.reward else detail.points}
        case kinds.Reversed():
            lines = tuple(Line(no=p.no, amount_minor=p.amount_minor, quantity=p.quantity) for p in detail.lines)
            return {
                "kind": "reverse",
                "of": detail.of.hex(),
                "whole": detail.whole,
                "lines": lines or None,
                "amount_minor": detail.amount_minor,
            }
        case kinds.Adjusted():
            return {"kind": "adjust", "reason": detail.reason, "points": detail.points, "role": detail.role}
        case _:
            raise TypeError(f"{type(detail).__name__} is decided by nobody")


def _line(line: kinds.Line) -> Line:
    return Line(
        no=line.no,
        amount_minor=line.amount_minor,
        category=line.category,
        product=line.product,
        quantity=line.quantity,
    )


def _codes(codes: tuple[kinds.UsedCode, ...]) -> tuple[PresentedCode, ...]:
    return tuple(PresentedCode(id=c.id, batch=c.batch, serial=c.serial, programme=c.programme or None) for c in codes)


def counted(counts: Counts) -> kinds.Counted:
    """A decision's counts as they go into its row."""
    return kinds.Counted(
        day=counts.day,
        visits=counts.visits,
        spend_minor=counts.spend_minor,
        base=counts.base,
        points_counted=counts.points_counted,
        balance=counts.balance,
        campaigns=counts.campaigns,
        codes=counts.codes,
    )


def answered(answer: Approved) -> kinds.Answered:
    """A decision as its row keeps it: all that was said, and what a later return or the centre needs."""
    return kinds.Answered(
        points=answer.points,
        breakdown=answer.breakdown,
        counts=counted(answer.counts),
        lots=answer.lots,
        flags=answer.flags,
        effects=answer.effects,
        pricing=msgspec.Raw(msgspec.msgpack.encode(answer.pricing)) if answer.pricing is not None else None,
    )


def recorded(request: Request, answer: Approved, currency: str) -> kinds.Detail:
    """The row's detail of an approved request; of an activation, `Activated` is made where the code is known.

    Raises ValueError for a kind that makes no row.
    """
    second = request.approval
    approval = kinds.Approved(operator=second.operator, role=second.role) if second else None
    held, said = "approval.held" in answer.flags, answered(answer)
    match request.kind:
        case "earn" | "late":
            return kinds.Earned(
                outlet=request.outlet,
                amount_minor=request.amount_minor or 0,
                currency=currency,
                lines=tuple(_row_line(line) for line in request.lines or ()),
                vouchers_minor=request.vouchers_minor,
                receipt=request.receipt,
                codes=_used(request.codes),
                bought_at=request.bought_at.isoformat() if request.bought_at else None,
                approval=approval,
                held=held,
                answer=said,
            )
        case "code":
            return kinds.CodeUsed(
                outlet=request.outlet, codes=_used(request.codes), approval=approval, held=held, answer=said
            )
        case "burn":
            return kinds.Burned(
                outlet=request.outlet,
                reward=request.reward,
                points=-answer.points,
                allowance=AllowanceId(bytes.fromhex(answer.allowance or "")),
                approval=approval,
                held=held,
                answer=said,
            )
        case "reverse":
            return kinds.Reversed(
                outlet=request.outlet,
                of=EventId(bytes.fromhex(request.of or "")),
                whole=request.whole,
                lines=tuple(_part(line.no, line.amount_minor, line.quantity or 0) for line in request.lines or ()),
                amount_minor=request.amount_minor,
                reason=request.reason,
                part=tuple(_part(*part) for part in answer.part),
                approval=approval,
                held=held,
                answer=said,
            )
        case "adjust":
            return kinds.Adjusted(
                outlet=request.outlet,
                reason=request.reason or "",
                role=request.role or "",
                points=answer.points,
                approval=approval,
                held=held,
                answer=said,
            )
        case _:
            raise ValueError(f"a request of kind {request.kind} makes no row")


def _row_line(line: Line) -> kinds.Line:
    return kinds.Line(
        no=line.no,
        amount_minor=line.amount_minor,
        category=line.category,
        product=line.product,
        quantity=1 if line.quantity is None else line.quantity,
    )


def _part(no: int, amount_minor: int, quantity: int) -> kinds.Part:
    return kinds.Part(no=no, amount_minor=amount_minor, quantity=quantity)


def _used(codes: tuple[PresentedCode, ...]) -> tuple[kinds.UsedCode, ...]:
    return tuple(kinds.UsedCode(id=c.id, batch=c.batch, serial=c.serial, programme=c.programme or "") for c in codes)
