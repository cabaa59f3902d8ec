"""Each setting that keeps the edge shut, in every bootstrap that we make. A row that goes missing is a hole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.golden.conftest import bootstrap_of

UNTRUSTED: Final = {
    "x-original-url", "x-rewrite-url", "x-forwarded-host", "x-http-method-override", "x-http-method",
    "x-method-override",
}  # fmt: skip
HTTP: Final = "type.googleapis.com/envoy.extensions.filters.http."

CONNECTION_MANAGER: Final = {
    "use_remote_address": True,
    "normalize_path": True,
    "merge_slashes": True,
    "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
    "strip_any_host_port": True,
    "strip_trailing_host_dot": True,
    "forward_client_cert_details": "SANITIZE",
    "server_header_transformation": "PASS_THROUGH",
    "preserve_external_request_id": False,
    "max_request_headers_kb": 60,
    "stream_idle_timeout": "300s",
    "request_timeout": "60s",
    "request_headers_timeout": "10s",
}
EXT_AUTHZ: Final = {
    "failure_mode_allow": False,
    "status_on_error": {"code": "ServiceUnavailable"},
    "validate_mutations": True,
    "encode_raw_headers": True,
    "max_denied_response_body_bytes": 65536,
    "deny_at_disable": {"default_value": True, "runtime_key": "extproc.deny_at_disable"},
    "decoder_header_mutation_rules": {
        "allow_all_routing": False,
        "allow_envoy": False,
        "disallow_system": True,
        "disallow_is_error": True,
    },
}
EXT_PROC: Final = {
    "failure_mode_allow": False,
    "allow_mode_override": False,
    "status_on_error": {"code": "ServiceUnavailable"},
    "message_timeout": "0.500s",
}
RATELIMIT: Final = {
    "failure_mode_deny": True,
    "status_on_error": {"code": "ServiceUnavailable"},
    "timeout": "0.500s",
    "enable_x_ratelimit_headers": "OFF",
}


def managers(case: Path) -> Iterator[dict[str, Any]]:
    for listener in bootstrap_of(case)["static_resources"]["listeners"]:
        yield listener["filter_chains"][0]["filters"][-1]["typed_config"]


def http_filters(case: Path, kind: str) -> Iterator[dict[str, Any]]:
    for manager in managers(case):
        for item in manager["http_filters"]:
            if item["typed_config"]["@type"] == HTTP + kind:
                yield item["typed_config"]


def sidecar(case: Path) -> dict[str, Any]:
    clusters: list[dict[str, Any]] = bootstrap_of(case)["static_resources"]["clusters"]
    return next(cluster for cluster in clusters if cluster["name"] == "extproc.sidecar")


@pytest.mark.parametrize(("setting", "value"), CONNECTION_MANAGER.items(), ids=CONNECTION_MANAGER)
def test_the_connection_manager_is_hardened(case: Path, setting: str, value: object) -> None:
    for manager in managers(case):
        assert manager[setting] == value


def test_trust_in_internal_addresses_is_left_unset(case: Path) -> None:
    """Written, even empty, it makes a loopback peer's x-envoy-* headers count."""
    assert all("internal_address_config" not in manager for manager in managers(case))


def test_odd_hosts_and_paths_are_answered_before_any_other_route(case: Path) -> None:
    for manager in managers(case):
        for host in manager["route_config"]["virtual_hosts"]:
            odd = [route for route in host["routes"] if route["name"] == "extproc.odd"]
            assert odd == host["routes"][: len(odd)]
            assert all(route["direct_response"] == {"status": 400} for route in odd)
            assert "safe_regex" in odd[0]["match"]
            by_host = [route["match"]["headers"][0]["invert_match"] for route in odd[1:]]
            assert by_host == ([True] if "*" in host["domains"][0] else [])


def test_no_answer_says_which_software_made_it_or_what_is_ours_alone(case: Path) -> None:
    for filter_ in http_filters(case, "header_mutation.v3.HeaderMutation"):
        removed = filter_["mutations"]["response_mutations"]
        prefixes = {mutation.get("remove_on_match", {}).get("key_matcher", {}).get("prefix") for mutation in removed}
        assert prefixes >= {"x-extproc-", "x-consumer-", "x-envoy-"}
        assert {"remove": "server"} in removed
    assert all(manager["http_filters"][0]["name"].endswith("header_mutation") for manager in managers(case))
    assert all(router["suppress_envoy_headers"] for router in http_filters(case, "router.v3.Router"))


