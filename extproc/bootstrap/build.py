"""The whole bootstrap of one plan."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Final

from envoy_data_plane.envoy.config.bootstrap import v3 as bootstrap
from envoy_data_plane.envoy.config.cluster import v3 as cluster
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.overload import v3 as overload
from envoy_data_plane.envoy.extensions.resource_monitors.downstream_connections import v3 as connections
from envoy_data_plane.envoy.extensions.resource_monitors.fixed_heap import v3 as fixed_heap
from envoy_data_plane.google.protobuf import Struct

from extproc.bootstrap.clusters import socket_address, upstream
from extproc.bootstrap.egress import dead_end, egress_listener
from extproc.bootstrap.explicit import write_defaults
from extproc.bootstrap.listeners import build_listener
from extproc.bootstrap.models import model_clusters
from extproc.bootstrap.names import packed, plain, seconds
from extproc.bootstrap.secrets import file_name, secrets_of
from extproc.bootstrap.sidecar import feedback_cluster, sidecar_cluster
from extproc.core.names import FEEDBACK_UPSTREAM
from extproc.plan.model import Plan, ValueRule

MAX_HEAP: Final = 1024 * 1024 * 1024
MAX_CONNECTIONS: Final = 50_000
MAX_PROGRAM: Final = 1024  # of RE2: the longest media type, and what may stand around it


BOOTSTRAP: Final = PurePath("bootstrap.yaml")
SECRETS: Final = PurePath("secrets")


class NeedsFolder(Exception):
    """A bootstrap refers to files, and nobody said where they will be."""


def build_files(plan: Plan, folder: PurePath) -> dict[PurePath, dict[str, Any]]:
    """The bootstrap, and the files that it refers to, as plain data by their places in `folder`, which is absolute.
    The bootstrap comes last: whoever writes them in order writes nothing that refers to what is not there."""
    secrets = {SECRETS / file_name(name): secret for name, secret in secrets_of(plan).items()}
    return {**secrets, BOOTSTRAP: build_bootstrap(plan, folder)}


def build_bootstrap(plan: Plan, folder: PurePath | None = None) -> dict[str, Any]:
    """Plain data, ready to be written. The same plan gives the same text, byte for byte.

    Raises:
        NeedsFolder: there are certificates, and no `folder` that build_files are written into.
    """
    if folder is None and secrets_of(plan):
        raise NeedsFolder
    secrets = (folder or PurePath()) / SECRETS
    message = bootstrap.Bootstrap(
        node=core.Node(id="extproc", cluster="extproc"),
        admin=bootstrap.Admin(address=socket_address(plan.envoy.admin)),
        overload_manager=_overload(),
        layered_runtime=_runtime(plan),
        static_resources=bootstrap.BootstrapStaticResources(
            listeners=[
                *(build_listener(plan, item, secrets) for item in plan.listeners),
                *([egress_listener(plan)] if plan.aggregates else []),
            ],
            clusters=[
                sidecar_cluster(plan.sidecar),
                *([dead_end()] if plan.aggregates else []),
                *_upstreams(plan, secrets),
                *model_clusters(plan, secrets),
            ],
        ),
    )
    written: dict[str, Any] = write_defaults(plain(message))
    return written


def _upstreams(plan: Plan, secrets: PurePath) -> list[cluster.Cluster]:
    return [
        feedback_cluster(plan.sidecar) if name == FEEDBACK_UPSTREAM else upstream(item, secrets)
        for name, item in plan.upstreams.items()
    ]


def _runtime(plan: Plan) -> bootstrap.LayeredRuntime | None:
    """The pattern of a media type is larger than Envoy allows by default; it is ours, and RE2 is linear in any case."""
    fields = (field for route in plan.routes for field in route.match.headers)
    if not any(field.rule is ValueRule.MEDIA_TYPE for field in fields):
        return None
    values = {"re2.max_program_size.error_level": MAX_PROGRAM}
    return bootstrap.LayeredRuntime(
        layers=[bootstrap.RuntimeLayer(name="patterns", static_layer=Struct.from_dict(values))]
    )


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
