"""Answers are kept for their own time, and only so many of them."""

from __future__ import annotations

import pytest

from extproc.core.remembered import Remembered
from extproc.testing import FakeClock


def test_an_answer_is_there_until_its_end_and_not_at_it() -> None:
    clock = FakeClock()
    kept: Remembered[str] = Remembered(clock, 10)
    kept.keep(b"a", "yes", 5)
    clock.advance(4.999)
    assert kept.get(b"a") == "yes"
    clock.advance(0.001)
    assert kept.get(b"a") is None
    assert len(kept) == 0


@pytest.mark.parametrize("seconds", [0, -1])
def test_nothing_is_kept_for_no_time(seconds: float) -> None:
    kept: Remembered[str] = Remembered(FakeClock(), 10)
    kept.keep(b"a", "yes", seconds)
    assert len(kept) == 0


def test_where_there_is_no_room_the_one_that_nobody_asked_for_longest_goes() -> None:
    kept: Remembered[int] = Remembered(FakeClock(), 2)
    kept.keep(b"a", 1, 60)
    kept.keep(b"b", 2, 60)
    assert kept.get(b"a") == 1
    kept.keep(b"c", 3, 60)
    assert [kept.get(key) for key in (b"a", b"b", b"c")] == [1, None, 3]


def test_a_thousand_keys_take_the_room_of_the_capacity() -> None:
    kept: Remembered[int] = Remembered(FakeClock(), 10)
    for number in range(1000):
        kept.keep(str(number).encode(), number, 60)
    assert len(kept) == 10


def test_a_later_answer_replaces_an_earlier_one() -> None:
    clock = FakeClock()
    kept: Remembered[str] = Remembered(clock, 10)
    kept.keep(b"a", "old", 5)
    clock.advance(4)
    kept.keep(b"a", "new", 5)
    clock.advance(4)
    assert kept.get(b"a") == "new"
