"""Names that only Envoy's side of the configuration uses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from betterproto2 import Message
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts import v3 as previous_hosts
from envoy_data_plane.google.protobuf import Any as AnyMessage

SIDECAR_CLUSTER: Final = "extproc.sidecar"
NO_ROUTE: Final = "extproc.no-route"
ODD: Final = "extproc.odd"

HEADER_MUTATION: Final = "envoy.filters.http.header_mutation"
BUFFER: Final = "envoy.filters.http.buffer"
RBAC: Final = "envoy.filters.http.rbac"
EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"
RATELIMIT: Final = "envoy.filters.http.ratelimit"
EXT_PROC: Final = "envoy.filters.http.ext_proc"
ROUTER: Final = "envoy.filters.http.router"

BUFFER_LIMIT: Final = (
    32 * 1024
)  # edge best practice: https://www.envoyproxy.io/docs/envoy/latest/configuration/best_practices/edge


PREVIOUS_HOSTS: Final = "envoy.retry_host_predicates.previous_hosts"


def other_host() -> AnyMessage:
    """A retry goes to a host that has not been tried."""
    return packed(previous_hosts.PreviousHostsPredicate())


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def packed(message: Message) -> AnyMessage:
    return AnyMessage.pack(message)


def plain(message: Message) -> dict[str, Any]:
    """As data, with the names of fields untouched: betterproto2's own casings turn `consecutive_5xx` into
    `consecutive_5_xx`."""
    written: dict[str, Any] = message.to_dict(casing=str)  # type: ignore[arg-type]
    return written
