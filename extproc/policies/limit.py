"""`limits:` of a route: the tier's and its own, judged together in one store call, all or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from extproc import (
    Charge,
    Consumer,
    Context,
    Continue,
    CouldNotDecide,
    Counter,
    CounterStore,
    Decision,
    HeaderEdits,
    Hit,
    Limit,
    LimitSpec,
    LocalReply,
    Per,
    Phase,
    Policy,
    Ports,
    Request,
    address_subject,
    rate_limit_headers,
    rate_limited,
    refusal,
)


@dataclass(frozen=True, slots=True)
class LimitPolicy(Policy):
    spec: LimitSpec
    store: CounterStore

    name: ClassVar[str] = "limit"
    Settings: ClassVar[type[LimitSpec]] = LimitSpec
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: LimitSpec, ports: Ports) -> Policy:
        return LimitPolicy(settings, ports.counters)

    async def on_request(self, request: Request, context: Context) -> Decision:
        limits = self._limits(context.consumer)
        if isinstance(limits, LocalReply):
            return limits
        hits = tuple([Hit(Counter(limit, _subject(limit, request, context))) for limit in limits])
        states = await self.store.hit(Charge(hits, key=request.stream or None))
        for state in states:
            if not state.allowed:
                return rate_limited(states)
        return Continue(response=HeaderEdits(set=rate_limit_headers(states)))

    def _limits(self, consumer: Consumer | None) -> tuple[Limit, ...] | LocalReply:
        if not self.spec.by_tier:
            return self.spec.own
        tier = self.spec.tiers.get(consumer.tier or "") if consumer else None
        if tier is None:
            # No limit for a tier that nobody configured would make a typo in a token the best tier of all.
            return refusal(403, "unknown_tier", "the caller's tier is not known here")
        return (tier, *self.spec.own)


def _subject(limit: Limit, request: Request, context: Context) -> tuple[str, ...]:
    if limit.per is Per.ROUTE:
        return ()
    if limit.per is Per.ADDRESS:
        return (_address(request),)
    if context.consumer is None:
        raise CouldNotDecide("a limit per consumer, and nobody is known to be asking")
    if context.consumer.anonymous:  # or whoever comes first would use up what is meant for each
        return (context.consumer.id, _address(request))
    return (context.consumer.id,)


def _address(request: Request) -> str:
    try:
        return address_subject(request.address)
    except ValueError:
        raise CouldNotDecide("a limit per address, and the client has no IP address") from None
