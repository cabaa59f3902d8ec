"""Plan + ports -> Gateway: every route's policies built, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from extproc.config.load import Loaded
from extproc.core.authentication import Authentication
from extproc.core.chain import Link, PolicyChain
from extproc.core.gateway import Gateway, ServedRoute
from extproc.core.handover import Handover
from extproc.core.policy import Authenticator, Phase, Policy, cookies_of, credential_query
from extproc.core.ports import Ports, TokenSigner
from extproc.core.problems import InvalidConfig, Problem
from extproc.core.processing import MAX_SHOWN, longer
from extproc.core.specs import AGGREGATE, CHOOSE, AggregateSpec
from extproc.plan.model import Plan, PolicySpec, RoutePlan, ToAggregate, ToModel, ToUpstream, ours_of
from extproc.plan.processing import OF_REQUESTS, OF_RESPONSES
from extproc.plan.times import upstreams_of
from extproc.plugins.registry import Registry


def assemble(
    plan: Plan,
    ports: Ports,
    registry: Registry,
    loaded: Loaded,
    problems: list[Problem],
    signer: TokenSigner | None = None,
) -> Gateway:
    """Everything that answers Envoy about this plan. `problems` are those that reading its files has found already.

    Raises:
        InvalidConfig: with these and whatever a key set, an expression or a policy's own `build` refused.
    """
    assembler = _Assembler(plan, ports, registry, loaded, problems, signer)
    methods = assembler.authenticators()
    routes = {route.name: assembler.served(route, methods) for route in plan.routes}
    if problems:
        raise InvalidConfig(sorted(set(problems), key=lambda problem: (problem.line, problem.column)))
    return Gateway(plan.revision, routes, plan.descriptors, plan.legacy_headers)


@dataclass(frozen=True, slots=True)
class _Assembler:
    plan: Plan
    ports: Ports
    registry: Registry
    loaded: Loaded
    problems: list[Problem]
    signer: TokenSigner | None

    def authenticators(self) -> dict[str, Authenticator]:
        built: dict[str, Authenticator] = {}
        for name, method in self.plan.authentication.items():
            kind = self.registry.authenticators[method.kind]
            try:
                built[name] = kind.build(name, method.settings, self.ports)
            except ValueError as error:
                self.problems.append(self.loaded.problem(("authentication", name, method.kind), str(error)))
        return built

    def served(self, route: RoutePlan, methods: Mapping[str, Authenticator]) -> ServedRoute:
        who = (_authenticate(route, methods),) if route.authentication else ()
        specs = [_forwarding(spec, route, methods) for spec in route.policies]
        built = [(spec, Link(spec.kind, self._policy(spec), chooses=spec.kind == CHOOSE)) for spec in specs]
        chain = PolicyChain(
            route=route.name,
            links=(*who, *(link for spec, link in built if Phase.REQUEST in spec.phases)),
            clock=self.ports.clock,
            response_links=tuple(link for spec, link in built if spec.phases & OF_RESPONSES),
            forward_links=tuple(
                replace(link, answers=spec.kind == AGGREGATE) for spec, link in built if spec.phases & OF_REQUESTS
            ),
            stream_links=tuple(link for spec, link in built if Phase.RESPONSE_STREAM in spec.phases),
            upstreams=self.plan.choices(route),
            request_limit=min(route.body_limit, MAX_SHOWN),
            response_limit=route.response_limit,
            matched=frozenset(header.name for other in self.plan.routes for header in other.match.headers),
            matched_query=frozenset(name.name for other in self.plan.routes for name in other.match.query),
        )
        version = route.version.version.name if route.version else ""
        deadline = route.target.spec.deadline if isinstance(route.target, ToAggregate) else None
        held = None if deadline is None else longer(deadline)
        return ServedRoute(chain, route.placement.shown, self._handover(route), version, held)

    def _handover(self, route: RoutePlan) -> Handover:
        shown = {one.name: one.credential for one in upstreams_of(self.plan, route) if one.credential is not None}
        fixed = route.target.upstream if isinstance(route.target, ToUpstream) else ""
        removed = ours_of(route.target) if isinstance(route.target, ToModel) else ()
        return Handover(fixed, self.signer if route.forward.signed else None, shown, removed)

    def _policy(self, spec: PolicySpec) -> Policy:
        """Where it cannot be built, a problem, and in its place one that is never asked: nothing will be served."""
        try:
            policy = self.registry.kinds[spec.kind].build(spec.settings, self.ports)
        except ValueError as error:
            self._tell(spec, str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's own code: whatever it raises, the file cannot be served
            self._tell(spec, f"{spec.kind} cannot be built: {type(error).__name__}: {error}")
        else:
            if isinstance(policy, Policy):
                return policy
            self._tell(spec, f"{spec.kind} built {type(policy).__name__}, which is no extproc.Policy")
        return Policy()

    def _tell(self, spec: PolicySpec, message: str) -> None:
        self.problems.append(self.loaded.problem(spec.at, message))


def _forwarding(spec: PolicySpec, route: RoutePlan, methods: Mapping[str, Authenticator]) -> PolicySpec:
    """An aggregate is told which headers carry the client's credential, where upstreams are to get it. A route that
    asks nobody forwards what any method would have read."""
    if not isinstance(spec.settings, AggregateSpec) or not route.forward.credentials:
        return spec
    named = [methods[name] for name in route.authentication if name in methods] or list(methods.values())
    headers = tuple(dict.fromkeys(header for method in named for header in method.credential_headers))
    return replace(spec, settings=replace(spec.settings, forwarded=headers))


def _authenticate(route: RoutePlan, methods: Mapping[str, Authenticator]) -> Link:
    named = tuple(methods[name] for name in route.authentication if name in methods)
    read = {header for method in named for header in method.credential_headers}
    foreign = {header for method in methods.values() for header in method.credential_headers} - read
    cookies = frozenset(cookie for method in methods.values() for cookie in cookies_of(method))
    queried = {name for method in named for name in credential_query(method)}
    elsewhere = {name for method in methods.values() for name in credential_query(method)} - queried
    who = Authentication(
        named, tuple(sorted(foreign)), cookies, tuple(sorted(elsewhere)), forwards=route.forward.credentials
    )
    return Link("authenticate", who, authenticates=True)
