"""When keys are fetched again, and how long they are believed."""

from __future__ import annotations

import pytest

from extproc.core.headers import Headers
from extproc.core.limits import NANOSECONDS
from extproc.stores.freshness import Freshness, lifetime_of

SECOND = NANOSECONDS

LIFETIMES = {
    "nothing": ([], 300),
    "another header's": ([("expires", "0")], 300),
    "an hour and more": ([("cache-control", "public, max-age=86400")], 3_600),
    "ten minutes": ([("cache-control", "public, max-age=600, must-revalidate")], 600),
    "ten minutes, quoted and in capitals": ([("cache-control", 'Max-Age = "600"')], 600),
    "a second": ([("cache-control", "max-age=1")], 30),
    "nothing at all": ([("cache-control", "max-age=0")], 30),
    "less than nothing": ([("cache-control", "max-age=-5")], 300),
    "no number": ([("cache-control", "max-age=soon")], 300),
    "a number of a hundred digits": ([("cache-control", f"max-age={'9' * 100}")], 300),
    "that of shared caches": ([("cache-control", "s-maxage=600")], 300),
    "do not keep it": ([("cache-control", "no-store, max-age=600")], 30),
    "ask again": ([("cache-control", "no-cache")], 30),
    "in two fields": ([("cache-control", "public"), ("cache-control", "max-age=600")], 600),
}


@pytest.mark.parametrize("case", LIFETIMES)
def test_an_issuer_says_how_long_its_keys_are_good_within_our_bounds(case: str) -> None:
    fields, expected = LIFETIMES[case]
    assert lifetime_of(Headers.of(fields)) == expected


def test_keys_are_due_at_first_and_then_before_their_time_is_over() -> None:
    freshness = Freshness(outlast=100 * SECOND)
    assert freshness.due == 0
    freshness.succeeded(7 * SECOND, 100.0)
    assert freshness.due == 87 * SECOND


def test_after_each_failure_it_waits_twice_as_long_up_to_a_minute() -> None:
    freshness = Freshness(outlast=SECOND)
    waits = []
    for _ in range(40):
        freshness.failed(0)
        waits.append(freshness.due // SECOND)
    assert waits[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert waits[-1] == 60
    freshness.succeeded(0, 300.0)
    freshness.failed(0)
    assert freshness.due == SECOND


def test_keys_are_believed_until_they_have_outlasted_what_they_may() -> None:
    freshness = Freshness(outlast=100 * SECOND)
    assert not freshness.is_believed(0)
    freshness.succeeded(SECOND, 30.0)
    freshness.failed(50 * SECOND)
    assert freshness.is_believed(101 * SECOND)
    assert not freshness.is_believed(101 * SECOND + 1)


def test_an_unknown_key_is_asked_for_once_in_half_a_minute_and_never_after_a_failure() -> None:
    freshness = Freshness(outlast=1_000 * SECOND)
    freshness.succeeded(0, 300.0)
    assert freshness.may_ask(SECOND)
    freshness.ask(SECOND)
    assert freshness.due == SECOND
    freshness.succeeded(2 * SECOND, 300.0)
    assert not freshness.may_ask(30 * SECOND)
    assert freshness.may_ask(31 * SECOND)
    freshness.failed(31 * SECOND)
    assert not freshness.may_ask(600 * SECOND)
