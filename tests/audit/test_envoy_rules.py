"""Each rule finds what it is for and nothing where that is mended; row 27 among them (EX503)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

import pytest
import yaml
from envoy_data_plane.envoy.config.bootstrap.v3 import Bootstrap

from extproc.audit.catalogue import ENVOY, Kind, as_written, audit, kind_of
from extproc.audit.envoy import Envoy, read_envoy
from extproc.audit.node import Node
from extproc.audit.rule import Finding, Rule
from extproc.audit.severity import Severity
from tests.audit.envoy_cases import ALSO, CASES
from tests.audit.fragments import AUTHZ, HTTP, MANAGER, Piece, bootstrap, listener, manager, one, quota, routed

NOTHING: Final = frozenset[str]()


def found(data: Any, least: Severity = Severity.LOW) -> list[Finding]:
    source = as_written(yaml.safe_dump(data))
    assert source.findings == []
    assert kind_of(source.data) is Kind.ENVOY
    return audit(source, Kind.ENVOY, NOTHING, least)


def ids(data: Any) -> set[str]:
    return {finding.rule for finding in found(data)}


def test_every_rule_has_a_case_and_an_id_of_its_own() -> None:
    assert [rule.id for rule in ENVOY] == sorted({rule.id for rule in ENVOY})
    assert CASES.keys() == {rule.id for rule in ENVOY}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_finds_what_it_is_for(rule: str) -> None:
    weak, _ = CASES[rule]
    assert rule in ids(weak)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_finds_nothing_where_that_is_mended(rule: str) -> None:
    _, mended = CASES[rule]
    assert rule not in ids(mended)


@pytest.mark.parametrize("rule", CASES)
def test_every_field_of_a_case_is_one_that_envoy_has(rule: str) -> None:
    """A rule that reads a misspelt field finds it in nobody's file."""
    for piece in CASES[rule]:
        for node in Node(piece).inside():
            if node.kind:  # a message may hold those whose modules are imported
                import_module(f"envoy_data_plane.{node.kind.rpartition('.')[0]}")
        assert Bootstrap.from_dict(piece)


@pytest.mark.parametrize(("rule", "weak"), [(rule, weak) for rule, several in ALSO.items() for weak in several])
def test_a_rule_finds_it_in_every_place(rule: str, weak: Piece) -> None:
    assert rule in ids(weak)


def test_a_bucket_that_admits_nobody_without_an_assignment_needs_nothing_for_when_one_ends() -> None:
    closed = "no_assignment_behavior: {fallback_rate_limit: {blanket_rule: DENY_ALL}}"
    assert "EX423" not in ids(quota(closed))
    assert "EX423" in ids(quota(f"{closed}, expired_assignment_behavior: {{reuse_last_assignment: {{}}}}"))


def test_fields_may_be_spelled_in_either_of_protobufs_ways() -> None:
    camel = bootstrap(listener({"typedConfig": {"@type": MANAGER, "useRemoteAddress": True, "mergeSlashes": "yes"}}))
    assert {"EX201", "EX203"} & ids(camel) == set()
    assert {"EX202", "EX207"} <= ids(camel)


def test_a_typed_struct_is_what_it_wraps() -> None:
    wrapped = {
        "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
        "type_url": HTTP + AUTHZ,
        "value": {"failure_mode_allow": True},
    }
    findings = found(manager("", {"name": "a", "typed_config": wrapped}))
    path = next(finding.path for finding in findings if finding.rule == "EX301")
    assert path.endswith("http_filters[0].typed_config.value.failure_mode_allow")


def test_a_file_of_resources_is_judged_by_what_is_in_it() -> None:
    resource = {"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", **listener(
        {"name": "hcm", "typed_config": {"@type": MANAGER}})}  # fmt: skip
    said = ids({"resources": [resource]})
    assert {"EX201", "EX805"} <= said
    assert {"EX801", "EX802"} & said == set(), "it is no bootstrap"


