"""Plan -> its description. Knows nothing of Envoy's configuration: which filters act is told by whoever does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from extproc.core.aggregation import needs_of
from extproc.core.limits import Limit
from extproc.core.models import NamedBy
from extproc.core.names import FEEDBACK_UPSTREAM
from extproc.core.policy import Phase
from extproc.core.problems import spell_path
from extproc.core.processing import BodyMode
from extproc.core.specs import HUNDREDTHS, LIMIT, AdaptSpec, AggregateSpec, ChooseSpec, LimitSpec, ModelsSpec
from extproc.core.usage import HOUR
from extproc.core.versions import spell_moment
from extproc.plan.description import (
    ApiVersionDescription,
    FieldDescription,
    FilterDescription,
    ListenerDescription,
    MatchDescription,
    MethodDescription,
    ModelDescription,
    PartDescription,
    PlanDescription,
    PolicyDescription,
    RequestBody,
    RouteDescription,
    TargetDescription,
    TierDescription,
    Totals,
    VersionDescription,
)
from extproc.plan.model import (
    FieldMatch,
    ListenerPlan,
    MatchPlan,
    Plan,
    PolicySpec,
    RoutePlan,
    ToAggregate,
    ToModel,
    ToRedirect,
    ValueRule,
)
from extproc.plan.rollout_rules import rollout_descriptions
from extproc.plan.rules import (
    authentication_rule,
    brief_of,
    forward_rule,
    limit_rule,
    limit_rules,
    model_rule,
    rule_of,
    shared_brief,
    shared_rule,
    source_rule,
    version_rule,
)
from extproc.plan.times import STREAM_IDLE, whole_time

MOST_CALLS: Final = 3
REQUEST: Final = "request"
FORWARDED: Final = (Phase.REQUEST_BODY, Phase.FORWARD)
ANSWERED: Final = (Phase.RESPONSE_STREAM, Phase.RESPONSE_BODY, Phase.RESPONSE)
FUSED, SHARED, LIMITS, EDITS = "ext_authz", "rate_limit_quota", "ratelimit", "ext_proc"
Filters = Callable[[RoutePlan], Iterable[FilterDescription]]


def no_filters(route: RoutePlan) -> Iterable[FilterDescription]:
    return ()


def describe(plan: Plan, filters: Filters = no_filters) -> PlanDescription:
    routes = tuple(_route(plan, index, route, filters) for index, route in enumerate(plan.routes))
    calls = [route.calls for route in routes]
    return PlanDescription(
        revision=plan.revision,
        listeners=tuple(_listener(item) for item in plan.listeners),
        tiers=tuple(TierDescription(name, limit_rules(limits)) for name, limits in _tiers(plan).items()),
        routes=routes,
        totals=Totals(len(routes), {str(number): calls.count(number) for number in range(MOST_CALLS + 1)}),
        usage=_usage(plan.sidecar.usage),
        rollouts=tuple(rollout_descriptions(plan)),
    )


def _usage(keep: int | None) -> str:
    if keep is None:
        return ""
    days, hours = divmod(keep // HOUR, 24)
    return " ".join(filter(None, (f"{days}d" if days else "", f"{hours}h" if hours else "")))


def _listener(item: ListenerPlan) -> ListenerDescription:
    asks = item.tls is not None and item.tls.client_ca is not None
    requires = item.tls is not None and item.tls.require_client_certificate
    shown = "required" if requires else "asked" if asks else "none"
    address = str(item.address)
    return ListenerDescription(item.name, address, item.hops, item.proxy_protocol, item.tls is not None, shown)


def _route(plan: Plan, index: int, route: RoutePlan, filters: Filters) -> RouteDescription:
    return RouteDescription(
        name=route.name,
        match=_match(route.match),
        target=_target(plan, route),
        calls=route.placement.calls,
        services=route.placement.services,
        filters=tuple(filters(route)),
        authentication=tuple(MethodDescription(name, plan.authentication[name].kind) for name in route.authentication),
        policies=tuple(_policies(plan, route, spell_path(("routes", index)))),
        request_body=_request_body(route),
        response_body=route.placement.shown.response.body.value,
        timeout_seconds=whole_time(plan, route),
        idle_timeout_seconds=STREAM_IDLE if route.stream else None,
        api_version=_api_version(route),
    )


def _api_version(route: RoutePlan) -> ApiVersionDescription | None:
    if route.version is None:
        return None
    version = route.version.version
    adapted = [spec.settings.spoken for spec in route.policies if isinstance(spec.settings, AdaptSpec)]
    spoken = adapted[0] if adapted else ""
    text = version_rule(version) + (f", adapted to {spoken}" if spoken else "")
    deprecated, sunset = (
        "" if moment is None else spell_moment(moment) for moment in (version.deprecated, version.sunset)
    )
    return ApiVersionDescription(
        version.name,
        version.status.value,
        text,
        deprecated,
        sunset,
        version.successor,
        route.version.successor_at,
        spoken,
    )


def _request_body(route: RoutePlan) -> RequestBody:
    held = route.placement.shown.request.body is BodyMode.NONE and not route.placement.asks_with_body
    mode = "held" if held else "shown"
    return RequestBody(mode, route.body_limit)


def _policies(plan: Plan, route: RoutePlan, at: str) -> Iterable[PolicyDescription]:
    """In the order in which they judge: the request from the first to the last, the answer from the last."""
    if route.authentication:
        rule = authentication_rule(route)
        yield PolicyDescription("authenticate", rule, rule, REQUEST, FUSED, at)
    yield from (_policy(spec, REQUEST, FUSED) for spec in route.policies if Phase.REQUEST in spec.phases)
    said = forward_rule(plan, route)
    if said:
        yield PolicyDescription("forward", said, said, REQUEST, FUSED, at)
    if shared := route.placement.shared:
        yield PolicyDescription(LIMIT, shared_rule(shared), shared_brief(shared), REQUEST, SHARED, at)
    for limit in route.placement.descriptors:
        yield PolicyDescription(LIMIT, limit_rule(limit), limit_rule(limit), REQUEST, LIMITS, at)
    for spec in route.policies:
        yield from (_policy(spec, phase.value, EDITS) for phase in _most(spec, FORWARDED))
    for spec in reversed(route.policies):
        yield from (_policy(spec, phase.value, EDITS) for phase in _most(spec, ANSWERED))


def _most(spec: PolicySpec, phases: Sequence[Phase]) -> Sequence[Phase]:
    """The one that shows most, of those that it needs."""
    return [phase for phase in phases if phase in spec.phases][:1]


def _policy(spec: PolicySpec, phase: str, service: str) -> PolicyDescription:
    return PolicyDescription(spec.kind, rule_of(spec), brief_of(spec), phase, service, spell_path(spec.at))


def _tiers(plan: Plan) -> Mapping[str, tuple[Limit, ...]]:
    """Those that some route counts."""
    counted = [
        spec.settings for route in plan.routes for spec in route.policies if isinstance(spec.settings, LimitSpec)
    ]
    tiers = {name: limits for spec in counted for name, limits in spec.tiers.items()}
    shared = [route.placement.shared for route in plan.routes if route.placement.shared]
    return tiers | {name: (quota.limit,) for item in shared for name, quota in item.quotas.items() if name}


def _match(match: MatchPlan) -> MatchDescription:
    return MatchDescription(
        text=match_text(match),
        hosts=match.hosts,
        path=match.path or "",
        path_prefix=match.path_prefix or "",
        methods=match.methods,
        headers=tuple(FieldDescription(field.name, field.rule.value, field.value) for field in match.headers),
        query=tuple(FieldDescription(field.name, field.rule.value, field.value) for field in match.query),
    )


def match_text(match: MatchPlan) -> str:
    """`GET,POST a.example.com or b.example.com /api and below, x-beta: 1, ?page`."""
    below = "" if match.path_prefix is None or match.path_prefix == "/" else " and below"
    path = match.path if match.path is not None else "any path" if match.path_prefix == "/" else match.path_prefix
    where = " ".join(filter(None, (",".join(match.methods), " or ".join(match.hosts), f"{path}{below}")))
    fields = [_field(field, ": ") for field in match.headers] + ["?" + _field(field, "=") for field in match.query]
    return ", ".join([where, *fields])


def _field(field: FieldMatch, between: str) -> str:
    if field.rule is ValueRule.PRESENT:
        return field.name
    return f"{field.name}{between}{field.value}" + ("*" if field.rule is ValueRule.PREFIX else "")


def _target(plan: Plan, route: RoutePlan) -> TargetDescription:
    if isinstance(route.target, ToModel):
        return _models(route.target.spec)
    if isinstance(route.target, ToAggregate):
        return _aggregate(route.target.spec)
    if isinstance(route.target, ToRedirect):
        to, status = route.target.to, route.target.status
        return TargetDescription(f"redirect {status} to {to}", "redirect", to=to, status=status)
    if route.target.upstream == FEEDBACK_UPSTREAM:
        return TargetDescription("feedback", "feedback")
    return TargetDescription(route.target.upstream, "upstream", upstream=route.target.upstream)


def _aggregate(spec: AggregateSpec) -> TargetDescription:
    needs = needs_of(spec)
    parts = tuple(
        PartDescription(
            part.name,
            part.upstream,
            part.method,
            part.path,
            part.timeout,
            part.retries,
            part.optional,
            tuple(other.name for other in spec.parts if other.name in needs[part.name]),
        )
        for part in spec.parts
    )
    named = ", ".join(f"{part.name} {part.upstream}{' (optional)' if part.optional else ''}" for part in parts)
    return TargetDescription(f"aggregate: {named}", "aggregate", parts=parts)


def _models(spec: ModelsSpec) -> TargetDescription:
    models = tuple(map(_model, spec.models))
    if spec.named_by is NamedBy.ROUTE:
        only = models[0]
        text = f"model {only.name}: {_shares(only)}"
        return TargetDescription(
            text, "model", model=only.name, sticky=only.sticky, versions=only.versions, models=models
        )
    named = source_rule(spec)
    text = "; ".join(f"{model.name}: {_shares(model)}" for model in models)
    return TargetDescription(
        f"model by {named}: {text}", "model", named_by=named, default=spec.otherwise, models=models
    )


def _shares(model: ModelDescription) -> str:
    return ", ".join(f"{item.name} {item.weight:g} % {item.upstream}" for item in model.versions)


def _model(spec: ChooseSpec) -> ModelDescription:
    return ModelDescription(
        name=spec.model,
        text=model_rule(spec),
        sticky=spec.sticky,
        versions=tuple(
            VersionDescription(item.name, item.upstream, item.weight / HUNDREDTHS, item.tiers) for item in spec.versions
        ),
        aliases=spec.aliases,
        allow=spec.tiers,
        pinned_by=spec.pin.header if spec.pin else "",
        shadow=spec.shadow.version if spec.shadow else "",
        fallback=spec.fallback.to if spec.fallback else (),
    )
