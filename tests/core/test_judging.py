"""Quotas, sliding windows and slots: for every one the bound that docs/limits.md names, against a model of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.core.calendar import Calendar, Unit, Window
from extproc.core.judging import (
    WHEN_FULL,
    Leases,
    Slices,
    Used,
    judge_sliding,
    judge_slots,
    judge_used,
    lease_until,
    not_of_the_future,
    settled,
    taken_along,
)
from extproc.core.limits import NANOSECONDS, SLICES, Counter, CounterState, Hit, Kind, Limit, Per

SECOND = NANOSECONDS
NOW = 1_790_000_000 * SECOND
HUGE = [2**32 - 1, 2**64 - 1]


def quota(count: int = 5, unit: Unit = Unit.MINUTE, kind: Kind = Kind.QUOTA) -> Limit:
    return Limit("quota", "tier/free", Per.CONSUMER, count, 60, count, kind, Calendar(unit))


def sliding(count: int = 5, period: int = 60) -> Limit:
    return Limit("sliding", "tier/free", Per.CONSUMER, count, period, count, Kind.SLIDING)


def slots(count: int = 2, lease: int = 60) -> Limit:
    return Limit("open", "tier/free", Per.CONSUMER, count, lease, count, Kind.CONCURRENCY)


def hit(of: Limit, count: int = 1) -> Hit:
    return Hit(Counter(of, ("acme",)), count)


class Quota:
    """A counter of the calendar as a store keeps it."""

    def __init__(self, of: Limit) -> None:
        self.of = of
        self.kept: Used | None = None

    def hit(self, now: int, count: int = 1) -> CounterState:
        assert self.of.calendar is not None
        window = self.of.calendar.window(now // SECOND)
        self.kept = taken_along(self.kept, window) if self.kept else None
        state, after = judge_used(hit(self.of, count), self.kept, window, now)
        self.kept = after if state.allowed and count else self.kept
        return state


class Sliding:
    def __init__(self, of: Limit) -> None:
        self.of = of
        self.kept: Slices = ()

    def hit(self, now: int, count: int = 1) -> CounterState:
        self.kept = not_of_the_future(self.kept, now // self.of.interval)
        state, after = judge_sliding(hit(self.of, count), self.kept, now)
        self.kept = after if state.allowed and count else self.kept
        return state


class Slots:
    def __init__(self, of: Limit) -> None:
        self.of = of
        self.leases = Leases()

    def take(self, holder: str, now: int) -> CounterState:
        state = judge_slots(hit(self.of), self.leases, holder, now)
        if state.allowed:
            self.leases.pop(holder, None)
            self.leases[holder] = lease_until(hit(self.of), now)
        return state


def test_a_quota_admits_its_number_in_each_window_and_says_when_the_next_one_begins() -> None:
    used = Quota(quota())
    start = NOW - NOW % (60 * SECOND)
    assert [used.hit(start + 45 * SECOND).allowed for _ in range(6)] == [True] * 5 + [False]
    refused = used.hit(start + 45 * SECOND)
    assert (refused.remaining, refused.retry_after, refused.reset) == (0, 15 * SECOND, 15 * SECOND)
    assert not used.hit(start + 60 * SECOND - 1).allowed
    assert used.hit(start + 60 * SECOND).remaining == 4


@pytest.mark.parametrize("step", [-3_600, 3_600])
def test_a_clock_that_steps_an_hour_gives_one_more_window_at_most_and_is_well_within_one(step: int) -> None:
    used = Quota(quota())
    assert sum(used.hit(NOW).allowed for _ in range(9)) == 5
    assert sum(used.hit(NOW + step * SECOND).allowed for _ in range(9)) == (5 if step > 0 else 0)
    assert sum(used.hit(NOW + (step + 60) * SECOND).allowed for _ in range(9)) == 5


@pytest.mark.parametrize("count", HUGE)
def test_more_than_the_whole_quota_is_refused_and_takes_nothing(count: int) -> None:
    used = Quota(quota())
    assert not used.hit(NOW, count).allowed
    assert used.hit(NOW, 0).remaining == 5


@pytest.mark.parametrize("count", HUGE)
def test_a_quota_of_any_size_is_counted_to_the_unit(count: int) -> None:
    used = Quota(quota(count))
    assert used.hit(NOW, count - 1).remaining == 1
    assert [used.hit(NOW).allowed for _ in range(2)] == [True, False]


def test_settling_gives_back_or_takes_more_in_the_window_of_the_reservation_only() -> None:
    this, following = Window(0, 60), Window(60, 120)
    assert settled(Used(this, 50), 20, this, 5) == Used(this, 35)
    assert settled(Used(this, 50), 20, this, 30) == Used(this, 60)
    assert settled(Used(this, 50), 20, this, 0) == Used(this, 30)
    assert settled(Used(following, 50), 20, this, 0) == Used(following, 50)


def test_a_sliding_window_has_no_seam() -> None:
    """Where a window of the calendar would admit twice its number around midnight."""
    used = Sliding(sliding())
    midnight = NOW - NOW % (60 * SECOND)
    assert sum(used.hit(midnight - 1).allowed for _ in range(9)) == 5
    assert sum(used.hit(midnight).allowed for _ in range(9)) == 0
    assert not used.hit(midnight + 60 * SECOND - 2).allowed


def test_who_waits_as_long_as_a_sliding_window_says_is_admitted() -> None:
    used = Sliding(sliding(count=3))
    for second in (0, 20, 40):
        assert used.hit(NOW + second * SECOND).allowed
    at = NOW + 41 * SECOND
    state = used.hit(at)
    assert 19 * SECOND <= state.retry_after <= 21 * SECOND
    assert not used.hit(at + state.retry_after - 1).allowed
    assert used.hit(at + state.retry_after).allowed


@pytest.mark.parametrize("count", HUGE)
def test_more_than_a_sliding_window_holds_is_refused_and_takes_nothing(count: int) -> None:
    used = Sliding(sliding())
    state = used.hit(NOW, count)
    assert not state.allowed
    assert state.retry_after > 0
    assert used.hit(NOW, 0).remaining == 5


@pytest.mark.parametrize("step", [-3_600, 3_600])
def test_a_sliding_window_outlives_a_step_of_the_clock(step: int) -> None:
    used = Sliding(sliding())
    assert sum(used.hit(NOW).allowed for _ in range(9)) == 5
    assert sum(used.hit(NOW + step * SECOND).allowed for _ in range(9)) == (5 if step > 0 else 0)
    assert sum(used.hit(NOW + (step + 62) * SECOND).allowed for _ in range(9)) == 5


def test_slots_are_taken_given_back_and_come_back_by_themselves() -> None:
    held = Slots(slots())
    assert [held.take(name, NOW).allowed for name in "abc"] == [True, True, False]
    assert held.take("c", NOW).retry_after == WHEN_FULL
    assert held.take("a", NOW + 30 * SECOND).allowed
    held.leases.pop("b")
    assert [held.take(name, NOW + 30 * SECOND).allowed for name in "cd"] == [True, False]
    assert [held.take(name, NOW + 90 * SECOND).allowed for name in "def"] == [True, True, False]


ARRIVALS = st.lists(st.tuples(st.integers(0, 40 * SECOND), st.integers(0, 4)), min_size=1, max_size=60)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 20), st.integers(1, 100), ARRIVALS)
def test_no_window_of_that_length_admits_more_and_nobody_waits_a_slice_too_long(
    count: int, period: int, arrivals: list[tuple[int, int]]
) -> None:
    used, now, admitted = Sliding(sliding(count, period)), NOW, list[tuple[int, int]]()
    longest = used.of.interval * (SLICES + 1)
    for gap, asked in arrivals:
        now += gap
        within = sum(number for at, number in admitted if at > now - longest)
        state = used.hit(now, asked)
        assert state.allowed or within + max(asked, 1) > count
        if state.allowed:
            admitted.append((now, asked))
        assert 0 <= state.remaining <= count
    for start, (opened, _) in enumerate(admitted):
        assert sum(number for at, number in admitted[start:] if at <= opened + period * SECOND) <= count


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 20), st.sampled_from([Unit.MINUTE, Unit.HOUR]), ARRIVALS)
def test_a_quota_is_what_a_table_of_windows_says(count: int, unit: Unit, arrivals: list[tuple[int, int]]) -> None:
    used, now, table = Quota(quota(count, unit)), NOW, dict[Window, int]()
    for gap, asked in arrivals:
        now += gap
        window = Calendar(unit).window(now // SECOND)
        before = table.get(window, 0)
        state = used.hit(now, asked)
        assert state.allowed == (before + max(asked, 1) <= count)
        table[window] = before + (asked if state.allowed else 0)
        assert state.remaining == count - table[window]


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.integers(0, 40))))
def test_slots_are_what_a_table_of_holders_says(count: int, steps: list[tuple[str, bool, int]]) -> None:
    held, now, table = Slots(slots(count)), NOW, dict[str, int]()
    for holder, give_back, gap in steps:
        now += gap * SECOND
        table = {name: until for name, until in table.items() if until > now}
        if give_back:
            held.leases.pop(holder, None)
            table.pop(holder, None)
            continue
        expected = holder in table or len(table) < count
        assert held.take(holder, now).allowed == expected
        if expected:
            table[holder] = now + 60 * SECOND
        assert len(held.leases) <= count
