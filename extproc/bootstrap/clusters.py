"""One cluster per upstream."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from envoy_data_plane.envoy.config.cluster import v3 as cluster
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint

from extproc.bootstrap import tls
from extproc.bootstrap.names import BUFFER_LIMIT, seconds
from extproc.core.names import upstream_cluster
from extproc.plan.model import Discovery, Endpoint, UpstreamPlan

DISCOVERY: Final = {
    Discovery.STATIC: cluster.ClusterDiscoveryType.STATIC,
    Discovery.STRICT_DNS: cluster.ClusterDiscoveryType.STRICT_DNS,
    Discovery.LOGICAL_DNS: cluster.ClusterDiscoveryType.LOGICAL_DNS,
}
EJECTED: Final = 50  # percent: the others must carry what these do not
BALANCE: Final = {
    "round_robin": cluster.ClusterLbPolicy.ROUND_ROBIN,
    "least_request": cluster.ClusterLbPolicy.LEAST_REQUEST,
    "random": cluster.ClusterLbPolicy.RANDOM,
}


def upstream(plan: UpstreamPlan, secrets: PurePath, name: str = "", ejected: int = EJECTED) -> cluster.Cluster:
    """`secrets` is the folder of the files that name its certificates. `name` is for one more cluster of the same
    endpoints, `ejected` the percentage of them that may be left alone at once."""
    name = name or upstream_cluster(plan.name)
    return cluster.Cluster(
        name=name,
        type=DISCOVERY[plan.discovery],
        # With ALL every address of a name is an endpoint of its own (cluster.proto: DnsLookupFamily), and where nobody
        # listens on IPv6, as on most machines' localhost, half of the requests would be refused.
        dns_lookup_family=cluster.ClusterDnsLookupFamily.V4_PREFERRED,
        connect_timeout=seconds(plan.connect_timeout),
        per_connection_buffer_limit_bytes=BUFFER_LIMIT,
        lb_policy=BALANCE[plan.balance],
        load_assignment=endpoint.ClusterLoadAssignment(
            cluster_name=name,
            endpoints=[endpoint.LocalityLbEndpoints(lb_endpoints=[_endpoint(item) for item in plan.endpoints])],
        ),
        health_checks=[_health_check(plan.health_check, plan.tls.sni if plan.tls else "")] if plan.health_check else [],
        outlier_detection=_outliers(ejected) if plan.outlier_detection else None,
        transport_socket=tls.upstream(plan, plan.tls, secrets) if plan.tls else None,
    )


def socket_address(item: Endpoint) -> core.Address:
    return core.Address(socket_address=core.SocketAddress(address=item.host, port_value=item.port))


def _endpoint(item: Endpoint) -> endpoint.LbEndpoint:
    return endpoint.LbEndpoint(endpoint=endpoint.Endpoint(address=socket_address(item)))


def _health_check(path: str, host: str) -> core.HealthCheck:
    """`host` is empty where the cluster's own name will do, which a server that compares it with the SNI refuses."""
    return core.HealthCheck(
        timeout=seconds(1),
        interval=seconds(2),
        no_traffic_interval=seconds(2),
        unhealthy_threshold=2,
        healthy_threshold=1,
        http_health_check=core.HealthCheckHttpHealthCheck(path=path, host=host),
    )


def _outliers(at_most: int) -> cluster.OutlierDetection:
    return cluster.OutlierDetection(
        consecutive_5xx=5, interval=seconds(5), base_ejection_time=seconds(15), max_ejection_percent=at_most
    )
