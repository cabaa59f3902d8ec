"""Config -> Plan: what every key of a gateway file comes to mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from extproc.core.limits import Limit, Per
from extproc.core.specs import AccessRule, AuthorizeSpec, ChooseSpec, LimitSpec, ModelsSpec, Version
from extproc.plan.model import (
    AuthenticationPlan,
    Discovery,
    Endpoint,
    FieldMatch,
    MatchPlan,
    RoutePlan,
    ToModel,
    ToRedirect,
    ToUpstream,
    ValueRule,
)
from extproc.policies.api_key import ApiKeySettings
from tests.plan.gateways import BODY, HEAD, HEADERS, limits_of, plan_of, route_of

USERS = "upstream: users"
FREE = Limit("tier", "tier/free", Per.CONSUMER, 10, 1, 10)
PREMIUM = Limit("tier", "tier/premium", Per.CONSUMER, 100, 60, 200)


def kinds(route: RoutePlan) -> list[str]:
    return [spec.kind for spec in route.policies]


@pytest.mark.parametrize(
    ("own", "defaults", "methods"),
    [
        ("authenticate: none", "", ()),
        ("authenticate: partners", "", ("partners",)),
        ("authenticate: [partners]", "", ("partners",)),
        ("stream: true", "authenticate: partners", ("partners",)),
        ("authenticate: null", "authenticate: partners", ("partners",)),
        ("authenticate: none", "authenticate: partners", ()),
        ("authenticate: partners", "authenticate: none", ("partners",)),
        ("stream: true", "authenticate: none", ()),
    ],
)
def test_a_routes_own_word_on_authentication_replaces_the_defaults(
    own: str, defaults: str, methods: tuple[str, ...]
) -> None:
    assert route_of(f"{USERS}, {own}", defaults).authentication == methods


@pytest.mark.parametrize(
    ("own", "defaults", "seconds"),
    [
        ("authenticate: none", "", 15.0),
        ("authenticate: none, timeout: 250ms", "", 0.25),
        ("authenticate: none", "timeout: 5s", 5.0),
        ("authenticate: none, timeout: 1m", "timeout: 5s", 60.0),
        ("authenticate: none, timeout: null", "timeout: 5s", 5.0),
    ],
)
def test_a_routes_own_timeout_replaces_the_defaults_and_there_always_is_one(
    own: str, defaults: str, seconds: float
) -> None:
    assert route_of(f"{USERS}, {own}", defaults).timeout == seconds


@pytest.mark.parametrize(
    ("own", "defaults", "limit"),
    [
        ("authenticate: none", "", 1024 * 1024),
        ("authenticate: none, body_limit: 1", "", 1),
        ("authenticate: none", "body_limit: 64KiB", 64 * 1024),
        ("authenticate: none, body_limit: 2MiB", "body_limit: 64KiB", 2 * 1024 * 1024),
    ],
)
def test_a_routes_own_body_limit_replaces_the_defaults_and_there_always_is_one(
    own: str, defaults: str, limit: int
) -> None:
    assert route_of(f"{USERS}, {own}", defaults).body_limit == limit


@pytest.mark.parametrize(
    ("own", "defaults", "used"),
    [
        ("authenticate: none", f"policies: [{HEADERS}]", ["transform"]),
        ("authenticate: none, policies: []", f"policies: [{HEADERS}]", []),
        (f"authenticate: none, policies: [{BODY}, {HEADERS}]", f"policies: [{HEADERS}]", ["transform", "transform"]),
        ("authenticate: none, policies: null", f"policies: [{HEADERS}]", ["transform"]),
    ],
)
def test_a_routes_own_policies_replace_the_defaults(own: str, defaults: str, used: list[str]) -> None:
    assert kinds(route_of(f"{USERS}, {own}", defaults)) == used


def test_a_policy_has_the_settings_that_stand_beside_it() -> None:
    first, second = (
        route_of(f"{USERS}, authenticate: none, policies: [{BODY}, {HEADERS}]").policies[position]
        for position in (0, 1)
    )
    assert "served_by" in repr(first.settings)
    assert "x-edited" in repr(second.settings)


def test_secrets_in_settings_are_not_printed_with_a_plan() -> None:
    assert "served_by" not in repr(route_of(f"{USERS}, authenticate: none, policies: [{BODY}]"))


@pytest.mark.parametrize(
    ("own", "defaults", "by_tier", "names"),
    [
        ("limits: [tier]", "", True, []),
        ("stream: true", "limits: [tier]", True, []),
        ("limits: null", "limits: [tier]", True, []),
        ("limits: [{per: consumer, rate: 2/s}]", "limits: [tier]", False, ["consumer-0"]),
        (
            "limits: [tier, {per: consumer, rate: 2/s}, {per: address, rate: 9/s}]",
            "",
            True,
            ["consumer-1", "address-2"],
        ),
    ],
)
def test_a_routes_own_limits_replace_the_defaults(own: str, defaults: str, by_tier: bool, names: list[str]) -> None:
    spec = limits_of(route_of(f"{USERS}, authenticate: partners, {own}", defaults))
    assert spec is not None
    assert spec.by_tier is by_tier
    assert [limit.name for limit in spec.own] == names
    assert dict(spec.tiers) == ({"free": (FREE,), "premium": (PREMIUM,)} if by_tier else {})


def test_a_route_without_limits_judges_none() -> None:
    assert limits_of(route_of(f"{USERS}, authenticate: partners, limits: []", "limits: [tier]")) is None
    assert limits_of(route_of(f"{USERS}, authenticate: partners")) is None


def test_a_tier_is_one_limit_over_all_routes_and_a_routes_own_is_its_own() -> None:
    limits = "authenticate: partners, limits: [tier, {per: consumer, rate: 2/s}]"
    first, second = (limits_of(route) for route in plan_of(f"{USERS}, {limits}", f"upstream: orders, {limits}").routes)
    assert isinstance(first, LimitSpec)
    assert isinstance(second, LimitSpec)
    assert first.tiers["free"] == second.tiers["free"] == (FREE,)
    assert (first.own[0].scope, second.own[0].scope) == ("route/route-0", "route/route-1")


@pytest.mark.parametrize(
    ("written", "count", "period", "burst"),
    [
        ("rate: 5/s", 5, 1, 5),
        ("rate: 5/s, burst: 1", 5, 1, 1),
        ("rate: 5/s, burst: 50", 5, 1, 50),
        ("rate: 600/minute", 600, 60, 600),
        ("rate: 1/day", 1, 86_400, 1),
    ],
)
def test_a_burst_is_the_rates_count_unless_it_is_written(written: str, count: int, period: int, burst: int) -> None:
    (limit,) = route_of(f"{USERS}, authenticate: none, limits: [{{per: address, {written}}}]").placement.descriptors
    assert limit == Limit("address-0", "route/route-0", Per.ADDRESS, count, period, burst)


def test_what_is_refused_is_not_counted_and_what_is_counted_may_be_routed() -> None:
    route = route_of(
        f"model: recommend, authenticate: partners, authorize: 'true', limits: [tier], policies: [{HEADERS}]"
    )
    assert kinds(route) == ["authorize", "limit", "choose", "transform"]


def test_a_condition_is_handed_on_as_it_is_written() -> None:
    route = route_of(f"{USERS}, authenticate: none, authorize: 'request.method == \"GET\"'")
    assert [spec.settings for spec in route.policies] == [AuthorizeSpec((AccessRule(when='request.method == "GET"'),))]


RECOMMEND = ChooseSpec("recommend", (Version("v1", "users", 9000), Version("v2", "orders", 1000)), "none")


def test_a_route_leads_where_it_says() -> None:
    targets = [
        route.target
        for route in plan_of(
            f"{USERS}, authenticate: none",
            "model: recommend, authenticate: none",
            "redirect: {to: /new}, authenticate: none",
            'redirect: {to: "https://example.com/new", status: 302}, authenticate: none',
        ).routes
    ]
    assert targets == [
        ToUpstream("users"),
        ToModel(ModelsSpec((RECOMMEND,))),
        ToRedirect("/new", 308),
        ToRedirect("https://example.com/new", 302),
    ]


def test_a_model_is_a_choice_in_hundredths_of_a_percent() -> None:
    plan = plan_of("model: recommend, authenticate: none")
    assert plan.models["recommend"] == RECOMMEND
    assert [spec.settings for spec in plan.routes[0].policies] == [ModelsSpec((RECOMMEND,))]


def test_only_a_route_to_a_model_leaves_a_choice_and_only_between_its_versions() -> None:
    plan = plan_of("model: recommend, authenticate: none", f"{USERS}, authenticate: none")
    assert [plan.choices(route) for route in plan.routes] == [frozenset({"users", "orders"}), frozenset()]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{path: /a}", MatchPlan(path="/a")),
        ("{path_prefix: /a}", MatchPlan(path_prefix="/a")),
        ("{path: /a, hosts: [a.com, '*.a.com']}", MatchPlan(hosts=("a.com", "*.a.com"), path="/a")),
        ("{path: /a, hosts: [a.com, '*']}", MatchPlan(path="/a")),
        ("{path: /a, methods: [GET, POST]}", MatchPlan(path="/a", methods=("GET", "POST"))),
        (
            "{path: /a, headers: {x-a: '1', x-b: present, x-c: {prefix: p}, x-d: {exact: present}, x-e: 7}}",
            MatchPlan(
                path="/a",
                headers=(
                    FieldMatch("x-a", ValueRule.EXACT, "1"),
                    FieldMatch("x-b", ValueRule.PRESENT),
                    FieldMatch("x-c", ValueRule.PREFIX, "p"),
                    FieldMatch("x-d", ValueRule.EXACT, "present"),
                    FieldMatch("x-e", ValueRule.EXACT, "7"),
                ),
            ),
        ),
        (
            "{path: /a, query: {q: {present: true}, Page: ''}}",
            MatchPlan(path="/a", query=(FieldMatch("q", ValueRule.PRESENT), FieldMatch("Page", ValueRule.EXACT, ""))),
        ),
    ],
)
def test_a_match_means_all_that_is_written(match: str, expected: MatchPlan) -> None:
    assert route_of(f"match: {match}, {USERS}, authenticate: none").match == expected


@pytest.mark.parametrize(
    ("keys", "discovery"),
    [
        ('endpoints: ["127.0.0.1:80"]', Discovery.STATIC),
        ('endpoints: ["127.0.0.1:80", "[::1]:80"]', Discovery.STATIC),
        ('endpoints: ["users.internal:80"]', Discovery.STRICT_DNS),
        ('endpoints: ["127.0.0.1:80", "users.internal:80"]', Discovery.STRICT_DNS),
        ('endpoints: ["999.0.0.1:80"]', Discovery.STRICT_DNS),
        ('endpoints: ["users.internal:80"], dns: logical', Discovery.LOGICAL_DNS),
        ('endpoints: ["users.internal:80"], dns: strict', Discovery.STRICT_DNS),
        ('endpoints: ["127.0.0.1:80"], dns: strict', Discovery.STRICT_DNS),
    ],
)
def test_names_need_a_resolver_and_addresses_do_not(keys: str, discovery: Discovery) -> None:
    head = HEAD.replace('endpoints: ["127.0.0.1:9101"]', keys)
    assert plan_of(f"{USERS}, authenticate: none", head=head).upstreams["users"].discovery is discovery


def test_an_upstream_has_all_that_is_written_in_seconds() -> None:
    keys = (
        'endpoints: ["[::1]:80"], balance: random, timeout: 5s, connect_timeout: 250ms, retries: 2, '
        "health_check: /healthz, outlier_detection: true"
    )
    head = HEAD.replace('endpoints: ["127.0.0.1:9101"]', keys)
    upstream = plan_of(f"{USERS}, authenticate: none", head=head).upstreams["users"]
    assert upstream.endpoints == (Endpoint("::1", 80),)
    assert (upstream.balance, upstream.timeout, upstream.connect_timeout) == ("random", 5.0, 0.25)
    assert (upstream.retries, upstream.health_check, upstream.outlier_detection) == (2, "/healthz", True)


def test_an_upstream_that_says_nothing_is_not_retried_or_checked() -> None:
    upstream = plan_of(f"{USERS}, authenticate: none").upstreams["orders"]
    assert (upstream.balance, upstream.timeout, upstream.connect_timeout) == ("least_request", None, 2.0)
    assert (upstream.retries, upstream.health_check, upstream.outlier_detection) == (0, None, False)


def test_the_processes_are_where_the_file_says() -> None:
    head = HEAD + (
        "envoy: {concurrency: 4, admin: '[::1]:9901'}\n"
        "sidecar: {address: 'unix:/run/shop/', timeout: 1s, admin: '127.0.0.1:1', stores: {keys: file:keys.yaml}}\n"
    )
    plan = plan_of(f"{USERS}, authenticate: none", head=head, file=Path("/etc/shop/gateway.yaml"))
    assert (plan.envoy.concurrency, str(plan.envoy.admin)) == (4, "[::1]:9901")
    assert (plan.sidecar.folder, plan.sidecar.timeout, str(plan.sidecar.admin)) == ("/run/shop", 1.0, "127.0.0.1:1")
    assert plan.sidecar.keys == "/etc/shop/keys.yaml"


def test_a_sidecar_without_keys_has_none() -> None:
    assert plan_of(f"{USERS}, authenticate: none").sidecar.keys is None


def test_listeners_trust_nobody_unless_they_say_so() -> None:
    head = HEAD.replace(
        "listeners: [",
        "listeners: [{name: edge, address: '0.0.0.0:1', trusted_proxies: {hops: 2, proxy_protocol: true}}, ",
    )
    edge, public = plan_of(f"{USERS}, authenticate: none", head=head).listeners
    assert (edge.hops, edge.proxy_protocol) == (2, True)
    assert (public.hops, public.proxy_protocol) == (0, False)


def test_a_method_of_authentication_has_its_kind_and_settings() -> None:
    plan = plan_of(f"{USERS}, authenticate: none")
    assert dict(plan.authentication) == {"partners": AuthenticationPlan("partners", "api_key", ApiKeySettings())}


def test_a_plan_has_the_revision_of_its_file() -> None:
    first, second = plan_of(f"{USERS}, authenticate: none"), plan_of(f"{USERS}, authenticate: partners")
    assert first.revision == plan_of(f"{USERS}, authenticate: none").revision
    assert first.revision != second.revision


def test_a_plan_cannot_be_changed() -> None:
    plan = plan_of(f"{USERS}, authenticate: none")
    for shared in (plan.upstreams, plan.authentication, plan.models, plan.descriptors):
        assert not hasattr(shared, "__setitem__")
