"""What the parts of an aggregate would be asked for one request. Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping

from extproc.app.egress import part_handovers
from extproc.app.explanation import PartRequest
from extproc.app.project import Built
from extproc.core.aggregation import Missing
from extproc.core.decision import CONTINUE
from extproc.core.handover import HIDDEN, Fields, Handover
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.core.names import egress_part
from extproc.core.part_calls import Part
from extproc.core.ports import Call
from extproc.plan.model import Plan, RoutePlan
from extproc.policies.aggregate import Aggregate


def part_requests(
    plan: Plan, route: RoutePlan, built: Built, request: Request, consumer: Consumer | None
) -> tuple[PartRequest, ...]:
    """`request` as the sidecar is shown it when everything has let it in."""
    chain = built.gateway.route(route.name, built.gateway.revision).chain
    handovers = part_handovers(plan, built.signer)
    found = [link.policy.aggregator for link in chain.forward_links if isinstance(link.policy, Aggregate)]
    return tuple(
        _part(part, planned, route.name, handovers, consumer, aggregator.spec.forwarded)
        for aggregator in found
        for part, planned in aggregator.planned(request, consumer)
    )


def _part(
    part: Part,
    planned: object,
    route: str,
    handovers: Mapping[str, Handover],
    consumer: Consumer | None,
    credentials: tuple[str, ...],
) -> PartRequest:
    spec = part.spec
    told = PartRequest(spec.name, spec.upstream, spec.method, spec.path)
    if planned is None:
        return PartRequest(*_head(told), said=f"after {', '.join(sorted(part.needs))}")
    if not isinstance(planned, Call):
        said = planned.why if isinstance(planned, Missing) else "its condition does not hold"
        return PartRequest(*_head(told), said=f"not asked: {said}")
    handover = handovers[egress_part(route, spec.name)]
    hidden = {**dict.fromkeys(credentials, HIDDEN), **handover.secrets(None)}
    given = handover.hand(CONTINUE, consumer, Headers()).fields
    sent = {**dict(planned.headers), **dict(given)}
    shown: Fields = tuple((name, hidden.get(name, value)) for name, value in sent.items())
    return PartRequest(spec.name, spec.upstream, spec.method, planned.url, shown)


def _head(told: PartRequest) -> tuple[str, str, str, str]:
    return told.part, told.upstream, told.method, told.path
