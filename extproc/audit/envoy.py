"""An Envoy configuration as rules see it: a bootstrap, a file of resources, or what `/config_dump` says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from extproc.audit.node import Node

MANAGER: Final = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
HTTP: Final = "envoy.extensions.filters.http."
EXT_AUTHZ: Final = HTTP + "ext_authz.v3.ExtAuthz"
EXT_AUTHZ_ROUTE: Final = HTTP + "ext_authz.v3.ExtAuthzPerRoute"
EXT_PROC: Final = HTTP + "ext_proc.v3.ExternalProcessor"
EXT_PROC_ROUTE: Final = HTTP + "ext_proc.v3.ExtProcPerRoute"
RATELIMIT: Final = HTTP + "ratelimit.v3.RateLimit"
LOCAL_RATELIMIT: Final = HTTP + "local_ratelimit.v3.LocalRateLimit"
QUOTA: Final = HTTP + "rate_limit_quota.v3.RateLimitQuotaFilterConfig"
JWT: Final = HTTP + "jwt_authn.v3.JwtAuthentication"
RBAC: Final = HTTP + "rbac.v3.RBAC"
CHECKS: Final = frozenset(
    {EXT_AUTHZ, JWT, RBAC, *(HTTP + name for name in (
        "basic_auth.v3.BasicAuth", "api_key_auth.v3.ApiKeyAuth", "oauth2.v3.OAuth2"))}
)  # fmt: skip
CALLOUTS: Final = (EXT_AUTHZ, EXT_PROC, RATELIMIT, QUOTA)
LISTENER: Final = "envoy.config.listener.v3.Listener"
CLUSTER: Final = "envoy.config.cluster.v3.Cluster"
OTHERS: Final = 0o007  # of a file's mode
DUMPED: Final = "envoy.admin.v3.BootstrapConfigDump"


@dataclass(frozen=True, slots=True)
class Envoy:
    """`process` is what only a bootstrap has, as the admin address; a file of resources has no such thing."""

    root: Node
    process: Node | None
    listeners: tuple[Node, ...]
    clusters: tuple[Node, ...]
    typed: Mapping[str, tuple[Node, ...]]

    def of(self, kind: str) -> tuple[Node, ...]:
        return self.typed.get(kind, ())

    def called(self) -> Iterator[Node]:
        """The clusters that a filter asks what to do."""
        names = {service.get("envoy_grpc", "cluster_name").text for service in self.services()}
        return (cluster for cluster in self.clusters if cluster.get("name").text in names - {""})

    def services(self) -> Iterator[Node]:
        """Every `GrpcService` by which a filter, or a route in its place, asks somebody."""
        for kind in (EXT_AUTHZ, EXT_PROC):
            yield from (node.get("grpc_service") for node in self.of(kind))
        yield from (node.get("rate_limit_service", "grpc_service") for node in self.of(RATELIMIT))
        yield from (node.get("rlqs_server") for node in self.of(QUOTA))
        yield from (node.get("overrides", "grpc_service") for node in self.of(EXT_PROC_ROUTE))
        yield from (node.get("check_settings", "grpc_service") for node in self.of(EXT_AUTHZ_ROUTE))


def read_envoy(data: object) -> Envoy:
    whole = Node(data)
    found: dict[str, list[Node]] = defaultdict(list)
    for node in whole.inside():
        if node.kind:
            found[node.kind].append(node.message)
    dumped = found.get(DUMPED)
    process = dumped[0].get("bootstrap") if dumped else whole
    static = Node() if dumped else whole.get("static_resources")  # a dump has them a second time, with their types
    listeners = (*static.get("listeners").each(), *found[LISTENER])
    found[MANAGER] = [node for node in found[MANAGER] if not _is_behind_the_edge(node, listeners)]
    return Envoy(
        root=whole,
        process=process if _is_bootstrap(process) else None,
        listeners=listeners,
        clusters=(*static.get("clusters").each(), *found[CLUSTER]),
        typed={kind: tuple(_once(nodes, dumped)) for kind, nodes in found.items()},
    )


def _is_behind_the_edge(manager: Node, listeners: Iterable[Node]) -> bool:
    """On a socket of this machine that is shut to other users, whoever asks is no client: it may say whose request it
    forwards. Envoy makes sockets 0755 where no mode is written."""
    around = (one for one in listeners if manager.path[: len(one.path)] == one.path)
    modes = [mode_of(one) for one in around]
    return any(mode is not None and not mode & OTHERS for mode in modes)


def mode_of(listener: Node) -> int | None:
    """Of its socket, where it has one with a mode."""
    number = listener.get("address", "pipe", "mode").number
    return int(number) if number is not None and number.is_integer() else None


def _is_bootstrap(node: Node) -> bool:
    return any(node.get(name).written for name in ("static_resources", "dynamic_resources", "admin"))


def _once(nodes: list[Node], dumped: list[Node] | None) -> Iterator[Node]:
    """Without what a dump's bootstrap holds: its resources stand in the dump themselves."""
    inner = dumped[0].get("bootstrap", "static_resources").path if dumped else None
    return (node for node in nodes if inner is None or node.path[: len(inner)] != inner)


def is_local(address: Node) -> bool:
    """An `Address` that nobody from another machine reaches."""
    socket = address.get("socket_address", "address").text
    if not socket:
        return True  # a pipe, an internal listener, or nothing at all
    return is_loopback(socket)


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def endpoints(cluster: Node) -> Iterator[Node]:
    for locality in cluster.get("load_assignment", "endpoints").each():
        yield from (item.get("endpoint", "address") for item in locality.get("lb_endpoints").each())
