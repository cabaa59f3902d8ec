"""Limits that Envoys judge by themselves: where they are placed, and what is said of them."""

from __future__ import annotations

import pytest

from extproc.core.specs import LimitSpec
from extproc.plan.describe import describe
from extproc.plan.model import Plan
from tests.plan.gateways import plan_of

HEAD = """
listeners: [{name: public, address: "0.0.0.0:8080"}]
sidecar: {quota_stream: {envoys: %d, ttl: 20s}, stores: {keys: "file:keys.yaml"}}
upstreams: {users: {endpoints: ["127.0.0.1:9101"]}}
authentication: {partners: {api_key: {header: x-api-key}}}
tiers: {free: {rate: 5/minute, burst: 6}, pro: {rate: 100/s}}
"""
OPEN = "authenticate: none, limits: [{per: route, rate: 10/s, placement: quota_stream}]"
TIER = "authenticate: partners, limits: [{per: consumer, rate: 9/s}, {per: tier, placement: quota_stream}]"


def shared_plan(route: str, envoys: int = 2) -> Plan:
    return plan_of(f"upstream: users, {route}", head=HEAD % envoys)


def judged(plan: Plan) -> list[LimitSpec]:
    return [spec.settings for spec in plan.routes[0].policies if isinstance(spec.settings, LimitSpec)]


def test_a_shared_limit_of_an_open_route_costs_no_call() -> None:
    plan = shared_plan(OPEN)
    placed = plan.routes[0].placement
    assert (placed.calls, placed.services, placed.descriptors, placed.fused) == (0, (), (), False)
    assert list(plan.quotas) == ["route/route-0/route-0"]


def test_the_fused_call_judges_the_limits_that_are_not_shared() -> None:
    plan = shared_plan(TIER)
    (spec,) = judged(plan)
    assert (spec.by_tier, [limit.name for limit in spec.own]) == (False, ["consumer-0"])
    assert {key: quota.limit.count for key, quota in plan.quotas.items()} == {"tier/free/tier": 5, "tier/pro/tier": 100}


def test_where_every_limit_is_shared_no_policy_judges_any() -> None:
    assert judged(shared_plan("authenticate: partners, limits: [{per: tier, placement: quota_stream}]")) == []


@pytest.mark.parametrize(("route", "envoys"), [(OPEN, 3), (OPEN.replace("10/s", "11/s"), 2), (TIER, 2)])
def test_what_is_shared_among_how_many_belongs_to_the_revision(route: str, envoys: int) -> None:
    assert shared_plan(route, envoys).revision != shared_plan(OPEN).revision


def test_a_plan_says_where_a_shared_limit_is_judged_and_its_bound() -> None:
    described = describe(shared_plan(OPEN))
    (policy,) = described.routes[0].policies
    assert (policy.policy, policy.service, policy.phase) == ("limit", "rate_limit_quota", "request")
    assert policy.rule == "10/s per route, judged by Envoy: at most 10 x t / 1 s + 10 in any time t by 2 Envoys"
    assert policy.brief == "10/s per route, judged by Envoy, shared by 2"


def test_a_plan_says_the_shared_limits_of_all_tiers() -> None:
    described = describe(shared_plan(TIER))
    assert [tier.name for tier in described.tiers] == ["free", "pro"]
    rule = described.routes[0].policies[-1].rule
    assert rule.startswith(
        "tier free: 5/minute per consumer, burst 6, judged by Envoy: at most 5 x t / 60 s + 6 in any"
    )
    assert "tier pro: " in rule
