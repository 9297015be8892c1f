"""What the sync worker and the agent say to each other: JSON objects, one a line, as drivers do."""

from __future__ import annotations

from typing import Literal

import msgspec

HEARTBEAT_S = 2.0


class _Line(msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=True, frozen=True):
    pass


class RowOutcome(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What the centre made of one row; `points` is what it counts where that differs."""

    seq: int
    event_id: str
    outcome: str
    reason: str | None = None
    points: int | None = None


class LineState(_Line, tag="line", frozen=True, kw_only=True):
    """The line changed: `kind` and `text` say why it is down."""

    state: Literal["up", "down"]
    kind: str = ""
    code: str | None = None
    text: str = ""


class Exchanged(_Line, tag="exchanged", frozen=True, kw_only=True):
    """One exchange was applied. `rows` holds outcomes other than applied; `acked_seq` tells the rest."""

    number: int
    pushed: int
    pulled: int
    pending: int
    acked_seq: int
    bytes_sent: int
    bytes_received: int
    elapsed_s: float
    rows: list[RowOutcome] = []


class Wished(_Line, tag="wished", frozen=True, kw_only=True):
    """A wish for an allowance was answered; the grant, if any, is in the snapshot now."""

    wish: str
    granted: bool
    reason: str | None = None


class OpenBranch(_Line, tag="open_branch", frozen=True, kw_only=True):
    """The till must open this epoch in the journal, which only it writes."""

    epoch: int
    parent_seq: int
    parent_hash: str


class Synced(_Line, tag="synced", frozen=True, kw_only=True):
    """Answer to `sync`: the fields of `holdfast sync --json`."""

    id: int
    pushed: int
    pulled: int
    pending: int
    outcomes: dict[str, int]
    exchanges: int
    bytes_sent: int
    bytes_received: int
    elapsed_s: float
    error: str | None = None


class Alive(_Line, tag="alive", frozen=True, kw_only=True):
    """Heartbeat."""

    pending: int


class Refused(_Line, tag="refused", frozen=True, kw_only=True):
    """The centre is there and will not have it: of class identity, contract or body. A human mends that."""

    kind: str
    code: str
    text: str


class Trouble(_Line, tag="trouble", frozen=True, kw_only=True):
    """The worker cannot use a file; it goes on trying."""

    code: str
    text: str


Said = LineState | Exchanged | Wished | OpenBranch | Synced | Alive | Refused | Trouble


class Nudge(_Line, tag="nudge", frozen=True, kw_only=True):
    """A row was written: exchange soon, if the line was seen up."""


class SyncNow(_Line, tag="sync", frozen=True, kw_only=True):
    """Staff pressed sync now: clears the back-off and goes on until nothing is pending."""

    id: int


class AskAllowance(_Line, tag="wish", frozen=True, kw_only=True):
    """A member stands at the till and wants to burn."""

    wish: str
    account: str
    points: int


class Stop(_Line, tag="stop", frozen=True, kw_only=True):
    """End after the exchange in flight."""


Command = Nudge | SyncNow | AskAllowance | Stop

_encoder = msgspec.json.Encoder()
_said: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)
_command: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)


def encode(line: Said | Command) -> bytes:
    """One line, newline included."""
    return _encoder.encode(line) + b"\n"


def decode_said(line: bytes) -> Said:
    """A worker's line; raises msgspec.DecodeError."""
    return _said.decode(line)


def decode_command(line: bytes) -> Command:
    """An agent's line; raises msgspec.DecodeError."""
    return _command.decode(line)
