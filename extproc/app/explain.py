"""What would happen to one request, and why: the engine that serves, asked by hand.

Routes, credentials, policies and expressions are the real ones of the file. Two things differ: counters begin empty,
and nothing is sent anywhere, so what judges an upstream's answer is named but not asked.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from extproc.app.explain_parts import part_requests
from extproc.app.explanation import Explanation, UpstreamRequest
from extproc.app.judgements import judgements
from extproc.app.project import Built, Project, build_gateway
from extproc.core.authentication import Authentication
from extproc.core.chain import Link, PolicyChain
from extproc.core.decision import Continue, LocalReply
from extproc.core.errors import PolicyFailed
from extproc.core.gateway import Gateway
from extproc.core.handover import HIDDEN, Fields, Handed, Handover
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.core.names import DECIDED_VERSION, MODEL_VERSION, REQUEST_ID, is_removed_at_edge
from extproc.core.outcome import Outcome
from extproc.core.policy import Policy
from extproc.core.ports import Ports
from extproc.core.query import without
from extproc.core.specs import LIMIT, LimitSpec
from extproc.plan.model import RoutePlan, ToAggregate, ToRedirect
from extproc.plan.routing import ESCAPED_SLASH, find_route, is_odd, normal_host, normal_path
from extproc.policies.limit import LimitPolicy
from extproc.services.records import decided, failure

# Those that carry one whatever the file says.
CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})


async def explain(project: Project, request: Request) -> Explanation:
    """`request` as the client sends it: its path and host as they are written, its headers with what it forged.

    Raises:
        InvalidConfig: what the file names cannot be used.
    """
    built = build_gateway(project)
    async with built.in_use():
        return await _explain(project, request, built)


async def _explain(project: Project, request: Request, built: Built) -> Explanation:
    seen = _at_the_edge(request)
    removed = tuple(name for name, _ in request.headers if name not in seen.headers)
    asked = Explanation(request.method, seen.host, _target(seen), "refuse", 0, "", removed=removed)
    stopped = _stopped_by_envoy(request, asked)
    if stopped is not None:
        return stopped
    route = find_route(project.plan, seen)
    if route is None:
        return replace(asked, status=HTTPStatus.NOT_FOUND, reason="no_route", detail="no route matches this request")
    shown = seen if route.placement.asks_with_body else replace(seen, body=None)
    outcome, detail = await _judge(built.gateway, built.ports, route, shown)
    handover = built.gateway.route(route.name, built.gateway.revision).handover
    explained = _explained(project, route, seen, outcome, handover, replace(asked, detail=detail))
    if isinstance(route.target, ToAggregate) and explained.upstream is not None:
        shown = replace(
            seen, headers=Headers(explained.upstream.headers), query=explained.upstream.path.partition("?")[2]
        )
        parts = part_requests(project.plan, route, built, shown, outcome.consumer)
        return replace(explained, upstream=None, parts=parts)
    return _discreet(explained, built.gateway)


def _at_the_edge(request: Request) -> Request:
    """As the filters see it: normal, and without what only a proxy may say. Envoy's stream id is a random one."""
    kept = tuple((name, value) for name, value in request.headers if not is_removed_at_edge(name))
    return replace(
        request, path=normal_path(request.path), host=normal_host(request.host), headers=Headers(kept),
        stream=secrets.token_hex(8),
    )  # fmt: skip


def _target(request: Request) -> str:
    return f"{request.path}?{request.query}" if request.query else request.path


def _stopped_by_envoy(request: Request, asked: Explanation) -> Explanation | None:
    """What our listeners answer before they look for a route."""
    odd = next((name for name, _ in request.headers if "_" in name), None)
    if odd is not None:
        said = f"the header {odd} has an underscore, which some servers take for a dash"
        return replace(asked, status=HTTPStatus.BAD_REQUEST, reason="bad_request", detail=said)
    if ESCAPED_SLASH.search(request.path):
        said = f"to {asked.path}: an escaped slash is not what it seems"
        return replace(asked, decision="redirect", status=HTTPStatus.TEMPORARY_REDIRECT, detail=said)
    if is_odd(asked.host, normal_path(request.path)):
        said = "servers differ in what they take this host or path for"
        return replace(asked, status=HTTPStatus.BAD_REQUEST, reason="bad_request", detail=said)
    return None


