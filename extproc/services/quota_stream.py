"""envoy.service.rate_limit_quota.v3.RateLimitQuotaService: how much of a shared limit each Envoy judges by itself.

One stream for each Envoy, which reports what its buckets were asked for. Each report is answered with the shares from
then on; they end by themselves, so an Envoy that hears nothing is limited by what the bootstrap says about that. A
stream is ended with a status where the Envoy holds another plan; nothing that is sent admits without a bound.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import grpc

from extproc.core.decision import CONTINUE, Decision, refusal
from extproc.core.errors import UnknownRoute
from extproc.core.limits import NANOSECONDS, Per
from extproc.core.message import Consumer, Request
from extproc.core.names import DOMAIN, LIMIT, NO_QUOTA, QUOTA_CONSUMER, REVISION
from extproc.core.outcome import Outcome, Step
from extproc.core.ports import Clock, Recorder
from extproc.core.quota import Quota, Usage
from extproc.core.sharing import Nothing, Shares
from extproc.core.specs import LIMIT as LIMIT_KIND
from extproc.services.records import failure, reading, record_of
from extproc.wire.quota_pb2 import (
    BucketId,
    RateLimitQuotaResponse,
    RateLimitQuotaUsageReports,
    RateLimitStrategy,
    TokenBucket,
)

SERVICE: Final = "envoy.service.rate_limit_quota.v3.RateLimitQuotaService"
NAME: Final = "rate_limit_quota"
MAX_STREAMS: Final = 256  # an Envoy has one; a broken one is there until it is noticed
Action = RateLimitQuotaResponse.BucketAction
BucketUsage = RateLimitQuotaUsageReports.BucketQuotaUsage
Stream = grpc.aio.ServicerContext[RateLimitQuotaUsageReports, RateLimitQuotaResponse]
BucketKey = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a plan shares: quotas by the key of their limit. `lifetime` of an assignment, in whole seconds."""

    revision: str
    quotas: Mapping[str, Quota]
    lifetime: int


@dataclass(slots=True)
class _Envoy:
    """What one stream has told and was told."""

    number: int
    shares: dict[BucketKey, int | Nothing] = field(default_factory=dict)
    told_full: bool = False


