"""The HTTP filters, in one table: what runs in which order, and why there.

Requests meet the rows from top to bottom, responses from bottom to top. A filter that no route needs is left out. Each
row's `route` says what one route changes about it; a route that says nothing gets what the row itself does. `acts` says
whether the filter does anything for a route, for whoever reads a plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from betterproto2 import Message
from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation_rules
from envoy_data_plane.envoy.config.rbac import v3 as rbac_rules
from envoy_data_plane.envoy.extensions.filters.http.buffer import v3 as buffer
from envoy_data_plane.envoy.extensions.filters.http.header_mutation import v3 as header_mutation
from envoy_data_plane.envoy.extensions.filters.http.rbac import v3 as rbac
from envoy_data_plane.envoy.extensions.filters.http.router import v3 as router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm

from extproc.bootstrap import callouts, edge
from extproc.bootstrap.names import BUFFER, EXT_AUTHZ, EXT_PROC, HEADER_MUTATION, RATELIMIT, RBAC, ROUTER, packed
from extproc.core.names import ENVOY_PREFIX, OWNED_PREFIXES
from extproc.plan.model import DEFAULT_BODY_LIMIT, Plan, RoutePlan

RouteConfig = Callable[[Plan, RoutePlan | None], Message | None]


@dataclass(frozen=True, slots=True)
class Row:
    """`route` is asked once per route, and once with None for the route that answers 404."""

    name: str
    why: str
    config: Callable[[Plan], Message]
    route: RouteConfig = lambda plan, route: None
    needed: Callable[[Plan], bool] = lambda plan: True
    disabled: bool = False
    acts: Callable[[RoutePlan], bool] = lambda route: True


def _strip_internal(plan: Plan) -> Message:
    """Also of an upstream that is an Envoy itself; `server` says which software there is to attack."""
    removed = [edge.remove_prefix(prefix) for prefix in (ENVOY_PREFIX, *OWNED_PREFIXES)]
    removed.append(mutation_rules.HeaderMutation(remove="server"))
    return header_mutation.HeaderMutation(mutations=header_mutation.Mutations(response_mutations=removed))


def _buffer_route(plan: Plan, route: RoutePlan | None) -> Message:
    if route is None:
        return buffer.BufferPerRoute(disabled=True)
    return buffer.BufferPerRoute(buffer=buffer.Buffer(max_request_bytes=route.body_limit))


def _deny_all(plan: Plan) -> Message:
    """ALLOW with no policy allows nobody (rbac.proto): a route that nobody thought of is closed."""
    return rbac.Rbac(rules=rbac_rules.Rbac(action=rbac_rules.RbacAction.ALLOW))


def _open_route(plan: Plan, route: RoutePlan | None) -> Message:
    """An empty per-route RBAC switches the filter off (rbac.proto: RBACPerRoute.rbac): somebody thought of this one."""
    return rbac.RbacPerRoute()


ORDER: Final = (
    Row(
        HEADER_MUTATION,
        "first, so that it sees responses last: no internal header leaves, whoever wrote it",
        _strip_internal,
    ),
    Row(
        BUFFER,
        "before every check, so that a body over the limit is 413 and costs no call",
        lambda plan: buffer.Buffer(max_request_bytes=DEFAULT_BODY_LIMIT),
        _buffer_route,
    ),
    Row(
        RBAC,
        "denies all, so that a route without an explicit say is closed",
        _deny_all,
        _open_route,
        acts=lambda route: False,
    ),
    Row(
        EXT_AUTHZ,
        "who is asking, may they, how often, and where to: one call, before anything that could act on the answer",
        callouts.ext_authz,
        callouts.ext_authz_route,
        acts=lambda route: route.placement.fused,
    ),
    Row(
        RATELIMIT,
        "limits of routes that need no ext_authz; after it, so that nothing refused is counted",
        callouts.ratelimit,
        needed=lambda plan: bool(plan.descriptors),
        acts=lambda route: bool(route.placement.descriptors),
    ),
    Row(
        EXT_PROC,
        "edits requests and answers, on routes that ask for it; the only one, and last: it sees what the upstream said",
        callouts.ext_proc,
        callouts.ext_proc_route,
        needed=lambda plan: any(route.placement.edits for route in plan.routes),
        disabled=True,
        acts=lambda route: route.placement.edits,
    ),
    Row(ROUTER, "sends the request on; must be last", lambda plan: router.Router(suppress_envoy_headers=True)),
)


def http_filters(plan: Plan) -> list[hcm.HttpFilter]:
    return [
        hcm.HttpFilter(name=row.name, typed_config=packed(row.config(plan)), disabled=row.disabled)
        for row in ORDER
        if row.needed(plan)
    ]


def route_filters(plan: Plan, route: RoutePlan | None) -> dict[str, Message]:
    """What this route changes, by filter name."""
    configs = {row.name: row.route(plan, route) for row in ORDER if row.needed(plan)}
    return {name: config for name, config in configs.items() if config is not None}


def met_by(plan: Plan, route: RoutePlan) -> list[Row]:
    """The filters that do something for a request on this route, in the order in which it meets them."""
    return [row for row in ORDER if row.needed(plan) and row.acts(route)]
