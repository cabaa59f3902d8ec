"""How Envoy reaches the sidecar: one cluster of Unix sockets, and one way of calling it for all three filters."""

from __future__ import annotations

from typing import Final

from envoy_data_plane.envoy.config.cluster import v3 as cluster
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint
from envoy_data_plane.envoy.extensions.upstreams.http import v3 as upstream_http
from envoy_data_plane.envoy.type import v3 as envoy_type

from extproc.bootstrap.names import BUFFER_LIMIT, PREVIOUS_HOSTS, SIDECAR_CLUSTER, other_host, packed, seconds
from extproc.core.names import (
    CALL_ADDRESS,
    CALL_REQUEST_ID,
    FEEDBACK_UPSTREAM,
    feedback_socket,
    sidecar_sockets,
    upstream_cluster,
)
from extproc.plan.model import SidecarPlan

HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
HEALTH_INTERVAL: Final = 0.5
HEALTH_TIMEOUT: Final = 1.0  # a dead worker refuses at once; only a stalled one takes this long
UNAVAILABLE: Final = envoy_type.HttpStatus(code=envoy_type.StatusCode.ServiceUnavailable)


def sidecar_cluster(plan: SidecarPlan) -> cluster.Cluster:
    return cluster.Cluster(
        name=SIDECAR_CLUSTER,
        type=cluster.ClusterDiscoveryType.STATIC,
        connect_timeout=seconds(0.25),
        lb_policy=cluster.ClusterLbPolicy.LEAST_REQUEST,
        load_assignment=_endpoints(plan),
        health_checks=[_health_check()],
        # With the default threshold of 50 % Envoy goes on calling a dead worker (73 of 100 calls refused).
        # Within a second of one change of health the next is held back (cluster.proto: update_merge_window), so that a
        # sidecar which is back would go on being refused; here every change counts at once.
        common_lb_config=cluster.ClusterCommonLbConfig(
            healthy_panic_threshold=envoy_type.Percent(value=0.0), update_merge_window=seconds(0)
        ),
        circuit_breakers=cluster.CircuitBreakers(
            thresholds=[
                cluster.CircuitBreakersThresholds(
                    max_connections=1024, max_pending_requests=4096, max_requests=16384, max_retries=64
                )
            ]
        ),
        typed_extension_protocol_options={HTTP_OPTIONS: packed(_http2())},
    )


def feedback_cluster(plan: SidecarPlan) -> cluster.Cluster:
    """What the sidecar itself answers, on a socket of its own in the same folder."""
    name = upstream_cluster(FEEDBACK_UPSTREAM)
    address = core.Address(pipe=core.Pipe(path=feedback_socket(plan.folder)))
    found = [endpoint.LbEndpoint(endpoint=endpoint.Endpoint(address=address))]
    return cluster.Cluster(
        name=name,
        type=cluster.ClusterDiscoveryType.STATIC,
        connect_timeout=seconds(0.25),
        per_connection_buffer_limit_bytes=BUFFER_LIMIT,
        load_assignment=endpoint.ClusterLoadAssignment(
            cluster_name=name, endpoints=[endpoint.LocalityLbEndpoints(lb_endpoints=found)]
        ),
    )


def call(timeout: float) -> core.GrpcService:
    """A call with its deadline and its one retry on another worker.

    The retry policy stands here and not in `envoy_grpc`, where Envoy 1.40 reads it and does nothing.
    """
    return core.GrpcService(
        envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=SIDECAR_CLUSTER),
        timeout=seconds(timeout),
        retry_policy=core.RetryPolicy(
            num_retries=1,
            retry_on="connect-failure,refused-stream,reset,unavailable",
            retry_host_predicate=[
                core.RetryPolicyRetryHostPredicate(
                    name=PREVIOUS_HOSTS,
                    typed_config=other_host(),
                )
            ],
            host_selection_retry_max_attempts=3,
        ),
        initial_metadata=[
            core.HeaderValue(key=CALL_REQUEST_ID, value="%REQ(X-REQUEST-ID)%"),
            core.HeaderValue(key=CALL_ADDRESS, value="%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
        ],
    )


def _endpoints(plan: SidecarPlan) -> endpoint.ClusterLoadAssignment:
    sockets = [core.Address(pipe=core.Pipe(path=path)) for path in sidecar_sockets(plan.folder, plan.workers)]
    found = [endpoint.LbEndpoint(endpoint=endpoint.Endpoint(address=address)) for address in sockets]
    return endpoint.ClusterLoadAssignment(
        cluster_name=SIDECAR_CLUSTER, endpoints=[endpoint.LocalityLbEndpoints(lb_endpoints=found)]
    )


def _health_check() -> core.HealthCheck:
    """`no_traffic_interval` is 60 s by default: an Envoy that starts before its sidecar would refuse for a minute."""
    return core.HealthCheck(
        timeout=seconds(HEALTH_TIMEOUT),
        interval=seconds(HEALTH_INTERVAL),
        no_traffic_interval=seconds(HEALTH_INTERVAL),
        no_traffic_healthy_interval=seconds(HEALTH_INTERVAL),
        unhealthy_threshold=1,
        healthy_threshold=1,
        grpc_health_check=core.HealthCheckGrpcHealthCheck(),
    )


def _http2() -> upstream_http.HttpProtocolOptions:
    return upstream_http.HttpProtocolOptions(
        explicit_http_config=upstream_http.HttpProtocolOptionsExplicitHttpConfig(
            http2_protocol_options=core.Http2ProtocolOptions(
                connection_keepalive=core.KeepaliveSettings(interval=seconds(5), timeout=seconds(2))
            )
        )
    )
