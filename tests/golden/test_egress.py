"""The sidecar's own way out: a socket of its own, a route per part and nothing else, and no check in between."""

from __future__ import annotations

from typing import Any, Final

from extproc.core.names import egress_host
from tests.golden.conftest import ROOT, bootstrap_of, name_of

CASE: Final = ROOT / "tests" / "golden" / "aggregates.gateway.yaml"
EGRESS: Final = "extproc.egress"
PART: Final = "x-extproc-part"


def listener() -> dict[str, Any]:
    found: list[dict[str, Any]] = bootstrap_of(CASE)["static_resources"]["listeners"]
    return next(one for one in found if one["name"] == EGRESS)


def manager() -> dict[str, Any]:
    (only,) = listener()["filter_chains"][0]["filters"]
    config: dict[str, Any] = only["typed_config"]
    return config


def hosts() -> dict[str, dict[str, Any]]:
    return {host["name"]: host for host in manager()["route_config"]["virtual_hosts"]}


def routes(host: str) -> dict[str, dict[str, Any]]:
    return {route["name"]: route for route in hosts()[host]["routes"]}


def test_there_is_a_way_out_only_where_an_answer_is_put_together(case: Any) -> None:
    resources = bootstrap_of(case)["static_resources"]
    found = [one["name"] for one in resources["listeners"] if one["name"] == EGRESS]
    dead = [one["name"] for one in resources["clusters"] if one["name"] == "extproc.dead-end"]
    assert len(found) == len(dead) == int(name_of(case) in ("aggregates", "demo"))


def test_it_is_a_socket_for_its_user_and_group_alone() -> None:
    assert listener()["address"] == {"pipe": {"path": "/run/extproc/egress/envoy.sock", "mode": 0o660}}


def test_each_upstream_that_is_asked_has_a_host_and_no_other_has() -> None:
    assert {name: host["domains"] for name, host in hosts().items()} == {
        "users": ["users"], "Users": ["^users"], "orders": ["orders"],
    }  # fmt: skip
    assert manager()["route_config"]["vhost_header"] == "x-extproc-upstream"


def test_no_two_upstreams_have_one_host() -> None:
    """Envoy compares them without case."""
    names = ["users", "Users", "USERS", "uSers", "users.a", "a-b_c"]
    assert len({egress_host(name).lower() for name in names}) == len(names)


def test_a_part_has_a_route_to_its_own_upstream_and_any_other_request_is_404() -> None:
    assert list(routes("users")) == ["home/profile", "written/profile", "extproc.no-route"]
    for name in ("home/profile", "written/profile"):
        route = routes("users")[name]
        (header,) = route["match"]["headers"]
        assert (header["name"], header["string_match"]) == (PART, {"exact": name})
        assert route["route"]["cluster"] == "upstream.users"
    assert routes("users")["extproc.no-route"]["direct_response"] == {"status": 404}


def test_time_and_tries_are_the_parts_own() -> None:
    """Of `orders` the upstream's timeout is for each try, so the part's is what is left of the route's: 4 s."""
    got = routes("orders")["home/orders"]["route"]
    made = routes("orders")["home/made"]["route"]
    assert (got["timeout"], got["retry_policy"]["num_retries"], got["retry_policy"]["per_try_timeout"]) == (
        "4s",
        2,
        "1s",
    )
    assert "gateway-error" in got["retry_policy"]["retry_on"]
    assert made["retry_policy"]["retry_on"] == "connect-failure,refused-stream,reset-before-request"
    assert routes("users")["home/profile"]["route"]["timeout"] == "2s"
    same = routes("Users")["home/same"]["route"]
    assert (same["timeout"], same.get("retry_policy")) == ("0.300s", None)


def test_what_names_the_route_reaches_no_upstream() -> None:
    every = [route for host in hosts() for route in routes(host).values() if "route" in route]
    assert all(set(route["request_headers_to_remove"]) == {PART, "x-extproc-upstream"} for route in every)


def test_the_request_is_the_clients_own_and_nobody_is_asked_again() -> None:
    config = manager()
    assert [item["name"] for item in config["http_filters"]] == ["envoy.filters.http.router"]
    assert (config.get("use_remote_address"), config["preserve_external_request_id"]) in ((False, True), (None, True))
    assert (config["normalize_path"], config["path_with_escaped_slashes_action"]) == (True, "REJECT_REQUEST")
    assert config["codec_type"] == "HTTP1"


def test_an_aggregates_route_leads_to_a_cluster_of_nobody_and_has_longer_to_answer() -> None:
    resources = bootstrap_of(CASE)["static_resources"]
    dead = next(one for one in resources["clusters"] if one["name"] == "extproc.dead-end")
    assert dead.get("load_assignment", {}).get("endpoints", []) == []
    public = resources["listeners"][0]["filter_chains"][0]["filters"][-1]["typed_config"]
    (home,) = [one for one in public["route_config"]["virtual_hosts"][0]["routes"] if one["name"] == "home"]
    assert home["route"]["cluster"] == "extproc.dead-end"
    (proc,) = [one["typed_config"] for one in public["http_filters"] if one["name"] == "envoy.filters.http.ext_proc"]
    assert (proc["message_timeout"], proc["max_message_timeout"]) == ("0.500s", "16s")
