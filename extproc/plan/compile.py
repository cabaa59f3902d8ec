"""Config -> Plan: what the operator wrote becomes what is meant, and every capability gets its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from extproc.config.limits import LimitUse
from extproc.config.load import Loaded
from extproc.config.meter import OFF
from extproc.config.model import Config
from extproc.config.quota_stream import QUOTA_STREAM
from extproc.config.route import Route
from extproc.core.limits import Limit
from extproc.core.names import FEEDBACK_UPSTREAM
from extproc.core.policy import Phase, PolicyKind, phases_of
from extproc.core.problems import InvalidConfig, Path
from extproc.core.processing import DEFAULT_RESPONSE_LIMIT
from extproc.core.specs import (
    ADAPT,
    AGGREGATE,
    AUTHORIZE,
    CHOOSE,
    LIMIT,
    METER,
    VERSION,
    AggregateSpec,
    LimitSpec,
    VersionSpec,
)
from extproc.plan.access import authorize_spec
from extproc.plan.aggregates import aggregate_spec
from extproc.plan.limits import carried_limits, is_plain, own_limit, tier_limits
from extproc.plan.matches import match_plan
from extproc.plan.meter import meter_of
from extproc.plan.model import (
    DEFAULT_BODY_LIMIT,
    DEFAULT_TIMEOUT,
    AuthenticationPlan,
    EnvoyPlan,
    Forward,
    ListenerPlan,
    Placement,
    Plan,
    PolicySpec,
    RoutePlan,
    ScorePlan,
    ToAggregate,
    ToModel,
    ToRedirect,
    ToUpstream,
)
from extproc.plan.model_routes import is_asked_with_body, model_flaw
from extproc.plan.models import model_spec, models_spec
from extproc.plan.processing import METERED_PIECES, WHOLE_AND_IN_PIECES, flaw, processing_of
from extproc.plan.rollouts import rules_of
from extproc.plan.shared import SharedLimit, quota_key, shared_limit, shared_tiers
from extproc.plan.sidecar import sidecar_plan
from extproc.plan.tls import listener_tls
from extproc.plan.upstreams import endpoint_of, own_upstreams, upstream_plan
from extproc.plan.versions import Versions


def compile_plan(loaded: Loaded, kinds: Mapping[str, type[PolicyKind]]) -> Plan:
    """The plan of a checked file. `kinds` says which phases each policy kind needs to see.

    Raises:
        InvalidConfig: a kind failed to say so.
    """
    config = loaded.config
    compiler = _RouteCompiler(loaded, kinds)
    routes = tuple(compiler.route(index, route) for index, route in enumerate(config.routes))
    return Plan(
        revision=_revision(loaded.revision, routes),
        listeners=tuple(
            ListenerPlan(
                item.name,
                endpoint_of(item.address),
                item.trusted_proxies.hops,
                item.trusted_proxies.proxy_protocol,
                listener_tls(item.tls) if item.tls else None,
            )
            for item in config.listeners
        ),
        envoy=EnvoyPlan(config.envoy.concurrency, endpoint_of(config.envoy.admin)),
        sidecar=sidecar_plan(config, loaded.file),
        upstreams=MappingProxyType(
            {name: upstream_plan(name, item) for name, item in config.upstreams.items()} | own_upstreams(config)
        ),
        authentication=MappingProxyType(_authentication(loaded)),
        models=MappingProxyType({name: model_spec(name, item) for name, item in config.models.items()}),
        routes=routes,
        descriptors=MappingProxyType(
            {(route.name, limit.name): limit for route in routes for limit in route.placement.descriptors}
        ),
        legacy_headers=config.limits.x_ratelimit_headers,
        scores=MappingProxyType(_scores(config)),
        rollouts=MappingProxyType(rules_of(config)),
    )


def _scores(config: Config) -> dict[str, ScorePlan]:
    written = {name: model.score for name, model in config.models.items()}
    return {name: ScorePlan(score.header or "", score.feedback is True) for name, score in written.items() if score}


def _revision(written: str, routes: Sequence[RoutePlan]) -> str:
    """Of the file, and of where everything runs: a kind of another version that asks to see more, or less, needs
    another bootstrap, and with the old one it would be passed by in silence."""
    placed = [[route.name, *route.placement.filters, *_shared(route), *_told(route)] for route in routes]
    return hashlib.sha256(json.dumps([written, placed]).encode()).hexdigest()[:16]


def _shared(route: RoutePlan) -> Sequence[str]:
    return (route.placement.shared.stamp,) if route.placement.shared else ()


def _told(route: RoutePlan) -> Sequence[str]:
    """A bootstrap that tells nothing of what versions do would have every guard of theirs see no failure."""
    return ("evidence",) if isinstance(route.target, ToModel) else ()


class _RouteCompiler:
    """Holds what every route of a file shares."""

    def __init__(self, loaded: Loaded, kinds: Mapping[str, type[PolicyKind]]) -> None:
        self._loaded = loaded
        self._config = loaded.config
        self._settings = loaded.settings
        self._kinds = kinds
        self._versions = Versions(loaded.config)
        self._tiers = MappingProxyType(
            {name: tier_limits(tier, f"tier/{name}") for name, tier in loaded.config.tiers.items()}
        )
        self._consumers = MappingProxyType(
            {name: tier_limits(own, f"consumer/{name}") for name, own in loaded.config.consumers.items()}
        )

    def route(self, index: int, route: Route) -> RoutePlan:
        defaults = self._config.defaults
        methods = tuple(_first(route.authenticate, defaults.authenticate, []))
        limits = _first(route.limits, defaults.limits, [])
        own = tuple(
            own_limit(use, route.name, position, stream=route.stream)
            for position, use in enumerate(limits)
            if not use.is_tiers
        )
        by_tier = any(use.is_tiers for use in limits)
        shared = self._shared(route, limits)
        if shared is not None:
            by_tier = by_tier and not shared.by_tier
            own = tuple(limit for limit in own if shared.name != quota_key(limit))
        version = self._versions.served(index)
        timeout = _first(route.timeout, defaults.timeout, None)
        deadline = timeout.total_seconds() if timeout else DEFAULT_TIMEOUT
        response_limit = _first(route.response_limit, defaults.response_limit, DEFAULT_RESPONSE_LIMIT)
        aggregate = aggregate_spec(self._config, route, version, deadline, response_limit)
        metered = self._metered(index, route, self._judged(own, by_tier=by_tier))
        used = [*self._adapting(index), *self._policies(index, route), *self._aggregating(index, aggregate), *metered]
        phases = {phase for spec in used for phase in spec.phases}
        authorize = _first(route.authorize, defaults.authorize, None)
        fused = bool(methods or authorize or route.model or Phase.REQUEST in phases or self._shows_credential(route))
        fused = fused or (version is not None and version.version.ends)  # gone or not is a question of the time
        # Envoy's ratelimit filter reads its limits from a route's action, and a redirect has none.
        fused = fused or (bool(own) and route.redirect is not None) or not all(map(is_plain, own))
        judged = self._judged(own if fused else (), by_tier=by_tier, metered=bool(metered))
        limit = _first(route.body_limit, defaults.body_limit, DEFAULT_BODY_LIMIT)
        self._check(route, used, phases, limit)
        self._check_model(index, route, used, limit, timeout.total_seconds() if timeout else DEFAULT_TIMEOUT)
        return RoutePlan(
            name=route.name,
            match=match_plan(route.match),
            target=_target(route, self._config, aggregate),
            authentication=methods,
            policies=(*self._gate(index, version if fused else None), *self._built_in(index, route, judged), *used),
            placement=Placement(
                fused=fused,
                asks_with_body=is_asked_with_body(route, self._config),
                # The ratelimit filter is skipped where the route's cluster is not known yet, so a fused route has
                # its limits judged in the fused call, and only routes to a fixed upstream use the filter.
                descriptors=() if fused else own,
                shown=processing_of(phases),
                shared=shared,
            ),
            timeout=deadline,
            body_limit=limit,
            response_limit=response_limit,
            stream=route.stream,
            forward=Forward(
                signed=_first(route.forward, defaults.forward, "headers") == "signed",
                credentials=_first(route.forward_credentials, defaults.forward_credentials, False),
            ),
            version=version,
        )

    def _shared(self, route: Route, limits: Sequence[LimitUse]) -> SharedLimit | None:
        """The one limit of a route that Envoys judge by themselves."""
        stream = self._config.sidecar.quota_stream
        for position, use in enumerate(limits):
            if stream is not None and use.placement == QUOTA_STREAM:
                lifetime = int(stream.ttl.total_seconds())
                if use.is_tiers:
                    return shared_tiers(self._tiers, stream.envoys, lifetime)
                limit = own_limit(use, route.name, position, stream=route.stream)
                return shared_limit(limit, stream.envoys, lifetime)
        return None

    def _judged(self, own: tuple[Limit, ...], *, by_tier: bool, metered: bool = False) -> LimitSpec:
        legacy = self._config.limits.x_ratelimit_headers
        if not by_tier:
            return LimitSpec(MappingProxyType({}), by_tier, own, legacy=legacy, metered=metered)
        claim = self._config.limits.claim or ""
        carried = carried_limits if claim else None
        return LimitSpec(self._tiers, by_tier, own, self._consumers, claim, legacy, carried, metered)

    def _metered(self, index: int, route: Route, limits: LimitSpec) -> list[PolicySpec]:
        """Behind all others: it sees requests as their upstream gets them, and answers as it gives them. Where nothing
        counts tokens, defaults meter nothing."""
        meter = _first(route.meter, self._config.defaults.meter, None)
        counted = limits.budgets or self._config.sidecar.usage is not None
        if meter is None or meter.style == OFF or not counted or route.redirect is not None:
            return []
        at: Path = ("defaults", "meter") if route.meter is None else ("routes", index, "meter")
        settings = meter_of(meter)
        return [PolicySpec(METER, settings, phases_of(self._kinds[METER], settings), at)]

    def _check(self, route: Route, used: list[PolicySpec], phases: set[Phase], limit: int) -> None:
        """Raises InvalidConfig where Envoy could not show the policies what they need to see."""
        for spec in used:
            redirect, aggregate = route.redirect is not None, route.aggregate is not None
            said = flaw(spec.phases, phases, stream=route.stream, redirect=redirect, limit=limit, aggregate=aggregate)
            if said:
                metered = said == WHOLE_AND_IN_PIECES and any(one.kind == METER for one in used)
                raise InvalidConfig([self._loaded.problem(spec.at, said, METERED_PIECES if metered else "")])

    def _check_model(self, index: int, route: Route, used: Sequence[PolicySpec], limit: int, timeout: float) -> None:
        """Raises InvalidConfig."""
        said = model_flaw(route, self._config, used, limit, timeout)
        if said:
            raise InvalidConfig([self._loaded.problem(("routes", index, "model"), said)])

    def _shows_credential(self, route: Route) -> bool:
        """Whether its upstream is shown a credential, which only the sidecar has. A model's routes ask it anyway."""
        return route.upstream is not None and self._config.upstreams[route.upstream].credential is not None

    def _gate(self, index: int, version: VersionSpec | None) -> list[PolicySpec]:
        """First of all, so that nothing is counted for a version that is gone. A route that asks nobody has none."""
        return [PolicySpec(VERSION, version, at=("routes", index, "version"))] if version else []

    def _adapting(self, index: int) -> list[PolicySpec]:
        """Before the route's own policies: they see bodies in the words of the upstream, there and back."""
        spec = self._versions.adapted(index)
        if spec is None:
            return []
        phases = phases_of(self._kinds[ADAPT], spec)
        return [PolicySpec(ADAPT, spec, phases, ("routes", index, "version"))] if phases else []

    def _aggregating(self, index: int, spec: AggregateSpec | None) -> list[PolicySpec]:
        """Last: it answers what everybody else has let pass."""
        if spec is None:
            return []
        return [PolicySpec(AGGREGATE, spec, phases_of(self._kinds[AGGREGATE], spec), ("routes", index, "aggregate"))]

    def _built_in(self, index: int, route: Route, limits: LimitSpec) -> list[PolicySpec]:
        """In the order in which they judge: what is refused is not counted, what is counted may be routed."""
        at: Path = ("routes", index)
        limited: Path = ("defaults", "limits") if route.limits is None else (*at, "limits")
        authorize = _first(route.authorize, self._config.defaults.authorize, None)
        allowed: Path = ("defaults", "authorize") if route.authorize is None else (*at, "authorize")
        specs = [PolicySpec(AUTHORIZE, authorize_spec(authorize), at=allowed)] if authorize else []
        specs += [PolicySpec(LIMIT, limits, at=limited)] if limits.by_tier or limits.own else []
        if route.model is not None:
            specs.append(PolicySpec(CHOOSE, models_spec(route.model, self._config), at=(*at, "model")))
        return specs

    def _policies(self, index: int, route: Route) -> list[PolicySpec]:
        block: Path = ("defaults",) if route.policies is None else ("routes", index)
        uses = _first(route.policies, self._config.defaults.policies, [])
        return [self._use(use.use, (*block, "policies", position, "use")) for position, use in enumerate(uses)]

    def _use(self, kind: str, at: Path) -> PolicySpec:
        settings = self._settings[at]
        try:
            phases = phases_of(self._kinds[kind], settings)
        except (Exception, SystemExit) as error:  # an author's own function
            said = f"the policy kind cannot say what it needs to see: {type(error).__name__}: {error}"
            raise InvalidConfig([self._loaded.problem(at, said)]) from error
        return PolicySpec(kind, settings, phases, at)


def _target(
    route: Route, config: Config, aggregate: AggregateSpec | None
) -> ToUpstream | ToModel | ToRedirect | ToAggregate:
    if aggregate is not None:
        return ToAggregate(aggregate)
    if route.upstream is not None:
        return ToUpstream(route.upstream)
    if route.model is not None:
        return ToModel(models_spec(route.model, config))
    if route.redirect is not None:
        return ToRedirect(route.redirect.to, route.redirect.status)
    if route.feedback:
        return ToUpstream(FEEDBACK_UPSTREAM)
    raise ValueError(f"route {route.name} leads nowhere")


def _authentication(loaded: Loaded) -> dict[str, AuthenticationPlan]:
    return {
        str(path[1]): AuthenticationPlan(str(path[1]), str(path[2]), settings)
        for path, settings in loaded.settings.items()
        if path[0] == "authentication"
    }


T = TypeVar("T")


def _first(own: T | None, default: T | None, otherwise: T) -> T:
    """The route's own value, else the default's, else what holds where nobody wrote anything."""
    return own if own is not None else default if default is not None else otherwise
