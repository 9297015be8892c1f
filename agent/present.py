"""How the till's answers look from outside: the JSON of the local API, with words for the cashier."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from agent import words
from agent.results import Done, NotDone, View, event_of, packed
from agent.token import Card, Code, Refused
from loyalty.programme import Programme
from loyalty.rows import read_body


def card_json(card: str | None, view: View) -> dict[str, Any]:
    """A card as the till knows it now."""
    return {
        "card": card,
        "known": view.known,
        "status": view.status,
        "account": view.account.hex() if view.account is not None else None,
        "name": view.name,
        "tier": view.tier,
        "balance": view.balance,
        "provisional": view.provisional,
    }


def tap_json(reader: str, token: Card | Code | Refused, view: View | None, language: str) -> dict[str, Any]:
    """What a tap was: a card with its member, a code, or a refusal in words."""
    tap: dict[str, Any] = {"reader": reader, "card": None, "code": None, "refused": None, "at": round(time.time(), 3)}
    match token:
        case Card():
            name = f"{token.scheme}:{token.value}"
            tap["card"] = card_json(name, view) if view is not None else {"card": name}
        case Code():
            tap["code"] = token.text
        case Refused():
            tap["refused"] = {"code": token.code, "text": words.reason(language, token.code), "detail": token.text}
    return tap


def done_json(done: Done, card: str | None, programme: Programme, language: str) -> dict[str, Any]:
    """An operation that is on disk. It is provisional until the centre has said its word."""
    said = words.answer(language, done.answer, programme, provisional=True, name=done.view.name, request=done.request)
    return {
        "row": {"seq": done.row.seq, "event_id": event_of(done.row).hex()},
        "kind": done.kind,
        "at_ms": read_body(done.row.body).moment.wall_ms,
        "decision": packed(done.answer),
        "provisional": True,
        "replayed": done.replayed,
        "card": card_json(card, done.view),
        "words": msgspec.to_builtins(said),
    }


def declined_json(declined: NotDone, card: str | None, programme: Programme, language: str) -> dict[str, Any]:
    """A decision that does not stand, as an RFC 9457 problem."""
    said = words.answer(
        language, declined.answer, programme, provisional=None, name=declined.view.name, request=declined.request
    )
    return {
        **problem(409, declined.answer.reason, said.sentence, said.verdict),
        "decision": packed(declined.answer),
        "card": card_json(card, declined.view),
        "words": msgspec.to_builtins(said),
    }


def problem(status: int, code: str, detail: str, title: str = "") -> dict[str, Any]:
    """RFC 9457 with a stable code."""
    return {"type": "about:blank", "title": title or code, "status": status, "code": code, "detail": detail}
