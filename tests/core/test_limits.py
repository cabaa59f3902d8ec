"""The arithmetic of limits: burst, then the rate exactly, and never more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.core.judging import judge
from extproc.core.limits import NANOSECONDS, Counter, CounterState, Hit, Limit, Per
from tests.core.examples import limit

SECOND = NANOSECONDS
NOW = 1_000 * SECOND


class Bucket:
    """One counter, as a store keeps it: it writes down only what was allowed."""

    def __init__(self, of: Limit) -> None:
        self.counter = Counter(of, ("acme",))
        self.due = 0

    def hit(self, now: int, count: int = 1) -> CounterState:
        state, due = judge(Hit(self.counter, count), self.due, now)
        self.due = due if state.allowed and count else self.due
        return state


def test_a_burst_passes_at_once_and_then_the_rate_exactly() -> None:
    bucket = Bucket(limit(count=2, period=1, burst=3))
    assert [bucket.hit(NOW).allowed for _ in range(5)] == [True, True, True, False, False]
    assert not bucket.hit(NOW + SECOND // 2 - 1).allowed
    assert bucket.hit(NOW + SECOND // 2).allowed
    assert not bucket.hit(NOW + SECOND - 1).allowed
    assert bucket.hit(NOW + SECOND).allowed


def test_a_state_says_what_remains_and_when_it_is_full_again() -> None:
    bucket = Bucket(limit(count=2, period=1, burst=3))
    told = [bucket.hit(NOW) for _ in range(4)]
    assert [state.remaining for state in told] == [2, 1, 0, 0]
    assert [state.reset for state in told] == [SECOND // 2, SECOND, 3 * SECOND // 2, 3 * SECOND // 2]
    assert [state.retry_after for state in told] == [0, 0, 0, SECOND // 2]


def test_who_waits_as_long_as_told_is_admitted_and_one_nanosecond_less_is_not() -> None:
    bucket = Bucket(limit(count=7, period=3, burst=2))
    while (state := bucket.hit(NOW)).allowed:
        pass
    assert not bucket.hit(NOW + state.retry_after - 1).allowed
    assert bucket.hit(NOW + state.retry_after).allowed


@pytest.mark.parametrize(
    ("nanoseconds", "retry", "reset"),
    [(0, 1, 0), (1, 1, 1), (SECOND, 1, 1), (SECOND + 1, 2, 2), (59 * SECOND + 1, 60, 60)],
)
def test_whole_seconds_are_rounded_up_and_a_retry_is_never_at_once(nanoseconds: int, retry: int, reset: int) -> None:
    state = CounterState(Counter(limit(), ()), allowed=False, remaining=0, reset=nanoseconds, retry_after=nanoseconds)
    assert (state.retry_after_seconds, state.reset_seconds) == (retry, reset)


def test_looking_charges_nothing_and_says_whether_one_more_would_pass() -> None:
    bucket = Bucket(limit(burst=1))
    assert bucket.hit(NOW, count=0) == bucket.hit(NOW, count=0)._replace(allowed=True, remaining=1, reset=0)
    bucket.hit(NOW)
    looked = bucket.hit(NOW, count=0)
    assert (looked.allowed, looked.remaining, looked.retry_after) == (False, 0, 12 * SECOND)


def test_a_hit_of_many_is_all_or_nothing() -> None:
    bucket = Bucket(limit(burst=5))
    assert bucket.hit(NOW, count=3).remaining == 2
    assert not bucket.hit(NOW, count=3).allowed
    assert bucket.hit(NOW, count=2).allowed


@pytest.mark.parametrize("count", [6, 2**32 - 1, 2**64 - 1])
def test_a_hit_larger_than_the_burst_never_passes_and_takes_nothing(count: int) -> None:
    bucket = Bucket(limit(burst=5))
    state = bucket.hit(NOW, count)
    assert (state.allowed, state.remaining, state.reset) == (False, 5, 0)
    assert state.retry_after == (count - 5) * bucket.counter.limit.interval
    assert bucket.hit(NOW, count=5).allowed


@pytest.mark.parametrize("burst", [2**32 - 1, 2**64 - 1])
def test_a_burst_of_any_size_is_counted_exactly(burst: int) -> None:
    bucket = Bucket(limit(burst=burst))
    assert bucket.hit(NOW, count=burst - 1).remaining == 1
    assert bucket.hit(NOW).remaining == 0
    assert not bucket.hit(NOW).allowed


@pytest.mark.parametrize(
    ("count", "period", "interval"),
    [(1, 1, SECOND), (3, 1, 333_333_334), (7, 60, 8_571_428_572), (10**9, 1, 1), (1, 86_400, 86_400 * SECOND)],
)
def test_the_interval_is_rounded_up_so_that_the_rate_is_never_exceeded(count: int, period: int, interval: int) -> None:
    assert limit(count=count, period=period).interval == interval
    assert limit(count=count, period=period).interval * count >= period * SECOND


@pytest.mark.parametrize(
    ("count", "period", "burst", "quota", "window"),
    [
        (10, 1, 10, 10, 1),
        (10, 1, 20, 20, 2),
        (7, 60, 7, 7, 60),
        (3, 1, 3, 3, 1),
        (60, 60, 1, 1, 1),
        (10, 1, 5, 10, 1),
        (1, 3600, 3, 3, 10800),
    ],
)
def test_a_policy_is_told_as_what_a_window_of_whole_seconds_admits(
    count: int, period: int, burst: int, quota: int, window: int
) -> None:
    told = limit(count=count, period=period, burst=burst)
    assert (told.quota, told.window) == (quota, window)


def test_a_counter_is_who_is_counted_whatever_the_rate() -> None:
    assert Counter(limit(count=5), ("acme",)).key == Counter(limit(count=9), ("acme",)).key
    assert Counter(limit(), ("acme",)).key == "9:tier/free4:tier8:consumer4:rate4:acme"
    others = [limit(name="b"), limit(scope="route/a"), replace(limit(), per=Per.ADDRESS)]
    assert len({Counter(of, ("acme",)).key for of in (limit(), *others)}) == 4
    assert Counter(limit(), ("a", "b_c")).key != Counter(limit(), ("a_b", "c")).key


RATES = st.builds(limit, count=st.integers(1, 50), period=st.integers(1, 120), burst=st.integers(1, 20))
ARRIVALS = st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(0, 4)), min_size=1, max_size=60)


@settings(max_examples=300, deadline=None)
@given(RATES, ARRIVALS)
def test_no_window_of_any_length_admits_more_than_burst_and_rate(of: Limit, arrivals: list[tuple[int, int]]) -> None:
    bucket, now, admitted = Bucket(of), NOW, list[tuple[int, int]]()
    for gap, count in arrivals:
        now += gap
        if bucket.hit(now, count).allowed:
            admitted.append((now, count))
    for start, (opened, _) in enumerate(admitted):
        total = 0
        for at, count in admitted[start:]:
            total += count
            # total <= burst + rate * length, in whole numbers
            assert (total - of.burst) * of.period * SECOND <= of.count * (at - opened)


@settings(max_examples=200, deadline=None)
@given(RATES, ARRIVALS)
def test_what_is_said_to_remain_does_remain(of: Limit, arrivals: list[tuple[int, int]]) -> None:
    bucket, now = Bucket(of), NOW
    for gap, count in arrivals:
        now += gap
        left = bucket.hit(now, count).remaining
        assert 0 <= left <= of.burst
        twin = Bucket(of)
        twin.due = bucket.due
        assert [twin.hit(now).allowed for _ in range(left + 1)] == [True] * left + [False]
