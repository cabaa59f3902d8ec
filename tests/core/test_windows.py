"""Calendar windows, and clocks that are set back."""

from __future__ import annotations

import pytest

from extproc.core.windows import MOST, Unit, goes_on, grown


def test_the_units_are_those_of_the_protocol() -> None:
    assert {unit.name: unit.value for unit in Unit} == {
        "SECOND": 1, "MINUTE": 60, "HOUR": 3_600, "DAY": 86_400, "WEEK": 604_800, "MONTH": 2_592_000,
        "YEAR": 31_536_000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "now", "left"),
    [(Unit.MINUTE, 2222, 58), (Unit.MINUTE, 2220, 60), (Unit.SECOND, 7, 1), (Unit.HOUR, 1, 3599)],
)
def test_what_is_left_of_a_window_is_never_nothing(unit: Unit, now: int, left: int) -> None:
    assert unit.left(now) == left


@pytest.mark.parametrize(("begun", "window", "same"), [(7, 7, True), (8, 7, True), (9, 7, False), (6, 7, False)])
def test_a_counter_goes_on_where_a_clock_was_set_back_by_less_than_a_window(
    begun: int, window: int, same: bool
) -> None:
    assert goes_on(begun, window) is same


@pytest.mark.parametrize(
    ("before", "hits", "after"), [(0, 1, 1), (5, 0, 5), (5, -2, 3), (5, -9, 0), (MOST, 1, MOST), (1, 2**64 - 1, MOST)]
)
def test_a_counter_stays_between_nothing_and_the_most(before: int, hits: int, after: int) -> None:
    assert grown(before, hits) == after