def test_every_refusal_of_envoys_own_has_words_of_ours(case: Path) -> None:
    """The last mapper takes whatever status the others leave."""
    for manager in managers(case):
        mappers = manager["local_reply_config"]["mappers"]
        asked = [mapper["filter"]["extension_filter"]["typed_config"]["expression"] for mapper in mappers]
        assert asked[-1].startswith("response.code >= 400 && ")
        for mapper in mappers:
            assert mapper["body_format_override"]["content_type"] == "application/problem+json"
            assert mapper["headers_to_add"][0]["header"] == {"key": "cache-control", "value": "no-store"}


def test_names_with_underscores_and_too_many_headers_are_refused(case: Path) -> None:
    for manager in managers(case):
        options = manager["common_http_protocol_options"]
        assert options["headers_with_underscores_action"] == "REJECT_REQUEST"
        assert options["max_headers_count"] == 100


def test_forged_headers_are_removed_before_a_route_is_chosen(case: Path) -> None:
    for manager in managers(case):
        mutations = manager["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
        named = {mutation.get("remove") for mutation in mutations}
        prefixes = {mutation.get("remove_on_match", {}).get("key_matcher", {}).get("prefix") for mutation in mutations}
        assert named >= UNTRUSTED
        assert prefixes >= {"x-extproc-", "x-consumer-", "x-envoy-"}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("ext_authz.v3.ExtAuthz", EXT_AUTHZ),
        ("ext_proc.v3.ExternalProcessor", EXT_PROC),
        ("ratelimit.v3.RateLimit", RATELIMIT),
    ],
)
def test_every_call_to_the_sidecar_fails_closed(case: Path, kind: str, settings: dict[str, Any]) -> None:
    for written in http_filters(case, kind):
        assert {key: _with_zeros(written.get(key), value) for key, value in settings.items()} == settings


def _with_zeros(written: Any, expected: Any) -> Any:
    """Nested `false` is proto3's default and may be left out; at the top, where it decides, it must be written."""
    return {**dict.fromkeys(expected, False), **written} if isinstance(expected, dict) and written else written


@pytest.mark.parametrize("kind", ["ext_authz.v3.ExtAuthz", "ext_proc.v3.ExternalProcessor", "ratelimit.v3.RateLimit"])
def test_every_call_has_a_deadline_and_its_retry_where_envoy_reads_it(case: Path, kind: str) -> None:
    for written in http_filters(case, kind):
        service = written.get("rate_limit_service", written)["grpc_service"]
        assert service["timeout"] == "0.500s"
        assert service["retry_policy"]["retry_on"]
        assert service["retry_policy"]["retry_host_predicate"][0]["name"].endswith("previous_hosts")
        assert "retry_policy" not in service["envoy_grpc"]


def test_rbac_denies_all_and_every_route_says_so_if_it_does_not(case: Path) -> None:
    assert list(http_filters(case, "ext_authz.v3.ExtAuthz"))
    assert list(http_filters(case, "rbac.v3.RBAC"))
    for rules in http_filters(case, "rbac.v3.RBAC"):
        assert rules["rules"] == {"action": "ALLOW"}
    for manager in managers(case):
        for host in manager["route_config"]["virtual_hosts"]:
            for route in host["routes"]:
                assert "envoy.filters.http.rbac" in route["typed_per_filter_config"]
                assert "envoy.filters.http.ext_authz" in route["typed_per_filter_config"]


def test_a_request_that_matches_nothing_is_answered_without_a_call(case: Path) -> None:
    for manager in managers(case):
        for host in manager["route_config"]["virtual_hosts"]:
            last = host["routes"][-1]
            assert last["direct_response"] == {"status": 404}
            assert last["typed_per_filter_config"]["envoy.filters.http.ext_authz"]["disabled"] is True


def test_the_sidecar_cluster_notices_a_death_and_a_birth_at_once(case: Path) -> None:
    cluster = sidecar(case)
    check = cluster["health_checks"][0]
    assert check["no_traffic_interval"] == check["interval"] == "0.500s"
    assert cluster["common_lb_config"]["healthy_panic_threshold"] == {}
    assert len(cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]) == 2


def test_a_port_is_never_shared(case: Path) -> None:
    for listener in bootstrap_of(case)["static_resources"]["listeners"]:
        assert listener["enable_reuse_port"] is False


def test_admin_and_memory_are_bounded(case: Path) -> None:
    bootstrap = bootstrap_of(case)
    assert bootstrap["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    names = {monitor["name"] for monitor in bootstrap["overload_manager"]["resource_monitors"]}
    assert names == {
        "envoy.resource_monitors.fixed_heap",
        "envoy.resource_monitors.global_downstream_max_connections",
    }
