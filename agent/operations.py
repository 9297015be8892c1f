"""What callers may ask of the till, from the local API and the command line alike: their words in, the till's out."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.config import Config
from agent.present import card_json, declined_json, done_json
from agent.results import Done, NotDone, RefusedError
from agent.till import Till
from agent.token import Card, Refused, read_token
from agent.words.money import parse_amount
from drivers.lines import Reading
from loyalty.answer import Approved, Declined
from loyalty.ids import AccountId, CardToken, EventId
from loyalty.request import Approval, Line, Request
from loyalty.rows import Caller, Earned, Kind, read_body, read_detail
from sync.exchange import acknowledged
from sync.protocol.chain import Row, event_id

SCHEMES = ("uid", "num", "ndef")
MAX_SEQ = (1 << 63) - 1  # SQLite's largest integer


class Ask(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Fields that every writing request may have."""

    operator: str | None = None
    approval: Approval | None = None


class Earning(Ask, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A purchase: `amount_minor` in minor units, or `amount` as people write it ("12.50")."""

    card: str
    amount_minor: int | None = None
    amount: str | None = None
    currency: str | None = None
    lines: tuple[Line, ...] | None = None
    vouchers_minor: int = 0
    receipt: str | None = None
    codes: tuple[str, ...] = ()


class Activation(Ask, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A card to bring to life, by a code or by staff."""

    card: str
    code: str | None = None
    assisted: bool = False
    first_name: str | None = None


class Burn(Ask, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Points for a reward, or as money."""

    card: str
    points: int | None = None
    reward: str | None = None


class CodeUse(Ask, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Bonus codes without a purchase."""

    card: str
    codes: tuple[str, ...]


class Reversal(Ask, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What to take back: a row by number or event id, wholly, by lines, or by amount."""

    seq: int | None = None
    event_id: str | None = None
    whole: bool = False
    lines: tuple[Line, ...] | None = None
    amount_minor: int | None = None
    reason: str | None = None


class Operations:
    """The till's operations for callers. Every method may be slow (disk) and is called in the till's thread."""

    def __init__(self, till: Till, config: Config) -> None:
        self.till, self._config = till, config

    # -- cards -----------------------------------------------------------------------------------------------------

    def token(self, card: str) -> CardToken:
        """`scheme:value`, or bare digits or hex as staff type them. Raises RefusedError."""
        scheme, _, value = card.partition(":")
        if scheme in SCHEMES and value:
            return self.till.identity.token(scheme, value.lower() if scheme == "uid" else value)
        found = read_token(
            Reading(kind="text", scope="typed", text=card),
            identity_prefixes=tuple(self._config.cards.identity_prefixes),
            luhn=self._config.cards.luhn,
        )
        if isinstance(found, Card):
            return self.till.identity.token(found.scheme, found.value)
        raise RefusedError(found.code if isinstance(found, Refused) else "card.unknown")

    def card(self, card: str) -> dict[str, Any]:
        """A card as the till knows it now."""
        return card_json(card, self.till.who(self.token(card)))

    # -- decisions -------------------------------------------------------------------------------------------------

    def request_of_earning(self, asked: Earning) -> Request:
        """The purchase in the programme's terms. Raises AmountError for an amount that cannot be meant."""
        programme = self.till.programme()
        amount_minor = asked.amount_minor
        if asked.amount is not None:
            amount_minor = parse_amount(asked.amount, programme.currency)
        return Request(
            kind="earn",
            outlet=self.till.identity.outlet,
            currency=asked.currency,
            operator=asked.operator,
            approval=asked.approval,
            amount_minor=amount_minor,
            vouchers_minor=asked.vouchers_minor,
            lines=asked.lines,
            receipt=asked.receipt,
            codes=self.till.bonus_codes(asked.codes),
        )

    def quote(self, asked: Earning) -> tuple[Approved | Declined, Request, dict[str, Any]]:
        """The decision without writing."""
        request = self.request_of_earning(asked)
        answer, view = self.till.quote(self.token(asked.card), request)
        return answer, request, card_json(asked.card, view)

    def earn(self, asked: Earning, caller: Caller | None) -> Done | NotDone:
        """A purchase."""
        request = self.request_of_earning(asked)
        return self.till.perform(self.token(asked.card), request, caller=caller, operator=asked.operator)

    def activate(self, asked: Activation, caller: Caller | None) -> Done | NotDone:
        """A card brought to life."""
        return self.till.activate(
            self.token(asked.card),
            code=asked.code,
            assisted=asked.assisted,
            first_name=asked.first_name,
            caller=caller,
            operator=asked.operator,
        )

    def burn(self, asked: Burn, caller: Caller | None) -> Done | NotDone:
        """Points spent, against allowances that are held."""
        request = self._burn_request(asked)
        return self.till.perform(self.token(asked.card), request, caller=caller, operator=asked.operator)

    def _burn_request(self, asked: Burn) -> Request:
        return Request(
            kind="burn",
            outlet=self.till.identity.outlet,
            operator=asked.operator,
            approval=asked.approval,
            reward=asked.reward,
            points=asked.points,
        )

    def wish_for(self, asked: Burn) -> tuple[AccountId, int] | None:
        """What allowance a burn needs: (account, points), or None where nothing can be wished for."""
        view, programme = self.till.who(self.token(asked.card)), self.till.programme()
        reward = programme.rewards.get(asked.reward) if asked.reward else None
        points = reward.points if reward is not None else asked.points
        return (view.account, points) if view.account is not None and points else None

    def use_codes(self, asked: CodeUse, caller: Caller | None) -> Done | NotDone:
        """Bonus codes without a purchase."""
        request = Request(
            kind="code",
            outlet=self.till.identity.outlet,
            operator=asked.operator,
            approval=asked.approval,
            codes=self.till.bonus_codes(asked.codes),
        )
        return self.till.perform(self.token(asked.card), request, caller=caller, operator=asked.operator)

    def reverse(self, asked: Reversal, caller: Caller | None) -> Done | NotDone:
        """Something taken back."""
        row = self.row(asked.seq, asked.event_id)
        request = Request(
            kind="reverse",
            outlet=self.till.identity.outlet,
            operator=asked.operator,
            approval=asked.approval,
            of=event_id(row.hash).hex(),
            whole=asked.whole,
            lines=asked.lines,
            amount_minor=asked.amount_minor,
            reason=asked.reason,
        )
        return self.till.reverse(row, request, caller=caller, operator=asked.operator)

    # -- what was -----------------------------------------------------------------------------------------------------

    def row(self, seq: int | None, event: str | None) -> Row:
        """A row of this terminal by number or event id; raises RefusedError."""
        journal = self.till.journal
        found = journal.row(seq) if seq is not None and abs(seq) <= MAX_SEQ else None
        if event is not None:
            try:
                found = journal.row_of_event(EventId(bytes.fromhex(event)))
            except ValueError:
                found = None
        if found is None:
            raise RefusedError("row.unknown")
        return found

    def receipt(self, number: str) -> dict[str, Any]:
        """The earning with this receipt number; raises RefusedError."""
        row = self.till.journal.row_of_receipt(number)
        if row is None:
            raise RefusedError("row.unknown")
        return self.row_json(row)

    def journal(self, *, pending: bool, limit: int) -> list[dict[str, Any]]:
        """Rows with their outcomes, oldest first: the unsent, or the last ones."""
        acked = self._acked()
        head = self.till.journal.head().seq
        after = acked if pending else max(0, head - limit)
        return [self.row_json(row, acked) for row in self.till.journal.rows_after(after, limit)]

    def row_json(self, row: Row, acked: int | None = None) -> dict[str, Any]:
        """One row as people look at it."""
        acked = self._acked() if acked is None else acked
        body, event = read_body(row.body), event_id(row.hash)
        detail = read_detail(body)
        said = self.till.snapshot().outcome(event)
        outcome = said.outcome if said else "applied" if row.seq <= acked else "pending"
        answer = getattr(detail, "answer", None)
        account = body.account if body.account is not None else event
        return {
            "seq": row.seq,
            "event_id": event.hex(),
            "kind": Kind(body.kind).name,
            "at_ms": body.moment.wall_ms,
            "account": account.hex(),
            "points": answer.points if answer is not None else 0,
            "amount_minor": detail.amount_minor if isinstance(detail, Earned) else None,
            "receipt": detail.receipt if isinstance(detail, Earned) else None,
            "outcome": outcome,
            "reason": said.reason if said else None,
            "points_counted": said.points if said else None,
        }

    def _acked(self) -> int:
        return acknowledged(self.till.snapshot().state(), self.till.journal)

    def rewards(self, card: str, language: str) -> list[dict[str, Any]]:
        """The catalogue as this member can have it, each with the reason why not."""
        token, programme = self.token(card), self.till.programme()
        found = []
        for reward in programme.rewards.values():
            request = Request(kind="burn", outlet=self.till.identity.outlet, reward=reward.id)
            answer, _ = self.till.quote(token, request)
            reason = answer.reason if isinstance(answer, Declined) else None
            names = programme.names.get(f"reward.{reward.id}", {})
            found.append(
                {
                    "id": reward.id,
                    "name": names.get(language, reward.id),
                    "points": reward.points,
                    "available": reason in (None, "burn.allowance"),
                    "needs_line": reason == "burn.allowance",
                    "reason": reason,
                }
            )
        return found

    def json(self, result: Done | NotDone, card: str | None, language: str) -> dict[str, Any]:
        """An operation's result as told to its caller."""
        programme = self.till.programme()
        if isinstance(result, NotDone):
            return declined_json(result, card, programme, language)
        return done_json(result, card, programme, language)
