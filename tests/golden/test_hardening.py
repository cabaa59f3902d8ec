"""Each setting that keeps the edge shut, in every bootstrap that we make. A row that goes missing is a hole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from extproc.core.processing import MAX_SHOWN, BodyMode
from tests.golden.conftest import bootstrap_of, cases, plan_of, rendered
from tests.golden.hardened import at, http_filters, listeners, managers, sidecar

UNTRUSTED: Final = {
    "x-original-url", "x-rewrite-url", "x-forwarded-host", "x-http-method-override", "x-http-method",
    "x-method-override",
}  # fmt: skip

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
    "common_http_protocol_options.max_headers_count": 100,
    "common_http_protocol_options.headers_with_underscores_action": "REJECT_REQUEST",
    "common_http_protocol_options.idle_timeout": "3600s",
    "stream_idle_timeout": "300s",
    "request_timeout": "60s",
    "request_headers_timeout": "10s",
    "http2_protocol_options.max_concurrent_streams": 100,
    "http2_protocol_options.initial_stream_window_size": 64 * 1024,
    "http2_protocol_options.initial_connection_window_size": 1024 * 1024,
}
# Left out on purpose: written, each of them opens something.
NOT_IN_THE_MANAGER: Final = {
    "internal_address_config": "even empty, it makes a loopback peer's x-envoy-* headers count",
    "upgrade_configs": "a CONNECT would open a tunnel, and an upgrade a connection in which nobody is asked again",
    "http_protocol_options": "Content-Length beside Transfer-Encoding is refused by default, and HTTP/1.0 too",
}
NOT_IN_EXT_AUTHZ: Final = {
    "with_request_body": "bodies are not shown: part of one would be judged for the whole",
    "filter_enabled": "a runtime value would switch the check off",
    "failure_mode_allow_header_add": "a client could forge it",
    "shadow_mode": "refusals would be counted and not made",
}
NOT_IN_EXT_PROC: Final = {
    "allow_content_length_header": "a length that is not the body's smuggles",
    "observability_mode": "its answers would change nothing",
}
SIDECAR: Final = {
    "connect_timeout": "0.250s",
    "health_checks.0.grpc_health_check": {},
    "health_checks.0.interval": "0.500s",
    "health_checks.0.no_traffic_interval": "0.500s",
    "health_checks.0.no_traffic_healthy_interval": "0.500s",
    "health_checks.0.unhealthy_threshold": 1,
    "health_checks.0.healthy_threshold": 1,
    "common_lb_config.healthy_panic_threshold": {},
    "common_lb_config.update_merge_window": "0s",
    "circuit_breakers.thresholds.0.max_connections": 1024,
    "circuit_breakers.thresholds.0.max_pending_requests": 4096,
    "circuit_breakers.thresholds.0.max_requests": 16384,
    "circuit_breakers.thresholds.0.max_retries": 64,
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
    "rate_limited_status": {"code": "TooManyRequests"},
    "enable_x_ratelimit_headers": "OFF",
}


@pytest.mark.parametrize(("setting", "value"), CONNECTION_MANAGER.items(), ids=CONNECTION_MANAGER)
def test_the_connection_manager_is_hardened(case: Path, setting: str, value: object) -> None:
    for manager in managers(case):
        assert at(manager, setting) == value


@pytest.mark.parametrize("setting", NOT_IN_THE_MANAGER)
def test_what_would_open_the_connection_manager_is_left_out(case: Path, setting: str) -> None:
    assert all(setting not in manager for manager in managers(case)), NOT_IN_THE_MANAGER[setting]


@pytest.mark.parametrize(
    ("kind", "left_out"),
    [("ext_authz.v3.ExtAuthz", NOT_IN_EXT_AUTHZ), ("ext_proc.v3.ExternalProcessor", NOT_IN_EXT_PROC)],
)
def test_what_would_open_a_check_is_left_out(case: Path, kind: str, left_out: dict[str, str]) -> None:
    for written in http_filters(case, kind):
        assert written.keys() & left_out == set()


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


@pytest.mark.parametrize(("setting", "value"), SIDECAR.items(), ids=SIDECAR)
def test_the_sidecar_cluster_notices_a_death_and_a_birth_at_once(case: Path, setting: str, value: object) -> None:
    assert at(sidecar(case), setting) == value


def test_the_sidecar_is_reached_by_sockets_that_no_other_machine_has(case: Path) -> None:
    endpoints = sidecar(case)["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert len(endpoints) == 2
    assert all(list(one["endpoint"]["address"]) == ["pipe"] for one in endpoints)


def test_a_connection_to_the_sidecar_that_is_dead_is_noticed(case: Path) -> None:
    (options,) = sidecar(case)["typed_extension_protocol_options"].values()
    alive = options["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"]
    assert alive == {"interval": "5s", "timeout": "2s"}


def routes(case: Path) -> Iterator[dict[str, Any]]:
    for manager in managers(case):
        for host in manager["route_config"]["virtual_hosts"]:
            yield from host["routes"]


def test_the_route_is_chosen_again_only_where_a_policy_chooses_the_cluster(case: Path) -> None:
    chosen = any("cluster_header" in route.get("route", {}) for route in routes(case))
    assert [written["clear_route_cache"] for written in http_filters(case, "ext_authz.v3.ExtAuthz")] == [
        chosen for _ in managers(case)
    ]


def test_a_chosen_cluster_is_not_shown_to_the_upstream_and_not_limited_where_nobody_would_be_asked(case: Path) -> None:
    """The ratelimit filter is skipped where the cluster is not known: such limits are in the fused call."""
    for route in routes(case):
        if "cluster_header" in route.get("route", {}):
            assert route["route"]["cluster_header"] in route["request_headers_to_remove"]
            assert "rate_limits" not in route["route"]


def test_a_route_ends_or_is_idle_for_five_minutes_at_most(case: Path) -> None:
    for route in routes(case):
        if "route" in route:
            assert route["route"]["timeout"] != "0s" or route["route"]["idle_timeout"] == "300s"


def test_no_body_is_judged_by_its_beginning(case: Path) -> None:
    """Row 27: no mode that passes the rest of a large body unseen, in a filter or on a route."""
    assert "BUFFERED_PARTIAL" not in str(bootstrap_of(case))
    for route in routes(case):
        asked = route["typed_per_filter_config"]["envoy.filters.http.ext_authz"]
        if asked.get("disabled"):
            continue
        shown = asked["check_settings"].get("with_request_body")
        assert (shown is None) is asked["check_settings"].get("disable_request_body_buffering", False)
        if shown is not None:
            held = route["typed_per_filter_config"]["envoy.filters.http.buffer"]["buffer"]["max_request_bytes"]
            assert shown == {"max_request_bytes": held, "pack_as_bytes": True}  # partial messages only if it says so


def test_a_body_is_held_to_its_limit_before_anybody_is_asked(case: Path) -> None:
    for manager in managers(case):
        names = [item["name"].rpartition(".")[2] for item in manager["http_filters"]]
        assert names.index("buffer") < names.index("rbac") < names.index("ext_authz") < names.index("router")
    for route in routes(case):
        own = route["typed_per_filter_config"]["envoy.filters.http.buffer"]
        assert own.get("disabled") is ("direct_response" in route or None)
        assert own.get("disabled") or own["buffer"]["max_request_bytes"] < 64 * 1024 * 1024


def test_envoys_own_refusals_leave_the_sidecars_bodies_alone(case: Path) -> None:
    for manager in managers(case):
        for mapper in manager["local_reply_config"]["mappers"]:
            said = mapper["filter"]["extension_filter"]["typed_config"]["expression"]
            assert "!(response.code_details in ['ext_authz_denied', 'request_rate_limited']" in said


def test_connections_and_their_buffers_are_bounded(case: Path) -> None:
    bootstrap = bootstrap_of(case)
    for listener in listeners(case):
        assert listener["filter_chains"][0]["filters"][0]["typed_config"]["max_connections"] == 10_000
        assert listener["per_connection_buffer_limit_bytes"] == max(32 * 1024, longest_answer(case))
    for cluster in bootstrap["static_resources"]["clusters"]:
        if cluster["name"] != "extproc.sidecar":
            assert cluster["per_connection_buffer_limit_bytes"] == 32 * 1024


def test_a_port_is_never_shared(case: Path) -> None:
    for listener in bootstrap_of(case)["static_resources"]["listeners"]:
        assert listener["enable_reuse_port"] is False


def test_admin_is_for_this_machine_alone(case: Path) -> None:
    assert bootstrap_of(case)["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


OVERLOAD: Final = {
    "resource_monitors.0.typed_config.max_heap_size_bytes": str(1024**3),
    "resource_monitors.1.typed_config.max_active_downstream_connections": "50000",
    "actions.0.name": "envoy.overload_actions.shrink_heap",
    "actions.0.triggers.0.threshold.value": 0.95,
    "actions.1.name": "envoy.overload_actions.stop_accepting_requests",
    "actions.1.triggers.0.threshold.value": 0.98,
}


@pytest.mark.parametrize(("setting", "value"), OVERLOAD.items(), ids=OVERLOAD)
def test_memory_and_connections_end_before_the_machine_does(case: Path, setting: str, value: object) -> None:
    assert at(bootstrap_of(case)["overload_manager"], setting) == value


GRPC_RECEIVES: Final = 4 * 1024 * 1024  # grpcio's default, which the sidecar's server keeps
SHOWS_BODIES: Final = ("request_body_mode", "response_body_mode")
HELD: Final = {"NONE", "BUFFERED", None}
PASSING: Final = "FULL_DUPLEX_STREAMED"


def routes_of(case: Path) -> Iterator[dict[str, Any]]:
    for manager in managers(case):
        for host in manager["route_config"]["virtual_hosts"]:
            yield from host["routes"]


def modes_of(case: Path) -> Iterator[dict[str, Any]]:
    """Every mode in which a body may be shown to the sidecar: the filter's and each route's."""
    for written in http_filters(case, "ext_proc.v3.ExternalProcessor"):
        yield written["processing_mode"]
    for route in routes_of(case):
        overrides = route["typed_per_filter_config"].get("envoy.filters.http.ext_proc", {}).get("overrides", {})
        yield overrides.get("processing_mode", {})


def test_a_body_that_is_shown_to_the_sidecar_fits_into_one_of_its_messages(case: Path) -> None:
    """A larger one would not be a refusal but a broken call (ACCEPTANCE 23)."""
    shown = [mode for mode in modes_of(case) if "BUFFERED" in {mode.get(key) for key in SHOWS_BODIES}]
    for listener in listeners(case):
        assert listener["per_connection_buffer_limit_bytes"] < GRPC_RECEIVES
        assert not shown or listener["per_connection_buffer_limit_bytes"] >= longest_answer(case)
    for written in http_filters(case, "ext_authz.v3.ExtAuthz"):
        assert "with_request_body" not in written
    for route in routes_of(case):
        settings = route["typed_per_filter_config"]["envoy.filters.http.ext_authz"].get("check_settings", {})
        assert settings.get("with_request_body", {}).get("max_request_bytes", 0) < GRPC_RECEIVES


def test_a_policy_sees_a_whole_body_or_none(case: Path) -> None:
    """BUFFERED_PARTIAL shows the beginning, and the rest passes unseen (ACCEPTANCE 27)."""
    assert "PARTIAL" not in rendered(case)
    assert "allow_partial_message" not in rendered(case)
    for mode in modes_of(case):
        assert mode.get("request_body_mode") in HELD
        assert mode.get("response_body_mode") in {*HELD, PASSING}


def longest_answer(case: Path) -> int:
    """Of those that are held for an edit; 0 where none is."""
    shown = [route for route in plan_of(case).routes if route.placement.shown.response.body is BodyMode.BUFFERED]
    return max((route.response_limit for route in shown), default=0)


def test_a_request_that_is_shown_whole_is_held_to_a_limit_that_fits_into_a_message(case: Path) -> None:
    for route in routes_of(case):
        filters = route["typed_per_filter_config"]
        mode = filters.get("envoy.filters.http.ext_proc", {}).get("overrides", {}).get("processing_mode", {})
        if mode.get("request_body_mode") == "BUFFERED":
            assert filters["envoy.filters.http.buffer"]["buffer"]["max_request_bytes"] <= MAX_SHOWN < GRPC_RECEIVES


def test_nothing_but_the_method_and_the_path_is_ever_rewritten(case: Path) -> None:
    """Without rules Envoy's default refuses all of them; they are there only where a route rewrites requests."""
    rewriting = any("SEND" in str(mode.get("request_header_mode")) for mode in modes_of(case))
    for written in http_filters(case, "ext_proc.v3.ExternalProcessor"):
        assert written.get("mutation_rules") == (
            {
                "allow_all_routing": True,
                "allow_envoy": False,
                "disallow_expression": {"regex": ":authority|:scheme|host|:protocol"},
                "disallow_is_error": True,
            }
            if rewriting
            else None
        )


def test_a_body_that_is_shown_whole_is_shown_with_its_trailers_or_without_them_nothing_would_be(case: Path) -> None:
    for mode in modes_of(case):
        for side in ("request", "response"):
            assert mode.get(f"{side}_body_mode") != "BUFFERED" or mode[f"{side}_trailer_mode"] == "SEND"


def test_a_stream_that_passes_shows_its_trailers_or_envoy_would_reject_it(case: Path) -> None:
    for mode in modes_of(case):
        assert mode.get("response_body_mode") != PASSING or mode["response_trailer_mode"] == "SEND"


def test_the_cases_show_a_body_somewhere() -> None:
    assert any("BUFFERED" in mode.values() for case in cases() for mode in modes_of(case))


def test_no_bootstrap_has_what_only_an_upstream_may_see(case: Path) -> None:
    assert "only-for-the-upstream" not in rendered(case)
    assert "signing.pem" not in rendered(case)
    assert "only-for-the-upstream" in (Path(__file__).with_name("handover.gateway.yaml")).read_text("utf-8")
