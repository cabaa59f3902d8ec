"""What two places must agree on, asked of raw data that no model has seen."""

from __future__ import annotations

from typing import Any, Final

import pytest

from extproc.config.model import EnvoySettings, Sidecar
from extproc.config.references import ADMINS, check_references
from extproc.core.problems import spell_path

ROUTE: Final[dict[str, Any]] = {"name": "users", "upstream": "users", "authenticate": "partners"}
RAW: Final[dict[str, Any]] = {
    "listeners": [{"name": "public", "address": "0.0.0.0:8080"}],
    "upstreams": {"users": {}},
    "authentication": {"partners": {"api_key": {"header": "x-key"}}},
    "routes": [ROUTE],
}


def told(raw: object) -> list[str]:
    return [f"{spell_path(finding.path)}: {finding.message}" for finding in check_references(raw)]


def with_route(**keys: object) -> dict[str, Any]:
    return RAW | {"routes": [ROUTE | keys]}


def test_a_file_that_agrees_with_itself_has_no_findings() -> None:
    assert told(RAW) == []


@pytest.mark.parametrize("raw", [None, 3, "text", [], {}, {"routes": None}, {"routes": {}}, {"routes": [None, 3, []]}])
def test_what_is_no_gateway_at_all_is_left_to_the_model(raw: object) -> None:
    assert told(raw) == []


@pytest.mark.parametrize("block", sorted(RAW | {"defaults": 0, "models": 0, "tiers": 0, "envoy": 0, "sidecar": 0}))
@pytest.mark.parametrize("odd", [None, 3, "text", [], {}, [[]], [{}], {"a": None}, {"a": {"b": []}}])
def test_odd_data_anywhere_is_survived(block: str, odd: object) -> None:
    assert isinstance(told(RAW | {block: odd}), list)


@pytest.mark.parametrize("key", ["name", "match", "upstream", "model", "authenticate", "limits", "policies"])
@pytest.mark.parametrize("odd", [None, 3, "text", [], {}, [[]], [{}], {"a": []}, {"headers": 3}])
def test_odd_data_in_a_route_is_survived(key: str, odd: object) -> None:
    assert isinstance(told(with_route(**{key: odd})), list)


def test_names_in_different_blocks_may_be_alike() -> None:
    raw = RAW | {"listeners": [{"name": "users"}], "tiers": {"users": {}}, "models": {"users": {}}}
    assert told(raw) == []


def test_a_third_of_a_name_is_told_as_well() -> None:
    assert told(RAW | {"routes": [ROUTE, ROUTE, ROUTE]}) == [
        "routes[1].name: 'users' is already the name of routes[0]",
        "routes[2].name: 'users' is already the name of routes[0]",
    ]


def test_the_admin_addresses_that_nobody_wrote_are_taken_too() -> None:
    assert {"envoy": str(EnvoySettings().admin), "sidecar": str(Sidecar().admin)} == ADMINS
    listeners = [{"name": "a", "address": ADMINS["envoy"]}, {"name": "b", "address": ADMINS["sidecar"]}]
    assert told(RAW | {"listeners": listeners}) == [
        "listeners[0].address: 127.0.0.1:9901 is taken: envoy.admin has it",
        "listeners[1].address: 127.0.0.1:9900 is taken: sidecar.admin has it",
    ]


def test_an_admin_address_elsewhere_leaves_its_default_free() -> None:
    raw = RAW | {"listeners": [{"address": ADMINS["envoy"]}], "envoy": {"admin": "127.0.0.1:9999"}}
    assert told(raw) == []


@pytest.mark.parametrize("names", ["none", ["partners"], "partners"])
def test_authentication_may_be_one_or_several_or_nobody(names: object) -> None:
    assert told(with_route(authenticate=names)) == []


def test_a_default_says_who_may_call_a_route_that_does_not() -> None:
    silent = {key: value for key, value in ROUTE.items() if key != "authenticate"}
    assert told(RAW | {"routes": [silent], "defaults": {"authenticate": "none"}}) == []
    assert told(RAW | {"routes": [silent], "defaults": {"authenticate": None}}) == [
        "routes[0]: nothing says who may call this route"
    ]


@pytest.mark.parametrize(
    ("header", "written"),
    [("x-key", {"header": "x-key"}), ("x-api-key", {}), ("x-api-key", None), ("authorization", {})],
)
def test_no_route_matches_on_a_header_that_is_removed_with_its_credential(header: str, written: object) -> None:
    raw = with_route(match={"headers": {header: "present"}}) | {"authentication": {"partners": {"api_key": written}}}
    assert told(raw) == [
        f"routes[0].match.headers.{header}: {header} carries a credential, which no route may match on"
    ]


def test_a_header_that_carries_nothing_may_be_matched_on() -> None:
    assert told(with_route(match={"headers": {"x-api-key": "present", "x-beta": "1"}})) == []


@pytest.mark.parametrize(("sticky", "findings"), [({}, 1), ({"sticky": "consumer"}, 1), ({"sticky": "none"}, 0)])
def test_a_model_sticks_to_a_consumer_only_where_somebody_is_asked(sticky: dict[str, str], findings: int) -> None:
    models: dict[str, object] = {"m": {"versions": {}, **sticky}}
    route = {"name": "m", "model": "m"}
    assert len(told(RAW | {"models": models, "routes": [route | {"authenticate": "none"}]})) == findings
    assert told(RAW | {"models": models, "routes": [route | {"authenticate": "partners"}]}) == []


def test_a_route_may_replace_the_limits_of_the_defaults_that_it_cannot_keep() -> None:
    raw = RAW | {"tiers": {"free": {}}, "defaults": {"limits": ["tier"]}}
    assert told(raw | {"routes": [ROUTE | {"authenticate": "none"}]}) == [
        "routes[0]: a limit per tier needs a consumer, and nobody is asked who they are"
    ]
    for own in ([], [{"per": "address", "rate": "1/s"}]):
        assert told(raw | {"routes": [ROUTE | {"authenticate": "none", "limits": own}]}) == []
