"""When to try again: never all at once, never before the centre asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.retry import (
    FIRST_WAIT_S,
    IDENTITY_WAIT_S,
    LONGEST_WAIT_S,
    SPREAD,
    Failure,
    interval_s,
    wait_s,
)

LINE = Failure(kind="line", text="refused")


@given(attempt=st.integers(1, 10_000))
def test_the_wait_is_anywhere_between_nothing_and_a_bound_that_doubles(attempt: int) -> None:
    bound = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(attempt - 1, 20))
    assert 0 <= wait_s(LINE, attempt) <= bound


def test_waits_are_spread_over_the_whole_range() -> None:
    waits = [wait_s(LINE, 30) for _ in range(2_000)]
    assert min(waits) < LONGEST_WAIT_S * 0.05
    assert max(waits) > LONGEST_WAIT_S * 0.95
    assert 0.4 < sum(waits) / len(waits) / LONGEST_WAIT_S < 0.6


@given(asked_s=st.floats(0, 100_000), attempt=st.integers(1, 100))
def test_retry_after_is_honoured_and_spread(asked_s: float, attempt: int) -> None:
    wait = wait_s(Failure(kind="busy", text="busy", retry_after_s=asked_s), attempt)
    assert asked_s <= wait <= asked_s * (1 + SPREAD) + FIRST_WAIT_S


@given(attempt=st.integers(1, 100))
def test_a_refusal_is_asked_about_seldom(attempt: int) -> None:
    wait = wait_s(Failure(kind="identity", text="revoked"), attempt)
    assert IDENTITY_WAIT_S <= wait <= IDENTITY_WAIT_S * (1 + SPREAD)


@given(regular_s=st.floats(1, 10_000))
def test_the_regular_pause_is_spread_by_a_tenth(regular_s: float) -> None:
    assert regular_s * (1 - SPREAD) <= interval_s(regular_s) <= regular_s * (1 + SPREAD)
