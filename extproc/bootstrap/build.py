"""The whole bootstrap of one plan."""

from __future__ import annotations

from typing import Any, Final

from envoy_data_plane.envoy.config.bootstrap import v3 as bootstrap
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.overload import v3 as overload
from envoy_data_plane.envoy.extensions.resource_monitors.downstream_connections import v3 as connections
from envoy_data_plane.envoy.extensions.resource_monitors.fixed_heap import v3 as fixed_heap

from extproc.bootstrap.clusters import socket_address, upstream
from extproc.bootstrap.explicit import write_defaults
from extproc.bootstrap.listeners import build_listener
from extproc.bootstrap.names import packed, seconds
from extproc.bootstrap.sidecar import sidecar_cluster
from extproc.plan.model import Plan

MAX_HEAP: Final = 1024 * 1024 * 1024
MAX_CONNECTIONS: Final = 50_000


def build_bootstrap(plan: Plan) -> dict[str, Any]:
    """Plain data, ready to be written. The same plan gives the same text, byte for byte."""
    message = bootstrap.Bootstrap(
        node=core.Node(id="extproc", cluster="extproc"),
        admin=bootstrap.Admin(address=socket_address(plan.envoy.admin)),
        overload_manager=_overload(),
        static_resources=bootstrap.BootstrapStaticResources(
            listeners=[build_listener(plan, item) for item in plan.listeners],
            clusters=[sidecar_cluster(plan.sidecar), *(upstream(item) for item in plan.upstreams.values())],
        ),
    )
    written: dict[str, Any] = write_defaults(message.to_dict(casing=_as_envoy_has_it))  # type: ignore[arg-type]
    return written


def _as_envoy_has_it(field: str) -> str:
    """Field names untouched: betterproto2's own casings turn `consecutive_5xx` into `consecutive_5_xx`."""
    return field


def _overload() -> overload.OverloadManager:
    heap, open_connections = (
        "envoy.resource_monitors.fixed_heap",
        "envoy.resource_monitors.global_downstream_max_connections",
    )
    limits = connections.DownstreamConnectionsConfig(max_active_downstream_connections=MAX_CONNECTIONS)
    return overload.OverloadManager(
        refresh_interval=seconds(0.25),
        resource_monitors=[
            overload.ResourceMonitor(
                name=heap, typed_config=packed(fixed_heap.FixedHeapConfig(max_heap_size_bytes=MAX_HEAP))
            ),
            overload.ResourceMonitor(name=open_connections, typed_config=packed(limits)),
        ],
        actions=[
            _action("envoy.overload_actions.shrink_heap", heap, 0.95),
            _action("envoy.overload_actions.stop_accepting_requests", heap, 0.98),
        ],
    )


def _action(name: str, resource: str, threshold: float) -> overload.OverloadAction:
    trigger = overload.Trigger(name=resource, threshold=overload.ThresholdTrigger(value=threshold))
    return overload.OverloadAction(name=name, triggers=[trigger])
