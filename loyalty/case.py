"""One decision under way: what was asked, where, when, and what is known; with sums that several rules share."""

from bisect import bisect_left, bisect_right
from itertools import accumulate

from loyalty.answer import Approved, Declined, Hint
from loyalty.calendar import Moment, days_later
from loyalty.facts import Facts
from loyalty.place import Place
from loyalty.request import ACTIVATE, CODE, EARN, Request
from loyalty.since import OwnRows
from loyalty.terms import MONTH, Level, Programme

Answer = Approved | Declined


class Case:
    """`facts` have the own rows applied, `rows` serve the other blocks. `eligible` is the amount of eligible lines
    before vouchers; `qualifying` says whether it reaches the minimum."""

    __slots__ = (
        "_progress",
        "_windows",
        "basket",
        "eligible",
        "facts",
        "flags",
        "lenient",
        "level",
        "moment",
        "place",
        "programme",
        "qualifying",
        "request",
        "rows",
        "us",
    )

    def __init__(
        self,
        programme: Programme,
        place: Place,
        facts: Facts,
        rows: OwnRows,
        request: Request,
        moment: Moment,
    ) -> None:
        self.programme = programme
        self.place = place
        self.facts = facts
        self.rows = rows
        self.request = request
        self.moment = moment
        self.us = moment.us
        self.flags: list[str] = []
        self.lenient = request.posted and request.kind in (EARN, CODE, ACTIVATE)
        self.basket = place.no_lines
        self.eligible = 0
        self.qualifying = False
        self.level: Level | None = None
        self._windows: dict[int, tuple[int, int]] = {}
        self._progress: tuple[list[str], list[int], list[int]] | None = None

    def fails(self, reason: str) -> bool:
        """Whether `reason` ends this decision; at the centre it becomes a flag and the decision goes on."""
        if self.lenient:
            self.flags.append(reason)
        return not self.lenient

    def declined(self, reason: str, *almost: Hint) -> Declined:
        return Declined(reason=reason, almost=almost, flags=tuple(self.flags))

    def visits_in(self, days: int) -> int:
        """Visits of the window, capped per day, without this purchase."""
        return self._window(days)[0]

    def spend_in(self, days: int) -> int:
        """Spend of the window in minor units, without this purchase."""
        return self._window(days)[1]

    def adds_visit(self) -> int:
        """1 when this purchase itself adds a visit, else 0."""
        if not self.qualifying:
            return 0
        known = self.facts.days.get(self.moment.day)
        return 1 if known is None or known[0] < self.programme.earning.visits_per_day else 0

    def _window(self, days: int) -> tuple[int, int]:
        known = self._windows.get(days)
        if known is None:
            known = self._windows[days] = self._summed(days)
        return known

    def _summed(self, days: int) -> tuple[int, int]:
        keys, visits, spend = self._progress or self._running_totals()
        if days == MONTH:
            first, last = self.moment.month, self.moment.month + "~"
        else:
            first, last = days_later(self.moment.today, 1 - days), self.moment.day
        low, high = bisect_left(keys, first), bisect_right(keys, last)
        return visits[high] - visits[low], spend[high] - spend[low]

    def _running_totals(self) -> tuple[list[str], list[int], list[int]]:
        days, most = self.facts.days, self.programme.earning.visits_per_day
        keys = sorted(days)
        counts = [days[key] for key in keys]
        visits = list(accumulate([c[0] if c[0] < most else most for c in counts], initial=0))
        spend = list(accumulate([c[1] for c in counts], initial=0))
        self._progress = (keys, visits, spend)
        return self._progress
