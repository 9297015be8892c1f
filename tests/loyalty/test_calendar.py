"""Local bounds as instants, against the plain reading of the rule: every minute's wall clock looked at in turn."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.calendar import (
    EPOCH,
    MICROSECOND,
    end_instant,
    in_slots,
    is_doubtful,
    local_end,
    local_start,
    minute,
    moment,
    months_later,
    next_fixed,
    start_instant,
    week_slots,
    zone_of,
)

# a change of an hour, of half an hour, of a whole day, at midnight, and none
CHANGES = [
    ("Europe/Rome", datetime(2026, 3, 29, 2, 0)),
    ("Europe/Rome", datetime(2026, 10, 25, 2, 0)),
    ("Australia/Lord_Howe", datetime(2026, 4, 5, 1, 30)),
    ("Australia/Lord_Howe", datetime(2026, 10, 4, 2, 0)),
    ("Pacific/Apia", datetime(2011, 12, 30, 0, 0)),
    ("America/Havana", datetime(2026, 3, 8, 0, 0)),
    ("Africa/Tunis", datetime(2026, 5, 1, 12, 0)),
]
near_changes = st.tuples(st.sampled_from(CHANGES), st.integers(-100, 100)).map(
    lambda drawn: (ZoneInfo(drawn[0][0]), drawn[0][1] + timedelta(minutes=drawn[1]))
)


def walls(local: datetime, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """Instants around a local time, minute by minute, each with what the wall clock reads."""
    middle = local.replace(tzinfo=zone).astimezone(UTC)
    instants = [middle + timedelta(minutes=n) for n in range(-1600, 1601)]
    return [(instant, instant.astimezone(zone).replace(tzinfo=None)) for instant in instants]


def instant(us: int) -> datetime:
    return EPOCH + us * MICROSECOND


@settings(max_examples=80, deadline=None)
@given(near_changes)
def test_a_start_is_the_first_moment_that_reads_at_or_after_it(drawn: tuple[ZoneInfo, datetime]) -> None:
    zone, local = drawn
    first = next(at for at, wall in walls(local, zone) if wall >= local)
    assert instant(start_instant(local, zone)) == first


@settings(max_examples=80, deadline=None)
@given(near_changes)
def test_an_end_is_just_after_the_last_moment_that_reads_before_it(drawn: tuple[ZoneInfo, datetime]) -> None:
    zone, local = drawn
    last = [at for at, wall in walls(local, zone) if wall < local][-1]
    assert instant(end_instant(local, zone)) == last + timedelta(minutes=1)


@settings(max_examples=80, deadline=None)
@given(near_changes)
def test_a_time_is_in_doubt_when_the_wall_reads_it_not_once(drawn: tuple[ZoneInfo, datetime]) -> None:
    zone, local = drawn
    assert is_doubtful(local, zone) == (sum(wall == local for _, wall in walls(local, zone)) != 1)


def test_an_open_bound_holds_always() -> None:
    zone = ZoneInfo("Europe/Rome")
    assert start_instant(None, zone) < 0 < end_instant(None, zone)


def test_a_bare_date_as_an_end_includes_its_day() -> None:
    assert local_end(date(2026, 2, 28)) == local_end("2026-02-28") == datetime(2026, 3, 1)
    assert local_start("2026-02-28") == datetime(2026, 2, 28)
    assert local_end("2026-02-28T10:00:00") == datetime(2026, 2, 28, 10)


def test_the_wall_clock_of_a_moment() -> None:
    read = moment(datetime(2026, 2, 28, 23, 30, tzinfo=UTC), ZoneInfo("Europe/Rome"))
    assert (read.day, read.month, read.year, read.week_minute) == ("2026-03-01", "2026-03", "2026", 6 * 1440 + 30)


@pytest.mark.parametrize(
    ("weekdays", "hours", "inside", "outside"),
    [
        (["sun"], [["22:00", "02:00"]], [6 * 1440 + 1439, 0, 119], [120, 6 * 1440, 1440]),
        (["mon"], None, [0, 1439], [1440]),
        (None, [["23:00", "24:00"]], [1439, 2879], [0, 1379]),
        (["tue"], [["09:00", "09:00"]], [], [1440 + 540]),
        ([], [["09:00", "10:00"]], [], [540]),
    ],
)
def test_slots_of_a_week(
    weekdays: list[str] | None, hours: list[list[str]] | None, inside: list[int], outside: list[int]
) -> None:
    slots = week_slots(weekdays, hours)
    assert slots is not None
    assert all(in_slots(slots, at) for at in inside)
    assert not any(in_slots(slots, at) for at in outside)


def test_no_slots_means_any_time() -> None:
    assert week_slots(None, None) is None


@pytest.mark.parametrize("wrong", ["", "9:00", "24:01", "12:60", "ab:cd", "12-30", "12:3"])
def test_what_is_no_time_of_day_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError):
        minute(wrong)


def test_months_keep_the_day_or_take_the_last() -> None:
    assert months_later(date(2026, 1, 31), 1) == "2026-02-28"
    assert months_later(date(2026, 12, 15), 12) == "2027-12-15"
    assert months_later(date(2027, 11, 30), 3) == "2028-02-29"


def test_a_fixed_day_of_leap_years_takes_the_last_of_february() -> None:
    assert next_fixed(date(2026, 2, 1), 2, 29, 0) == "2026-02-28"
    assert next_fixed(date(2027, 12, 1), 2, 29, 0) == "2028-02-29"
    assert next_fixed(date(2026, 2, 28), 2, 29, 1) == "2027-02-28"


@pytest.mark.parametrize("wrong", ["", "Europe", "Europe/Roma", "../etc/passwd"])
def test_what_is_no_zone_is_refused(wrong: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        zone_of(wrong)
