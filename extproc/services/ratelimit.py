"""envoy.service.ratelimit.v3.RateLimitService: limits that Envoy's own ratelimit filter asks about.

A failure is the gRPC status UNAVAILABLE, on which the filter's failure mode denies. The code UNKNOWN is never sent:
Envoy admits it whatever its failure mode says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration

from extproc.core.chain import note
from extproc.core.decision import CONTINUE, Continue, Decision, LocalReply
from extproc.core.errors import CouldNotDecide, InvalidMutation, UnknownRoute
from extproc.core.gateway import Gateway
from extproc.core.limits import NANOSECONDS, Charge, Counter, CounterState, Hit, Judged, Limit, Per
from extproc.core.message import Request
from extproc.core.names import ADDRESS, CALL_ADDRESS, CALL_REQUEST_ID, DOMAIN, LIMIT, REVISION, ROUTE
from extproc.core.outcome import Judgement, Outcome, Step
from extproc.core.ports import Clock, CounterStore, Recorder, never
from extproc.core.rate_limit import rate_limit_headers, rate_limited
from extproc.core.specs import LIMIT as LIMIT_KIND
from extproc.services.headers import call_metadata
from extproc.services.records import cancelled, decided, failure, reading, record_of
from extproc.wire.base_pb2 import HeaderValue
from extproc.wire.ratelimit_pb2 import RateLimitDescriptor, RateLimitRequest, RateLimitResponse

SERVICE: Final = "envoy.service.ratelimit.v3.RateLimitService"
NAME: Final = "ratelimit"
Code = RateLimitResponse.Code
Unit = RateLimitResponse.RateLimit.Unit
DAY: Final = 86_400
UNITS: Final = (
    (Unit.SECOND, 1), (Unit.MINUTE, 60), (Unit.HOUR, 3_600), (Unit.DAY, DAY),
    (Unit.WEEK, 7 * DAY), (Unit.MONTH, 30 * DAY), (Unit.YEAR, 365 * DAY),
)  # fmt: skip
# Envoy's enum of units for overrides has the same numbers, without the week (rls.proto).
SECONDS: Final[dict[int, int]] = dict(UNITS)
Call = grpc.aio.ServicerContext[RateLimitRequest, RateLimitResponse]
ShouldRateLimit = Callable[[RateLimitRequest, Call], Awaitable[RateLimitResponse]]


class RateLimit:
    """Answers ShouldRateLimit for descriptors that our own bootstrap makes."""

    def __init__(
        self,
        gateway: Callable[[], Gateway],
        store: CounterStore,
        clock: Clock,
        recorder: Recorder,
        chance: Callable[[], float] = never,
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._clock = clock
        self._recorder = recorder
        self._chance = chance

    async def should_rate_limit(self, call: RateLimitRequest, context: Call) -> RateLimitResponse:
        started = self._clock.monotonic()
        entries = [{entry.key: entry.value for entry in descriptor.entries} for descriptor in call.descriptors]
        first = entries[0] if entries else {}
        address = call_metadata(context, CALL_ADDRESS) or first.get(ADDRESS, "").partition("/")[0]
        request = Request("", "", id=call_metadata(context, CALL_REQUEST_ID), address=address)
        try:
            states, outcome = await decided(self._judge(call, entries))
            answer = encode(states, outcome.decision, legacy=self._gateway().legacy_headers)
        except asyncio.CancelledError as error:
            gone = cancelled(error)
            self._record(first, request, gone.outcome, started, gone.detail)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, no judgement was reached, and that denies
            failed = failure(error)
            self._record(first, request, failed.outcome, started, failed.detail)
            await context.abort(grpc.StatusCode.UNAVAILABLE, failed.reply.reason)
        self._record(first, request, outcome, started, "")
        return answer

    async def _judge(
        self, call: RateLimitRequest, entries: Sequence[dict[str, str]]
    ) -> tuple[tuple[CounterState, ...], Outcome]:
        if call.domain != DOMAIN or not entries:
            raise UnknownRoute(f"no limits for the domain {call.domain!r} with {len(entries)} descriptors")
        hits = tuple(
            Hit(self._counter(named, descriptor), _count(call, descriptor))
            for named, descriptor in zip(entries, call.descriptors, strict=True)
        )
        return await self._charged(Charge(hits, at=Judged(self._clock.monotonic(), self._clock.now())))

    async def _charged(self, charge: Charge) -> tuple[tuple[CounterState, ...], Outcome]:
        """In the record, the policy `limit` wherever its limits are placed."""
        started = self._clock.monotonic()
        try:
            states = await self._store.hit(charge)
        except BaseException as error:
            note(error, _outcome(CONTINUE, Step(LIMIT_KIND, None, self._clock.monotonic() - started)))
            raise
        decision: Decision = CONTINUE
        if any(state.refuses for state in states):
            decision = rate_limited(states, legacy=self._gateway().legacy_headers, chance=self._chance())
        step = Step(LIMIT_KIND, decision, self._clock.monotonic() - started)
        return states, _outcome(decision, step, charge.at)

    def _counter(self, named: dict[str, str], descriptor: RateLimitDescriptor) -> Counter:
        limit = self._gateway().limit(named.get(ROUTE, ""), named.get(LIMIT, ""), named.get(REVISION, ""))
        if descriptor.HasField("limit"):
            limit = overridden(limit, descriptor.limit)
        if limit.per is Per.ROUTE:
            return Counter(limit, ())
        if limit.per is not Per.ADDRESS or not named.get(ADDRESS):
            raise CouldNotDecide(f"limit {limit.name} counts per {limit.per.value}, which this call does not say")
        return Counter(limit, (named[ADDRESS],))

    def _record(self, named: dict[str, str], request: Request, outcome: Outcome, started: int, detail: str) -> None:
        took = self._clock.monotonic() - started
        self._recorder.record(record_of(NAME, named.get(ROUTE, ""), request, outcome, took, detail))

    def handler(self) -> grpc.GenericRpcHandler:
        return handler_of(self.should_rate_limit)


def handler_of(should_rate_limit: ShouldRateLimit) -> grpc.GenericRpcHandler:
    method = grpc.unary_unary_rpc_method_handler(
        should_rate_limit,
        request_deserializer=reading(RateLimitRequest),
        response_serializer=RateLimitResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(SERVICE, {"ShouldRateLimit": method})


def _outcome(decision: Decision, step: Step, judged: Judged | None = None) -> Outcome:
    facts = decision.facts if isinstance(decision, LocalReply) else {}
    return Outcome(decision, steps=(step,), facts=facts, judged=judged)


def _count(call: RateLimitRequest, descriptor: RateLimitDescriptor) -> int:
    """The descriptor's own number, where an explicit 0 only looks; else the call's, where 0 means 1 (rls.proto)."""
    if descriptor.is_negative_hits:
        raise CouldNotDecide("hits are to be given back, which no limit here does")
    return descriptor.hits_addend.value if descriptor.HasField("hits_addend") else call.hits_addend or 1


def overridden(limit: Limit, override: RateLimitDescriptor.RateLimitOverride) -> Limit:
    """A limit that Envoy brings along replaces the configured rate: ignoring it would make dynamic tiers do nothing."""
    if override.unit not in SECONDS or not override.requests_per_unit:
        raise CouldNotDecide("a limit override without a rate")
    count = override.requests_per_unit
    return replace(limit, count=count, period=SECONDS[override.unit], burst=count)


def encode(states: Sequence[CounterState], decision: Judgement, *, legacy: bool = False) -> RateLimitResponse:
    """One status per descriptor, in their order; OVER_LIMIT as a whole when one is over."""
    if not isinstance(decision, Continue | LocalReply):
        raise InvalidMutation("an answer of our own, where limits are judged")
    refused = decision if isinstance(decision, LocalReply) else None
    headers = refused.headers if refused else rate_limit_headers(states, legacy=legacy)
    return RateLimitResponse(
        overall_code=Code.OVER_LIMIT if refused else Code.OK,
        statuses=[_status(state) for state in states],
        response_headers_to_add=[HeaderValue(key=name, value=value) for name, value in headers],
        raw_body=refused.body if refused else b"",
    )


def _status(state: CounterState) -> RateLimitResponse.DescriptorStatus:
    limit = state.counter.limit
    unit, length = next((known for known in UNITS if known[1] == limit.period), UNITS[0])
    per_unit = limit.count * length // limit.period
    return RateLimitResponse.DescriptorStatus(
        code=Code.OK if state.allowed else Code.OVER_LIMIT,
        current_limit=RateLimitResponse.RateLimit(name=limit.name, requests_per_unit=per_unit, unit=unit),
        limit_remaining=min(max(0, state.remaining), 2**32 - 1),
        duration_until_reset=Duration(seconds=state.reset // NANOSECONDS, nanos=state.reset % NANOSECONDS),
    )