def test_what_a_dump_says_twice_is_found_once() -> None:
    weak = one(AUTHZ, "failure_mode_allow: true")
    typed = {
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        **weak["static_resources"]["listeners"][0],
    }
    dump = {
        "configs": [
            {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": weak},
            {
                "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
                "static_listeners": [{"listener": typed}],
            },
        ]
    }
    findings = [finding for finding in found(dump) if finding.rule == "EX301"]
    assert [finding.path.split(".")[0] for finding in findings] == ["configs[1]"]
    assert [finding.path for finding in found(dump) if finding.rule == "EX802"] == [
        "configs[0].bootstrap.overload_manager"
    ]


def test_routes_of_their_own_are_judged_without_a_connection_manager() -> None:
    whole = routed(AUTHZ, "match: {prefix: /}, OPEN, route: {cluster: c}")
    routes = whole["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]
    host = routes["virtual_hosts"][0]
    host["routes"][0]["typed_per_filter_config"] = {
        "envoy.filters.http.ext_authz": host["routes"][0]["typed_per_filter_config"]["ext_authz"]
    }
    own = {"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", **routes}
    assert "EX314" in ids({"resources": [own]})


def test_a_finding_has_the_place_of_the_value_or_of_what_it_is_missing_in() -> None:
    text = (
        "static_resources:\n  listeners:\n  - filter_chains:\n    - filters:\n      - typed_config:\n"
        f"          '@type': {MANAGER}\n          normalize_path: false\n"
    )
    findings = {one.rule: one for one in audit(as_written(text), Kind.ENVOY, NOTHING, Severity.LOW)}
    assert (findings["EX202"].line, findings["EX202"].column) == (7, 11)
    assert (findings["EX203"].line, findings["EX203"].column) == (5, 9)
    assert findings["EX203"].path.endswith("filters[0].typed_config.merge_slashes")


def test_the_worst_comes_first_and_what_is_below_the_threshold_not_at_all() -> None:
    weak = one(AUTHZ, "failure_mode_allow: true")
    severities = [finding.severity for finding in found(weak)]
    assert set(severities) == set(Severity)
    assert severities == sorted(severities, key=list(Severity).index)
    assert {finding.severity for finding in found(weak, Severity.HIGH)} == {Severity.HIGH}
    assert len(found(weak, Severity.MEDIUM)) == len(severities) - severities.count(Severity.LOW)


def test_an_ignored_rule_is_not_looked_for() -> None:
    source = as_written(yaml.safe_dump(manager()))
    before, after = (audit(source, Kind.ENVOY, ignored, Severity.LOW) for ignored in (NOTHING, frozenset({"EX201"})))
    assert [one for one in before if one.rule != "EX201"] == after


@pytest.mark.parametrize("odd", [None, True, "text", 1e400, [], [[]], [None], {"a": None}, {"@type": 3}])
@pytest.mark.parametrize("rule", ENVOY, ids=lambda rule: rule.id)
def test_odd_data_anywhere_is_survived(rule: Rule[Envoy], odd: object) -> None:
    """A file of somebody else's may hold anything, in the place of each value in turn."""
    weak, _ = CASES[rule.id]
    for path in paths(weak):
        assert list(rule.find(read_envoy(replaced(weak, path, odd)))) is not None


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in members:
        yield from paths(item, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], other: object) -> Any:
    if not path:
        return other
    copied = value.copy()
    copied[path[0]] = replaced(value[path[0]], path[1:], other)
    return copied


def test_who_asks_on_a_socket_that_is_shut_to_others_is_no_client() -> None:
    """What a proxy of the same user says of its client is to be believed; a socket without a mode may be anybody's."""
    (weak,) = manager()["static_resources"]["listeners"]
    assert "EX201" in ids(bootstrap(weak | {"address": {"pipe": {"path": "/s"}}}))
    assert "EX201" in ids(bootstrap(weak | {"address": {"pipe": {"path": "/s", "mode": 0o666}}}))
    assert "EX201" not in ids(bootstrap(weak | {"address": {"pipe": {"path": "/s", "mode": 0o660}}}))
    assert "EX201" in ids(bootstrap(weak | {"address": {"pipe": {"path": "/s", "mode": 0o660}}}, weak))
