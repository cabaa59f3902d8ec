"""Tests that may be looked at after every interval, and still accuse a version that is no worse with at most the stated
probability.

Each is a bet against its hypothesis, "this version is no worse". Where the hypothesis is true, no bet can be expected
to win, and so a capital of 1 ever grows to 1/alpha with a probability of alpha at most, however often it is looked at
(Ville 1939). That is what makes a test always valid (Johari et al. 2022). Bets may be laid by all that is
known from before; what is new is only what they win or lose.

A version that begins to fail after hours of health must not have to win back what was lost until then. So a part of the
capital is kept for each later turn, 1/(t (t + 1)) for the turn t: together they are 1, and a bet that begins late has
lost nothing yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

MOST: Final = 500.0  # of one turn's logarithm: beyond it nothing is decided that is not decided already
LEAST: Final = 1e-9  # a share of nothing could not be bet upon
GUESSED: Final = (0.5, 50.0)  # what is taken for known before anything is: half a bad one in fifty
# How much worse than the hypothesis allows: one bet for each.
DIFFERENCES: Final = (0.003, 0.01, 0.03, 0.1, 0.3)
FACTORS: Final = (1.25, 1.5, 2.0, 4.0, 10.0)
STAKES: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
HALVINGS: Final = 40


class Counted(NamedTuple):
    """So many, of which so many were bad."""

    all: int
    bad: int


class Measured(NamedTuple):
    """Values from 0 to 1: how many, their sum, and the sum of their squares."""

    number: int
    total: float
    squares: float


class Running(NamedTuple):
    """A test under way. `stakes` is what each bet has made of its part, without what is kept for later turns; `past` is
    what the next bets may know."""

    turns: int = 0
    stakes: tuple[float, ...] = ()
    past: tuple[float, ...] = ()

    @property
    def capital(self) -> float:
        """What became of 1. The hypothesis is given up where it is 1/alpha or more."""
        return sum(self.stakes) + 1 / (self.turns + 1)

    def accuses(self, alpha: float) -> bool:
        return self.capital * alpha >= 1


BEGINNING: Final = Running()


def over_bound(test: Running, seen: Counted, bound: float) -> Running:
    """Whether more than this share is bad. Each bet is a likelihood ratio, which nobody whose share is smaller than the
    bound can expect to be above 1 (Howard et al. 2021, §3.2 for the binomial)."""
    if seen.all == 0:
        return test
    allowed = min(max(bound, LEAST), 1 - LEAST)
    won = []
    for factor in FACTORS:
        supposed = min(allowed * factor, (1 + allowed) / 2)
        won.append(_likelihood(seen, supposed) - _likelihood(seen, allowed))
    return _after(test, won, test.past)


def worse_share(test: Running, candidate: Counted, others: Counted, margin: float) -> Running:
    """Whether the candidate's share of bad ones is higher than the others' by more than `margin`.

    A likelihood ratio of two counts against the nearest pair that the hypothesis allows, which makes it a fair bet for
    every other pair as well, whatever the counts (Turner, Ly & Grünwald 2024).
    """
    if candidate.all == 0 or others.all == 0:
        return test
    bad, known = test.past or GUESSED
    share = bad / known
    won = [_ratio(candidate, others, share, difference, margin) for difference in DIFFERENCES]
    return _after(test, won, (bad + others.bad, known + others.all))


def below_bound(test: Running, seen: Measured, bound: float) -> Running:
    """Whether the mean is below this bound: an empirical Bernstein bet, which needs no more than that values are from 0
    to 1 (Howard et al. 2021, theorem 4; Waudby-Smith & Ramdas 2024)."""
    if seen.number == 0:
        return test
    total, count = test.past or (0.5, 1.0)
    spread = _spread(seen, total / count)
    won = [stake * (seen.number * bound - seen.total) - _price(stake) * spread for stake in STAKES]
    return _after(test, won, (total + seen.total, count + seen.number))


def lower_mean(test: Running, candidate: Measured, others: Measured, margin: float) -> Running:
    """Whether the candidate's mean is lower than the others' by more than `margin`: two such bets at once, laid so that
    what the means are falls out and only their difference is left."""
    if candidate.number == 0 or others.number == 0:
        return test
    mine, count, theirs, known = test.past or (0.5, 1.0, 0.5, 1.0)
    lower = others.total / others.number - candidate.total / candidate.number - margin
    half = candidate.number * others.number / (candidate.number + others.number)
    spreads = (
        (half / candidate.number, _spread(candidate, mine / count)),
        (half / others.number, _spread(others, theirs / known)),
    )
    won = [stake * half * lower - sum(_price(stake * part) * spread for part, spread in spreads) for stake in STAKES]
    past = (mine + candidate.total, count + candidate.number, theirs + others.total, known + others.number)
    return _after(test, won, past)


def _after(test: Running, won: Sequence[float], past: tuple[float, ...]) -> Running:
    """`won` by what each bet's capital is multiplied, as logarithms."""
    turn = test.turns + 1
    kept = 1 / (turn * (turn + 1)) / len(won)
    before = test.stakes or (0.0,) * len(won)
    stakes = tuple((stake + kept) * math.exp(min(each, MOST)) for stake, each in zip(before, won, strict=True))
    # A capital that decides is not multiplied on: it would not be a number for long.
    return Running(turn, tuple(min(stake, math.exp(MOST)) for stake in stakes), past)


def _likelihood(seen: Counted, share: float) -> float:
    return seen.bad * math.log(share) + (seen.all - seen.bad) * math.log1p(-share)


def _ratio(candidate: Counted, others: Counted, share: float, difference: float, margin: float) -> float:
    supposed = min(max(share, LEAST), 1 - margin - difference) if margin + difference < 1 else LEAST
    worse = min(supposed + margin + difference, 1 - LEAST)
    allowed = _nearest(candidate.all, worse, others.all, supposed, margin)
    return (
        _likelihood(candidate, worse)
        - _likelihood(candidate, min(allowed + margin, 1 - LEAST))
        + _likelihood(others, supposed)
        - _likelihood(others, allowed)
    )


def _nearest(mine: int, worse: float, theirs: int, share: float, margin: float) -> float:
    """The others' share of the pair (x + margin, x) from which (worse, share) is told apart with the most difficulty:
    where the sum of both divergences has its one minimum."""
    if margin == 0:
        return (mine * worse + theirs * share) / (mine + theirs)
    low, high = share, worse - margin
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        slope = mine * _slope(middle + margin, worse) + theirs * _slope(middle, share)
        low, high = (low, middle) if slope > 0 else (middle, high)
    return (low + high) / 2


def _slope(at: float, share: float) -> float:
    """Of the divergence of a share from `at`."""
    return (at - share) / (at * (1 - at))


def _spread(seen: Measured, around: float) -> float:
    """The sum of the squared distances from what was expected."""
    return max(0.0, seen.squares - 2 * around * seen.total + seen.number * around * around)


def _price(stake: float) -> float:
    """By how much a bet's winnings exceed what is fair, for each squared distance (Fan, Grama & Liu 2015)."""
    return -math.log1p(-stake) - stake
