"""For each rule about Envoy: the least that it finds something in, and the same mended."""

from __future__ import annotations

from typing import Final

from tests.audit.fragments import (
    AUTHZ,
    MANAGER,
    Piece,
    asked,
    bootstrap,
    cluster,
    http,
    listener,
    manager,
    one,
    quota,
    read,
    routed,
    tls,
)

LIMITS: Final = "ratelimit.v3.RateLimit"
LOCAL: Final = "local_ratelimit.v3.LocalRateLimit"
PROC: Final = "ext_proc.v3.ExternalProcessor"
JWT: Final = "jwt_authn.v3.JwtAuthentication"
RBAC: Final = "rbac.v3.RBAC"
GRPC: Final = "grpc_service: {envoy_grpc: {cluster_name: c}%s}"
UP: Final = "route: {cluster: c}"
OPEN_BY_HEADER: Final = 'match: {prefix: /, headers: [{name: x-admin, string_match: {exact: "1"}}]}, OPEN, ' + UP
ACTION: Final = "match: {prefix: /}, route: {cluster: c, rate_limits: [{actions: [{%s}]}]}"
PROVIDER: Final = "providers: {p: {%s}}"
REQUIRES: Final = "rules: [{match: {prefix: /}, requires: {%s}}]"
MONITOR: Final = "type.googleapis.com/envoy.extensions.resource_monitors."
HEAP: Final = (
    f'resource_monitors: [{{name: h, typed_config: {{"@type": {MONITOR}fixed_heap.v3.FixedHeapConfig,'
    " max_heap_size_bytes: 1000}}], actions: [{name: a, triggers: [{name: h, threshold: {value: 0.9}}]}]"
)
CONNECTIONS: Final = (
    f'{{name: c, typed_config: {{"@type": {MONITOR}downstream_connections.v3.DownstreamConnectionsConfig,'
    " max_active_downstream_connections: 9}}"
)
HCM: Final = {"name": "hcm", "typed_config": {"@type": MANAGER}}
PUBLIC: Final = {"socket_address": {"address": "0.0.0.0", "port_value": 80}}
CA: Final = "trusted_ca: {filename: /ca}"
HTTP2: Final = "max_concurrent_streams: 100, initial_stream_window_size: 65536, initial_connection_window_size: 1048576"
DEAF: Final = 'matcher_tree: {input: {name: i, typed_config: {"@type": type.googleapis.com/%s}}}, on_no_match: {}'

