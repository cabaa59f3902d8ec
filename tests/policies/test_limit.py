"""The tier's limit and the route's own, judged together: all are charged, or none is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

import pytest

from extproc.core.decision import Decision, LocalReply
from extproc.core.errors import CouldNotDecide, StoreUnavailable
from extproc.core.limits import Limit, Per
from extproc.core.message import Consumer, Request
from extproc.core.policy import Context, Phase, Policy, phases_of
from extproc.core.specs import LimitSpec
from extproc.policies.limit import LimitPolicy
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock, fake_ports
from tests.policies.asking import ANONYMOUS, CALLED, asking, passed, refused

FREE: Final = Limit("tier", "tier/free", Per.CONSUMER, 2, 1, 2)
PREMIUM: Final = Limit("tier", "tier/premium", Per.CONSUMER, 100, 1, 100)
TIERS: Final = {"free": (FREE,), "premium": (PREMIUM,)}
BY_ADDRESS: Final = Limit("address-1", "route/orders", Per.ADDRESS, 3, 60, 3)
BY_ROUTE: Final = Limit("route-0", "route/orders", Per.ROUTE, 1, 1, 1)
BY_CONSUMER: Final = Limit("consumer-0", "route/orders", Per.CONSUMER, 1, 1, 1)


def limited(*own: Limit, by_tier: bool = True, clock: FakeClock | None = None, capacity: int = 100) -> Policy:
    clock = clock or FakeClock()
    spec = LimitSpec(TIERS if by_tier else {}, by_tier, own)
    return LimitPolicy.build(spec, replace(fake_ports(clock=clock), counters=MemoryCounters(clock, capacity)))


async def statuses(policy: Policy, times: int, request: Request | None = None, context: Context = CALLED) -> list[int]:
    answers = [await policy.on_request(request or asking(), context) for _ in range(times)]
    return [answer.status if isinstance(answer, LocalReply) else 200 for answer in answers]


def as_consumer(name: str, tier: str | None) -> Context:
    return Context("orders", Consumer(name, tier))


def fields(decision: Decision) -> dict[str, str]:
    return dict(decision.headers if isinstance(decision, LocalReply) else decision.response.set)


async def test_a_tier_passes_its_burst_and_then_its_rate() -> None:
    clock = FakeClock()
    policy = limited(clock=clock)
    assert await statuses(policy, 3) == [200, 200, 429]
    clock.advance(0.5)
    assert await statuses(policy, 2) == [200, 429]


async def test_consumers_of_a_tier_are_counted_apart_and_each_by_its_own_tier() -> None:
    policy = limited()
    assert await statuses(policy, 3, context=as_consumer("a", "free")) == [200, 200, 429]
    assert await statuses(policy, 2, context=as_consumer("b", "free")) == [200, 200]
    assert await statuses(policy, 100, context=as_consumer("c", "premium")) == [200] * 100


async def test_every_limit_that_was_judged_is_told() -> None:
    decision = passed(await limited(BY_ADDRESS).on_request(asking(), CALLED))
    assert fields(decision) == {
        "ratelimit-policy": '"tier";q=2;w=1, "address-1";q=3;w=60',
        "ratelimit": '"tier";r=1;t=1, "address-1";r=2;t=20',
    }


async def test_who_is_over_the_limit_learns_which_and_until_when() -> None:
    policy = limited(BY_ADDRESS, by_tier=False)
    assert await statuses(policy, 3) == [200] * 3
    decision = await policy.on_request(asking(), CALLED)
    assert refused(decision) == (429, "rate_limited")
    assert fields(decision)["retry-after"] == "20"
    assert fields(decision)["ratelimit"] == '"address-1";r=0;t=60'
    assert isinstance(decision, LocalReply)
    assert json.loads(decision.body)["limit"] == "address-1"


async def test_when_one_limit_refuses_none_is_charged() -> None:
    clock = FakeClock()
    policy = limited(BY_ROUTE, clock=clock)
    assert await statuses(policy, 3) == [200, 429, 429]
    clock.advance(0.5)  # the tier has earned one request, the route none yet
    assert await statuses(policy, 3) == [429] * 3
    clock.advance(0.5)
    decision = passed(await policy.on_request(asking(), CALLED))
    assert fields(decision)["ratelimit"].startswith('"tier";r=1;')


@pytest.mark.parametrize("tier", [None, "", "Free", "gold", "free "])
async def test_a_tier_that_nobody_configured_is_refused_and_not_unlimited(tier: str | None) -> None:
    assert refused(await limited().on_request(asking(), as_consumer("acme", tier))) == (403, "unknown_tier")


async def test_nobody_has_no_tier() -> None:
    assert refused(await limited().on_request(asking(), ANONYMOUS)) == (403, "unknown_tier")


async def test_a_route_may_have_limits_of_its_own_only() -> None:
    policy = limited(BY_ADDRESS, by_tier=False)
    assert await statuses(policy, 4, context=ANONYMOUS) == [200, 200, 200, 429]


async def test_a_limit_per_route_counts_everybody_together() -> None:
    policy = limited(BY_ROUTE, by_tier=False)
    assert await statuses(policy, 1, context=as_consumer("a", None)) == [200]
    assert await statuses(policy, 1, context=as_consumer("b", None)) == [429]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.7", "::ffff:192.0.2.7", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ],
)
async def test_a_limit_per_address_counts_networks_of_one_customer(one: str, other: str, same: bool) -> None:
    policy = limited(Limit("address-0", "route/orders", Per.ADDRESS, 1, 1, 1), by_tier=False)
    assert await statuses(policy, 1, asking(address=one)) == [200]
    assert await statuses(policy, 1, asking(address=other)) == [429 if same else 200]


@pytest.mark.parametrize("address", ["", "@", "unix:/run/client"])
async def test_a_client_without_an_address_cannot_be_counted_by_it(address: str) -> None:
    with pytest.raises(CouldNotDecide, match="the client has no IP address"):
        await limited(BY_ADDRESS).on_request(asking(address=address), CALLED)


async def test_nobody_cannot_be_counted_as_a_consumer() -> None:
    with pytest.raises(CouldNotDecide, match="nobody is known to be asking"):
        await limited(BY_CONSUMER, by_tier=False).on_request(asking(), ANONYMOUS)


async def test_a_call_that_envoy_repeats_is_charged_once() -> None:
    policy = limited()
    again = asking(stream="stream-1")
    first = await policy.on_request(again, CALLED)
    assert [await policy.on_request(again, CALLED) for _ in range(5)] == [first] * 5
    assert await statuses(policy, 2, asking(stream="stream-2")) == [200, 200]
    assert await statuses(policy, 1, asking(stream="stream-3")) == [429]


async def test_a_request_without_a_stream_is_charged_every_time() -> None:
    assert await statuses(limited(), 3, asking(stream="")) == [200, 200, 429]


async def test_a_store_that_is_full_decides_nothing() -> None:
    policy = limited(capacity=1)
    assert await statuses(policy, 1) == [200]
    with pytest.raises(StoreUnavailable):
        await policy.on_request(asking(), as_consumer("another", "free"))


def test_it_needs_the_request_only() -> None:
    assert phases_of(LimitPolicy, None) == {Phase.REQUEST}
