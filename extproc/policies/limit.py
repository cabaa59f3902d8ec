"""`limits:` of a route: the tier's and its own, judged together in one store call, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from extproc import (
    Charge,
    Clock,
    Consumer,
    Context,
    Continue,
    CouldNotDecide,
    Counter,
    CounterState,
    CounterStore,
    Decision,
    Expression,
    HeaderEdits,
    Hit,
    Judged,
    Limit,
    LimitSpec,
    LocalReply,
    Per,
    Phase,
    Policy,
    Ports,
    Request,
    Settlement,
    address_subject,
    holds,
    is_budget,
    rate_limit_headers,
    rate_limited,
    refusal,
    variables,
    window_end,
)


@dataclass(frozen=True, slots=True)
class LimitPolicy(Policy):
    spec: LimitSpec
    store: CounterStore
    expressions: Mapping[str, Expression]
    chance: Callable[[], float]
    clock: Clock

    name: ClassVar[str] = "limit"
    Settings: ClassVar[type[LimitSpec]] = LimitSpec
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: LimitSpec, ports: Ports) -> Policy:
        texts = {
            text for limit in settings.every for text in (limit.cost, limit.of if limit.per is Per.KEY else "") if text
        }
        expressions = {text: ports.expression(text) for text in texts}
        return LimitPolicy(settings, ports.counters, expressions, ports.chance, ports.clock)

    async def on_request(self, request: Request, context: Context) -> Decision:
        limits = self._limits(context.consumer)
        if isinstance(limits, LocalReply):
            return limits
        hits = self._hits(limits, request, context)
        judged = Judged(self.clock.monotonic(), self.clock.now())
        states = await self.store.hit(Charge(hits, key=request.stream or None, at=judged))
        for state in states:
            if state.refuses:
                return rate_limited(states, legacy=self.spec.legacy, chance=self.chance(), judged=judged)
        return self._continue(states, hits, request.stream, judged)

    def _continue(self, states: Sequence[CounterState], hits: Sequence[Hit], stream: str, judged: Judged) -> Continue:
        headers = rate_limit_headers(states, legacy=self.spec.legacy)
        over = [state.counter.limit.name for state in states if not state.allowed]
        return Continue(
            response=HeaderEdits(set=headers),
            facts={"over_in_shadow": " ".join(over)} if over else {},
            held=tuple(
                [
                    self._held(one.counter, hit.count, stream, judged)
                    for one, hit in zip(states, hits, strict=True)
                    if one.allowed and holds(one.counter.limit)
                ]
            ),
            judged=judged,
        )

    def _held(self, counter: Counter, count: int, stream: str, judged: Judged) -> Settlement:
        if not (self.spec.metered and is_budget(counter.limit)):
            return Settlement(counter, stream)
        return Settlement(counter, stream, count, window_end((counter,), int(judged.time)))

    def _limits(self, consumer: Consumer | None) -> tuple[Limit, ...] | LocalReply:
        if not self.spec.by_tier:
            return self.spec.own
        tier = self.spec.tiers.get(consumer.tier or "") if consumer else None
        if consumer is None or tier is None:
            # No limit for a tier that nobody configured would make a typo in a token the best tier of all.
            return refusal(403, "unknown_tier", "the caller's tier is not known here")
        try:
            return (*self._of_consumer(consumer, tier), *self.spec.own)
        except ValueError:
            return refusal(403, "unreadable_limits", "the caller's own limits cannot be read")

    def _of_consumer(self, consumer: Consumer, tier: tuple[Limit, ...]) -> tuple[Limit, ...]:
        """The tier's, but for what the operator wrote for this one, and what its own claim says: each kind in place of
        the same one. Raises ValueError."""
        own = self.spec.consumers.get(consumer.id, ()) if not consumer.anonymous else ()
        carried: tuple[Limit, ...] = ()
        if self.spec.carried is not None and self.spec.claim in consumer.claims:
            carried = self.spec.carried(f"carried/{consumer.tier}", consumer.claims[self.spec.claim])
        if not own and not carried:
            return tier
        return tuple({limit.name: limit for limit in (*tier, *own, *carried)}.values())

    def _hits(self, limits: Sequence[Limit], request: Request, context: Context) -> tuple[Hit, ...]:
        if not self.expressions:
            return tuple([Hit(Counter(limit, self._subject(limit, request, context))) for limit in limits])
        hits = [
            Hit(Counter(limit, self._subject(limit, request, context)), self._cost(limit, request, context))
            for limit in limits
        ]
        return tuple([hit for hit in hits if hit.count])  # what costs nothing is not asked for more

    def _cost(self, limit: Limit, request: Request, context: Context) -> int:
        if not limit.cost:
            return 1
        cost = self.expressions[limit.cost].value(variables(request, context.route, context.consumer))
        if type(cost) is not int or cost < 0:
            raise CouldNotDecide(f"the cost of {limit.name} is no whole number from 0")
        # What is metered is more of what is reserved already, so that it is known whose it is.
        return max(1, cost) if self.spec.metered and is_budget(limit) else cost

    def _subject(self, limit: Limit, request: Request, context: Context) -> tuple[str, ...]:
        if limit.per is Per.ROUTE:
            return ()
        if limit.per is Per.ADDRESS:
            return (_address(request),)
        if limit.per is Per.HEADER:
            return request.headers.all(limit.of)  # none is a value too: leaving it out evades no limit
        if limit.per is Per.KEY:
            return (self._key(limit, request, context),)
        if context.consumer is None:
            raise CouldNotDecide(f"a limit per {limit.per.value}, and nobody is known to be asking")
        return _of_consumer(limit, context.consumer, request)

    def _key(self, limit: Limit, request: Request, context: Context) -> str:
        key = self.expressions[limit.of].value(variables(request, context.route, context.consumer))
        if not isinstance(key, str):
            raise CouldNotDecide(f"{limit.name} counts by what is no text")
        return key


def _of_consumer(limit: Limit, consumer: Consumer, request: Request) -> tuple[str, ...]:
    if limit.per is Per.TIER:
        return (consumer.tier or "",)
    if limit.per is Per.CLAIM:
        return _spelled(consumer.claims.get(limit.of))
    if consumer.anonymous:  # or whoever comes first would use up what is meant for each
        return (consumer.id, _address(request))
    return (consumer.id,)


def _spelled(claim: object) -> tuple[str, ...]:
    """A text is itself; of another kind, what JSON would make of it. Who has none shares one counter."""
    if claim is None:
        return ()
    return (claim,) if isinstance(claim, str) else (type(claim).__name__, str(claim))


def _address(request: Request) -> str:
    try:
        return address_subject(request.address)
    except ValueError:
        raise CouldNotDecide("a limit per address, and the client has no IP address") from None
