"""The quota stream behind a real gRPC server: who is told what, and what ends a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from extproc.core.limits import NANOSECONDS, Limit, Per
from extproc.core.names import DOMAIN, LIMIT, NO_QUOTA, QUOTA_CONSUMER, REVISION
from extproc.core.quota import GRACE, Quota
from extproc.core.record import Result
from extproc.core.sharing import Shares
from extproc.services import quota_stream
from extproc.services.quota_stream import Quotas, QuotaStream
from extproc.services.server import Server
from extproc.testing import FakeClock, FakeRecorder
from extproc.wire.quota_pb2 import BucketId, RateLimitQuotaResponse, RateLimitQuotaUsageReports
from tests.services.harness import settled

TTL = 15
ROUTE = "route/orders/route-0"
TIER = "tier/free"
QUOTAS = {
    ROUTE: Quota(Limit("route-0", "route/orders", Per.ROUTE, 100, 1, 100), 2),
    TIER: Quota(Limit("tier", "tier/free", Per.CONSUMER, 5, 60, 10), 2),
}
SPELL: Callable[[RateLimitQuotaUsageReports], bytes] = RateLimitQuotaUsageReports.SerializeToString
Call = grpc.aio.StreamStreamCall[RateLimitQuotaUsageReports, RateLimitQuotaResponse]


class Rig:
    def __init__(self, path: Path) -> None:
        self.clock, self.recorder = FakeClock(), FakeRecorder()
        self.service = QuotaStream(Quotas("r1", QUOTAS, TTL), self.clock, self.recorder)
        self.server = Server(str(path), [self.service.handler()])
        self.channel = grpc.aio.insecure_channel(f"unix:{path}")
        self.clock.advance(TTL + GRACE / NANOSECONDS)

    def stream(self) -> Call:
        stub = self.channel.stream_stream(
            f"/{quota_stream.SERVICE}/StreamRateLimitQuotas",
            SPELL,
            RateLimitQuotaResponse.FromString,
        )
        return stub(timeout=20)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path / "quota.sock")
    await made.server.start()
    waiting = len(asyncio.all_tasks())
    yield made
    await made.channel.close()
    await settled(waiting)  # grpc logs an error for each stream that a server's end cuts off
    await made.server.stop(0)


def report(
    limit: str = ROUTE,
    *,
    requests: int = 1,
    seconds: int = 0,
    domain: str = DOMAIN,
    revision: str = "r1",
    consumer: str = "",
    backwards: bool = False,
) -> RateLimitQuotaUsageReports:
    named = {REVISION: revision, LIMIT: limit, **({QUOTA_CONSUMER: consumer} if consumer else {})}
    order = reversed(named) if backwards else iter(named)
    message = RateLimitQuotaUsageReports(domain=domain)
    usage = message.bucket_quota_usages.add(num_requests_denied=requests)
    usage.bucket_id.CopyFrom(BucketId(bucket={name: named[name] for name in order}))
    usage.time_elapsed.FromSeconds(seconds)
    return message


async def told(call: Call, message: RateLimitQuotaUsageReports) -> RateLimitQuotaResponse.BucketAction:
    await call.write(message)
    answer = await call.read()
    assert isinstance(answer, RateLimitQuotaResponse)
    (action,) = answer.bucket_action
    return action


def share(action: RateLimitQuotaResponse.BucketAction) -> int:
    return action.quota_assignment_action.rate_limit_strategy.token_bucket.tokens_per_fill.value


async def refused(call: grpc.aio.StreamStreamCall[Any, RateLimitQuotaResponse]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call.read()
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    return str(failed.value.details())


async def test_a_new_bucket_is_assigned_a_token_bucket_that_ends(rig: Rig) -> None:
    asked = report()
    action = await told(rig.stream(), asked)
    assert action.bucket_id == asked.bucket_quota_usages[0].bucket_id
    assignment = action.quota_assignment_action
    assert assignment.assignment_time_to_live.ToSeconds() == TTL
    bucket = assignment.rate_limit_strategy.token_bucket
    quota = QUOTAS[ROUTE]
    assert (bucket.max_tokens, bucket.fill_interval.seconds) == (50, quota.interval)
    assert bucket.tokens_per_fill.value == quota.parts - quota.floor


async def test_each_consumer_of_a_tier_has_a_bucket(rig: Rig) -> None:
    call = rig.stream()
    whole = QUOTAS[TIER].parts - QUOTAS[TIER].floor
    assert share(await told(call, report(TIER, consumer="ann"))) == whole
    assert share(await told(call, report(TIER, consumer="bob"))) == whole
    assert rig.service.buckets() == 2


async def test_the_order_of_a_bucket_ids_keys_means_nothing(rig: Rig) -> None:
    call = rig.stream()
    await told(call, report(TIER, consumer="ann"))
    await told(call, report(TIER, consumer="ann", seconds=5, backwards=True))
    assert rig.service.buckets() == 1


async def test_only_the_first_report_says_the_domain(rig: Rig) -> None:
    call = rig.stream()
    first = share(await told(call, report()))
    assert share(await told(call, report(seconds=5, domain=""))) == first


async def test_two_envoys_share(rig: Rig) -> None:
    one, other = rig.stream(), rig.stream()
    quota = QUOTAS[ROUTE]
    assert share(await told(one, report())) + share(await told(other, report())) == quota.parts
    assert rig.service.envoys() == 2


async def test_a_third_envoy_of_two_is_told_nothing_and_the_log_why(rig: Rig) -> None:
    calls = [rig.stream() for _ in range(3)]
    for call in calls[:2]:
        await told(call, report())
    third = calls[2]
    await third.write(report())
    await third.done_writing()
    assert await third.read() is grpc.aio.EOF
    record = rig.recorder.records[-1]
    assert (record.result, record.reason, record.policy, record.status) == (Result.DENY, "no_share", "limit", 429)


async def test_an_idle_bucket_is_to_be_forgotten(rig: Rig) -> None:
    call = rig.stream()
    await told(call, report())
    rig.clock.advance(QUOTAS[ROUTE].idle / NANOSECONDS)
    action = await told(call, report(requests=0, seconds=60))
    assert action.HasField("abandon_action")
    assert share(await told(call, report()))


async def test_what_an_envoy_had_returns_after_it_has_ended(rig: Rig) -> None:
    one, other = rig.stream(), rig.stream()
    quota = QUOTAS[ROUTE]
    await told(one, report())
    assert share(await told(other, report())) == quota.floor
    await one.done_writing()
    assert await one.read() is grpc.aio.EOF
    assert share(await told(other, report(requests=9, seconds=5))) == quota.floor
    rig.clock.advance(TTL + 1)
    assert share(await told(other, report(requests=9, seconds=5))) == quota.parts - quota.floor


async def test_a_change_of_share_is_recorded_and_a_renewal_is_not(rig: Rig) -> None:
    call = rig.stream()
    for seconds in (0, 5, 5):
        await told(call, report(seconds=seconds))
    (record,) = rig.recorder.records
    assert (record.service, record.result, record.reason) == ("rate_limit_quota", Result.ALLOW, "allowed")
    assert (record.route, dict(record.facts)) == ("orders", {"limit": ROUTE, "share": "94.0%"})


IMPOSSIBLE = {
    "another domain": report(domain="other"),
    "no domain in the first report": report(domain=""),
    "another revision": report(revision="r0"),
    "another limit": report("route/orders/route-9"),
    "a consumer where nobody is counted apart": report(consumer="ann"),
    "no consumer where each is counted apart": report(TIER),
    "an empty bucket id": RateLimitQuotaUsageReports(
        domain=DOMAIN, bucket_quota_usages=[RateLimitQuotaUsageReports.BucketQuotaUsage(num_requests_denied=1)]
    ),
}


@pytest.mark.parametrize("asked", IMPOSSIBLE)
async def test_what_names_no_quota_of_ours_ends_the_stream(rig: Rig, asked: str) -> None:
    call = rig.stream()
    await call.write(IMPOSSIBLE[asked])
    assert await refused(call) == "unknown_route"
    (record,) = rig.recorder.records
    assert (record.result, record.reason) == (Result.ERROR, "unknown_route")
    assert record.detail


async def test_what_is_no_message_ends_the_stream(rig: Rig) -> None:
    stub: grpc.aio.StreamStreamMultiCallable[bytes, RateLimitQuotaResponse] = rig.channel.stream_stream(
        f"/{quota_stream.SERVICE}/StreamRateLimitQuotas", None, RateLimitQuotaResponse.FromString
    )
    call = stub(timeout=20)
    await call.write(b"\xff\xff")
    assert await refused(call) == "unknown_route"


async def test_the_bucket_that_admits_nobody_is_assigned_nothing(rig: Rig) -> None:
    call = rig.stream()
    await call.write(report(NO_QUOTA))
    assert share(await told(call, report()))
    assert rig.service.buckets() == 1


async def test_there_are_no_more_streams_than_the_bound(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota_stream, "MAX_STREAMS", 1)
    await told(rig.stream(), report())
    second = rig.stream()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await second.read()
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_there_are_no_more_buckets_than_the_bound_and_the_log_says_it_once(rig: Rig) -> None:
    rig.service._shares = Shares(TTL * NANOSECONDS, -100 * NANOSECONDS, capacity=1)
    call = rig.stream()
    await told(call, report(TIER, consumer="ann"))
    for name in ("bob", "eve"):
        await call.write(report(TIER, consumer=name))
    await told(call, report(TIER, consumer="ann", seconds=5))
    assert [record.reason for record in rig.recorder.records] == ["allowed", "too_many_buckets"]
    assert rig.service.buckets() == 1
