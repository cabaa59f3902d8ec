"""How a call's hits are told apart: within a limit, near it, over it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.tally import Tally, tally

NUMBERS = st.integers(0, 60)


@pytest.mark.parametrize(
    ("limit", "before", "hits", "expected"),
    [
        (15, 10, 1, Tally(1, within=1)),
        (15, 12, 1, Tally(1, within=1, near=1)),
        (15, 15, 1, Tally(1, over=1)),
        (20, 2, 3, Tally(3, within=3)),
        (20, 14, 5, Tally(5, within=5, near=3)),
        (20, 14, 10, Tally(10, near=4, over=4)),  # two were neither: a call that is over has none within
        (20, 18, 4, Tally(4, near=2, over=2)),
        (20, 0, 0, Tally(0)),
        (20, 30, 0, Tally(0)),
        (0, 0, 1, Tally(1, over=1)),
        (0, 0, 0, Tally(0)),
        (4, 0, 2**64 - 1, Tally(2**64 - 1, near=1, over=2**64 - 5)),
    ],
)
def test_the_hits_of_a_call(limit: int, before: int, hits: int, expected: Tally) -> None:
    assert tally(limit, before, hits) == expected


@pytest.mark.parametrize(("ratio", "near"), [("0", 10), ("0.5", 5), ("0.99", 1), ("1", 0)])
def test_the_ratio_says_where_near_begins(ratio: str, near: int) -> None:
    assert tally(10, 0, 10, Fraction(ratio)).near == near


def test_hits_over_a_limit_in_shadow_mode_are_told_as_that_too() -> None:
    assert tally(5, 4, 3, shadow=True) == Tally(3, near=1, over=2, shadowed=2)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_no_hit_is_told_twice_and_one_by_one_they_are_the_same(limit: int, before: int, hits: int) -> None:
    at_once = tally(limit, before, hits)
    one_by_one = [tally(limit, before + n, 1) for n in range(hits)]
    assert at_once.over == sum(one.over for one in one_by_one)
    assert at_once.near == sum(one.near for one in one_by_one)
    assert at_once.within in (0, hits)
