"""Shares of one limit: what each Envoy gets, in tables, and that all together never have more than there is."""

from __future__ import annotations

from fractions import Fraction

import pytest

from extproc.core.limits import NANOSECONDS, Limit, Per
from extproc.core.quota import FINENESS, FLOORS, GRACE, Quota, SharedBucket, Usage

TTL = 15 * NANOSECONDS
SECOND = NANOSECONDS
NEW = Usage(1, 0)


def quota(count: int = 100, period: int = 1, burst: int = 100, envoys: int = 2) -> Quota:
    return Quota(Limit("route-0", "route/a", Per.ROUTE, count, period, burst), envoys)


def asked(per_second: int, seconds: int = 5) -> Usage:
    return Usage(per_second * seconds, seconds * SECOND)


class Sharing:
    """A bucket whose sidecar has been up for long, and a clock."""

    def __init__(self, shared: Quota) -> None:
        self.quota = shared
        self.now = 1_000 * SECOND
        self.bucket = SharedBucket(shared, TTL, 0)

    def report(self, envoy: str, usage: Usage) -> Fraction:
        """The share of the whole; 0 where there is none."""
        return Fraction(self.bucket.report(envoy, usage, self.now) or 0, self.quota.parts)

    def go_on(self, demands: dict[str, int], rounds: int = 12) -> dict[str, Fraction]:
        shares = {}
        for _ in range(rounds):
            self.now += 5 * SECOND
            for envoy, demand in demands.items():
                shares[envoy] = self.report(envoy, asked(demand))
        return shares


@pytest.mark.parametrize("count", [1, 5, 7, 100, 999_999_999, 1_000_000_000])
@pytest.mark.parametrize("envoys", [1, 2, 3, 64])
def test_a_rate_is_cut_exactly_and_its_parts_fit_into_envoys_numbers(count: int, envoys: int) -> None:
    shared = quota(count, 60, 1_000, envoys)
    assert Fraction(shared.parts, shared.interval) == Fraction(count, 60)
    assert shared.parts >= FINENESS * envoys or shared.parts == count
    assert 8 <= shared.floor <= shared.parts // (FLOORS * envoys)
    assert shared.parts < 2**32
    assert 1 <= shared.capacity * envoys <= 1_000


def test_a_burst_that_has_not_one_for_each_envoy_cannot_be_shared() -> None:
    with pytest.raises(ValueError, match="burst of 2 cannot be shared by 3"):
        quota(burst=2, envoys=3)


def test_a_single_envoy_gets_all_but_the_floors_of_those_who_are_not_there() -> None:
    assert Sharing(quota()).report("a", NEW) == Fraction(94, 100)
    assert Sharing(quota(envoys=1)).report("a", NEW) == 1


def test_a_newcomer_gets_its_floor_at_once_and_more_when_others_have_let_go() -> None:
    sharing = Sharing(quota())
    sharing.report("a", NEW)
    assert sharing.report("b", NEW) == Fraction(6, 100)
    assert sharing.go_on({"a": 500, "b": 500}) == {"a": Fraction(50, 100), "b": Fraction(50, 100)}


def test_what_is_taken_from_one_is_given_to_another_only_after_it_has_ended() -> None:
    sharing = Sharing(quota())
    sharing.report("a", NEW)
    sharing.report("b", NEW)
    sharing.now += 5 * SECOND
    assert sharing.report("a", asked(0)) < Fraction(60, 100)
    for _ in range(3):
        assert sharing.report("b", asked(500)) == Fraction(6, 100)
        sharing.now += 5 * SECOND
    sharing.now += SECOND
    assert sharing.report("b", asked(500)) > Fraction(40, 100)


def test_shares_follow_the_demand_and_who_asks_for_little_gets_it_whole() -> None:
    shares = Sharing(quota(envoys=3)).go_on({"a": 1_000, "b": 1_000, "c": 8})
    assert Fraction(8, 100) <= shares["c"] <= Fraction(12, 100)
    assert min(shares["a"], shares["b"]) >= Fraction(42, 100)


def test_a_share_that_would_hardly_change_is_kept() -> None:
    sharing = Sharing(quota())
    before = sharing.go_on({"a": 90, "b": 90})
    assert sharing.go_on({"a": 91, "b": 88}, rounds=20) == before


def test_shares_of_a_slow_limit_change_seldom_because_each_change_may_cost_a_token() -> None:
    sharing = Sharing(quota(5, 60, 5))
    sharing.report("a", NEW)
    sharing.report("b", NEW)
    assert sharing.go_on({"a": 0, "b": 1}, rounds=40)["a"] > Fraction(9, 10)  # for 200 s: a token in 13 s
    assert sharing.go_on({"a": 0, "b": 1}, rounds=1)["a"] < Fraction(1, 4)


def test_there_are_no_more_shares_than_envoys_that_were_promised() -> None:
    sharing = Sharing(quota())
    sharing.go_on({"a": 1, "b": 1}, rounds=1)
    assert sharing.report("c", NEW) == 0


def test_what_an_envoy_had_that_went_away_returns_after_it_has_ended() -> None:
    sharing = Sharing(quota())
    sharing.go_on({"a": 500, "b": 500})
    sharing.bucket.leave("a")
    assert sharing.report("c", NEW) == 0
    sharing.now += 5 * SECOND
    assert sharing.report("b", asked(500)) == Fraction(50, 100)
    sharing.now += TTL + GRACE - 5 * SECOND
    assert sharing.report("b", asked(500)) == Fraction(94, 100)
    assert sharing.report("c", NEW) == Fraction(6, 100)


def test_an_envoy_that_falls_silent_keeps_its_floor_and_nothing_more() -> None:
    sharing = Sharing(quota())
    sharing.go_on({"a": 500, "b": 500})
    shares = sharing.go_on({"b": 500})
    assert shares["b"] == Fraction(94, 100)
    assert sharing.bucket.shares(sharing.now)["a"] == sharing.quota.floor


def test_a_sidecar_that_has_just_begun_gives_floors_and_lets_others_keep_what_they_have() -> None:
    sharing = Sharing(quota())
    sharing.bucket = SharedBucket(sharing.quota, TTL, sharing.now)
    assert sharing.report("a", NEW) == Fraction(6, 100)
    assert sharing.report("b", asked(50)) == 0
    sharing.now += TTL + GRACE
    assert sharing.report("b", asked(50)) > Fraction(75, 100)


def test_a_bucket_is_idle_when_a_new_one_would_be_no_fuller() -> None:
    sharing = Sharing(quota(5, 60, 10))
    sharing.report("a", NEW)
    refilled = sharing.quota.capacity * sharing.quota.interval * SECOND // sharing.quota.floor
    sharing.now += refilled
    sharing.report("a", asked(0))
    assert sharing.bucket.is_idle("a", sharing.now)
    sharing.report("a", asked(1))
    assert not sharing.bucket.is_idle("a", sharing.now)
    assert not sharing.bucket.is_idle("nobody", sharing.now)


def test_a_bucket_is_over_when_nobody_has_anything_of_it() -> None:
    sharing = Sharing(quota())
    sharing.report("a", NEW)
    sharing.bucket.leave("a")
    sharing.bucket.leave("nobody")
    assert not sharing.bucket.is_over(sharing.now)
    assert sharing.bucket.is_over(sharing.now + TTL + GRACE)


def test_the_bound_is_told() -> None:
    assert quota(5, 60, 10, 3).bound == "at most 5 x t / 60 s + 10 in any time t by 3 Envoys"
