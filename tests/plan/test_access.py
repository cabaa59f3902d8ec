"""What `authorize`, `forward` and an upstream's credential come to mean."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from extproc.core.handover import UpstreamCredential
from extproc.core.specs import AccessRule, AuthorizeSpec
from extproc.plan.describe import describe
from extproc.plan.model import Forward, SigningPlan
from tests.plan.gateways import HEAD, plan_of, route_of

USERS = "upstream: users"
WRITTEN = [
    ("{scopes: [a, b], when: 'true'}", AuthorizeSpec((AccessRule(scopes=("a", "b"), when="true"),))),
    (
        "[{any_scope: [a], groups: [g]}, 'true']",
        AuthorizeSpec((AccessRule(any_scope=("a",), groups=("g",)), AccessRule(when="true")), any_of=True),
    ),
    ("[{consumers: [acme]}]", AuthorizeSpec((AccessRule(consumers=("acme",)),), any_of=True)),
    ("{tiers: [free]}", AuthorizeSpec((AccessRule(tiers=("free",)),))),
    ("{claims: {a: 1, b: [x, true]}}", AuthorizeSpec((AccessRule(claims={"a": (1,), "b": ("x", True)}),))),
    (
        "{addresses: [10.0.0.0/8], deny_addresses: ['2001:db8::/32', 10.0.0.1]}",
        AuthorizeSpec(
            (
                AccessRule(
                    addresses=(ip_network("10.0.0.0/8"),),
                    deny_addresses=(ip_network("2001:db8::/32"), ip_network("10.0.0.1/32")),
                ),
            )
        ),
    ),
]


@pytest.mark.parametrize(("written", "meant"), WRITTEN)
def test_a_rule_means_what_it_says(written: str, meant: AuthorizeSpec) -> None:
    route = route_of(f"{USERS}, authenticate: partners, authorize: {written}")
    assert [(spec.settings, spec.at) for spec in route.policies] == [(meant, ("routes", 0, "authorize"))]


def test_a_route_has_the_rule_of_the_defaults_unless_it_has_its_own() -> None:
    inherited = route_of(f"{USERS}, authenticate: partners", defaults="authorize: {scopes: [a]}")
    assert [spec.at for spec in inherited.policies] == [("defaults", "authorize")]
    own = route_of(f"{USERS}, authenticate: partners, authorize: 'true'", defaults="authorize: {scopes: [a]}")
    assert [spec.settings for spec in own.policies] == [AuthorizeSpec((AccessRule(when="true"),))]


FORWARDS = [
    ("", "", Forward()),
    (", forward_credentials: true", "", Forward(credentials=True)),
    ("", "forward_credentials: true", Forward(credentials=True)),
    (", forward_credentials: false", "forward_credentials: true", Forward()),
    (", forward: signed", "", Forward(signed=True)),
    ("", "forward: signed", Forward(signed=True)),
    (", forward: headers", "forward: signed", Forward()),
]
SIGNING = "sidecar: {signing: {keys: [signing.pem]}}\n"


@pytest.mark.parametrize(("own", "defaults", "meant"), FORWARDS)
def test_what_is_forwarded_is_the_routes_own_say_or_that_of_the_defaults(
    own: str, defaults: str, meant: Forward
) -> None:
    plan = plan_of(f"{USERS}, authenticate: partners{own}", defaults=defaults, head=HEAD + SIGNING)
    assert plan.routes[0].forward == meant


def test_signing_keys_are_looked_for_beside_the_file_when_they_are_served_and_not_when_they_are_rendered() -> None:
    plan = plan_of(f"{USERS}, authenticate: none", head=HEAD + SIGNING, file=Path("/nowhere/gateway.yaml"))
    assert plan.sidecar.signing == SigningPlan(("/nowhere/signing.pem",), "extproc", 60)


KEYED = HEAD.replace(
    'users: {endpoints: ["127.0.0.1:9101"]}',
    'users: {endpoints: ["127.0.0.1:9101"], credential: {header: authorization, value: Bearer hunter2}}',
)
LIMITED = "limits: [{per: address, rate: 5/s}]"


def test_the_credential_of_an_upstream_is_no_text_of_a_plan() -> None:
    plan = plan_of(f"{USERS}, authenticate: none", head=KEYED)
    assert plan.upstreams["users"].credential == UpstreamCredential("authorization", "Bearer hunter2")
    assert "hunter2" not in repr(plan)
    assert "hunter2" not in repr(describe(plan))


@pytest.mark.parametrize(
    ("route", "fused"),
    [
        (f"{USERS}, authenticate: none", True),
        (f"{USERS}, authenticate: none, {LIMITED}", True),
        ("upstream: orders, authenticate: none", False),
        ("redirect: {to: /x}, authenticate: none", False),
    ],
)
def test_a_route_to_an_upstream_with_a_credential_always_asks_the_sidecar(route: str, fused: bool) -> None:
    placement = plan_of(route, head=KEYED).routes[0].placement
    assert placement.fused is fused
    assert not (fused and placement.descriptors)


def test_a_changed_secret_needs_no_other_bootstrap_and_a_first_one_does() -> None:
    open_route = f"{USERS}, authenticate: none"
    revisions = [plan_of(open_route, head=head).revision for head in (KEYED, KEYED.replace("hunter2", "hunter3"), HEAD)]
    assert revisions[0] == revisions[1] != revisions[2]


FORWARDED = [
    (f"{USERS}, authenticate: none", "authorization of users"),
    ("model: recommend, authenticate: none", "authorization of users"),
    (f"{USERS}, authenticate: partners, forward: signed", "a signed token, authorization of users"),
    ("upstream: orders, authenticate: partners, forward_credentials: true", "the client's credential"),
    ("upstream: orders, authenticate: partners", ""),
    ("redirect: {to: /x}, authenticate: partners, forward: signed", ""),
]


@pytest.mark.parametrize(("route", "rule"), FORWARDED)
def test_a_plan_says_what_upstreams_get_besides_plain_headers(route: str, rule: str) -> None:
    described = describe(plan_of(route, head=KEYED + SIGNING)).routes[0]
    assert [(one.rule, one.service) for one in described.policies if one.policy == "forward"] == (
        [(rule, "ext_authz")] if rule else []
    )


RULES = [
    ("'true'", "true"),
    ("{when: 'true'}", "true"),
    ("{scopes: [a, b], tiers: [free], when: 'true'}", "tiers free; scopes a, b; true"),
    ("[{scopes: [a]}, {claims: {role: [admin, 1]}}]", '[0] scopes a or [1] claim role "admin", 1'),
    ("{addresses: [10.0.0.0/8], deny_addresses: [10.0.0.1]}", "not from 10.0.0.1/32; from 10.0.0.0/8"),
]


@pytest.mark.parametrize(("written", "said"), RULES)
def test_a_rule_is_said_in_a_line(written: str, said: str) -> None:
    route = describe(plan_of(f"{USERS}, authenticate: partners, authorize: {written}")).routes[0]
    assert [(one.rule, one.brief) for one in route.policies if one.policy == "authorize"] == [(said, said)]
