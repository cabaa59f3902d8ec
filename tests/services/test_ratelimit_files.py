"""envoyproxy/ratelimit's files over gRPC and as JSON: every field of the answer, and every way of not answering."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extproc.core.ports import WindowCounters
from extproc.core.rate_limiter import Modes, RateLimiter
from extproc.core.record import DecisionRecord, Result
from extproc.services.ratelimit import SERVICE
from extproc.services.ratelimit_files import HEALTH_NAMES, RateLimitFiles, Shown
from extproc.services.server import AddressServer
from extproc.testing import FakeRecorder
from extproc.wire.ratelimit_pb2 import RateLimitRequest, RateLimitResponse, RateLimitUnit
from tests.core.trees import Limiter, Meter, NoWindows, limiter
from tests.free_ports import free_port

FILE = """
domain: d
descriptors:
  - {key: two, rate_limit: {unit: minute, requests_per_unit: 2, name: pair}, metadata: {who: {team: red}, tag: 1}}
  - {key: week, rate_limit: {unit: week, requests_per_unit: 3}, metadata: {who: {team: blue, level: 2}, tag: 2}}
  - {key: whole, rate_limit: {unlimited: true}}
"""
Ask = grpc.aio.UnaryUnaryMultiCallable[bytes, RateLimitResponse]
NOON = 1_790_002_222.0


def asked(*keys: str, domain: str = "d", **more: Any) -> RateLimitRequest:
    descriptors = [{"entries": [{"key": key, "value": "secret-value"}]} for key in keys]
    return ParseDict({"domain": domain, "descriptors": descriptors, **more}, RateLimitRequest())


class Service:
    """With a real client, at a real address."""

    def __init__(self, shown: Shown | None = None, store: WindowCounters | None = None) -> None:
        self.rules: Limiter = limiter(FILE)
        self.rules.clock.seconds = NOON
        self.recorder = FakeRecorder()
        judged = RateLimiter(lambda: self.rules.domains, store, Meter(), Modes()) if store else self.rules.rules
        self.service = RateLimitFiles(judged, self.rules.clock, self.recorder, shown or Shown())
        self.address = f"127.0.0.1:{free_port()}"
        self.server = AddressServer(self.address, [self.service.handler()], HEALTH_NAMES)
        self.channel = grpc.aio.insecure_channel(self.address)

    async def ask(self, call: RateLimitRequest | bytes) -> RateLimitResponse:
        spelled = call if isinstance(call, bytes) else call.SerializeToString()
        method = f"/{SERVICE}/ShouldRateLimit"
        stub: Ask = self.channel.unary_unary(method, None, RateLimitResponse.FromString)
        answer: RateLimitResponse = await stub(spelled, timeout=20)
        return answer

    async def health(self, name: str) -> int:
        stub = health_pb2_grpc.HealthStub(self.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
        return int(answer.status)

    @property
    def record(self) -> DecisionRecord:
        return self.recorder.records[-1]


Start = Callable[..., Awaitable[Service]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    started: list[Service] = []

    async def one(**options: Any) -> Service:
        service = Service(**options)
        started.append(service)
        await service.server.start()
        await service.server.serve()
        return service

    yield one
    for service in started:
        await service.channel.close()
        await service.server.stop(0)


async def test_every_descriptor_is_told_its_limit_what_is_left_and_when_it_is_whole_again(start: Start) -> None:
    service = await start()
    answer = await service.ask(asked("two", "nobody", "whole", "week"))
    assert MessageToDict(answer) == {
        "overallCode": "OK",
        "statuses": [
            {
                "code": "OK", "limitRemaining": 1, "durationUntilReset": "38s",
                "currentLimit": {"name": "pair", "requestsPerUnit": 2, "unit": "MINUTE"},
            },
            {"code": "OK"},
            {"code": "OK", "limitRemaining": 2**32 - 1},
            {
                "code": "OK", "limitRemaining": 2, "durationUntilReset": "205778s",
                "currentLimit": {"requestsPerUnit": 3, "unit": "WEEK"},
            },
        ],
    }  # fmt: skip


async def test_over_is_said_as_a_whole_and_of_the_descriptor(start: Start) -> None:
    service = await start()
    answers = [await service.ask(asked("two", "week")) for _ in range(3)]
    assert [answer.overall_code for answer in answers] == [1, 1, 2]
    assert [int(status.code) for status in answers[-1].statuses] == [2, 1]
    assert answers[-1].statuses[0].limit_remaining == 0


async def test_the_hits_of_a_descriptor_win_and_an_explicit_nothing_only_looks(start: Start) -> None:
    service = await start()
    call = asked("week", "week", hitsAddend=2)
    call.descriptors[0].hits_addend.value = 0
    assert [status.limit_remaining for status in (await service.ask(call)).statuses] == [3, 1]
    call.descriptors[0].hits_addend.value = 2**64 - 1
    assert [int(status.code) for status in (await service.ask(call)).statuses] == [2, 2]


async def test_a_limit_of_the_calls_own_is_used_and_told(start: Start) -> None:
    service = await start()
    call = asked("two")
    call.descriptors[0].limit.requests_per_unit = 7
    call.descriptors[0].limit.unit = RateLimitUnit.YEAR
    (status,) = (await service.ask(call)).statuses
    assert (status.current_limit.requests_per_unit, status.current_limit.unit, status.limit_remaining) == (7, 6, 6)


async def test_hits_are_given_back(start: Start) -> None:
    service = await start()
    await service.ask(asked("week", hitsAddend=3))
    call = asked("week", hitsAddend=2)
    call.descriptors[0].is_negative_hits = True
    assert (await service.ask(call)).statuses[0].limit_remaining == 2


def other_unit() -> RateLimitRequest:
    call = asked("two")
    call.descriptors[0].limit.requests_per_unit = 7
    return call


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (asked("two", domain=""), "rate limit domain must not be empty"),
        (asked(), "rate limit descriptor list must not be empty"),
        (other_unit(), "a limit override without a unit"),
        (b"\xff\xff", "rate limit domain must not be empty"),
    ],
)
async def test_what_cannot_be_answered_is_unavailable_with_the_reason(
    start: Start, call: RateLimitRequest | bytes, said: str
) -> None:
    service = await start()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.ask(call)
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.UNAVAILABLE, said)
    assert (service.record.result, service.record.reason) == (Result.ERROR, "invalid_call")


async def test_a_store_that_does_not_answer_is_unavailable_and_never_a_verdict(start: Start) -> None:
    service = await start(store=NoWindows())
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.ask(asked("two"))
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.UNAVAILABLE, "store_unavailable")


async def test_a_bug_is_unavailable_and_says_nothing_of_itself(start: Start) -> None:
    service = await start(store=object())
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.ask(asked("two"))
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.UNAVAILABLE, "could_not_decide")


async def test_a_decision_is_recorded_by_its_domain_and_without_a_value(start: Start) -> None:
    service = await start()
    for _ in range(3):
        await service.ask(asked("two"))
    first, last = service.recorder.records[0], service.record
    assert (first.service, first.result, first.reason, first.route) == ("ratelimit", Result.ALLOW, "allowed", "d")
    assert (last.result, last.reason, last.policy) == (Result.DENY, "rate_limited", "limit")
    assert "secret-value" not in repr(service.recorder.records)


async def test_headers_are_told_of_the_tightest_limit_where_that_is_wanted(start: Start) -> None:
    service = await start(shown=Shown(headers=("A-Limit", "A-Left", "A-Reset")))
    answer = await service.ask(asked("week", "two", "nobody"))
    assert [(header.key, header.value) for header in answer.response_headers_to_add] == [
        ("A-Limit", "2"), ("A-Left", "1"), ("A-Reset", "38"),
    ]  # fmt: skip
    assert not (await service.ask(asked("nobody", "whole"))).response_headers_to_add


async def test_no_headers_and_no_metadata_are_told_unasked(start: Start) -> None:
    answer = await (await start()).ask(asked("two"))
    assert not answer.response_headers_to_add
    assert not answer.HasField("dynamic_metadata")


async def test_metadata_tell_what_was_asked_and_of_the_limits_that_passed(start: Start) -> None:
    service = await start(shown=Shown(metadata=True))
    call = asked("two", "week", hitsAddend=1)
    call.descriptors[0].hits_addend.value = 2
    call.descriptors[1].limit.SetInParent()
    call.descriptors[1].ClearField("limit")
    told = MessageToDict((await service.ask(call)).dynamic_metadata)
    assert told == {
        "domain": "d", "hitsAddend": 1.0,
        "descriptors": [{"entries": ["two=secret-value"], "hitsAddend": 2.0}, {"entries": ["week=secret-value"]}],
        "metadata": {"who": {"team": "red", "level": 2.0}, "tag": 1.0},
    }  # fmt: skip
    over = MessageToDict((await service.ask(call)).dynamic_metadata)
    assert over["metadata"] == {"who": {"team": "blue", "level": 2.0}, "tag": 2.0}
    call.descriptors[1].limit.requests_per_unit, call.descriptors[1].limit.unit = 5, RateLimitUnit.DAY
    own = MessageToDict((await service.ask(call)).dynamic_metadata)
    assert own["descriptors"][1]["limit"] == "requests_per_unit:5 unit:DAY"


async def test_json_is_answered_by_the_status_that_says_it(start: Start) -> None:
    service = (await start()).service
    body = json.dumps({"domain": "d", "descriptors": [{"entries": [{"key": "two", "value": "x"}]}]}).encode()
    answers = [await service.answer_json(body) for _ in range(3)]
    assert [(status, kind) for status, kind, _ in answers] == [
        (200, "application/json"), (200, "application/json"), (429, "application/json"),
    ]  # fmt: skip
    assert json.loads(answers[-1][2]) == {
        "overallCode": "OVER_LIMIT",
        "statuses": [{
            "code": "OVER_LIMIT", "durationUntilReset": "38s",
            "currentLimit": {"name": "pair", "requestsPerUnit": 2, "unit": "MINUTE"},
        }],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "this is no RateLimitRequest as JSON\n"),
        (b"{", "this is no RateLimitRequest as JSON\n"),
        (b"\xff", "this is no RateLimitRequest as JSON\n"),
        (b"[" * 100_000, "this is no RateLimitRequest as JSON\n"),
        (b'{"domains": "d"}', "this is no RateLimitRequest as JSON\n"),
        (b"{}", "rate limit domain must not be empty\n"),
        (b'{"domain": "d"}', "rate limit descriptor list must not be empty\n"),
    ],
)
async def test_json_that_is_no_request_is_400(start: Start, body: bytes, said: str) -> None:
    assert await (await start()).service.answer_json(body) == (400, "text/plain", said)


async def test_json_of_a_store_that_does_not_answer_is_503(start: Start) -> None:
    service = (await start(store=NoWindows())).service
    body = b'{"domain": "d", "descriptors": [{"entries": [{"key": "two", "value": "x"}]}]}'
    assert await service.answer_json(body) == (503, "text/plain", "store_unavailable\n")


@pytest.mark.parametrize("name", ["", "ratelimit", SERVICE])
async def test_health_is_told_by_every_name_and_not_serving_comes_before_the_end(start: Start, name: str) -> None:
    service = await start()
    assert await service.health(name) == health_pb2.HealthCheckResponse.SERVING
    await service.server.pause()
    assert await service.health(name) == health_pb2.HealthCheckResponse.NOT_SERVING
    await service.server.serve()
    await service.server.drain()
    assert await service.health(name) == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await service.ask(asked("two"))).overall_code == RateLimitResponse.OK  # until it has ended


async def test_an_address_that_is_taken_is_said_by_its_name(start: Start, tmp_path: Path) -> None:
    service = await start()
    with pytest.raises(OSError, match=f"{service.address} cannot be used"):
        await AddressServer(service.address, [service.service.handler()]).start()
