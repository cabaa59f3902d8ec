"""What Envoy is told of models: routes in front of the plain one, clusters of their own, and written bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from extproc.app.project import read_project
from extproc.bootstrap.build import build_bootstrap

GATEWAY: Final = Path(__file__).parents[1] / "golden" / "models.gateway.yaml"


@pytest.fixture(name="bootstrap", scope="module")
def _bootstrap() -> dict[str, Any]:
    return build_bootstrap(read_project(GATEWAY, {}).plan)


def routes(bootstrap: dict[str, Any], name: str) -> list[dict[str, Any]]:
    manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][-1]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    return [route for route in host["routes"] if route.get("name") == name]


def clusters(bootstrap: dict[str, Any], prefix: str) -> dict[str, dict[str, Any]]:
    found = bootstrap["static_resources"]["clusters"]
    return {cluster["name"]: cluster for cluster in found if cluster["name"].startswith(prefix)}


def asked_for(route: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    return [(header["name"], header["string_match"]) for header in route["match"].get("headers", [])]


def test_what_is_treated_in_another_way_stands_in_front_of_the_plain_route(bootstrap: dict[str, Any]) -> None:
    copied, standing, plain = routes(bootstrap, "named")
    assert asked_for(copied) == [("x-extproc-shadow", {"exact": "chat"})]
    assert asked_for(standing) == [("x-extproc-cluster", {"prefix": "model.chat/"})]
    assert asked_for(plain) == []
    assert [bool(route["route"].get("request_mirror_policies")) for route in (copied, standing, plain)] == [
        True, False, False,
    ]  # fmt: skip
    assert [bool(route["route"].get("retry_policy")) for route in (copied, standing, plain)] == [True, True, False]


def test_a_route_of_one_model_is_that_models_own(bootstrap: dict[str, Any]) -> None:
    copied, plain = routes(bootstrap, "chat")
    assert asked_for(plain) == []
    assert plain["route"]["retry_policy"] == copied["route"]["retry_policy"]
    assert plain["route"]["retry_policy"]["num_retries"] == 2
    assert plain["route"]["retry_policy"]["per_try_timeout"] == "2s"
    assert (plain["request_body_buffer_limit"], copied["request_body_buffer_limit"]) == (262_144, 262_144)


def test_a_shadow_that_is_compared_is_not_envoys(bootstrap: dict[str, Any]) -> None:
    (plain,) = routes(bootstrap, "score")
    assert plain["typed_per_filter_config"]["envoy.filters.http.ext_authz"]["check_settings"]["with_request_body"]
    assert list(clusters(bootstrap, "shadow.")) == ["shadow.chat"]


@pytest.mark.parametrize("name", ["named", "chat", "score"])
def test_no_header_about_versions_passes_in_either_direction(bootstrap: dict[str, Any], name: str) -> None:
    for route in routes(bootstrap, name):
        assert {"x-extproc-cluster", "x-extproc-shadow", "x-model-version"} <= set(route["request_headers_to_remove"])
        assert route["response_headers_to_remove"] == ["x-model-version", "x-model-fallback"]
    assert ("x-chat-version" in routes(bootstrap, name)[0]["request_headers_to_remove"]) is (name != "score")


def test_each_version_has_those_behind_it_that_stand_in(bootstrap: dict[str, Any]) -> None:
    behind = {
        name: cluster["cluster_type"]["typed_config"]["clusters"]
        for name, cluster in clusters(bootstrap, "model.").items()
    }
    assert behind == {
        "model.chat/v1": ["version.chat/v1", "version.chat/v2"],
        "model.chat/v2": ["version.chat/v2", "version.chat/v1"],
        "model.chat/v3": ["version.chat/v3", "version.chat/v1", "version.chat/v2"],
    }


def test_what_stands_in_and_what_is_copied_is_bounded(bootstrap: dict[str, Any]) -> None:
    for cluster in clusters(bootstrap, "model.").values():
        assert cluster["circuit_breakers"] == {"thresholds": [{"max_retries": 5}]}
    shadow = clusters(bootstrap, "shadow.")["shadow.chat"]
    assert shadow["circuit_breakers"] == {"thresholds": [{"max_pending_requests": 100, "max_requests": 100}]}


def test_a_version_may_be_ejected_whole_where_others_stand_in_and_says_which_it_is(bootstrap: dict[str, Any]) -> None:
    version = clusters(bootstrap, "version.")["version.chat/v1"]
    assert version["outlier_detection"]["max_ejection_percent"] == 100
    assert clusters(bootstrap, "upstream.")["upstream.one"]["outlier_detection"]["max_ejection_percent"] == 50
    (endpoint,) = version["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["metadata"]["filter_metadata"] == {"extproc.model": {"version": "v1"}}