CASES: Final[dict[str, tuple[Piece, Piece]]] = {
    "EX201": (manager(), manager("use_remote_address: true")),
    "EX202": (manager("normalize_path: false"), manager("normalize_path: true")),
    "EX203": (manager(), manager("merge_slashes: true")),
    "EX204": (
        manager("path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD"),
        manager("path_with_escaped_slashes_action: REJECT_REQUEST"),
    ),
    "EX205": (
        manager("common_http_protocol_options: {headers_with_underscores_action: ALLOW}"),
        manager("common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}"),
    ),
    "EX206": (manager(), manager("strip_matching_host_port: true")),
    "EX207": (manager(), manager("strip_trailing_host_dot: true")),
    "EX208": (
        manager("forward_client_cert_details: ALWAYS_FORWARD_ONLY"),
        manager("forward_client_cert_details: SANITIZE_SET"),
    ),
    "EX209": (
        manager("internal_address_config: {unix_sockets: false}"),
        manager("internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}"),
    ),
    "EX210": (manager("preserve_external_request_id: true"), manager()),
    "EX211": (manager("request_timeout: 0s"), manager("request_timeout: 60s")),
    "EX212": (manager(), manager("request_headers_timeout: 10s")),
    "EX213": (manager("stream_idle_timeout: 0s"), manager("stream_idle_timeout: 3600s")),
    "EX214": (manager("max_request_headers_kb: 96"), manager("max_request_headers_kb: 60")),
    "EX215": (
        manager("http2_protocol_options: {max_concurrent_streams: 100}"),
        manager(f"http2_protocol_options: {{{HTTP2}}}")
    ),
    "EX216": (
        one(AUTHZ), manager("early_header_mutation_extensions: [{name: e}]", http(AUTHZ))
    ),
    "EX217": (manager("xff_num_trusted_hops: 1"), manager("xff_num_trusted_hops: 0")),
    "EX218": (manager("http_protocol_options: {allow_chunked_length: true}"), manager("http_protocol_options: {}")),
    "EX219": (
        manager("upgrade_configs: [{upgrade_type: CONNECT}]"), manager("upgrade_configs: [{upgrade_type: websocket}]")
    ),
    "EX220": (manager("", http(JWT, is_optional=True)), manager("", http("buffer.v3.Buffer", is_optional=True))),
    "EX221": (manager("", http(AUTHZ, disabled=True)), manager("", http(PROC, disabled=True))),
    "EX222": (manager(), manager("access_log: [{name: stdout}]")),
    "EX223": (
        bootstrap(listener(address={"pipe": {"path": "/s", "mode": 0o666}})),
        bootstrap(listener(address={"pipe": {"path": "/s", "mode": 0o660}})),
    ),
    "EX301": (one(AUTHZ, "failure_mode_allow: true"), one(AUTHZ, "failure_mode_allow: false")),
    "EX302": (one(AUTHZ, GRPC % ""), one(AUTHZ, GRPC % ", timeout: 0.2s")),
    "EX303": (one(AUTHZ, GRPC % ", timeout: 0s"), one(AUTHZ, GRPC % ", timeout: 0.2s")),
    "EX304": (one(AUTHZ), one(AUTHZ, "status_on_error: {code: ServiceUnavailable}")),
    "EX305": (one(AUTHZ, GRPC % ""), one(AUTHZ, "encode_raw_headers: true, " + GRPC % "")),
    "EX306": (one(AUTHZ), one(AUTHZ, "validate_mutations: true")),
    "EX307": (
        one(AUTHZ, "decoder_header_mutation_rules: {allow_envoy: true}"),
        one(AUTHZ, "decoder_header_mutation_rules: {disallow_system: true}"),
    ),
    "EX308": (
        one(AUTHZ, "filter_enabled: {default_value: {numerator: 100}}"),
        one(AUTHZ, "filter_enabled: {default_value: {numerator: 50}}, deny_at_disable: {default_value: true}"),
    ),
    "EX309": (one(AUTHZ), one(AUTHZ, "max_denied_response_body_bytes: 65536")),
    "EX310": (
        one(AUTHZ, "with_request_body: {max_request_bytes: 9, allow_partial_message: true}"),
        one(AUTHZ, "with_request_body: {max_request_bytes: 9}"),
    ),
    "EX311": (
        one(AUTHZ, "with_request_body: {max_request_bytes: 4194304}"),
        one(AUTHZ, "with_request_body: {max_request_bytes: 4194303}"),
    ),
    "EX312": (
        routed(AUTHZ, OPEN_BY_HEADER, settings="clear_route_cache: true"),
        routed(AUTHZ, f"match: {{prefix: /}}, OPEN, {UP}", settings="clear_route_cache: true"),
    ),
    "EX313": (
        routed(AUTHZ, OPEN_BY_HEADER, f"match: {{prefix: /}}, {UP}"),
        routed(AUTHZ, f"match: {{prefix: /open, headers: [{{name: ':method'}}]}}, OPEN, {UP}",
               f"match: {{prefix: /}}, {UP}"),
    ),
    "EX314": (
        routed(AUTHZ, f"match: {{prefix: /}}, OPEN, {UP}"),
        routed(AUTHZ, "match: {prefix: /}, OPEN, direct_response: {status: 404}"),
    ),
    "EX315": (one(AUTHZ, "shadow_mode: true"), one(AUTHZ, "shadow_mode: false")),
    "EX321": (one(RBAC, "shadow_rules: {}"), one(RBAC, "rules: {}, shadow_rules: {}")),
    "EX322": (
        one(RBAC, "rules: {policies: {p: {principals: [{header: {name: x, string_match: {contains: a}}}]}}}"),
        one(RBAC, "rules: {policies: {p: {principals: [{header: {name: x, string_match: {exact: a}}}]}}}"),
    ),
    "EX323": (one(AUTHZ, "failure_mode_allow_header_add: true"), one(AUTHZ)),
    "EX401": (one(LIMITS), one(LIMITS, "timeout: 0.1s")),
    "EX402": (one(LIMITS, "failure_mode_deny: false"), one(LIMITS, "failure_mode_deny: true")),
    "EX403": (
        routed(LIMITS, ACTION.replace("cluster: c", "cluster_header: x") % "remote_address: {}"),
        routed(LIMITS, ACTION % "remote_address: {}", "match: {prefix: /}, direct_response: {status: 404}",
               host="rate_limits: [{actions: [{remote_address: {}}]}]"),
    ),
    "EX404": (
        routed(LIMITS, ACTION % "request_headers: {header_name: x, descriptor_key: x}"),
        routed(LIMITS, ACTION % "request_headers: {header_name: x, descriptor_key: x, skip_if_absent: true}"),
    ),
    "EX405": (
        routed(LIMITS, ACTION % "remote_address: {}"),
        routed(LIMITS, ACTION % "masked_remote_address: {v6_prefix_mask_len: 64}"),
    ),
    "EX406": (one(LIMITS, "timeout: 0s"), one(LIMITS, "timeout: 0.1s")),
    "EX411": (
        one(LOCAL, "token_bucket: {max_tokens: 1}, filter_enabled: {default_value: {numerator: 100}}"),
        one(LOCAL, "token_bucket: {max_tokens: 1}, filter_enabled: {default_value: {numerator: 100}},"
                   " filter_enforced: {default_value: {numerator: 1000000, denominator: MILLION}}"),
    ),
    "EX412": (
        one(LOCAL, "descriptors: [{entries: [{key: tier, value: free}, {key: consumer}]}]"),
        one(LOCAL, "descriptors: [{entries: [{key: tier, value: free}]}]"),
    ),
    "EX421": (
        quota("no_assignment_behavior: {fallback_rate_limit: {token_bucket: {max_tokens: 1}}}"),
        quota("no_assignment_behavior: {fallback_rate_limit: {blanket_rule: DENY_ALL}}"),
    ),
    "EX422": (
        quota("reporting_interval: 5s"),
        quota("no_assignment_behavior: {fallback_rate_limit: {blanket_rule: DENY_ALL}}"),
    ),
    "EX423": (
        quota("expired_assignment_behavior: {reuse_last_assignment: {}}"),
        quota("expired_assignment_behavior: {fallback_rate_limit: {token_bucket: {max_tokens: 1}}}"),
    ),
    "EX424": (
        quota("", DEAF % "envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput"),
        quota("", DEAF % "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"),
    ),
    "EX425": (quota("", "matcher_list: {}"), quota("reporting_interval: 5s")),
    "EX501": (one(PROC, "failure_mode_allow: true"), one(PROC, "failure_mode_allow: true, observability_mode: true")),
    "EX502": (one(PROC), one(PROC, "message_timeout: 0.5s")),
    "EX503": (
        one(PROC, "processing_mode: {request_body_mode: BUFFERED_PARTIAL}"),
        one(PROC, "processing_mode: {request_body_mode: BUFFERED}"),
    ),
    "EX504": (
        one(PROC, "allow_mode_override: true"),
        one(PROC, "allow_mode_override: true, allowed_override_modes: [{request_body_mode: BUFFERED}]"),
    ),
    "EX505": (
        one(PROC, "mutation_rules: {allow_all_routing: true}"),
        one(PROC, "mutation_rules: {disallow_all: true}"),
    ),
    "EX506": (one(PROC, "allow_content_length_header: true"), one(PROC)),
    "EX507": (one(PROC), manager("", http(PROC), http(AUTHZ))),
    "EX508": (one(PROC), one(PROC, "status_on_error: {code: ServiceUnavailable}")),
    "EX601": (one(JWT, PROVIDER % ""), one(JWT, PROVIDER % "from_headers: [{name: authorization}]")),
    "EX602": (one(JWT, PROVIDER % ""), one(JWT, PROVIDER % "require_expiration: true")),
    "EX603": (one(JWT, PROVIDER % ""), one(JWT, PROVIDER % "audiences: [shop]")),
    "EX604": (one(JWT, PROVIDER % ""), one(JWT, PROVIDER % "issuer: https://id.example")),
    "EX605": (one(JWT, PROVIDER % "forward: true"), one(JWT, PROVIDER % "")),
    "EX606": (
        one(JWT, REQUIRES % "requires_any: {requirements: [{provider_name: p}, {allow_missing_or_failed: {}}]}"),
        one(JWT, REQUIRES % "requires_any: {requirements: [{provider_name: p}, {allow_missing: {}}]}"),
    ),
    "EX607": (one(JWT, REQUIRES % "allow_missing: {}"), one(JWT, REQUIRES % "provider_name: p")),
    "EX608": (one(JWT, PROVIDER % "clock_skew_seconds: 300"), one(JWT, PROVIDER % "clock_skew_seconds: 60")),
    "EX609": (
        one(JWT, PROVIDER % "remote_jwks: {http_uri: {uri: 'http://id.example/keys'}}"),
        one(JWT, PROVIDER % "remote_jwks: {http_uri: {uri: 'http://127.0.0.1/keys'}}"),
    ),
    "EX610": (
        one(JWT, "rules: [{match: {prefix: /api}, requires: {provider_name: p}}]"),
        one(JWT, REQUIRES % "provider_name: p"),
    ),
    "EX611": (one(JWT), manager("", http(JWT), http(RBAC))),
    "EX701": (asked(""), asked("health_checks: [{grpc_health_check: {}}]")),
    "EX702": (asked("health_checks: [{interval: 1s}]"), asked("health_checks: [{no_traffic_interval: 1s}]")),
    "EX703": (asked(""), asked("common_lb_config: {healthy_panic_threshold: {}}")),
    "EX704": (
        asked("", address="socket_address: {address: 10.0.0.1, port_value: 1}"),
        asked("", address="socket_address: {address: '::1', port_value: 1}"),
    ),
    "EX705": (asked("", service="retry_policy: {num_retries: 1}"), asked("")),
    "EX706": (
        one(AUTHZ, "grpc_service: {google_grpc: {target_uri: 'authz.example:9000', stat_prefix: a}}"),
        one(AUTHZ, "grpc_service: {google_grpc: {target_uri: 'unix:/s', stat_prefix: a}}"),
    ),
    "EX707": (cluster(""), cluster("per_connection_buffer_limit_bytes: 32768")),
    "EX711": (
        tls("Upstream", "sni: a.example"), tls("Upstream", f"common_tls_context: {{validation_context: {{{CA}}}}}")
    ),
    "EX712": (
        tls("Upstream", f"common_tls_context: {{validation_context: {{{CA}}}}}"),
        tls("Upstream", f"auto_sni_san_validation: true, common_tls_context: {{validation_context: {{{CA}}}}}"),
    ),
    "EX713": (
        tls("Upstream", "common_tls_context: {validation_context: {trust_chain_verification: ACCEPT_UNTRUSTED}}"),
        tls("Upstream", "common_tls_context: {validation_context: {trust_chain_verification: VERIFY_TRUST_CHAIN}}"),
    ),
    "EX714": (
        tls("Downstream", f"common_tls_context: {{validation_context: {{{CA}}}}}"),
        tls("Downstream", f"require_client_certificate: true, common_tls_context: {{validation_context: {{{CA}}}}}"),
    ),
    "EX715": (
        tls("Downstream", "common_tls_context: {tls_params: {tls_minimum_protocol_version: TLSv1_1}}"),
        tls("Downstream", "common_tls_context: {tls_params: {tls_minimum_protocol_version: TLSv1_2}}"),
    ),
    "EX801": (bootstrap(admin={"address": PUBLIC}), bootstrap(admin={"address": {"pipe": {"path": "/s"}}})),
    "EX802": (bootstrap(), bootstrap(overload_manager=read(HEAP))),
    "EX803": (
        manager(), {**manager(), "overload_manager": read(f"resource_monitors: [{CONNECTIONS}]")}
    ),
    "EX804": (
        bootstrap(listener(HCM, address=PUBLIC)),
        bootstrap(listener(address=PUBLIC, filter_chains=[{"filters": [HCM], "transport_socket": {"name": "t"}}])),
    ),
    "EX805": (manager(), bootstrap(listener(HCM, per_connection_buffer_limit_bytes=32768))),
    "EX806": (
        bootstrap(layered_runtime=read("layers: [{name: a, admin_layer: {}}]")),
        bootstrap(layered_runtime=read("layers: [{name: a, static_layer: {}}]")),
    ),
}  # fmt: skip
# Further ways of being weak, where a rule looks in several places.
ALSO: Final[dict[str, list[Piece]]] = {
    "EX209": [
        manager("internal_address_config: {}"),
        manager("internal_address_config: {cidr_ranges: [{address_prefix: 0.0.0.0}]}"),
    ],
    "EX213": [
        manager("common_http_protocol_options: {idle_timeout: 0s}"),
        routed(AUTHZ, "match: {prefix: /}, route: {cluster: c, idle_timeout: 0s}"),
    ],
    "EX214": [manager("common_http_protocol_options: {max_headers_count: 1000}")],
    "EX219": [
        routed(AUTHZ, "match: {connect_matcher: {}}, route: {cluster: c, upgrade_configs: [{upgrade_type: CONNECT,"
                      " connect_config: {}}]}"),
    ],
    "EX303": [one(AUTHZ, "http_service: {server_uri: {uri: 'http://a', cluster: c, timeout: 0s}}")],
    "EX307": [one(AUTHZ), one(AUTHZ, "decoder_header_mutation_rules: {allow_all_routing: true}")],
    "EX313": [
        routed(AUTHZ, f"match: {{prefix: /, query_parameters: [{{name: q, present_match: true}}]}}, OPEN, {UP}",
               f"match: {{prefix: /}}, {UP}"),
    ],
    "EX314": [
        routed(AUTHZ, f'match: {{prefix: /}}, typed_per_filter_config: {{ext_authz: {{"@type":'
                      f" type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}}}, {UP}"),
        routed(AUTHZ, f"match: {{prefix: /}}, {UP}", host='typed_per_filter_config: {ext_authz: {"@type": type.'
               "googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}"),
    ],
    "EX321": [one(RBAC, "rules: {action: LOG}")],
    "EX403": [
        routed(LIMITS, "match: {prefix: /}, direct_response: {status: 200}",
               host="rate_limits: [{actions: [{remote_address: {}}]}]"),
    ],
    "EX411": [one(LOCAL, "token_bucket: {max_tokens: 1}")],
    "EX422": [quota("no_assignment_behavior: {fallback_rate_limit: {blanket_rule: ALLOW_ALL}}")],
    "EX503": [
        one(PROC, "processing_mode: {response_body_mode: 3}"),
        one(PROC, "allowed_override_modes: [{request_body_mode: BUFFERED_PARTIAL}]"),
    ],
    "EX606": [one(JWT, REQUIRES % "extract_only_without_validation: {}")],
    "EX610": [one(JWT, "rules: [{match: {prefix: /}}]")],
    "EX702": [asked("health_checks: [{no_traffic_interval: 60s}]")],
    "EX703": [asked("common_lb_config: {healthy_panic_threshold: {value: 50}}")],
    "EX714": [tls("Downstream", "common_tls_context: {validation_context_sds_secret_config: {name: ca}}")],
    "EX713": [tls("Downstream", "common_tls_context: {validation_context: {allow_expired_certificate: true}}")],
}  # fmt: skip
