"""Recorded requests before the limits of a gateway file: the same policy, counters and arithmetic as those that serve,
in a time that the records say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from extproc.app.project import Project
from extproc.config.expressions import compile_expression
from extproc.config.model import MEMORY
from extproc.core.decision import LocalReply
from extproc.core.errors import CouldNotDecide
from extproc.core.limits import Charge, CounterState, Judged, Kind, Limit, Per, Settlement
from extproc.core.message import Consumer, Request
from extproc.core.policy import Context, Policy
from extproc.core.ports import Ports
from extproc.core.rate_limit import LIMIT as LIMIT_FACT
from extproc.core.specs import LimitSpec
from extproc.fetch import HttpFetch
from extproc.plan.model import Plan, RoutePlan
from extproc.policies.anonymous import ID, AnonymousKind
from extproc.policies.limit import LimitPolicy
from extproc.stores.key_sets import StoredKeySets
from extproc.stores.keys import NoKeys
from extproc.stores.memory import MemoryCounters
from extproc.telemetry.traffic import Asked

# What an expression may read and no record holds.
UNRECORDED: Final = re.compile(r"\b(?:query|scheme|headers|scopes|groups|claims)\b|\bconsumer\s*\.\s*method\b")


class Named(NamedTuple):
    """A limit, as an operator finds it: a name is only one within its scope. Where none was judged, `name` says why."""

    scope: str
    name: str


class Verdict(NamedTuple):
    """What a file says of one request: the limits that judged it, and the one that refused it. `kept` where it is as
    the log has it, for what refused it then cannot be judged here; `undecided` where a limit could not be judged."""

    judged_by: tuple[Named, ...] = ()
    refused_by: Named | None = None
    kept: bool = False
    undecided: bool = False


class LeftOut(NamedTuple):
    """A limit that is not judged, since records do not hold what it needs."""

    limit: Named
    why: str


UNJUDGED: Final = Verdict()
UNDECIDED: Final = Verdict(undecided=True)
BEGINNING: Final = Judged(0, 0.0)


@dataclass(slots=True)
class RecordedClock:
    """Stands still until the next request."""

    at: Judged = BEGINNING

    def now(self) -> float:
        return self.at.time

    def monotonic(self) -> int:
        return self.at.monotonic


class ReplayedCounters:
    """Counters in memory, whatever the file names: every store judges alike. Remembers who was asked last."""

    def __init__(self, clock: RecordedClock) -> None:
        self._clock = clock
        self._counters = MemoryCounters(clock)
        self.charged: tuple[Limit, ...] = ()

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        self.charged = tuple([hit.counter.limit for hit in charge.hits])
        return await self._counters.hit(charge)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Nothing is ever settled: what holds something is left out."""

    def forget(self) -> None:
        self.charged = ()

    def restart(self, *, keeping_quotas: bool) -> None:
        """As when a sidecar that counts in memory starts again."""
        before, self._counters = self._counters, MemoryCounters(self._clock)
        if keeping_quotas:
            self._counters.restore(before.used())


class RouteLimits(NamedTuple):
    """What judges one route here, and what does not."""

    policy: Policy
    anonymous: bool
    needs_path: bool
    left_out: tuple[LeftOut, ...]


class Replay:
    """One file. Requests come in the order of their time."""

    def __init__(self, project: Project) -> None:
        plan = project.plan
        self._clock = RecordedClock()
        self._counters = ReplayedCounters(self._clock)
        self._restarts = plan.sidecar.counters == MEMORY
        self._keeps_quotas = plan.sidecar.quotas is not None
        ports = _ports(self._clock, self._counters)
        self._routes = {route.name: _limits(plan, route, ports) for route in plan.routes}

    @property
    def left_out(self) -> list[LeftOut]:
        return sorted({one for limits in self._routes.values() for one in limits.left_out})

    def restart(self) -> None:
        if self._restarts:
            self._counters.restart(keeping_quotas=self._keeps_quotas)

    def knows(self, route: str) -> bool:
        return route in self._routes

    async def judge(self, asked: Asked, at: Judged) -> Verdict:
        limits = self._routes.get(asked.route)
        if limits is None or not asked.reached:
            return UNJUDGED
        if limits.needs_path and not asked.path:
            return UNDECIDED
        unjudged = _refused_by(limits.left_out, asked)
        if unjudged is not None:
            return Verdict((unjudged,), unjudged, kept=True)
        self._clock.at = at
        self._counters.forget()
        try:
            decision = await limits.policy.on_request(_request(asked), _context(asked, limits))
        except CouldNotDecide:  # as where a route counts by who is asking, and nobody was asked in the log
            return UNDECIDED
        names: dict[str, Named] = {limit.name: Named(limit.scope, limit.name) for limit in self._counters.charged}
        if not isinstance(decision, LocalReply):
            return Verdict(tuple(names.values()))
        refused = names.get(decision.facts.get(LIMIT_FACT, ""), Named("", decision.reason))
        return Verdict(tuple(names.values()) or (refused,), refused)


