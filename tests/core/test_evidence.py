"""Sums of what versions did: latencies within a bucket's width, and slots that lose nothing and count nothing twice."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from extproc.core.evidence import (
    BUCKETS,
    GRAINS,
    LATENCY_BOUNDS,
    MOST_POINTS,
    NOTHING,
    Evidence,
    Seen,
    Slot,
    bucket_of,
    cover,
    ends_at,
    points,
    slots_of,
    total,
)
from tests.core.evidence_cases import one_request, one_score, seen, summed

NOW = 1_790_000_000.0
HOUR = GRAINS[-1].seconds


def test_evidence_is_added_number_by_number() -> None:
    both = one_request(0.2, error=True, tokens=7) + one_request(0.2) + one_score(0.5) + one_score(1.0)
    assert (both.requests, both.errors, both.tokens, both.scores) == (2, 1, 7, 2)
    assert (both.score_sum, both.score_squares) == (1.5, 1.25)
    assert both.latencies[bucket_of(0.2)] == sum(both.latencies) == 2
    assert NOTHING + both == both


def test_what_grows_is_what_is_added() -> None:
    several = [seen(0.2, error=True, tokens=7), seen(None), Seen(0, score=0.5), Seen(score=1.0, bucket=3)]
    assert summed(several) == sum((summed([one]) for one in several), NOTHING)
    assert (summed(several).requests, summed(several).scores, sum(summed(several).latencies)) == (3, 2, 2)


def test_a_bucket_holds_what_is_above_the_bound_before_and_at_most_its_own() -> None:
    for bucket, bound in enumerate(LATENCY_BOUNDS):
        assert bucket_of(bound) == bucket
        assert bucket_of(math.nextafter(bound, math.inf)) == bucket + 1
    assert bucket_of(0.0) == 0
    assert bucket_of(1e9) == BUCKETS - 1
    assert LATENCY_BOUNDS[0] == 0.001
    assert LATENCY_BOUNDS[-1] > 300


@pytest.mark.parametrize("q", [0.0, 0.5, 0.9, 0.95, 0.99, 1.0])
def test_a_quantile_is_within_a_tenth_of_the_true_one(q: float) -> None:
    chance = random.Random(7)  # noqa: S311 - the same numbers each time
    latencies = sorted(min(250.0, max(0.0011, chance.lognormvariate(-1.5, 1.2))) for _ in range(2_000))
    evidence = summed(map(seen, latencies))
    true = latencies[max(1, math.ceil(q * len(latencies))) - 1]
    assert evidence.quantile(q) == pytest.approx(true, rel=0.1)


def test_what_is_outside_of_all_bounds_is_told_as_the_outermost_one() -> None:
    assert one_request(0.0).quantile(0.5) == LATENCY_BOUNDS[0]
    assert one_request(4_000.0).quantile(0.5) == LATENCY_BOUNDS[-1]
    assert math.isnan(NOTHING.quantile(0.95))
    assert math.isnan(one_request(None).quantile(0.95))


def recorded(slots: tuple[Slot, ...], seconds: range) -> list[int]:
    """The seconds whose requests these slots hold."""
    return sorted(second for slot in slots for second in seconds if slot.begin <= second < slot.begin + slot.grain)


@pytest.mark.parametrize(("since", "until"), [(0, 1), (3, 50), (1, 61), (59, 61), (60, 120), (17, 17), (5, 600)])
def test_recent_stretches_are_covered_to_the_second_by_the_fewest_slots(since: int, until: int) -> None:
    begin = int(NOW) - 700
    slots = cover(begin + since, begin + until, NOW)
    assert recorded(slots, range(begin - 100, begin + 700)) == list(range(begin + since, begin + until))
    assert len(slots) <= 2 * 60 + (until - since) // 60


def test_a_second_that_has_begun_counts_where_it_begins() -> None:
    assert cover(NOW - 2.5, NOW, NOW) == (Slot(1, int(NOW) - 2), Slot(1, int(NOW) - 1))
    assert cover(NOW, NOW + 0.5, NOW + 0.5) == (Slot(1, int(NOW)),)


def test_stretches_that_meet_share_no_slot_and_leave_none_out() -> None:
    chance = random.Random(11)  # noqa: S311 - the same cuts each time
    oldest = NOW - GRAINS[-1].kept
    edges = [NOW - grain.kept + near for grain in GRAINS[:-1] for near in (-61, -1, 0, 1, 61, 1_800)]
    cuts = sorted([oldest, NOW, NOW - 30, *edges, *(chance.uniform(oldest, NOW) for _ in range(40))])
    pieces = [slot for begin, end in itertools.pairwise(cuts) for slot in cover(begin, end, NOW)]
    for one, other in itertools.pairwise(pieces):
        assert one.begin + one.grain == other.begin


def test_what_was_before_never_counts_where_fine_slots_are_gone() -> None:
    since = NOW - 3 * 86_400 + 17
    slots = cover(since, NOW, NOW)
    assert min(slot.begin for slot in slots) >= since
    assert min(slot.begin for slot in slots) - since < HOUR
    assert slots[0].grain == HOUR


def test_nothing_older_than_what_is_kept_is_asked_for() -> None:
    slots = cover(0, NOW, NOW)
    assert len(slots) <= GRAINS[-1].kept // HOUR + 2 * 60
    assert all(ends_at(slot) > NOW for slot in slots)


def test_a_second_is_added_to_the_slots_that_are_still_kept() -> None:
    now, second = NOW, int(NOW)
    assert [slot.grain for slot in slots_of(second, now)] == [grain.seconds for grain in GRAINS]
    assert [slot.grain for slot in slots_of(second - 1_000, now)] == [60, 3_600]
    assert [slot.grain for slot in slots_of(second - 86_401, now)] == [3_600]
    assert slots_of(second - GRAINS[-1].kept - 1, now) == ()


def test_each_grain_is_a_part_of_the_next() -> None:
    for finer, coarser in itertools.pairwise(GRAINS):
        assert coarser.seconds % finer.seconds == 0
        assert coarser.kept > finer.kept > coarser.seconds


def test_a_series_has_steps_that_meet_and_ends_where_it_is_told_to() -> None:
    assert points(0, 10, 4) == ((0, 4), (4, 8), (8, 10))
    for since, until, step in [(0, 10, 0), (10, 10, 1), (0, MOST_POINTS + 1, 1), (0, 10, math.nan), (0, math.inf, 1)]:
        with pytest.raises(ValueError, match="points"):
            points(since, until, step)


def test_versions_are_summed_apart() -> None:
    assert total([{"v1": Evidence(1)}, {"v1": Evidence(2), "v2": Evidence(3)}, {}]) == {
        "v1": Evidence(3), "v2": Evidence(3),
    }  # fmt: skip
