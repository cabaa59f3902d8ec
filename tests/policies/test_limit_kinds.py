"""What a route's limits count apart, what a request costs, whose limits win, and what is told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import pytest

from extproc.core.calendar import Calendar, Unit
from extproc.core.decision import Continue, Decision, LocalReply
from extproc.core.errors import CouldNotDecide
from extproc.core.headers import Headers
from extproc.core.limits import Kind, Limit, Per
from extproc.core.message import Consumer, Request
from extproc.core.policy import Context, Policy
from extproc.core.specs import LimitSpec
from extproc.plan.limits import carried_limits
from extproc.policies.limit import LimitPolicy
from extproc.testing import FakeClock, fake_ports

ONE: Final = Limit("one", "route/orders", Per.ROUTE, 1, 60, 1)
QUOTA: Final = Limit("quota", "route/orders", Per.CONSUMER, 3, 60, 3, Kind.QUOTA, Calendar(Unit.MINUTE))
SLOTS: Final = Limit("open", "route/orders", Per.CONSUMER, 1, 60, 1, Kind.CONCURRENCY)
TIER: Final = Limit("tier", "tier/free", Per.CONSUMER, 2, 60, 2)
ACME: Final = Consumer("acme", "free", claims={"team": "red", "size": 3})


def policy(*own: Limit, chance: float = 0.0, **spec: Any) -> Policy:
    settings = LimitSpec(spec.pop("tiers", {}), bool(spec.pop("by_tier", False)), own, **spec)
    return LimitPolicy.build(settings, replace(fake_ports(clock=FakeClock()), chance=lambda: chance))


def asking(stream: str = "", consumer: Consumer | None = ACME, **headers: str) -> tuple[Request, Context]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request("GET", "/orders", query="q=1", headers=Headers.of(named), address="192.0.2.7", stream=stream)
    return request, Context("orders", consumer)


async def statuses(of: Policy, *asked: tuple[Request, Context]) -> list[int]:
    answers = [await of.on_request(*one) for one in asked]
    return [answer.status if isinstance(answer, LocalReply) else 200 for answer in answers]


def told(decision: Decision) -> dict[str, str]:
    return dict(decision.headers if isinstance(decision, LocalReply) else decision.response.set)


OTHER = Consumer("other", "free", claims={"team": "blue"})
APART = [
    (Per.HEADER, "x-team", asking(x_team="red"), asking(x_team="blue")),
    (Per.HEADER, "x-team", asking(x_team="red"), asking()),
    (Per.CLAIM, "team", asking(), asking(consumer=OTHER)),
    (Per.CLAIM, "size", asking(), asking(consumer=OTHER)),
    (Per.TIER, "", asking(), asking(consumer=Consumer("acme", "premium"))),
    (Per.KEY, "request.headers['x-team'] + consumer.id", asking(x_team="red"), asking(x_team="blue")),
]


@pytest.mark.parametrize(("per", "of", "one", "other"), APART)
async def test_a_limit_counts_each_value_apart(per: Per, of: str, one: Any, other: Any) -> None:
    limited = policy(replace(ONE, per=per, of=of))
    assert await statuses(limited, one, one, other, other) == [200, 429, 200, 429]


async def test_consumers_of_a_tier_share_what_is_counted_per_tier() -> None:
    assert await statuses(policy(replace(ONE, per=Per.TIER)), asking(), asking(consumer=OTHER)) == [200, 429]


async def test_a_key_that_is_no_text_decides_nothing() -> None:
    with pytest.raises(CouldNotDecide, match="counts by what is no text"):
        await policy(replace(ONE, per=Per.KEY, of="1 + 1")).on_request(*asking())


@pytest.mark.parametrize(("cost", "admitted"), [("1", 3), ("2", 1), ("size(request.query)", 1), ("0", 9), ("4", 0)])
async def test_a_request_takes_what_it_costs(cost: str, admitted: int) -> None:
    limited = policy(replace(QUOTA, cost=cost))
    assert (await statuses(limited, *[asking()] * 9)).count(200) == admitted


@pytest.mark.parametrize("cost", ["-1", "1.5", "'1'", "true", "int(request.headers['x-none'])"])
async def test_a_cost_that_is_no_number_decides_nothing(cost: str) -> None:
    with pytest.raises(CouldNotDecide):
        await policy(replace(QUOTA, cost=cost)).on_request(*asking())


async def test_what_costs_nothing_is_asked_of_no_counter_and_told_to_nobody() -> None:
    assert told(await policy(replace(QUOTA, cost="0")).on_request(*asking())) == {}


def tiered(**spec: Any) -> Policy:
    return policy(tiers={"free": (TIER, QUOTA)}, by_tier=True, **spec)


async def test_an_operators_word_for_one_consumer_replaces_the_tiers_of_that_kind() -> None:
    limited = tiered(consumers={"acme": (replace(TIER, scope="consumer/acme", count=9, burst=9),)})
    assert await statuses(limited, *[asking()] * 4) == [200, 200, 200, 429]
    assert await statuses(limited, *[asking(consumer=OTHER)] * 3) == [200, 200, 429]


@pytest.mark.parametrize(
    ("carried", "admitted"),
    [({"rate": "3/s"}, 3), ({"rate": "1/day"}, 1), ({"quota": "2/hour"}, 2), ({"concurrency": 1}, 1)],
)
async def test_what_a_claim_says_wins_over_the_tier_and_the_operator(carried: object, admitted: int) -> None:
    consumers = {"acme": (replace(TIER, scope="consumer/acme"),)}
    limited = tiered(consumers=consumers, claim="limits", carried=carried_limits)
    asked = [asking(f"s{number}", replace(ACME, claims={"limits": carried})) for number in range(9)]
    assert (await statuses(limited, *asked)).count(200) == admitted


@pytest.mark.parametrize(
    "carried",
    ["10/s", [], {}, {"rate": 0}, {"rate": "-1/s"}, {"rate": "99999999999/s"}, {"shadow": True}, {"on_error": "allow"},
     {"rate": "10/s", "cost": "0"}, {"quota": "18446744073709551616/month"}, None, {"concurrency": 1e400}],
)  # fmt: skip
async def test_limits_of_a_claim_that_cannot_be_read_are_refused(carried: object) -> None:
    limited = tiered(claim="limits", carried=carried_limits)
    answer = await limited.on_request(*asking(consumer=replace(ACME, claims={"limits": carried})))
    assert isinstance(answer, LocalReply)
    assert (answer.status, answer.reason) == (403, "unreadable_limits")


async def test_a_consumer_without_such_a_claim_has_its_tiers_limits() -> None:
    assert await statuses(tiered(claim="limits", carried=carried_limits), *[asking()] * 3) == [200, 200, 429]


async def test_a_shadow_refuses_nobody_and_is_told_in_the_record_alone() -> None:
    limited = policy(replace(ONE, shadow=True), QUOTA)
    answers = [await limited.on_request(*asking()) for _ in range(3)]
    assert [answer.facts for answer in answers] == [{}, {"over_in_shadow": "one"}, {"over_in_shadow": "one"}]
    assert all("one" not in told(answer)["ratelimit"] for answer in answers)
    assert await statuses(limited, asking()) == [429]


async def test_what_a_request_holds_is_named_for_its_end() -> None:
    tokens = replace(QUOTA, name="tokens", kind=Kind.BUDGET, unit="tokens", settle="x-tokens")
    answer = await policy(ONE, SLOTS, tokens).on_request(*asking("stream-1"))
    assert isinstance(answer, Continue)
    assert [(one.counter.limit.name, one.held) for one in answer.held] == [("open", "stream-1"), ("tokens", "stream-1")]


async def test_every_kind_is_told_in_its_own_way() -> None:
    month = replace(QUOTA, name="month", calendar=Calendar(Unit.MONTH), period=31 * 86_400)
    tokens = replace(QUOTA, name="tokens", kind=Kind.BUDGET, unit="tokens")
    sliding = Limit("last", "route/orders", Per.CONSUMER, 5, 60, 5, Kind.SLIDING)
    fields = told(await policy(QUOTA, month, tokens, sliding, SLOTS).on_request(*asking("stream-1")))
    assert fields["ratelimit-policy"] == (
        '"quota";q=3;w=60, "month";q=3, "tokens";q=3;qu="tokens";w=60, "last";q=5;w=60, '
        '"open";q=1;qu="concurrent-requests"'
    )
    levels = fields["ratelimit"].split(", ")
    assert [level.rpartition(";t=")[0] or level for level in levels] == [
        '"quota";r=2', '"month";r=2', '"tokens";r=2', '"last";r=4', '"open";r=0',
    ]  # fmt: skip


async def test_older_fields_are_told_of_the_limit_with_least_left_where_they_are_wanted() -> None:
    fields = told(await policy(QUOTA, replace(TIER, burst=9, count=9), legacy=True).on_request(*asking()))
    assert (fields["x-ratelimit-limit"], fields["x-ratelimit-remaining"]) == ("3", "2")
    assert 0 < int(fields["x-ratelimit-reset"]) <= 60
    assert not any(name.startswith("x-") for name in told(await policy(QUOTA).on_request(*asking())))


async def test_a_refusal_names_the_limit_what_remains_and_when() -> None:
    limited = policy(ONE)
    await limited.on_request(*asking())
    answer = await limited.on_request(*asking())
    assert isinstance(answer, LocalReply)
    problem = json.loads(answer.body)
    assert (problem["limit"], problem["remaining"], problem["reset"], problem["retry_after"]) == ("one", 0, 60, 60)


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 60), (0.5, 63), (0.999, 66)])
async def test_whoever_is_refused_is_told_to_come_back_no_sooner_and_not_all_at_once(
    chance: float, seconds: int
) -> None:
    limited = policy(ONE, chance=chance)
    await limited.on_request(*asking())
    assert told(await limited.on_request(*asking()))["retry-after"] == str(seconds)


TOKENS: Final = Limit("tokens", "route/orders", Per.CONSUMER, 9, 60, 9, Kind.BUDGET, Calendar(Unit.MINUTE))


@pytest.mark.parametrize(("reserve", "held"), [("", 1), ("7", 7), ("0", 1)])
async def test_what_is_metered_is_held_with_its_amount_and_never_for_nothing(reserve: str, held: int) -> None:
    """What nothing is reserved of could not be charged for more: nobody would know whose it is."""
    answer = await policy(replace(TOKENS, cost=reserve), metered=True).on_request(*asking("s1"))
    assert isinstance(answer, Continue)
    (one,) = answer.held
    assert (one.held, one.amount) == ("s1", held)
    assert one.until > FakeClock().now()
    assert told(answer)["ratelimit"].startswith(f'"tokens";r={9 - held};')


async def test_what_is_not_metered_is_held_as_it_was() -> None:
    for of in (policy(replace(TOKENS, cost="7")), policy(SLOTS, metered=True)):
        answer = await of.on_request(*asking("s1"))
        assert isinstance(answer, Continue)
        assert [(one.amount, one.until) for one in answer.held] == [(0, 0)]
