"""Each rule about gateway files: the least that it finds something in, and the same mended."""

from __future__ import annotations

from typing import Final

import pytest
import yaml

from extproc.audit.catalogue import GATEWAY, Kind, audit, kind_of, with_environment
from extproc.audit.severity import Severity

OPEN: Final = "defaults: {authenticate: none}, routes: [{%s}]"
GUARDED: Final = "defaults: {authenticate: keys}, routes: [{%s}]"
METHOD: Final = "routes: [], authentication: {company: {%s}}"
UPSTREAM: Final = "routes: [], upstreams: {a: {%s}}"

CASES: Final[dict[str, tuple[str, str]]] = {
    "EX101": (OPEN % "name: a", OPEN % "name: a, limits: [{per: address, rate: 1/s}]"),
    "EX102": (OPEN % "limits: [{per: route, rate: 1/s}]", OPEN % "redirect: {to: /}"),
    "EX103": (GUARDED % "name: a, limits: []", GUARDED % "limits: [tier]"),
    "EX104": (GUARDED % "stream: true", GUARDED % "stream: true, limits: [tier]"),
    "EX105": ("listeners: [{address: '0.0.0.0:80'}]", "listeners: [{address: '0.0.0.0:80', tls: {certificate: a}}]"),
    "EX106": ("routes: [], sidecar: {admin: '0.0.0.0:9900'}", "routes: [], sidecar: {admin: '127.0.0.1:9900'}"),
    "EX107": ("listeners: [{trusted_proxies: {hops: 1}}]", "listeners: [{trusted_proxies: {hops: 0}}]"),
    "EX108": (OPEN % "body_limit: 32MiB", OPEN % "body_limit: 16MiB"),
    "EX109": (UPSTREAM % "timeout: 10m", UPSTREAM % "timeout: 5m"),
    "EX110": ("routes: [], sidecar: {timeout: 10s}", "routes: [], sidecar: {timeout: 500ms}"),
    "EX111": (METHOD % "api_key: {query: key}", METHOD % "api_key: {header: x-api-key}"),
    "EX112": (OPEN % "forward_credentials: true", OPEN % "forward_credentials: false"),
    "EX113": ("listeners: [{tls: {client_ca: a}}]", "listeners: [{tls: {client_ca: a, require: true}}]"),
    "EX114": (METHOD % "jwt: {leeway: 60}", METHOD % "jwt: {leeway: 30}"),
    "EX115": (UPSTREAM % "endpoints: ['a.example:80']", UPSTREAM % "endpoints: ['localhost:80', '[::1]:80']"),
    "EX116": (UPSTREAM % "tls: {ca: a}", UPSTREAM % "tls: {ca: a, san: a.example}"),
    "EX117": (GUARDED % "authorize: ' (true)'", GUARDED % "authorize: 'request.method == \"GET\"'"),
    "EX118": (UPSTREAM % "endpoints: ['a:1', 'a:2']", UPSTREAM % "endpoints: ['a:1', 'a:2'], health_check: /healthz"),
    "EX119": (METHOD % "login: {client_secret: hunter2}", METHOD % "login: {client_secret: '${SECRET}'}"),
}
ALSO: Final = {
    "EX101": [GUARDED % "authenticate: none", OPEN % "limits: []"],
    "EX102": ["defaults: {limits: [{per: route, rate: 1/s}]}, routes: [{authenticate: none}]"],
    "EX105": ["listeners: [{address: '[::]:80'}]"],
    "EX108": ["routes: [], defaults: {body_limit: 33554432}"],
    "EX109": [OPEN % "timeout: 1h"],
    "EX112": ["routes: [], defaults: {forward_credentials: [company]}"],
    "EX114": [METHOD % "jwt: {leeway: 1m}"],
    "EX117": [GUARDED % "authorize: true"],
    "EX119": ["routes: [], sidecar: {stores: {counters: 'redis://user:word@redis:6379'}}"],
}


def ids(text: str) -> set[str]:
    source = with_environment("{" + text + "}", {"SECRET": "from outside"})
    assert source.findings == []
    assert kind_of(source.data) is Kind.GATEWAY
    return {finding.rule for finding in audit(source, Kind.GATEWAY, frozenset(), Severity.LOW)}


def test_every_rule_has_a_case_and_an_id_of_its_own() -> None:
    assert [rule.id for rule in GATEWAY] == sorted({rule.id for rule in GATEWAY})
    assert CASES.keys() == {rule.id for rule in GATEWAY}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_finds_what_it_is_for(rule: str) -> None:
    assert rule in ids(CASES[rule][0])


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_finds_nothing_where_that_is_mended(rule: str) -> None:
    assert rule not in ids(CASES[rule][1])


@pytest.mark.parametrize(("rule", "weak"), [(rule, weak) for rule, several in ALSO.items() for weak in several])
def test_a_rule_finds_it_in_every_place(rule: str, weak: str) -> None:
    assert rule in ids(weak)


def test_a_public_route_is_found_once() -> None:
    assert ids(OPEN % "name: a") == {"EX101"}


def test_a_variable_that_is_not_set_is_no_secret_and_no_problem() -> None:
    assert ids(METHOD % "login: {client_secret: '${NOT_SET}'}") == set()


@pytest.mark.parametrize("name", ["client_secret: /run/secrets/a", "private_key: key.pem", "secret: file:a"])
def test_the_name_of_a_file_is_no_secret(name: str) -> None:
    assert ids(METHOD % f"login: {{{name}}}") == set()


def test_a_secret_is_not_told() -> None:
    source = with_environment("{" + CASES["EX119"][0] + "}", {})
    assert "hunter2" not in str(audit(source, Kind.GATEWAY, frozenset(), Severity.LOW))


@pytest.mark.parametrize("odd", [None, 3, True, "text", [], {}, [[]], [{}], {"a": []}])
@pytest.mark.parametrize("key", ["listeners", "routes", "upstreams", "authentication", "defaults", "sidecar"])
def test_odd_data_in_a_block_is_survived(key: str, odd: object) -> None:
    text = yaml.safe_dump({"routes": [{"name": "a"}], key: odd})
    assert isinstance(audit(with_environment(text, {}), Kind.GATEWAY, frozenset(), Severity.LOW), list)
