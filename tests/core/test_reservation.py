"""What a request holds of its budgets while its answer runs: more is asked for only when it is used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from extproc.core.calendar import Calendar, Unit
from extproc.core.limits import UNKNOWN, Counter, CounterState, Hit, Kind, Limit, Per, Settlement
from extproc.core.reservation import STEP, Reservation, ahead_of, window_end

LIMIT = Limit("tokens", "route/a", Per.CONSUMER, 900, 3_600, 900, Kind.BUDGET, Calendar(Unit.HOUR))
MINE = Counter(LIMIT, ("acme",))
OURS = Counter(replace(LIMIT, name="all", per=Per.ROUTE, calendar=Calendar(Unit.DAY)), ())


def reservation(**covered: int) -> Reservation:
    counters = {"mine": MINE, "ours": OURS}
    return Reservation("s1", {counters[name]: amount for name, amount in covered.items()}, until=3_600)


def test_what_is_reserved_covers_as_much_and_no_more() -> None:
    held = reservation(mine=10, ours=5)
    assert [held.covers(total) for total in (0, 5, 6)] == [True, True, False]


def test_only_what_does_not_cover_is_asked_for_more_each_time_anew() -> None:
    held = reservation(mine=10, ours=5)
    charge = held.charge(8, 64)
    assert charge.hits == (Hit(OURS, 67),)
    assert (charge.key, charge.held_by) == ("s1/1", "s1")
    assert held.charge(8, 64).key == "s1/2"
    held.grant(charge)
    assert held.covered == {MINE: 10, OURS: 72}
    assert held.settlements(9) == (Settlement(MINE, "s1", 9), Settlement(OURS, "s1", 9))


def test_what_comes_behind_the_end_of_a_window_is_the_next_ones() -> None:
    held = reservation(mine=10)
    held.turn(8, 3_700)
    assert (held.until, held.covers(8), held.covers(9)) == (7_200, True, False)
    charge = held.charge(10)
    assert (charge.hits, charge.key, charge.held_by) == ((Hit(MINE, 2),), "s1~1/1", "s1~1")
    assert held.settlements(12) == (Settlement(MINE, "s1~1", 4),)
    assert held.settlements(3) == (Settlement(MINE, "s1~1", 0),)


def test_the_window_that_ends_first_counts() -> None:
    assert window_end((OURS, MINE), 100) == 3_600


@pytest.mark.parametrize(("left", "ahead"), [(0, 0), (63, 0), (64, 1), (640, 10), (10**6, STEP), (UNKNOWN, STEP)])
def test_the_less_is_left_the_less_is_reserved_ahead(left: int, ahead: int) -> None:
    states = (CounterState(MINE, True, left, 0, 0), CounterState(OURS, True, 10**9, 0, 0))
    assert ahead_of(states) == ahead
    shadow = Counter(replace(LIMIT, shadow=True), ())
    assert ahead_of((*states, CounterState(shadow, False, 0, 0, 0))) == ahead
