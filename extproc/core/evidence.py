"""What versions of a model did: sums of requests, errors, latencies, tokens and scores. No request is kept by itself.

A store keeps them in slots of time, finer ones for what is recent and coarser ones for longer: which slots make up a
stretch of time is said here, so that every store answers alike.
"""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

SHORTEST: Final = 0.001  # seconds
STEPS_OF_TWO: Final = 4  # bounds between a time and twice that: the middle of a bucket is within 9.1 % of all in it
# From a millisecond to five minutes. Fixed for ever: what several sidecars add up must mean the same.
LATENCY_BOUNDS: Final = tuple(SHORTEST * math.pow(2, step / STEPS_OF_TWO) for step in range(74))
BUCKETS: Final = len(LATENCY_BOUNDS) + 1  # the last one is of whatever took longer
MOST_POINTS: Final = 1_000  # of one series


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one version and stretch of time. `latencies` counts the requests of each bucket: those that took as long as
    its bound at most, and longer than the bound before. Errors count among the requests."""

    requests: int = 0
    errors: int = 0
    latencies: tuple[int, ...] = (0,) * BUCKETS
    tokens: int = 0
    scores: int = 0
    score_sum: float = 0.0
    score_squares: float = 0.0

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(
            self.requests + other.requests,
            self.errors + other.errors,
            tuple(map(operator.add, self.latencies, other.latencies)),
            self.tokens + other.tokens,
            self.scores + other.scores,
            self.score_sum + other.score_sum,
            self.score_squares + other.score_squares,
        )

    def quantile(self, q: float) -> float:
        """The latency, in seconds, that this share of the requests did not exceed; nan where none was measured. It is
        the middle of a bucket, and so within 9.1 % of the true one between the first bound and the last."""
        measured = sum(self.latencies)
        if measured == 0:
            return math.nan
        rank = max(1, math.ceil(q * measured))
        below = 0
        for bucket, count in enumerate(self.latencies):
            below += count
            if below >= rank:
                return middle_of(bucket)
        return middle_of(BUCKETS - 1)


NOTHING: Final = Evidence()


def bucket_of(latency: float) -> int:
    return bisect.bisect_left(LATENCY_BOUNDS, latency)


def middle_of(bucket: int) -> float:
    """The outermost buckets have but one bound, which stands for them."""
    if bucket == 0 or bucket >= len(LATENCY_BOUNDS):
        return LATENCY_BOUNDS[min(bucket, len(LATENCY_BOUNDS) - 1)]
    return math.sqrt(LATENCY_BOUNDS[bucket - 1] * LATENCY_BOUNDS[bucket])


class Seen(NamedTuple):
    """One request, or one score, before it is added up: it is made for every request, and a sum once in a second."""

    requests: int = 1
    error: bool = False
    bucket: int | None = None
    tokens: int = 0
    score: float | None = None


class Growing:
    """A sum to which one thing after the other is added."""

    __slots__ = ("_counts", "_errors", "_requests", "_score_squares", "_score_sum", "_scores", "_tokens")

    def __init__(self) -> None:
        self._requests = self._errors = self._tokens = self._scores = 0
        self._score_sum = self._score_squares = 0.0
        self._counts = [0] * BUCKETS

    def add(self, seen: Seen) -> None:
        self._requests += seen.requests
        self._errors += seen.error
        self._tokens += seen.tokens
        if seen.bucket is not None:
            self._counts[seen.bucket] += 1
        if seen.score is not None:
            self._scores += 1
            self._score_sum += seen.score
            self._score_squares += seen.score * seen.score

    @property
    def requests(self) -> int:
        return self._requests

    @property
    def evidence(self) -> Evidence:
        """As it is now."""
        return Evidence(
            self._requests, self._errors, tuple(self._counts), self._tokens, self._scores, self._score_sum,
            self._score_squares,
        )  # fmt: skip


class Told(NamedTuple):
    """What is added up apart. `second` is when the requests began, in whole seconds of the epoch: evidence belongs to
    the shares by which its request was sent there, however long the answer took."""

    model: str
    version: str
    second: int


Sums = Mapping[Told, Evidence]


class Grain(NamedTuple):
    """Slots of so many seconds, and for how many they are kept."""

    seconds: int
    kept: int


# Finest first, each a part of the next. Whatever is added is added to each of them.
GRAINS: Final = (Grain(1, 900), Grain(60, 86_400), Grain(3_600, 14 * 86_400))


class Slot(NamedTuple):
    """`begin` in seconds of the epoch, a multiple of the grain."""

    grain: int
    begin: int


def slots_of(second: int, now: float) -> tuple[Slot, ...]:
    """Those that a second belongs to and that are still kept."""
    return tuple(Slot(grain, second - second % grain) for grain, kept in GRAINS if second >= now - kept)


def ends_at(slot: Slot) -> int:
    """When a slot may be forgotten."""
    kept = next(grain.kept for grain in GRAINS if grain.seconds == slot.grain)
    return slot.begin + slot.grain + kept


def cover(since: float, until: float, now: float) -> tuple[Slot, ...]:
    """The fewest slots that begin within [since, until), and so stretches that meet share none. Where the fine ones are
    gone, a stretch begins with the first coarse one in it: what was before never counts."""
    oldest = now - GRAINS[-1].kept
    return tuple(_cover(len(GRAINS) - 1, math.ceil(max(since, oldest)), math.ceil(until), now))


def _cover(level: int, begin: int, end: int, now: float) -> Iterator[Slot]:
    grain = GRAINS[level].seconds
    first, last = -(-begin // grain) * grain, end - end % grain
    if level == 0:
        yield from (Slot(grain, at) for at in range(begin, end))
        return
    if first > last:  # both ends are in one slot
        yield from _finer(level, begin, end, now)
        return
    yield from _finer(level, begin, first, now)
    yield from (Slot(grain, at) for at in range(first, last, grain))
    yield from _finer(level, last, end, now)


def _finer(level: int, begin: int, end: int, now: float) -> Iterator[Slot]:
    """A part of one slot of this level. Whether its parts are kept is asked of the whole of it, so that the stretch
    before and the one behind agree."""
    grain, past = GRAINS[level].seconds, begin % GRAINS[level].seconds
    if begin >= end:
        return
    if begin - past >= now - GRAINS[level - 1].kept:
        yield from _cover(level - 1, begin, end, now)
    elif past == 0:
        yield Slot(grain, begin)


def points(since: float, until: float, step: float) -> tuple[tuple[float, float], ...]:
    """The stretches of a series. Raises ValueError where it would have none or too many."""
    if not (step > 0 and since < until and (until - since) / step <= MOST_POINTS):
        raise ValueError(f"a series has from 1 to {MOST_POINTS} points")
    count = math.ceil((until - since) / step)
    return tuple((since + at * step, min(until, since + (at + 1) * step)) for at in range(count))


def total(found: Iterable[Mapping[str, Evidence]]) -> dict[str, Evidence]:
    """By version."""
    sums: dict[str, Evidence] = {}
    for versions in found:
        for version, evidence in versions.items():
            known = sums.get(version)
            sums[version] = evidence if known is None else known + evidence
    return sums


Point = tuple[float, Mapping[str, Evidence]]  # when a step of a series begins, and what happened in it, by version
Series = Sequence[Point]
