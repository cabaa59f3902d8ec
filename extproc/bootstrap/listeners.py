"""Listeners and their connection manager."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.listener import v3 as listener
from envoy_data_plane.envoy.extensions.filters.listener.proxy_protocol import v3 as proxy_protocol
from envoy_data_plane.envoy.extensions.filters.network.connection_limit import v3 as connection_limit
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm

from extproc.bootstrap import edge, tls
from extproc.bootstrap.callouts import ended_requests, summed
from extproc.bootstrap.clusters import socket_address
from extproc.bootstrap.filters import http_filters
from extproc.bootstrap.names import BUFFER_LIMIT, packed, seconds
from extproc.bootstrap.routes import route_configuration
from extproc.core.processing import BodyMode
from extproc.plan.model import ListenerPlan, Plan

MAX_CONNECTIONS: Final = 10_000
MAX_HEADERS: Final = 100
MAX_HEADER_KIB: Final = 60
# A client's certificate is verified when its connection opens. One that is revoked then is good no longer than this.
VERIFIED_AGAIN: Final = 300.0


def build_listener(plan: Plan, item: ListenerPlan, secrets: PurePath) -> listener.Listener:
    """`secrets` is the folder of the files that name its certificates."""
    filters = [_connection_limit(item), _connection_manager(plan, item)]
    return listener.Listener(
        name=item.name,
        address=socket_address(item.address),
        # A buffered answer is bounded by this limit alone, so it grows where routes edit bodies.
        per_connection_buffer_limit_bytes=_buffer_limit(plan),
        listener_filters=_proxy_protocol() if item.proxy_protocol else [],
        # With port reuse a forgotten Envoy would share the port in silence; without it the second one fails to start.
        enable_reuse_port=False,
        connection_balance_config=listener.ListenerConnectionBalanceConfig(
            exact_balance=listener.ListenerConnectionBalanceConfigExactBalance()
        ),
        filter_chains=[
            listener.FilterChain(
                filters=filters, transport_socket=tls.downstream(item, item.tls, secrets) if item.tls else None
            )
        ],
    )


def _buffer_limit(plan: Plan) -> int:
    held = [route.response_limit for route in plan.routes if route.placement.shown.response.body is BodyMode.BUFFERED]
    return max([BUFFER_LIMIT, *held])


def _proxy_protocol() -> list[listener.ListenerFilter]:
    config = proxy_protocol.ProxyProtocol(allow_requests_without_proxy_protocol=False)
    return [listener.ListenerFilter(name="envoy.filters.listener.proxy_protocol", typed_config=packed(config))]


def _connection_limit(item: ListenerPlan) -> listener.Filter:
    config = connection_limit.ConnectionLimit(stat_prefix=item.name, max_connections=MAX_CONNECTIONS)
    return listener.Filter(name="envoy.filters.network.connection_limit", typed_config=packed(config))


def _connection_manager(plan: Plan, item: ListenerPlan) -> listener.Filter:
    """`internal_address_config` is left unset on purpose: an empty one trusts loopback peers' x-envoy-* headers."""
    lasting = seconds(VERIFIED_AGAIN) if item.tls and item.tls.client_ca else None
    config = hcm.HttpConnectionManager(
        stat_prefix=item.name,
        codec_type=hcm.HttpConnectionManagerCodecType.AUTO,
        route_config=route_configuration(plan),
        http_filters=http_filters(plan),
        access_log=[
            edge.access_log(),
            *([ended_requests(plan)] if plan.holds else []),
            *([summed(plan)] if plan.sidecar.usage or plan.answers_models else []),
        ],
        early_header_mutation_extensions=[edge.early_header_mutation()],
        local_reply_config=edge.local_replies(),
        # By default every answer says `server: envoy`; the filter that removes it does not see what Envoy answers
        # to a request that it could not even read.
        server_header_transformation=hcm.HttpConnectionManagerServerHeaderTransformation.PASS_THROUGH,
        use_remote_address=True,
        xff_num_trusted_hops=item.hops,
        preserve_external_request_id=False,
        always_set_request_id_in_response=True,
        forward_client_cert_details=hcm.HttpConnectionManagerForwardClientCertDetails.SANITIZE,
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action=hcm.HttpConnectionManagerPathWithEscapedSlashesAction.UNESCAPE_AND_REDIRECT,
        strip_any_host_port=True,
        strip_trailing_host_dot=True,
        max_request_headers_kb=MAX_HEADER_KIB,
        common_http_protocol_options=core.HttpProtocolOptions(
            idle_timeout=seconds(3600),
            max_connection_duration=lasting,
            max_headers_count=MAX_HEADERS,
            headers_with_underscores_action=core.HttpProtocolOptionsHeadersWithUnderscoresAction.REJECT_REQUEST,
        ),
        http1_safe_max_connection_duration=lasting is not None,  # in between requests, never while one is on its way
        http2_protocol_options=core.Http2ProtocolOptions(
            max_concurrent_streams=100,
            initial_stream_window_size=64 * 1024,
            initial_connection_window_size=1024 * 1024,
        ),
        stream_idle_timeout=seconds(300),
        request_timeout=seconds(60),
        request_headers_timeout=seconds(10),
    )
    return listener.Filter(name="envoy.filters.network.http_connection_manager", typed_config=packed(config))