async def _judge(gateway: Gateway, ports: Ports, route: RoutePlan, request: Request) -> tuple[Outcome, str]:
    """The fused call, or what the rate limit service would say, or nothing where nobody is asked."""
    try:
        if route.placement.fused:
            served = gateway.route(route.name, gateway.revision)
            return await decided(served.chain.on_request(request)), ""
        return await _limited(ports, route, request), ""
    except Exception as error:  # noqa: BLE001 - as in the services: whatever it is, no decision was reached
        failed = failure(error)
        return failed.outcome, failed.detail


async def _limited(ports: Ports, route: RoutePlan, request: Request) -> Outcome:
    """As the rate limit service would judge, in a chain of its own, so that it is timed as any other policy is."""
    limits = LimitPolicy.build(LimitSpec({}, by_tier=False, own=route.placement.descriptors), ports)
    links = (Link(LIMIT, limits),) if route.placement.descriptors else ()
    return await decided(PolicyChain(route.name, links, ports.clock).on_request(request))


def _explained(
    project: Project, route: RoutePlan, request: Request, outcome: Outcome, handover: Handover, asked: Explanation
) -> Explanation:
    place = project.loaded.problem(("routes", project.plan.routes.index(route)), "")
    consumer = outcome.consumer
    explained = replace(
        asked,
        route=route.name,
        at=f"{place.file}:{place.line}",
        calls=route.placement.filters,
        policies=tuple(judgements(project, route, outcome, asked.detail)),
        consumer=f"{consumer.id} ({consumer.tier or 'no tier'}) by {consumer.method}" if consumer else "",
    )
    if isinstance(outcome.decision, LocalReply):
        return _refused(explained, outcome.decision)
    if isinstance(route.target, ToRedirect):
        status, said = route.target.status, f"to {route.target.to}"
        return replace(explained, decision="redirect", status=status, detail=said)
    if not isinstance(outcome.decision, Continue):  # an answer of our own is made behind this call
        raise PolicyFailed("a policy answered before everything had let the request in")
    arriving = _arriving(route, request, outcome.decision, outcome.consumer, handover)
    return _allowed(explained, handover, request, outcome.decision, arriving, outcome.facts.get(DECIDED_VERSION, ""))


def _discreet(explained: Explanation, gateway: Gateway) -> Explanation:
    """Where a route asks for none, credentials reach the upstream as they are; they are named all the same."""
    if explained.upstream is None:
        return explained
    links = [link for served in gateway.routes.values() for link in served.chain.links]
    hidden = CREDENTIALS.union(*(_read_by(link.policy) for link in links if link.authenticates))
    shown = tuple((name, HIDDEN if name in hidden else value) for name, value in explained.upstream.headers)
    return replace(explained, upstream=replace(explained.upstream, headers=shown))


def _read_by(policy: Policy) -> tuple[str, ...]:
    if not isinstance(policy, Authentication):
        return ()
    return (*policy.foreign, *(header for method in policy.methods for header in method.credential_headers))


def _refused(explained: Explanation, reply: LocalReply) -> Explanation:
    return replace(
        explained,
        status=reply.status,
        reason=reply.reason,
        client_headers=reply.headers,
        body=reply.body.decode("utf-8", "replace"),
    )


def _allowed(
    explained: Explanation,
    handover: Handover,
    request: Request,
    decision: Continue,
    arriving: Fields,
    version: str,
) -> Explanation:
    rid = replace(request, query=without(request.query, decision.remove_query)) if decision.remove_query else request
    upstream = UpstreamRequest(decision.upstream or handover.fixed, request.method, _target(rid), arriving)
    return replace(
        explained, decision="allow", reason="allowed", upstream=upstream, client_headers=_told(decision, version)
    )


def _told(decision: Continue, version: str) -> Fields:
    """Where another version may stand in, Envoy says who answered: the one that was chosen, if all is well."""
    return (*decision.response.set, *([(MODEL_VERSION, version)] if decision.cluster else []))


def _arriving(
    route: RoutePlan, request: Request, decision: Continue, consumer: Consumer | None, handover: Handover
) -> Fields:
    """As the fused call would have it, where there is one; but for what only the upstream may see."""
    handed = handover.hand(decision, consumer, request.headers) if route.placement.fused else Handed()
    hidden = handover.secrets(decision.upstream)
    gone = {REQUEST_ID} | ({"accept-encoding"} if route.placement.edits_body else set())
    reaching = handover.reaching(handed, request.headers)
    shown = tuple((name, hidden.get(name, value)) for name, value in reaching if name not in gone)
    return (("host", request.host), *shown)
