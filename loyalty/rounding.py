"""The one rounding, the caps and the lots."""

from collections.abc import Callable, Sequence
from datetime import date

from loyalty.answer import Lot, RulePoints
from loyalty.calendar import days_later, months_later, next_fixed
from loyalty.terms import Expiry

CAP_PURCHASE = "cap.purchase"
CAP_DAY = "cap.day"

Rounding = Callable[[int, int], int]


def _down(units: int, unit: int) -> int:
    return units // unit


def _half_up(units: int, unit: int) -> int:
    return (2 * units + unit) // (2 * unit)


def _up(units: int, unit: int) -> int:
    return -(-units // unit)


ROUNDINGS: dict[str, Rounding] = {"down": _down, "half_up": _half_up, "up": _up}


def points_up(units: int, unit: int) -> int:
    """Whole points that cover so many units: what a hard budget is asked for."""
    return _up(units, unit)


def shown(units: Sequence[int], unit: int, rounding: str) -> list[int]:
    """Each line as the difference of two rounded running totals, so that lines are integers and sum to the total."""
    rounded = ROUNDINGS[rounding]
    points, total, before = [], 0, 0
    for line in units:
        total += line
        after = rounded(total, unit)
        points.append(after - before)
        before = after
    return points


def caps(points: int, most: int | None, day_room: int | None) -> list[RulePoints]:
    """The negative lines of the caps that cut `points`."""
    cuts = []
    if most is not None and points > most:
        cuts.append((CAP_PURCHASE, most - points))
        points = most
    if day_room is not None and points > day_room:
        cuts.append((CAP_DAY, day_room - points))
    return cuts


def lots(points: Sequence[int], expires_days: Sequence[int | None], cut: int, today: date, expiry: Expiry) -> list[Lot]:
    """The points by last day, earliest first, never-dying last; `cut` is taken from the last line backwards."""
    left = list(points)
    for i in reversed(range(len(left))):
        if not cut:
            break
        taken = min(cut, left[i])
        left[i] -= taken
        cut -= taken
    found: dict[str | None, int] = {}
    for n, days in zip(left, expires_days, strict=True):
        if n:
            last = last_day(expiry, today) if days is None else days_later(today, days)
            found[last] = found.get(last, 0) + n
    if len(found) < 2:
        return list(found.items())
    return sorted(found.items(), key=lambda lot: (lot[0] is None, lot[0] or ""))


def last_day(expiry: Expiry, today: date) -> str | None:
    """The last day, included, of points given today; None when they never die."""
    if expiry.kind == "none":
        return None
    if expiry.kind == "fixed":
        return next_fixed(today, expiry.on_month, expiry.on_day, expiry.at_least_days)
    if expiry.months:
        return months_later(today, expiry.months)
    return days_later(today, expiry.days)
