"""The sidecar's way to the upstreams: a listener on a Unix socket, with one virtual host per upstream that is asked.

What is asked comes from the sidecar, which has judged everything: nobody is asked again, and no header is removed.
Whoever may open the socket reaches these upstreams, so it is its user's and group's alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from envoy_data_plane.envoy.config.cluster import v3 as cluster
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.listener import v3 as listener
from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.extensions.filters.http.router import v3 as router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm
from envoy_data_plane.envoy.type.matcher import v3 as matcher

from extproc.bootstrap import edge
from extproc.bootstrap.names import BUFFER_LIMIT, DEAD_END, EGRESS, NO_ROUTE, ROUTER, packed, retries, seconds
from extproc.core.names import EGRESS_PART, EGRESS_UPSTREAM, egress_host, egress_part, egress_socket, upstream_cluster
from extproc.core.specs import PartSpec
from extproc.plan.model import Plan

MODE: Final = 0o660  # of a socket Envoy's own is 0755 (PipeInstance), with which no other user could connect
MAX_HEADERS: Final = 100
# Of requests that may be made twice (RFC 9110 §9.2.2); of others only what cannot have begun.
REPEATABLE: Final = frozenset({"GET", "HEAD"})
RETRY_ON: Final = "connect-failure,refused-stream,reset-before-request"
RETRY_ALSO_ON: Final = "gateway-error,reset"
Part = tuple[str, PartSpec]  # with its route's name


def dead_end() -> cluster.Cluster:
    """Where routes lead that the sidecar answers: Envoy knows a cluster before it calls the ratelimit filter's service,
    and a request that nobody answered is 503."""
    return cluster.Cluster(
        name=DEAD_END,
        type=cluster.ClusterDiscoveryType.STATIC,
        connect_timeout=seconds(0.25),
        per_connection_buffer_limit_bytes=BUFFER_LIMIT,
    )


def egress_listener(plan: Plan) -> listener.Listener:
    manager = listener.Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=packed(_connection_manager(plan))
    )
    return listener.Listener(
        name=EGRESS,
        address=core.Address(pipe=core.Pipe(path=egress_socket(plan.sidecar.folder), mode=MODE)),
        per_connection_buffer_limit_bytes=BUFFER_LIMIT,
        enable_reuse_port=False,
        filter_chains=[listener.FilterChain(filters=[manager])],
    )


def _connection_manager(plan: Plan) -> hcm.HttpConnectionManager:
    """Without `use_remote_address`: the addresses and the request id are those of the client's own request."""
    return hcm.HttpConnectionManager(
        stat_prefix=EGRESS,
        codec_type=hcm.HttpConnectionManagerCodecType.HTTP1,
        route_config=_routes(plan),
        http_filters=[
            hcm.HttpFilter(name=ROUTER, typed_config=packed(router.Router(suppress_envoy_headers=True))),
        ],
        access_log=[edge.access_log()],
        use_remote_address=False,
        generate_request_id=True,
        preserve_external_request_id=True,
        forward_client_cert_details=hcm.HttpConnectionManagerForwardClientCertDetails.SANITIZE,
        normalize_path=True,
        merge_slashes=True,
        # The sidecar sends none: this holds if it did.
        path_with_escaped_slashes_action=hcm.HttpConnectionManagerPathWithEscapedSlashesAction.REJECT_REQUEST,
        common_http_protocol_options=core.HttpProtocolOptions(idle_timeout=seconds(60), max_headers_count=MAX_HEADERS),
        stream_idle_timeout=seconds(60),
        request_timeout=seconds(60),
        request_headers_timeout=seconds(10),
    )


def _routes(plan: Plan) -> route.RouteConfiguration:
    asked = [(spec.route, part) for spec in plan.aggregates for part in spec.parts]
    names = dict.fromkeys(part.upstream for _, part in asked)
    hosts = [_virtual_host(plan, name, [one for one in asked if one[1].upstream == name]) for name in names]
    # Hosts are told apart by a header of our own, so that an upstream gets the client's Host, as from any other route.
    return route.RouteConfiguration(
        name=EGRESS, virtual_hosts=hosts, vhost_header=EGRESS_UPSTREAM, validate_clusters=True
    )


def _virtual_host(plan: Plan, upstream: str, parts: Sequence[Part]) -> route.VirtualHost:
    nobody = route.Route(
        name=NO_ROUTE,
        match=route.RouteMatch(prefix="/"),
        direct_response=route.DirectResponseAction(status=HTTPStatus.NOT_FOUND.value),
    )
    routes = [_route(plan, name, part) for name, part in parts]
    return route.VirtualHost(name=upstream, domains=[egress_host(upstream)], routes=[*routes, nobody])


def _route(plan: Plan, name: str, part: PartSpec) -> route.Route:
    """Time and tries are the part's own."""
    way = egress_part(name, part.name)
    exact = route.HeaderMatcher(name=EGRESS_PART, string_match=matcher.StringMatcher(exact=way))
    return route.Route(
        name=way,
        match=route.RouteMatch(prefix="/", headers=[exact]),
        route=route.RouteAction(
            cluster=upstream_cluster(part.upstream),
            timeout=seconds(part.timeout),
            retry_policy=_retries(plan, part),
        ),
        request_headers_to_remove=[EGRESS_UPSTREAM, EGRESS_PART],
    )


def _retries(plan: Plan, part: PartSpec) -> route.RetryPolicy | None:
    if part.retries == 0:
        return None
    each = plan.upstreams[part.upstream].timeout
    conditions = f"{RETRY_ON},{RETRY_ALSO_ON}" if part.method in REPEATABLE else RETRY_ON
    return retries(conditions, part.retries, None if each is None else min(each, part.timeout))