def _ports(clock: RecordedClock, counters: ReplayedCounters) -> Ports:
    """Of which limits need no more than the first two and expressions."""
    fetch = HttpFetch()
    return Ports(clock, counters, NoKeys(), StoredKeySets(clock, fetch), compile_expression, fetch)


def _limits(plan: Plan, route: RoutePlan, ports: Ports) -> RouteLimits:
    """Those of the fused call, or those that Envoy's own filter asks about: a route has one sort."""
    specs = [spec.settings for spec in route.policies if isinstance(spec.settings, LimitSpec)]
    spec = specs[0] if specs else LimitSpec({}, by_tier=False, own=route.placement.descriptors)
    judged, left_out = _judgeable(spec)
    needs_path = any(limit.cost or limit.per is Per.KEY for limit in judged.every)
    anonymous = any(plan.authentication[name].kind == AnonymousKind.name for name in route.authentication)
    return RouteLimits(LimitPolicy.build(judged, ports), anonymous, needs_path, left_out)


def _refused_by(left_out: tuple[LeftOut, ...], asked: Asked) -> Named | None:
    """The one of these that refused the request then. Tiers' limits have one name in each."""
    if not asked.limited:
        return None
    named = [one.limit for one in left_out if one.limit.name == asked.refused_by]
    return next((limit for limit in named if limit.scope == f"tier/{asked.tier}"), named[0] if named else None)


def _judgeable(spec: LimitSpec) -> tuple[LimitSpec, tuple[LeftOut, ...]]:
    left_out = [LeftOut(Named(limit.scope, limit.name), why) for limit in spec.every if (why := _why(limit))]
    if spec.claim:
        said = f"records do not hold the claim {spec.claim}: everybody has the limits that the file says"
        left_out.append(LeftOut(Named("claim", spec.claim), said))
    judged = replace(
        spec,
        own=_without(spec.own),
        tiers={name: _without(limits) for name, limits in spec.tiers.items()},
        consumers={name: _without(limits) for name, limits in spec.consumers.items()},
        claim="",
        carried=None,
    )
    return judged, tuple(left_out)


def _without(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    return tuple([limit for limit in limits if not _why(limit)])


def _why(limit: Limit) -> str:
    """Why a limit cannot be judged from records; empty where it can."""
    if limit.kind is Kind.CONCURRENCY:
        return "records do not say when a request ended"
    if limit.settle:
        return "records do not say how much was settled"
    if limit.per in (Per.HEADER, Per.CLAIM):
        return f"records hold no {limit.per.value}s"
    if UNRECORDED.search(limit.cost) or (limit.per is Per.KEY and UNRECORDED.search(limit.of)):
        return "records do not hold what its expression reads"
    return ""


def _request(asked: Asked) -> Request:
    """Envoy's id of the request in place of its stream's: both are told apart by request."""
    return Request(asked.method, asked.path, asked.host, address=asked.address, id=asked.id, stream=asked.id)


def _context(asked: Asked, limits: RouteLimits) -> Context:
    if not asked.consumer:
        return Context(asked.route)
    anonymous = limits.anonymous and asked.consumer == ID
    return Context(asked.route, Consumer(asked.consumer, asked.tier or None, anonymous=anonymous))
