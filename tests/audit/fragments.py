"""The smallest pieces of an Envoy configuration in which a rule finds something."""

from __future__ import annotations

from typing import Any, Final

import yaml

TYPES: Final = "type.googleapis.com/"
HTTP: Final = TYPES + "envoy.extensions.filters.http."
MANAGER: Final = TYPES + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
AUTHZ: Final = "ext_authz.v3.ExtAuthz"
TLS: Final = TYPES + "envoy.extensions.transport_sockets.tls.v3."

Piece = dict[str, Any]


def read(text: str) -> Piece:
    """One value, in YAML."""
    value: Piece = yaml.safe_load("{" + text + "}")
    return value


def listener(*filters: Piece, **keys: Any) -> Piece:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 80}}
    return {"address": address, "filter_chains": [{"filters": list(filters)}]} | keys


def bootstrap(*listeners: Piece, clusters: list[Piece] | None = None, **keys: Any) -> Piece:
    return {"static_resources": {"listeners": list(listeners), "clusters": clusters or []}, **keys}


def manager(text: str = "", *filters: Piece) -> Piece:
    """A bootstrap with one connection manager."""
    config: Piece = {"@type": MANAGER, "stat_prefix": "x", **read(text)}
    if filters:
        config["http_filters"] = list(filters)
    return bootstrap(listener({"name": "hcm", "typed_config": config}))


def http(kind: str, text: str = "", **keys: Any) -> Piece:
    """An HTTP filter, by the end of its type's name."""
    return {"name": kind.partition(".")[0], "typed_config": {"@type": HTTP + kind, **read(text)}, **keys}


def one(kind: str, text: str = "") -> Piece:
    """A bootstrap with one HTTP filter."""
    return manager("", http(kind, text))


def routed(kind: str, *routes: str, settings: str = "", host: str = "") -> Piece:
    """A bootstrap with one HTTP filter, and routes; `OPEN` in a route is the filter ext_authz switched off."""
    off = f'typed_per_filter_config: {{ext_authz: {{"@type": {HTTP}ext_authz.v3.ExtAuthzPerRoute, disabled: true}}}}'
    parsed = [read(route.replace("OPEN", off)) for route in routes]
    hosts = [{"name": "h", "domains": ["*"], "routes": parsed, **read(host)}]
    piece = one(kind, settings)
    config = piece["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    config["route_config"] = {"virtual_hosts": hosts}
    return piece


def quota(bucket: str, matcher: str = "") -> Piece:
    """A bootstrap with one quota filter that has one bucket."""
    settings = f'"@type": {HTTP}rate_limit_quota.v3.RateLimitQuotaBucketSettings, {bucket}'
    on_no_match = f"on_no_match: {{action: {{name: b, typed_config: {{{settings}}}}}}}"
    return one("rate_limit_quota.v3.RateLimitQuotaFilterConfig", f"bucket_matchers: {{{matcher or on_no_match}}}")


def asked(text: str, *, service: str = "", address: str = "pipe: {path: /s}") -> Piece:
    """A bootstrap whose ext_authz asks the cluster `c`, which has one endpoint."""
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": read(address)}}]}]
    piece = one(AUTHZ, f"grpc_service: {{envoy_grpc: {{cluster_name: c{', ' + service if service else ''}}}}}")
    piece["static_resources"]["clusters"] = [
        {"name": "c", "load_assignment": {"cluster_name": "c", "endpoints": endpoints}, **read(text)}
    ]
    return piece


def cluster(text: str) -> Piece:
    return bootstrap(clusters=[{"name": "c", **read(text)}])


def tls(side: str, text: str) -> Piece:
    return cluster(f'transport_socket: {{name: tls, typed_config: {{"@type": {TLS}{side}TlsContext, {text}}}}}')
