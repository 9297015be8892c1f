"""Allowances that are held here: what of them is spent, closed or over, computed from rows and not kept beside them."""

from __future__ import annotations

from loyalty import rows
from loyalty.ids import AllowanceId
from loyalty.rows import AllowanceClosed, AllowanceTaken, Kind, Moment
from sync.exchange import forked
from sync.journal import Journal
from sync.snapshot import Held, State

LIFETIME_MARGIN_S = 5.0  # stop before the centre does


class Allowances:
    """What the journal says of allowances."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def usable(self, held: Held, moment: Moment, state: State) -> bool:
        """Granted for this branch and not over: by boot time within the request's boot, by the wall across boots."""
        if held.epoch != self._journal.epoch() or forked(state, self._journal):
            return False
        if held.sent_boot_id == moment.boot_id:
            age_ms = moment.boottime_ms - held.sent_boottime_ms
        else:
            age_ms = max(moment.wall_ms - held.sent_wall_ms, moment.boottime_ms)
        return age_ms < (held.lifetime_s - LIFETIME_MARGIN_S) * 1000

    def closed(self) -> set[AllowanceId]:
        """Those with a closing row."""
        found = (rows.read_detail(rows.read_body(r.body)) for r in self._journal.rows_of_kind(Kind.allowance_closed))
        return {detail.allowance for detail in found if isinstance(detail, AllowanceClosed)}

    def spent(self, held: Held) -> int:
        """What our rows took of an allowance: computed from them, not kept beside them."""
        spent = 0
        for row in self._journal.rows_of(held.account, 0):
            body = rows.read_body(row.body)
            if body.kind == Kind.burned:
                detail = rows.read_detail(body)
                if isinstance(detail, rows.Burned) and detail.allowance == held.id:
                    spent += detail.points
        return spent

    def is_taken(self, allowance: AllowanceId) -> bool:
        """Whether the signed grant is a row already."""
        found = (rows.read_detail(rows.read_body(r.body)) for r in self._journal.rows_of_kind(Kind.allowance_taken))
        return any(isinstance(detail, AllowanceTaken) and detail.allowance == allowance for detail in found)
