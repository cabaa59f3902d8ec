"""Bets against "no worse": fair where that is true, whatever the true shares are, and won where it is not."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator

import pytest

from extproc.core.sequential import (
    BEGINNING,
    Counted,
    Measured,
    Running,
    below_bound,
    lower_mean,
    over_bound,
    worse_share,
)

Shared = tuple[float, float, float]  # candidate's share, the others' share, the margin


def probability(seen: Counted, share: float) -> float:
    return math.comb(seen.all, seen.bad) * share**seen.bad * (1 - share) ** (seen.all - seen.bad)


def outcomes(count: int) -> Iterator[Counted]:
    return (Counted(count, bad) for bad in range(count + 1))


@pytest.mark.parametrize(
    ("mine", "theirs", "margin"),
    [
        (0.0, 0.0, 0.0),
        (0.01, 0.01, 0.0),
        (0.3, 0.3, 0.0),
        (0.97, 0.97, 0.0),
        (0.2, 0.5, 0.0),
        (0.31, 0.3, 0.01),
        (0.06, 0.01, 0.05),
        (0.05, 0.05, 0.05),
        (0.99, 0.5, 0.5),
        (1.0, 1.0, 0.1),
    ],
)
@pytest.mark.parametrize(("count", "number"), [(1, 1), (1, 9), (7, 3), (12, 12)])
def test_no_pair_that_the_hypothesis_allows_can_expect_to_win(
    mine: float, theirs: float, margin: float, count: int, number: int
) -> None:
    """Of all outcomes of two turns, each weighed by its probability."""
    expected = 0.0
    for candidate, others in itertools.product(outcomes(count), outcomes(number)):
        weight = probability(candidate, mine) * probability(others, theirs)
        first = worse_share(BEGINNING, candidate, others, margin)
        expected += weight * first.capital
        if count + number <= 10:
            again = sum(
                probability(one, mine) * probability(other, theirs) * worse_share(first, one, other, margin).capital
                for one, other in itertools.product(outcomes(count), outcomes(number))
            )
            assert again <= first.capital + 1e-9
    assert expected <= 1 + 1e-9


@pytest.mark.parametrize("share", [0.0, 0.01, 0.04, 0.05])
def test_nobody_within_the_bound_can_expect_to_win(share: float) -> None:
    first = over_bound(BEGINNING, Counted(20, 2), 0.05)
    expected = sum(probability(seen, share) * over_bound(first, seen, 0.05).capital for seen in outcomes(20))
    assert expected <= first.capital + 1e-9


@pytest.mark.parametrize("mean", [0.6, 0.8, 1.0])
def test_no_mean_above_the_bound_can_expect_to_win(mean: float) -> None:
    """Of values that are 0 or 1, which are the hardest for a given mean."""
    first = below_bound(BEGINNING, Measured(10, 6.0, 6.0), 0.6)
    expected = sum(
        probability(Counted(10, ones), mean) * below_bound(first, Measured(10, ones, ones), 0.6).capital
        for ones in range(11)
    )
    assert expected <= first.capital + 1e-9


@pytest.mark.parametrize(
    ("mine", "theirs", "margin"), [(0.5, 0.5, 0.0), (0.9, 0.9, 0.0), (0.6, 0.5, 0), (0.4, 0.5, 0.1)]
)
def test_no_mean_that_is_not_lower_can_expect_to_win(mine: float, theirs: float, margin: float) -> None:
    first = lower_mean(BEGINNING, Measured(8, 4.0, 4.0), Measured(5, 3.0, 3.0), margin)
    expected = sum(
        probability(Counted(8, ones), mine)
        * probability(Counted(5, others), theirs)
        * lower_mean(first, Measured(8, ones, ones), Measured(5, others, others), margin).capital
        for ones, others in itertools.product(range(9), range(6))
    )
    assert expected <= first.capital + 1e-9


def turns_until(test: Callable[[Running], Running], alpha: float = 0.05, most: int = 500) -> int:
    running = BEGINNING
    for turn in range(1, most):
        running = test(running)
        if running.accuses(alpha):
            return turn
    return most


def test_a_version_that_fails_ten_times_as_often_is_accused_within_a_few_turns() -> None:
    chance = random.Random(1)  # noqa: S311 - no secret

    def bad(count: int, share: float) -> Counted:
        return Counted(count, sum(chance.random() < share for _ in range(count)))

    assert turns_until(lambda test: worse_share(test, bad(50, 0.1), bad(950, 0.01), 0)) <= 8
    assert turns_until(lambda test: worse_share(test, bad(50, 0.12), bad(950, 0.01), 0.02)) <= 12
    assert turns_until(lambda test: over_bound(test, bad(50, 0.15), 0.05)) <= 20


def test_a_mean_that_is_lower_is_accused() -> None:
    chance = random.Random(1)  # noqa: S311 - no secret

    def scores(count: int, mean: float) -> Measured:
        values = [min(1.0, max(0.0, chance.gauss(mean, 0.1))) for _ in range(count)]
        return Measured(count, sum(values), sum(value * value for value in values))

    assert turns_until(lambda test: lower_mean(test, scores(50, 0.7), scores(500, 0.8), 0)) <= 8
    assert turns_until(lambda test: below_bound(test, scores(50, 0.7), 0.8)) <= 8


def test_long_health_does_not_hide_a_failure_that_begins_late() -> None:
    running = BEGINNING
    for _ in range(1_000):
        running = worse_share(running, Counted(100, 1), Counted(900, 9), 0)
    assert running.capital < 1.5
    turns = 0
    while not running.accuses(0.05):
        running = worse_share(running, Counted(100, 10), Counted(900, 9), 0)
        turns += 1
    assert turns <= 3


def test_turns_without_both_versions_say_nothing() -> None:
    assert worse_share(BEGINNING, Counted(0, 0), Counted(10, 10), 0) == BEGINNING
    assert worse_share(BEGINNING, Counted(10, 10), Counted(0, 0), 0) == BEGINNING
    assert over_bound(BEGINNING, Counted(0, 0), 0.1) == BEGINNING
    assert below_bound(BEGINNING, Measured(0, 0, 0), 0.1) == BEGINNING
    assert lower_mean(BEGINNING, Measured(0, 0, 0), Measured(1, 1, 1), 0) == BEGINNING


@pytest.mark.parametrize("bad", [0, 1_000_000])
def test_any_amount_of_evidence_leaves_a_number(bad: int) -> None:
    compared, bounded = BEGINNING, BEGINNING
    for _ in range(10):
        compared = worse_share(compared, Counted(1_000_000, bad), Counted(1_000_000, 0), 0.01)
        bounded = over_bound(bounded, Counted(1_000_000, bad), 0.0)
    assert math.isfinite(compared.capital + bounded.capital)
    assert compared.accuses(0.05) == bounded.accuses(0.05) == bool(bad)
