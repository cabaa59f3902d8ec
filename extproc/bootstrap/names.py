"""Names that only Envoy's side of the configuration uses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from betterproto2 import Message
from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts import v3 as previous_hosts
from envoy_data_plane.google.protobuf import Any as AnyMessage

SIDECAR_CLUSTER: Final = "extproc.sidecar"
NO_ROUTE: Final = "extproc.no-route"
ODD: Final = "extproc.odd"
EGRESS: Final = "extproc.egress"
DEAD_END: Final = "extproc.dead-end"

HEADER_MUTATION: Final = "envoy.filters.http.header_mutation"
BUFFER: Final = "envoy.filters.http.buffer"
RBAC: Final = "envoy.filters.http.rbac"
EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"
RATE_LIMIT_QUOTA: Final = "envoy.filters.http.rate_limit_quota"
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


def retries(conditions: str, number: int, each: float | None) -> route.RetryPolicy:
    """`each` is how long one try may take."""
    return route.RetryPolicy(
        retry_on=conditions,
        num_retries=number,
        per_try_timeout=None if each is None else seconds(each),
        retry_host_predicate=[
            route.RetryPolicyRetryHostPredicate(
                name=PREVIOUS_HOSTS,
                typed_config=other_host(),
            )
        ],
        host_selection_retry_max_attempts=3,
    )


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def packed(message: Message) -> AnyMessage:
    return AnyMessage.pack(message)


def plain(message: Message) -> dict[str, Any]:
    """As data, with the names of fields untouched: betterproto2's own casings turn `consecutive_5xx` into
    `consecutive_5_xx`."""
    written: dict[str, Any] = message.to_dict(casing=str)  # type: ignore[arg-type]
    return written
