"""What a plan says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from extproc.plan.describe import describe
from extproc.plan.description import (
    FilterDescription,
    ModelDescription,
    RouteDescription,
    TargetDescription,
    VersionDescription,
)
from extproc.plan.model import RoutePlan
from tests.certificates import write_folder
from tests.plan.gateways import BODY, HEAD, HEADERS, plan_of

PAIR = "certificate: tls/server.crt, key: tls/server.key"
ADDRESS = "{per: address, rate: 5/s, burst: 9}"


def described(route: str, head: str = HEAD, defaults: str = "") -> RouteDescription:
    return describe(plan_of(route, head=head, defaults=defaults)).routes[0]


MATCHES = [
    ("path: /a", "/a"),
    ("path_prefix: /a", "/a and below"),
    ("path_prefix: /a/", "/a/ and below"),
    ("path_prefix: /", "any path"),
    ("path: /", "/"),
    ("path: /a, methods: [GET, POST]", "GET,POST /a"),
    ("path: /a, hosts: [a.b, '*.b']", "a.b or *.b /a"),
    ("path: /a, hosts: [a.b, '*']", "/a"),
    ("path: /a, headers: {x-a: 1, x-b: present, x-c: {prefix: d}}", "/a, x-a: 1, x-b, x-c: d*"),
    ("path: /a, query: {a: 1, b: present, c: {prefix: d}}", "/a, ?a=1, ?b, ?c=d*"),
]


@pytest.mark.parametrize(("match", "text"), MATCHES)
def test_what_a_route_matches_is_said_in_a_line(match: str, text: str) -> None:
    assert described(f"match: {{{match}}}, upstream: users, authenticate: none").match.text == text


TARGETS = [
    ("upstream: users", TargetDescription("users", "upstream", upstream="users")),
    (
        "redirect: {to: /new, status: 301}",
        TargetDescription("redirect 301 to /new", "redirect", to="/new", status=301),
    ),
    (
        "model: recommend",
        TargetDescription(
            "model recommend: v1 90 % users, v2 10 % orders",
            "model",
            model="recommend",
            sticky="none",
            versions=(VersionDescription("v1", "users", 90.0), VersionDescription("v2", "orders", 10.0)),
            models=(
                ModelDescription(
                    "recommend",
                    "recommend: v1 90 %, v2 10 %; sticky by none",
                    "none",
                    (VersionDescription("v1", "users", 90.0), VersionDescription("v2", "orders", 10.0)),
                ),
            ),
        ),
    ),
]


@pytest.mark.parametrize(("target", "expected"), TARGETS)
def test_where_a_route_leads(target: str, expected: TargetDescription) -> None:
    assert described(f"{target}, authenticate: none").target == expected


def test_policies_stand_in_the_order_in_which_they_judge() -> None:
    route = described(
        f"model: recommend, authenticate: partners, authorize: 'true', limits: [tier, {ADDRESS}],"
        f" policies: [{HEADERS}, {BODY}]"
    )
    assert [(item.policy, item.phase, item.service, item.at) for item in route.policies] == [
        ("authenticate", "request", "ext_authz", "routes[0]"),
        ("authorize", "request", "ext_authz", "routes[0].authorize"),
        ("limit", "request", "ext_authz", "routes[0].limits"),
        ("choose", "request", "ext_authz", "routes[0].model"),
        ("transform", "response_body", "ext_proc", "routes[0].policies[1].use"),
        ("transform", "response", "ext_proc", "routes[0].policies[0].use"),
    ]
    assert [item.brief for item in route.policies] == [
        "partners", "true", "tier, 5/s per address, burst 9", "a version, sticky by none", "", "",
    ]  # fmt: skip
    assert "free: 10/s per consumer" in route.policies[2].rule
    assert "x-edited" in route.policies[5].rule
    assert (route.calls, route.services, route.response_body) == (2, ("ext_authz", "ext_proc"), "buffered")


def test_limits_without_a_fused_call_are_asked_of_the_rate_limit_service() -> None:
    route = described(f"upstream: users, authenticate: none, limits: [{ADDRESS}]")
    assert [(item.policy, item.service, item.rule) for item in route.policies] == [
        ("limit", "ratelimit", "5/s per address, burst 9")
    ]
    assert (route.calls, route.services) == (1, ("ratelimit",))


def test_methods_are_told_with_their_kinds() -> None:
    route = described("upstream: users, authenticate: partners")
    assert [(method.name, method.kind) for method in route.authentication] == [("partners", "api_key")]


SLOW = HEAD.replace('"127.0.0.1:9101"]', '"127.0.0.1:9101"], timeout: 3s')
RETRIED = HEAD.replace('"127.0.0.1:9101"]', '"127.0.0.1:9101"], timeout: 3s, retries: 1')
TIMES = [
    (HEAD, "upstream: users", (15.0, None)),
    (HEAD, "upstream: users, timeout: 5s", (5.0, None)),
    (SLOW, "upstream: users, timeout: 5s", (3.0, None)),
    (SLOW, "upstream: users, timeout: 1s", (1.0, None)),
    (RETRIED, "upstream: users, timeout: 5s", (5.0, None)),
    (SLOW, "model: recommend", (15.0, None)),
    (HEAD, "upstream: users, stream: true", (None, 300.0)),
    (HEAD, "redirect: {to: /new}", (None, None)),
]


@pytest.mark.parametrize(("head", "route", "expected"), TIMES)
def test_times_are_those_that_hold(head: str, route: str, expected: tuple[float | None, float | None]) -> None:
    said = described(f"{route}, authenticate: none", head)
    assert (said.timeout_seconds, said.idle_timeout_seconds) == expected


def test_bodies_are_held_up_to_the_limit_and_never_shown() -> None:
    route = described("upstream: users, authenticate: none, body_limit: 2KiB")
    assert (route.request_body.mode, route.request_body.limit_bytes, route.response_body) == ("held", 2048, "none")


def test_totals_count_routes_by_what_they_cost() -> None:
    plan = plan_of(
        "upstream: users, authenticate: none",
        "upstream: users, authenticate: partners, limits: [tier]",
        "upstream: users, authenticate: partners",
    )
    said = describe(plan)
    assert (said.revision, said.totals.routes) == (plan.revision, 3)
    assert said.totals.routes_by_calls == {"0": 1, "1": 2, "2": 0, "3": 0}
    assert [(item.name, item.address, item.trusted_hops) for item in said.listeners] == [("public", "0.0.0.0:8080", 0)]
    assert [(tier.name, tier.rule) for tier in said.tiers] == [
        ("free", "10/s per consumer"), ("premium", "100/minute per consumer, burst 200"),
    ]  # fmt: skip


def test_whoever_knows_the_filters_tells_them() -> None:
    def filters(route: RoutePlan) -> list[FilterDescription]:
        return [FilterDescription(route.name, "because")]

    said = describe(plan_of("upstream: users, authenticate: none"), filters)
    assert said.routes[0].filters == (FilterDescription("route-0", "because"),)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("", (False, "none")),
        (f", tls: {{{PAIR}}}", (True, "none")),
        (f", tls: {{{PAIR}, client_ca: tls/ca.crt}}", (True, "asked")),
        (f", tls: {{{PAIR}, client_ca: tls/ca.crt, require_client_certificate: true}}", (True, "required")),
    ],
)
def test_a_listener_says_whether_it_speaks_tls_and_asks_for_certificates(
    keys: str, expected: tuple[bool, str], tmp_path: Path
) -> None:
    write_folder(tmp_path / "tls")
    head = HEAD.replace('"0.0.0.0:8080"}', f'"0.0.0.0:8080"{keys}}}')
    plan = plan_of("upstream: users, authenticate: none", head=head, file=tmp_path / "gateway.yaml")
    (listener,) = describe(plan).listeners
    assert (listener.tls, listener.client_certificates) == expected


SCORED = HEAD.replace("{sticky: none,", "{sticky: none, score: {feedback: true},")


def test_a_route_that_takes_feedback_leads_to_the_sidecar_and_asks_who_it_is() -> None:
    found = described("match: {path: /feedback}, feedback: true, authenticate: partners", SCORED)
    assert (found.target, found.calls) == (TargetDescription("feedback", "feedback"), 1)
    assert [policy.policy for policy in found.policies] == ["authenticate"]
