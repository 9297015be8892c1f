"""Rows as decisions read them, and decisions as rows keep them: the one place that knows both.

The till writes rows with it, the terminal's facts and the centre's second decision read them with it.
"""

from __future__ import annotations

import datetime
from typing import Any

from msgspec import structs
from msgspec.structs import replace

from loyalty import record
from loyalty import rows as kinds
from loyalty.answer import Approved
from loyalty.facts import Counts, Entry, OwnRow, Pricing
from loyalty.ids import AllowanceId, EventId
from loyalty.request import Approval, Line, PresentedCode, Request

_DECIDED = (kinds.Earned, kinds.Activated, kinds.CodeUsed, kinds.Burned, kinds.Reversed, kinds.Adjusted)


def own_row(seq: int, event: EventId, data: bytes) -> OwnRow | None:
    """A journal row as decisions read it; None for rows that no rule decided."""
    body = kinds.read_body(data)
    detail = kinds.read_detail(body)
    if not isinstance(detail, _DECIDED):
        return None
    account = body.account if body.account is not None else event
    return record.own_row(approved_of(detail), request_of(body, detail), seq=seq, member=account.hex())


def entry(seq: int, data: bytes) -> Entry | None:
    """A row as an entry that a reversal may name, nothing given back yet; None for rows that cannot be reversed."""
    body = kinds.read_body(data)
    detail = kinds.read_detail(body)
    if not isinstance(detail, _DECIDED):
        return None
    answer, priced = approved_of(detail), detail.answer.pricing
    if priced is not None:
        answer = replace(answer, pricing=Pricing(**structs.asdict(priced)))
    return record.entry(answer, request_of(body, detail), as_of=seq)


def approved_of(detail: kinds.Decided) -> Approved:
    """What the till decided, without its pricing."""
    answer, counts = detail.answer, detail.answer.counts
    return Approved(
        points=answer.points,
        breakdown=answer.breakdown,
        counts=Counts(
            day=counts.day,
            visits=counts.visits,
            spend_minor=counts.spend_minor,
            base=counts.base,
            points_counted=counts.points_counted,
            balance=counts.balance,
            campaigns=counts.campaigns,
            codes=counts.codes,
        ),
        flags=answer.flags,
        lots=answer.lots,
        allowance=detail.allowance.hex() if isinstance(detail, kinds.Burned) else None,
        part=tuple((p.no, p.amount_minor, p.quantity) for p in detail.part)
        if isinstance(detail, kinds.Reversed)
        else (),
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
        pricing=kinds.Priced(**structs.asdict(answer.pricing)) if answer.pricing is not None else None,
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
