"""Wall clocks and instants: local bounds, week slots, last days.

Instants are integers, microseconds since 1970 UTC, so that comparing them is cheap and exact.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALWAYS_FROM = -(1 << 62)
ALWAYS_UNTIL = 1 << 62

Slots = tuple[tuple[int, int], ...]
"""Minutes of the week, Monday 00:00 being 0: start inside, end outside."""


class Moment(Struct, frozen=True, kw_only=True):
    """`now` as the outlet's wall clock reads it. `day`, `month`, `year` are ISO text."""

    us: int
    today: date
    day: str
    month: str
    year: str
    week_minute: int


def moment(now: datetime, zone: ZoneInfo) -> Moment:
    """The wall clock of `zone` at the aware instant `now`."""
    local = now.astimezone(zone)
    today = local.date()
    day = today.isoformat()
    return Moment(
        us=micros(now),
        today=today,
        day=day,
        month=day[:7],
        year=day[:4],
        week_minute=today.weekday() * DAY_MINUTES + local.hour * 60 + local.minute,
    )


def micros(instant: datetime) -> int:
    """Microseconds since 1970 UTC of an aware instant."""
    return (instant - EPOCH) // MICROSECOND


def local_day(instant: datetime, zone: ZoneInfo) -> date:
    """The date on the wall at `instant`."""
    return instant.astimezone(zone).date()


def local_start(value: date | datetime | str) -> datetime:
    """A start as the wall clock reads it; a bare date is its midnight. Raises ValueError on other text."""
    value = _parsed(value)
    return value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)


def local_end(value: date | datetime | str) -> datetime:
    """An end as the wall clock reads it, itself outside; a bare date includes that whole day."""
    value = _parsed(value)
    if isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day) + timedelta(days=1)


def _parsed(value: date | datetime | str) -> date | datetime:
    if not isinstance(value, str):
        return value
    return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)


def start_instant(local: datetime | None, zone: ZoneInfo) -> int:
    """The first moment whose wall clock reads at or after `local`: the jump in a gap, the first reading in a fold."""
    if local is None:
        return ALWAYS_FROM
    first, second = _readings(local, zone)
    return first if first <= second else _jump(second, first, zone)


def end_instant(local: datetime | None, zone: ZoneInfo) -> int:
    """Just after the last moment that reads before `local`: the jump in a gap, the second reading in a fold, except
    at the very time to which the clock falls back, before which nothing reads again."""
    if local is None:
        return ALWAYS_UNTIL
    first, second = _readings(local, zone)
    if first > second:
        return _jump(second, first, zone)
    if first < second and _offset(second - 1, zone) != _offset(second, zone):
        return first
    return second


def is_doubtful(local: datetime, zone: ZoneInfo) -> bool:
    """Whether `local` falls into a missing or a repeated hour."""
    first, second = _readings(local, zone)
    return first != second


def _readings(local: datetime, zone: ZoneInfo) -> tuple[int, int]:
    return micros(local.replace(tzinfo=zone, fold=0)), micros(local.replace(tzinfo=zone, fold=1))


def _jump(before: int, after: int, zone: ZoneInfo) -> int:
    """The first instant with the new offset, between one that has the old and one that has the new."""
    old = _offset(before, zone)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(middle, zone) == old:
            before = middle
        else:
            after = middle
    return after


def _offset(us: int, zone: ZoneInfo) -> timedelta | None:
    return (EPOCH + us * MICROSECOND).astimezone(zone).utcoffset()


def week_slots(weekdays: list[str] | None, hours: list[list[str]] | None) -> Slots | None:
    """The slots of a week; None when both are unset. A slot past midnight belongs to the weekday it began on."""
    if weekdays is None and hours is None:
        return None
    days = range(7) if weekdays is None else [WEEKDAYS.index(name) for name in weekdays]
    spans = [(0, DAY_MINUTES)] if hours is None else [(minute(a), minute(b)) for a, b in hours]
    slots: list[tuple[int, int]] = []
    for day in days:
        for start, end in spans:
            slots.extend(_slot(day * DAY_MINUTES, start, end))
    return tuple(sorted(slots))


def _slot(midnight: int, start: int, end: int) -> Slots:
    if end > start:
        return ((midnight + start, midnight + end),)
    if end == start:
        return ()
    over = midnight + DAY_MINUTES + end
    if over <= WEEK_MINUTES:
        return ((midnight + start, over),)
    return ((midnight + start, WEEK_MINUTES), (0, over - WEEK_MINUTES))


def minute(text: str) -> int:
    """Minute of the day of `HH:MM`; `24:00` is 1,440. Raises ValueError on anything else."""
    hour, colon, rest = text.partition(":")
    if len(hour) != 2 or colon != ":" or len(rest) != 2 or not (hour + rest).isdecimal():
        raise ValueError(text)
    value = int(hour) * 60 + int(rest)
    if int(rest) > 59 or value > DAY_MINUTES:
        raise ValueError(text)
    return value


def in_slots(slots: Slots, week_minute: int) -> bool:
    """Whether the wall clock reads inside one of them."""
    return any(start <= week_minute < end for start, end in slots)


@lru_cache(maxsize=512)
def days_later(day: date, days: int) -> str:
    """ISO text of the date so many days later (or earlier, when negative)."""
    return (day + timedelta(days=days)).isoformat()


@lru_cache(maxsize=64)
def months_later(day: date, months: int) -> str:
    """ISO text of the same day so many months later, or of that month's last day."""
    count = day.year * 12 + day.month - 1 + months
    year, month = count // 12, count % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1])).isoformat()


@lru_cache(maxsize=64)
def next_fixed(day: date, month: int, of_month: int, at_least_days: int) -> str:
    """ISO text of the first such date of a year that is not nearer than `at_least_days`."""
    least = day + timedelta(days=at_least_days)
    for year in (least.year, least.year + 1):
        found = date(year, month, min(of_month, monthrange(year, month)[1]))
        if found >= least:
            return found.isoformat()
    raise AssertionError("one of two years holds the date")


def zone_of(name: str) -> ZoneInfo:
    """The time zone by its IANA name. Raises KeyError or ValueError for a name that is none."""
    try:
        return ZoneInfo(name)
    except OSError as error:  # a folder of the zone tables, such as "Europe"
        raise ValueError(name) from error
