"""Plan + ports -> Gateway: every route's policies built, in order."""

from __future__ import annotations

from collections.abc import Mapping

from extproc import plugins
from extproc.config.load import Loaded
from extproc.core.authentication import Authentication
from extproc.core.chain import Link, PolicyChain
from extproc.core.gateway import Gateway, ServedRoute
from extproc.core.policy import Authenticator, Phase, PolicyKind, phases_of
from extproc.core.ports import Ports
from extproc.core.problems import InvalidConfig, Problem
from extproc.plan.model import Plan, PolicySpec, RoutePlan

KINDS: Mapping[str, type[PolicyKind]] = {**plugins.POLICIES, **plugins.ROUTE_KEYS}


def assemble(plan: Plan, ports: Ports, loaded: Loaded, problems: list[Problem]) -> Gateway:
    """Everything that answers Envoy about this plan. `problems` are those that reading its files has found already.

    Raises:
        InvalidConfig: with these and whatever a key set, an expression or a policy's own `build` refused.
    """
    methods = _authenticators(plan, ports, loaded, problems)
    routes = {}
    for index, route in enumerate(plan.routes):
        try:
            routes[route.name] = _served(plan, route, methods, ports)
        except ValueError as error:
            problems.append(loaded.problem(("routes", index), str(error)))
    if problems:
        raise InvalidConfig(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return Gateway(plan.revision, routes, plan.descriptors)


def _authenticators(plan: Plan, ports: Ports, loaded: Loaded, problems: list[Problem]) -> dict[str, Authenticator]:
    built: dict[str, Authenticator] = {}
    for name, method in plan.authentication.items():
        try:
            built[name] = plugins.AUTHENTICATORS[method.kind].build(name, method.settings, ports)
        except ValueError as error:
            problems.append(loaded.problem(("authentication", name, method.kind), str(error)))
    return built


def _served(plan: Plan, route: RoutePlan, methods: Mapping[str, Authenticator], ports: Ports) -> ServedRoute:
    named = tuple(methods[name] for name in route.authentication if name in methods)
    read = {header for method in named for header in method.credential_headers}
    foreign = {header for method in methods.values() for header in method.credential_headers} - read
    authentication = Authentication(named, tuple(sorted(foreign)))
    who = (Link("authenticate", authentication, authenticates=True),) if route.authentication else ()
    built = [(spec, Link(spec.kind, KINDS[spec.kind].build(spec.settings, ports))) for spec in route.policies]
    chain = PolicyChain(
        route=route.name,
        links=(*who, *(link for spec, link in built if Phase.REQUEST in _phases(spec))),
        clock=ports.clock,
        response_links=tuple(link for spec, link in built if _phases(spec) & {Phase.RESPONSE, Phase.RESPONSE_BODY}),
        upstreams=plan.choices(route),
        matched=frozenset(header.name for other in plan.routes for header in other.match.headers),
    )
    return ServedRoute(chain, response_body=route.placement.edits_body)


def _phases(spec: PolicySpec) -> frozenset[Phase]:
    return phases_of(KINDS[spec.kind], spec.settings)
