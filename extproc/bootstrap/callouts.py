"""The three filters that call the sidecar, and the log that tells it of the end of requests. Deadlines and failure
modes are written: Envoy's defaults are not safe."""

from __future__ import annotations

from typing import Final

from betterproto2 import Message
from envoy_data_plane.envoy.config.accesslog import v3 as accesslog
from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation_rules
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.ratelimit import v3 as ratelimit_service
from envoy_data_plane.envoy.extensions.access_loggers.grpc import v3 as grpc_log
from envoy_data_plane.envoy.extensions.filters.http.ext_authz import v3 as authz
from envoy_data_plane.envoy.extensions.filters.http.ext_proc import v3 as proc
from envoy_data_plane.envoy.extensions.filters.http.ratelimit import v3 as rls
from envoy_data_plane.envoy.type import v3 as envoy_type
from envoy_data_plane.envoy.type.matcher import v3 as matcher

from extproc.bootstrap.names import SIDECAR_CLUSTER, packed, seconds
from extproc.bootstrap.sidecar import UNAVAILABLE, call
from extproc.core.decision import MAX_REPLY_BODY
from extproc.core.names import (
    ADDRESS_ATTRIBUTE,
    ANSWER_ATTRIBUTE,
    CALL_ADDRESS,
    CALL_REVISION,
    DECIDED_HELD,
    DECIDED_MODEL,
    DECISION_NAMESPACE,
    DOMAIN,
    EVIDENCE_LOG,
    HOST_ATTRIBUTE,
    ID_ATTRIBUTE,
    METHOD_ATTRIBUTE,
    MODEL_FALLBACK,
    MODEL_VERSION,
    PATH_ATTRIBUTE,
    REVISION,
    ROUTE,
    ROUTE_ATTRIBUTE,
    SCHEME_ATTRIBUTE,
    SIZE_ATTRIBUTE,
    TOLD_ADDRESS,
    USAGE_LOG,
)
from extproc.core.processing import BodyMode, Processing, Side, longer
from extproc.plan.model import Plan, RoutePlan, ToModel

# What ext_proc's stream is told about the exchange: enough for expressions, without a message of its own for it.
ATTRIBUTES: Final = (
    ROUTE_ATTRIBUTE, ANSWER_ATTRIBUTE, ID_ATTRIBUTE, METHOD_ATTRIBUTE, PATH_ATTRIBUTE, HOST_ATTRIBUTE, SCHEME_ATTRIBUTE,
    ADDRESS_ATTRIBUTE,
)  # fmt: skip
GATHERED: Final = 16 * 1024  # bytes of log entries, some fifty of them
TOO_MANY: Final = envoy_type.HttpStatus(code=envoy_type.StatusCode.TooManyRequests)
Mode = proc.ProcessingModeHeaderSendMode
BODIES: Final = {
    BodyMode.NONE: proc.ProcessingModeBodySendMode.NONE,
    BodyMode.BUFFERED: proc.ProcessingModeBodySendMode.BUFFERED,
    BodyMode.STREAMED: proc.ProcessingModeBodySendMode.STREAMED,
    BodyMode.FULL_DUPLEX: proc.ProcessingModeBodySendMode.FULL_DUPLEX_STREAMED,
}
# Of what decides where a request goes, nothing but the method and the path is ever rewritten.
UNROUTABLE: Final = ":authority|:scheme|host|:protocol"


def ext_authz(plan: Plan) -> Message:
    return authz.ExtAuthz(
        grpc_service=call(plan.sidecar.timeout),
        transport_api_version=core.ApiVersion.V3,
        failure_mode_allow=False,
        status_on_error=UNAVAILABLE,
        # Needed where the answer chooses the cluster: without it a `cluster_header` route is 503. Filter-wide, so no
        # policy may set what a route matches on: core.decision refuses host and our own headers, config the matches.
        clear_route_cache=any(isinstance(route.target, ToModel) for route in plan.routes),
        validate_mutations=True,
        deny_at_disable=core.RuntimeFeatureFlag(default_value=True, runtime_key="extproc.deny_at_disable"),
        encode_raw_headers=True,
        # Of `source.principal` nobody can tell which type of name it is (attribute_context.proto): the whole of it.
        include_peer_certificate=plan.shows_certificates,
        decoder_header_mutation_rules=mutation_rules.HeaderMutationRules(
            allow_all_routing=False, allow_envoy=False, disallow_system=True, disallow_is_error=True
        ),
        max_denied_response_body_bytes=MAX_REPLY_BODY,
    )


def ext_authz_route(plan: Plan, route: RoutePlan | None) -> Message:
    if route is None or not route.placement.fused:
        return authz.ExtAuthzPerRoute(disabled=True)
    stamped = {ROUTE: route.name, REVISION: plan.revision}
    if any(listener.hops for listener in plan.listeners):
        stamped[TOLD_ADDRESS] = CALL_ADDRESS
    settings = authz.CheckSettings(context_extensions=stamped)
    if route.placement.asks_with_body:
        settings.with_request_body = authz.BufferSettings(
            max_request_bytes=route.body_limit, allow_partial_message=False, pack_as_bytes=True
        )
    else:
        settings.disable_request_body_buffering = True
    return authz.ExtAuthzPerRoute(check_settings=settings)


