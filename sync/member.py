"""What a terminal knows of a member: the centre's facts as of my row N, and my rows after N. Nothing else.

Never "snapshot + unsent rows": a row between the watermark and the acknowledgement would count twice.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

import msgspec

from loyalty.facts import Facts, OwnRow
from loyalty.ids import NO_GENERATION, AccountId, CardToken
from loyalty.recorded import own_row
from loyalty.rows import read_body
from sync.exchange import acknowledged
from sync.journal import JournalReader
from sync.protocol.chain import Row, event_id
from sync.snapshot import SnapshotReader

_facts = msgspec.msgpack.Decoder(Facts)


class Standing(NamedTuple):
    """A member as this terminal can know it now. `facts.known` is False where the watermark is not on our chain."""

    account: AccountId
    name: str | None
    facts: Facts
    own_rows: tuple[OwnRow, ...]


def account_of(snapshot: SnapshotReader, journal: JournalReader, token: CardToken) -> tuple[AccountId, str] | None:
    """(account, status of the card): by the centre's word, else by a card brought to life here and not yet told."""
    card = snapshot.card(token)
    if card is not None:
        return card.account, card.status
    activation = journal.activation_of(token)
    return (AccountId(event_id(activation.hash)), "active") if activation else None


def standing(snapshot: SnapshotReader, journal: JournalReader, account: AccountId) -> Standing:
    """Facts at the watermark and our rows after it; unknown, and said to be, where they do not fit together.

    An account that counts to another stands as that one, and its rows are that one's.
    """
    account = snapshot.target(account)
    member = snapshot.member(account)
    if member is None:
        return _born_here(snapshot, journal, account)
    seq = member.watermark.seq
    if seq < journal.anchor()[1].seq or journal.hash_at(seq) != member.watermark.hash:
        return Standing(account, member.name, Facts(known=False, member=account.hex()), ())
    facts = msgspec.structs.replace(_facts.decode(member.facts), as_of=seq, member=account.hex())
    return Standing(account, member.name, facts, own_rows_of(snapshot, journal, account, seq))


def own_rows_of(snapshot: SnapshotReader, journal: JournalReader, account: AccountId, after: int) -> tuple[OwnRow, ...]:
    """A member's rows above `after` as decisions read them.

    Of a card that was activated twice, rows that name the other account are the member's too: by the centre's word, or,
    while the centre has not heard of it, because the card was brought to life here.
    """
    made_here = journal.accounts_of_cards(snapshot.tokens(account)) if journal.any_activated() else ()
    others = {*snapshot.aliases(account), *made_here} - {account}
    own = _own(journal.rows_of(account, after))
    if not others:
        return own
    theirs = [row for other in others for row in _own(journal.rows_of(other, after)) if row.kind != "activated"]
    named = [msgspec.structs.replace(row, member=account.hex()) for row in theirs]
    return tuple(sorted([*own, *named], key=lambda row: row.seq))


def _born_here(snapshot: SnapshotReader, journal: JournalReader, account: AccountId) -> Standing:
    """A member that the centre has not told of is known only while its activation is ours and unacknowledged: an
    acknowledged one may have rows of other terminals, and a lost snapshot cannot tell."""
    rows = journal.rows_of(account, 0)
    unsent = (
        bool(rows)
        and AccountId(event_id(rows[0].hash)) == account
        and rows[0].seq > acknowledged(snapshot.state(), journal)
    )
    if not unsent or snapshot.state().generation == NO_GENERATION:
        return Standing(account, None, Facts(known=False, member=account.hex()), _own(rows))
    wall_s = read_body(rows[0].body).moment.wall_ms / 1000
    activated_at = datetime.datetime.fromtimestamp(wall_s, tz=datetime.UTC)
    return Standing(account, None, Facts(known=True, member=account.hex(), activated_at=activated_at), _own(rows))


def _own(rows: list[Row]) -> tuple[OwnRow, ...]:
    read = (own_row(row.seq, event_id(row.hash), row.body) for row in rows)
    return tuple(row for row in read if row is not None)
