"""Which virtual host serves which route, and what becomes of timeouts and retries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from extproc.app.project import read_project
from extproc.bootstrap.build import build_bootstrap
from extproc.plan.model import MatchPlan
from extproc.plan.routing import serves

ONE_UPSTREAM = "a: {endpoints: ['127.0.0.1:9000']}"


@pytest.mark.parametrize(
    ("hosts", "domain", "served"),
    [
        ((), "*", True),
        ((), "api.example.com", True),
        (("api.example.com",), "api.example.com", True),
        (("api.example.com",), "*", False),
        (("api.example.com",), "*.example.com", False),
        (("*.example.com",), "api.example.com", True),
        (("*.example.com",), "a.b.example.com", True),
        (("*.example.com",), "*.example.com", True),
        (("*.example.com",), "*.b.example.com", True),
        (("*.b.example.com",), "*.example.com", False),
        (("*.example.com",), "example.com", False),
        (("*.example.com",), "anexample.com", False),
        (("other.com", "api.example.com"), "api.example.com", True),
    ],
)
def test_a_route_is_in_every_virtual_host_that_its_hosts_cover(
    hosts: tuple[str, ...], domain: str, served: bool
) -> None:
    assert serves(MatchPlan(hosts=hosts, path_prefix="/"), domain) is served


def routes(folder: Path, upstreams: str, *written: str, defaults: str = "{}") -> dict[str, Mapping[str, Any]]:
    """The generated routes by name, of a file with these upstreams and routes."""
    file = folder / "gateway.yaml"
    listed = "".join(f"  - {{authenticate: none, {route}}}\n" for route in written)
    file.write_text(
        f"listeners: [{{name: public, address: '127.0.0.1:8080'}}]\nupstreams: {{{upstreams}}}\n"
        f"defaults: {defaults}\nroutes:\n{listed}"
    )
    plan = read_project(file, {}).plan
    manager = build_bootstrap(plan)["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][-1]
    return {
        route["name"]: route
        for host in manager["typed_config"]["route_config"]["virtual_hosts"]
        for route in host["routes"]
    }


@pytest.mark.parametrize(
    ("upstream", "route", "timeout", "per_try"),
    [
        ("", "", "15s", None),
        ("", ", timeout: 2s", "2s", None),
        (", timeout: 1s", "", "1s", None),
        (", timeout: 20s", "", "15s", None),
        (", timeout: 1s, retries: 2", "", "15s", "1s"),
        (", timeout: 1s, retries: 2", ", timeout: 3s", "3s", "1s"),
        (", retries: 1", "", "15s", None),
        (", timeout: 1s", ", stream: true", "0s", None),
    ],
)
def test_a_route_s_time_is_the_whole_and_an_upstream_s_is_one_try(
    tmp_path: Path, upstream: str, route: str, timeout: str, per_try: str | None
) -> None:
    upstreams = f"a: {{endpoints: ['127.0.0.1:9000']{upstream}}}"
    action = routes(tmp_path, upstreams, f"name: r, match: {{path: /}}, upstream: a{route}")["r"]["route"]
    assert action["timeout"] == timeout
    assert action.get("retry_policy", {}).get("per_try_timeout") == per_try
    assert ("idle_timeout" in action) is ("stream" in route)


def test_a_prefix_ends_at_a_segment(tmp_path: Path) -> None:
    made = routes(
        tmp_path, ONE_UPSTREAM,
        "name: segment, match: {path_prefix: /api}, upstream: a",
        "name: folder, match: {path_prefix: /api/}, upstream: a",
        "name: exact, match: {path: /api}, upstream: a",
    )  # fmt: skip
    assert made["segment"]["match"] == {"path_separated_prefix": "/api"}
    assert made["folder"]["match"] == {"prefix": "/api/"}
    assert made["exact"]["match"] == {"path": "/api"}


def test_methods_are_one_anchored_alternative(tmp_path: Path) -> None:
    made = routes(tmp_path, ONE_UPSTREAM, "name: r, match: {path: /, methods: [GET, POST]}, upstream: a")
    method = made["r"]["match"]["headers"][0]
    assert method == {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|POST"}}}


@pytest.mark.parametrize(
    ("match", "to", "expected"),
    [
        ("path_prefix: /old", "/new", {"prefix_rewrite": "/new"}),
        ("path: /old", "/new?from=old", {"path_redirect": "/new?from=old"}),
        (
            "path: /old",
            "https://example.com/new",
            {"scheme_redirect": "https", "host_redirect": "example.com", "path_redirect": "/new"},
        ),
        (
            "path_prefix: /old",
            "http://example.com:8443/new",
            {
                "scheme_redirect": "http",
                "host_redirect": "example.com",
                "port_redirect": 8443,
                "prefix_rewrite": "/new",
            },
        ),
    ],
)
def test_a_redirect_replaces_what_was_matched(tmp_path: Path, match: str, to: str, expected: dict[str, Any]) -> None:
    made = routes(tmp_path, ONE_UPSTREAM, f"name: r, match: {{{match}}}, redirect: {{to: '{to}'}}")
    redirect = {key: value for key, value in made["r"]["redirect"].items() if key != "response_code"}
    assert redirect == expected
    assert made["r"]["redirect"]["response_code"] == "PERMANENT_REDIRECT"


def test_a_limit_of_a_public_route_begins_with_what_is_always_there(tmp_path: Path) -> None:
    """An action that yields nothing drops its whole descriptor: the constants cannot, the address hardly."""
    made = routes(
        tmp_path, ONE_UPSTREAM, "name: r, match: {path: /}, upstream: a, limits: [{per: address, rate: 5/s}]"
    )  # fmt: skip
    actions = made["r"]["route"]["rate_limits"][0]["actions"]
    keys = [action.get("generic_key", {}).get("descriptor_key", "address") for action in actions]
    assert keys == ["extproc.route", "extproc.limit", "extproc.revision", "address"]
    assert actions[-1]["masked_remote_address"] == {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}
