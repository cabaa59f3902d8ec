"""How long a request may take, from what the route and its upstreams say."""

from __future__ import annotations

from typing import Final

from extproc.core.specs import ChooseSpec
from extproc.plan.model import Plan, RoutePlan, ToAggregate, ToModel, ToUpstream, UpstreamPlan

STREAM_IDLE: Final = 300.0


def upstreams_of(plan: Plan, route: RoutePlan) -> tuple[UpstreamPlan, ...]:
    """Those that may serve it, or a part of it; none for a redirect."""
    if isinstance(route.target, ToAggregate):
        return tuple(plan.upstreams[name] for name in route.target.spec.upstreams)
    if isinstance(route.target, ToModel):
        return tuple(plan.upstreams[name] for name in route.target.upstreams)
    return (plan.upstreams[route.target.upstream],) if isinstance(route.target, ToUpstream) else ()


def whole_time(plan: Plan, route: RoutePlan) -> float | None:
    """The route's own; without retries, an upstream's shorter one is the whole time too. None where there is no end."""
    if isinstance(route.target, ToAggregate):
        return route.timeout
    upstreams = upstreams_of(plan, route)
    if route.stream or not upstreams:
        return None
    if isinstance(route.target, ToModel) and any(model.fallback for model in route.target.models):
        return route.timeout  # an upstream's own is that of one try then
    tried_once = [upstream.timeout for upstream in upstreams if upstream.timeout is not None and not upstream.retries]
    return min([route.timeout, max(tried_once)]) if len(tried_once) == len(upstreams) else route.timeout


def try_time(plan: Plan, route: RoutePlan, model: ChooseSpec) -> float | None:
    """How long a version of a model with a fallback may take before the next is asked. None where an answer may take
    for ever: it is another's turn then only if none has begun."""
    if model.fallback is None or route.stream:
        return None
    if model.fallback.timeout is not None:
        return model.fallback.timeout
    own = [plan.upstreams[name].timeout for name in model.upstreams]
    shared = route.timeout / (model.fallback.tries + 1)
    return min([shared, *(timeout for timeout in own if timeout is not None)])