def ratelimit(plan: Plan) -> Message:
    """The default deadline is 20 ms and the default failure mode admits: rate_limit.proto."""
    return rls.RateLimit(
        domain=DOMAIN,
        timeout=call(plan.sidecar.timeout).timeout,
        failure_mode_deny=True,
        status_on_error=UNAVAILABLE,
        rate_limited_status=TOO_MANY,
        disable_x_envoy_ratelimited_header=True,
        rate_limit_service=ratelimit_service.RateLimitServiceConfig(
            grpc_service=call(plan.sidecar.timeout), transport_api_version=core.ApiVersion.V3
        ),
    )


def ext_proc(plan: Plan) -> Message:
    held = [longer(spec.deadline) for spec in plan.aggregates]
    rewrites = any(route.placement.shown.request.headers for route in plan.routes)
    attributes = [*ATTRIBUTES, *([SIZE_ATTRIBUTE] if plan.meters else [])]
    return proc.ExternalProcessor(
        grpc_service=call(plan.sidecar.timeout),
        failure_mode_allow=False,
        status_on_error=UNAVAILABLE,
        processing_mode=_mode(Processing(response=Side(headers=True))),
        request_attributes=attributes if rewrites else [],
        response_attributes=attributes,
        message_timeout=call(plan.sidecar.timeout).timeout,
        # An aggregate takes longer than a decision, and asks for that time itself; every other route keeps its own.
        max_message_timeout=seconds(max(held)) if held else None,
        mutation_rules=_rewriting() if rewrites else None,
        metadata_options=proc.MetadataOptions(
            forwarding_namespaces=proc.MetadataOptionsMetadataNamespaces(untyped=[DECISION_NAMESPACE])
        ),
        allow_mode_override=False,
    )


def _rewriting() -> mutation_rules.HeaderMutationRules:
    """Where requests are rewritten, the method may be, which is all or nothing of the routing headers: so the host and
    the scheme are taken out again. The path may always be set (mutation_rules.proto)."""
    return mutation_rules.HeaderMutationRules(
        allow_all_routing=True,
        allow_envoy=False,
        disallow_expression=matcher.RegexMatcher(regex=UNROUTABLE),
        disallow_is_error=True,
    )


def ext_proc_route(plan: Plan, route: RoutePlan | None) -> Message | None:
    """The filter is disabled unless a route has a say; the least mode that shows its policies what they need."""
    if route is None or not route.placement.edits:
        return None
    return proc.ExtProcPerRoute(
        overrides=proc.ExtProcOverrides(
            processing_mode=_mode(route.placement.shown),
            grpc_initial_metadata=[core.HeaderValue(key=CALL_REVISION, value=plan.revision)],
        )
    )


def _mode(shown: Processing) -> proc.ProcessingMode:
    return proc.ProcessingMode(
        request_header_mode=_sent(shown.request.headers),
        response_header_mode=_sent(shown.response.headers),
        request_body_mode=BODIES[shown.request.body],
        response_body_mode=BODIES[shown.response.body],
        request_trailer_mode=_sent(shown.request.trailers),
        response_trailer_mode=_sent(shown.response.trailers),
    )


def ended_requests(plan: Plan) -> accesslog.AccessLog:
    """A stream on which the sidecar hears of the end of each request that holds something, as it happens: an entry that
    waited would hold its slot. Where nobody listens entries are lost, which leases are for."""
    config = grpc_log.HttpGrpcAccessLogConfig(
        common_config=grpc_log.CommonGrpcAccessLogConfig(
            log_name=DOMAIN,
            transport_api_version=core.ApiVersion.V3,
            grpc_service=core.GrpcService(envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=SIDECAR_CLUSTER)),
            buffer_size_bytes=0,
        ),
        additional_response_headers_to_log=sorted(plan.settles),
    )
    return accesslog.AccessLog(
        name="envoy.access_loggers.http_grpc", filter=_where_decided(DECIDED_HELD), typed_config=packed(config)
    )


def _where_decided(key: str) -> accesslog.AccessLogFilter:
    """Of requests alone about which the sidecar said that."""
    return accesslog.AccessLogFilter(
        metadata_filter=accesslog.MetadataFilter(
            matcher=matcher.MetadataMatcher(
                filter=DECISION_NAMESPACE,
                path=[matcher.MetadataMatcherPathSegment(key=key)],
                value=matcher.ValueMatcher(present_match=True),
            ),
            match_if_key_not_found=False,
        )
    )


def summed(plan: Plan) -> accesslog.AccessLog:
    """A stream on which the sidecar hears, for its sums, of every request, or where no usage is kept of those to models
    alone: a second's worth at once, after the answer: no request waits for it. It is a stream of its own, so that what
    gathers keeps no slot waiting."""
    config = grpc_log.HttpGrpcAccessLogConfig(
        common_config=grpc_log.CommonGrpcAccessLogConfig(
            log_name=USAGE_LOG if plan.sidecar.usage else EVIDENCE_LOG,
            transport_api_version=core.ApiVersion.V3,
            grpc_service=core.GrpcService(envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=SIDECAR_CLUSTER)),
            buffer_flush_interval=seconds(1),
            buffer_size_bytes=GATHERED,
        ),
        additional_response_headers_to_log=sorted({*plan.settles, *_of_models(plan)}),
    )
    return accesslog.AccessLog(
        name="envoy.access_loggers.http_grpc",
        filter=None if plan.sidecar.usage else _where_decided(DECIDED_MODEL),
        typed_config=packed(config),
    )


def _of_models(plan: Plan) -> list[str]:
    """The headers of answers that say who made them, and how good they are."""
    said = [MODEL_VERSION, MODEL_FALLBACK, *(score.header for score in plan.scores.values() if score.header)]
    return said if plan.answers_models else []


def _sent(shown: bool) -> Mode:
    return Mode.SEND if shown else Mode.SKIP