class QuotaStream:
    def __init__(self, plan: Quotas, clock: Clock, recorder: Recorder) -> None:
        self._plan = plan
        self._clock = clock
        self._recorder = recorder
        self._shares = Shares(plan.lifetime * NANOSECONDS, clock.monotonic())
        self._numbers = count()
        self._open = 0

    def envoys(self) -> int:
        """How many streams are open."""
        return self._open

    def buckets(self) -> int:
        return len(self._shares)

    async def stream(
        self, messages: AsyncIterator[RateLimitQuotaUsageReports], context: Stream
    ) -> AsyncIterator[RateLimitQuotaResponse]:
        if self._open >= MAX_STREAMS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_streams")
        envoy = _Envoy(next(self._numbers))
        self._open += 1
        try:
            first = True
            async for message in messages:
                started = self._clock.monotonic()
                try:
                    answer = self._answer(envoy, message, first=first)
                except Exception as error:  # noqa: BLE001 - whatever it is, nothing is assigned
                    failed = failure(error)
                    self._record(failed.outcome, started, failed.detail)
                    await context.abort(grpc.StatusCode.UNAVAILABLE, failed.reply.reason)
                first = False
                if answer.bucket_action:
                    yield answer
        finally:
            self._open -= 1
            for key in envoy.shares:
                self._shares.leave(envoy.number, key)

    def _answer(self, envoy: _Envoy, message: RateLimitQuotaUsageReports, *, first: bool) -> RateLimitQuotaResponse:
        """Raises UnknownRoute."""
        if message.domain != DOMAIN and (first or message.domain):
            raise UnknownRoute(f"no quotas for the domain {message.domain!r}")
        answer = RateLimitQuotaResponse()
        for usage in message.bucket_quota_usages:
            named = dict(usage.bucket_id.bucket)
            if named.get(LIMIT) != NO_QUOTA:
                self._report(envoy, named, usage, answer)
        return answer

    def _report(
        self, envoy: _Envoy, named: Mapping[str, str], usage: BucketUsage, answer: RateLimitQuotaResponse
    ) -> None:
        started = self._clock.monotonic()
        quota = self._quota(named)
        key = tuple(sorted(named.items()))  # the order of a map's keys means nothing (rlqs.proto: BucketId)
        asked = Usage(
            usage.num_requests_allowed + usage.num_requests_denied, max(0, usage.time_elapsed.ToNanoseconds())
        )
        share = self._shares.report(envoy.number, quota, key, asked, started)
        full = share is Nothing.TOO_MANY_BUCKETS
        if not (envoy.told_full if full else share == envoy.shares.get(key)):
            self._record_share(named, quota, share, started)
        envoy.told_full |= full
        if share is Nothing.IDLE:
            envoy.shares.pop(key, None)
            answer.bucket_action.append(_abandon(usage.bucket_id))
        elif not full:  # or what is remembered would have no bound
            envoy.shares[key] = share
        if not isinstance(share, Nothing):
            answer.bucket_action.append(assign(usage.bucket_id, quota, share, self._plan.lifetime))

    def _quota(self, named: Mapping[str, str]) -> Quota:
        revision, limit = named.get(REVISION, ""), named.get(LIMIT, "")
        if revision != self._plan.revision:
            raise UnknownRoute(
                f"Envoy shares by revision {revision or '(none)'}, this sidecar has {self._plan.revision}"
            )
        quota = self._plan.quotas.get(limit)
        if quota is None:
            raise UnknownRoute(f"no shared limit {limit!r} in revision {revision}")
        if bool(named.get(QUOTA_CONSUMER)) != (quota.limit.per is Per.CONSUMER):
            raise UnknownRoute(f"the shared limit {limit!r} counts per {quota.limit.per.value}")
        return quota

    def _record_share(self, named: Mapping[str, str], quota: Quota, share: int | Nothing, started: int) -> None:
        """Whenever it is another one than before."""
        shown = share.value if isinstance(share, Nothing) else f"{share / quota.parts:.1%}"
        decision: Decision = CONTINUE
        if share is Nothing.NO_SHARE or share is Nothing.TOO_MANY_BUCKETS:
            decision = refusal(429, share.value, "no share of the limit is free")
        consumer = Consumer(named[QUOTA_CONSUMER]) if named.get(QUOTA_CONSUMER) else None
        step = Step(LIMIT_KIND, decision, self._clock.monotonic() - started)
        facts = {"limit": named[LIMIT], "share": shown}
        self._record(Outcome(decision, consumer=consumer, facts=facts, steps=(step,)), started, "", quota)

    def _record(self, outcome: Outcome, started: int, detail: str, quota: Quota | None = None) -> None:
        route = quota.limit.scope.removeprefix("route/") if quota and quota.limit.scope.startswith("route/") else ""
        took = self._clock.monotonic() - started
        self._recorder.record(record_of(NAME, route, Request("", ""), outcome, took, detail))

    def handler(self) -> grpc.GenericRpcHandler:
        method = grpc.stream_stream_rpc_method_handler(
            self.stream,
            request_deserializer=reading(RateLimitQuotaUsageReports),
            response_serializer=RateLimitQuotaResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"StreamRateLimitQuotas": method})


def assign(bucket: BucketId, quota: Quota, share: int, lifetime: int) -> Action:
    """The only place where anything is admitted. Envoy 1.40 compares and divides by whole seconds of the fill interval,
    so that it must be whole, and the same for all shares of a limit; it reads whole seconds of the lifetime too."""
    tokens = TokenBucket(max_tokens=quota.capacity)
    tokens.tokens_per_fill.value = share
    tokens.fill_interval.FromSeconds(quota.interval)
    action = Action(bucket_id=bucket)
    assignment = action.quota_assignment_action
    assignment.assignment_time_to_live.FromSeconds(lifetime)
    assignment.rate_limit_strategy.CopyFrom(RateLimitStrategy(token_bucket=tokens))
    return action


def _abandon(bucket: BucketId) -> Action:
    return Action(bucket_id=bucket, abandon_action=Action.AbandonAction())
