"""What an operation of the till comes to: done and on disk, declined by the programme, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from loyalty.answer import Approved, Declined
from loyalty.ids import AccountId, CardToken, EventId
from loyalty.request import Request
from sync.protocol.chain import Row, event_id


class RefusedError(Exception):
    """An operation that does not stand, for a reason other than the programme's. Nothing was written."""

    def __init__(self, code: str, text: str = "", **fields: Any) -> None:
        super().__init__(text or code)
        self.code, self.text, self.fields = code, text, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the till can say of a card now. `balance` is None where it is not known here."""

    token: CardToken
    account: AccountId | None = None
    status: str = "none"
    name: str | None = None
    tier: str | None = None
    balance: int | None = None
    provisional: int = 0

    @property
    def known(self) -> bool:
        """Whether a member is behind it."""
        return self.account is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An operation that is on disk."""

    row: Row
    kind: str
    request: Request
    answer: Approved
    view: View
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDone:
    """An operation that the programme declines; nothing was written."""

    request: Request
    answer: Declined
    view: View


def event_of(row: Row) -> EventId:
    """The id by which everyone names a row."""
    return event_id(row.hash)


def packed(answer: Approved | Declined) -> dict[str, Any]:
    """A decision as JSON values."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer))
    return plain
