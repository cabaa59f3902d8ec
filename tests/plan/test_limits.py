"""What is written about limits, and what it means: kinds, names, whom they count, and where they are judged."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from extproc.core.calendar import Calendar, Unit
from extproc.core.limits import Kind, Limit, OnError, Per
from extproc.plan.rules import limit_rule
from tests.plan.gateways import limits_of, route_of

USERS = "upstream: users"
MINUTE, BERLIN = Calendar(Unit.MINUTE), Calendar(Unit.MONTH, ZoneInfo("Europe/Berlin"))
SCOPE = "route/route-0"

OWN = [
    ("{per: consumer, rate: 10/s, burst: 20}", Limit("consumer-0", SCOPE, Per.CONSUMER, 10, 1, 20),
     "10/s per consumer, burst 20"),
    ("{per: address, quota: 10/minute}", Limit("address-0", SCOPE, Per.ADDRESS, 10, 60, 10, Kind.QUOTA, MINUTE),
     "10 in each minute per address"),
    ("{per: route, sliding: 10/hour}", Limit("route-0", SCOPE, Per.ROUTE, 10, 3_600, 10, Kind.SLIDING),
     "10 in any hour per route"),
    ("{per: header:x-team, concurrency: 4}",
     Limit("header-0", SCOPE, Per.HEADER, 4, 300, 4, Kind.CONCURRENCY, of="x-team"), "4 at once per header x-team"),
    ("{per: claim:org, concurrency: 4, lease: 30s}",
     Limit("claim-0", SCOPE, Per.CLAIM, 4, 30, 4, Kind.CONCURRENCY, of="org"), "4 at once per claim org"),
    ("{per: tier, rate: 5/minute, cost: '2', on_error: local}",
     Limit("tier-0", SCOPE, Per.TIER, 5, 60, 5, cost="2", on_error=OnError.LOCAL), "5/minute per tier"),
    ("{per: 'cel:request.path', rate: 5/day, shadow: true}",
     Limit("key-0", SCOPE, Per.KEY, 5, 86_400, 5, of="request.path", shadow=True),
     "5/day per key request.path, in shadow"),
    ("{per: consumer, tokens: 100/minute, reserve: '5', settle: x-used, on_error: allow}",
     Limit("consumer-0", SCOPE, Per.CONSUMER, 100, 60, 100, Kind.BUDGET, MINUTE, "tokens", on_error=OnError.ALLOW,
           cost="5", settle="x-used"), "100 tokens in each minute per consumer"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "meant", "told"), OWN)
def test_a_limit_means_what_is_written(written: str, meant: Limit, told: str) -> None:
    spec = limits_of(route_of(f"{USERS}, authenticate: partners, limits: [{written}]"))
    assert spec is not None
    assert spec.own == (meant,)
    assert limit_rule(meant) == told


def test_a_zone_is_the_calendars() -> None:
    assert limit_rule(Limit("a", "b", Per.CONSUMER, 9, 60, 9, Kind.QUOTA, BERLIN)) == (
        "9 in each month of Europe/Berlin per consumer"
    )
    assert Calendar(Unit.MONTH).zone is UTC


def test_a_slot_of_a_stream_is_leased_for_longer() -> None:
    use = "authenticate: partners, limits: [{per: consumer, concurrency: 4}]"
    leases = [limits_of(route_of(f"{USERS}, {stream}{use}")) for stream in ("", "stream: true, ")]
    assert [spec.own[0].period for spec in leases if spec] == [300, 3_600]


FUSED = [
    ("{per: address, rate: 5/s}", False),
    ("{per: route, rate: 5/s, on_error: allow}", False),
    ("{per: address, rate: 5/s, shadow: true}", True),
    ("{per: address, rate: 5/s, cost: '2'}", True),
    ("{per: address, quota: 5/minute}", True),
    ("{per: route, sliding: 5/minute}", True),
    ("{per: address, concurrency: 5}", True),
    ("{per: header:x-team, rate: 5/s}", True),
    ("{per: 'cel:request.host', rate: 5/s}", True),
]


@pytest.mark.parametrize(("written", "fused"), FUSED)
def test_only_plain_rates_are_left_to_the_rate_limit_service(written: str, fused: bool) -> None:
    route = route_of(f"{USERS}, authenticate: none, limits: [{written}]")
    assert route.placement.fused is fused
    assert bool(route.placement.descriptors) is not fused
    assert (limits_of(route) is not None) is fused
