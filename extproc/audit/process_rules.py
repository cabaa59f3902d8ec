"""The process and its doors: listeners, admin, overload, runtime (EX8xx)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.audit.edge_rules import DOCS, EDGE
from extproc.audit.envoy import MANAGER, Envoy, is_local
from extproc.audit.node import Node
from extproc.audit.places import unless_written
from extproc.audit.rule import Rule
from extproc.audit.severity import Severity

OVERLOAD: Final = DOCS + "configuration/operations/overload_manager/overload_manager"
HEAP: Final = ("fixed_heap.v3.FixedHeapConfig", "cgroup_memory.v3.CgroupMemoryConfig")
CONNECTIONS: Final = "downstream_connections.v3.DownstreamConnectionsConfig"
LIMIT: Final = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"
RUNTIME_LIMIT: Final = "overload.global_downstream_max_connections"


def _open_admin(envoy: Envoy) -> Iterator[Node]:
    address = envoy.process.get("admin", "address") if envoy.process else Node()
    if not is_local(address):
        yield address


def _monitors(envoy: Envoy, *kinds: str) -> bool:
    return any(kind.endswith(kinds) for kind in envoy.typed)


def _unwatched(envoy: Envoy) -> Iterator[Node]:
    if envoy.process and not (_monitors(envoy, *HEAP) and envoy.process.get("overload_manager", "actions").data):
        yield envoy.process.get("overload_manager")


def _uncounted(envoy: Envoy) -> Iterator[Node]:
    """Neither the whole process nor every listener bounds its connections."""
    everywhere = _monitors(envoy, CONNECTIONS) or any(
        node.path[-1:] == (RUNTIME_LIMIT,) for node in (envoy.process or Node()).get("layered_runtime").inside()
    )
    if not everywhere:
        yield from (listener for listener in _serving(envoy) if not _holds(listener, LIMIT))


def _serving(envoy: Envoy) -> Iterator[Node]:
    return (listener for listener in envoy.listeners if _holds(listener, MANAGER))


def _holds(listener: Node, kind: str) -> bool:
    return any(node.kind == kind for node in listener.inside())


def _in_the_open(envoy: Envoy) -> Iterator[Node]:
    for listener in _serving(envoy):
        chains = [*listener.get("filter_chains").each(), listener.get("default_filter_chain")]
        if not is_local(listener.get("address")) and not any(one.get("transport_socket").written for one in chains):
            yield listener.get("address")


def _changeable(envoy: Envoy) -> Iterator[Node]:
    layers = envoy.process.get("layered_runtime", "layers").each() if envoy.process else ()
    return (layer for layer in layers if layer.get("admin_layer").written)


RULES: Final[tuple[Rule[Envoy], ...]] = (
    Rule(
        "EX801", Severity.HIGH,
        "Whoever reaches the admin address can stop Envoy, change its runtime, and read its configuration with its "
        "secrets' names.",
        "Bind admin to 127.0.0.1, or to a Unix socket.",
        DOCS + "operations/admin", _open_admin,
    ),
    Rule(
        "EX802", Severity.MEDIUM,
        "Without an overload manager, Envoy takes requests until the kernel ends it.",
        "Add overload_manager with a heap monitor, shrink_heap at 0.95 and stop_accepting_requests at 0.98.",
        OVERLOAD, _unwatched,
    ),
    Rule(
        "EX803", Severity.MEDIUM,
        "One client may open connections until there are no file descriptors left.",
        "Add the monitor global_downstream_max_connections, and a connection_limit filter on each listener.",
        EDGE, _uncounted,
    ),
    Rule(
        "EX804", Severity.LOW,
        "Requests and credentials travel in plain text.",
        "Add a transport_socket with TLS, unless something in front ends it.",
        DOCS + "start/quick-start/securing", _in_the_open,
    ),
    Rule(
        "EX805", Severity.LOW,
        "A connection from a client may buffer 1 MiB.",
        "Set per_connection_buffer_limit_bytes: 32768.",
        EDGE, lambda envoy: (
            found for one in _serving(envoy) for found in unless_written("per_connection_buffer_limit_bytes")(one)
        ),
    ),
    Rule(
        "EX806", Severity.LOW,
        "Through the admin address any runtime value may be changed, those that switch filters off as well.",
        "Leave admin_layer out of layered_runtime.",
        DOCS + "configuration/operations/runtime", _changeable,
    ),
)  # fmt: skip
