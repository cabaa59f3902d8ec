"""How many of a call's hits were within a limit, near it and over it: what envoyproxy/ratelimit's statistics say."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

NEAR: Final = Fraction(8, 10)


class Tally(NamedTuple):
    """Some of the hits over a limit may have been near it on their way."""

    total: int
    within: int = 0
    near: int = 0
    over: int = 0
    shadowed: int = 0


def tally(limit: int, before: int, hits: int, ratio: Fraction = NEAR, *, shadow: bool = False) -> Tally:
    """`before` is what the counter held. Hits that are near come after the `ratio` of the limit; looking is no hit."""
    after = before + hits
    near_at = limit * ratio.numerator // ratio.denominator
    near = max(0, min(after, limit) - max(before, near_at))
    if after <= limit:
        return Tally(hits, within=hits, near=near)
    over = after - max(before, limit)
    return Tally(hits, near=near, over=over, shadowed=over if shadow else 0)
