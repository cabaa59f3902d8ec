"""Fixed calendar windows, as envoyproxy/ratelimit counts: every counter on its own, also where it is over already.

The gateway's own limits are judged otherwise (`limits.py`): all of a call together, and a refusal charges none.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

MOST: Final = 2**53 - 1  # what a counter holds at most: far beyond any limit (32 bits), and exact in Redis' own numbers


class Unit(Enum):
    """How long a window is, in seconds. Windows begin at multiples of it since 1970: a day is UTC's."""

    SECOND = 1
    MINUTE = 60
    HOUR = 3_600
    DAY = 86_400
    WEEK = 604_800
    MONTH = 2_592_000  # 30 days
    YEAR = 31_536_000  # 365 days

    def left(self, now: int) -> int:
        """Seconds until the next window, never 0."""
        return self.value - now % self.value


class Addition(NamedTuple):
    """How much one counter is to grow. 0 only looks; below 0 gives back, down to nothing."""

    key: tuple[str, ...]
    unit: Unit
    hits: int


class Counted(NamedTuple):
    """When it was, by the clock of whoever counts, and what each counter held before."""

    now: int
    before: tuple[int, ...]


def grown(before: int, hits: int) -> int:
    """What a counter holds afterwards."""
    return max(0, min(before + hits, MOST))


def goes_on(begun: int, window: int) -> bool:
    """Whether a counter that was begun in the one window counts on in the other: by their numbers since 1970.

    A clock that was set back by less than a window has not undone what was counted: else each correction around a
    window's end would be a fresh limit. Set back further, it counts anew, or a second's limit would refuse for an hour.
    """
    return window <= begun <= window + 1
