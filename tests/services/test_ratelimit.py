"""What Envoy's ratelimit filter is told: one status per descriptor, and a whole that is never UNKNOWN."""

from __future__ import annotations

import json

import pytest

from extproc.core.names import CALL_ADDRESS, CALL_REQUEST_ID
from extproc.core.record import Result
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock
from extproc.wire.ratelimit_pb2 import RateLimitResponse, RateLimitUnit
from tests.services.conftest import Serve
from tests.services.descriptors import LIMITS, call, descriptor, override
from tests.services.fakes import Noting
from tests.services.harness import Rig, gateway

OK = RateLimitResponse.OK
OVER_LIMIT = RateLimitResponse.OVER_LIMIT
Unit = RateLimitResponse.RateLimit.Unit


async def rig_with(serve: Serve, counters: Noting | None = None) -> Rig:
    return await serve(gateway(limits=LIMITS), counters)


def codes(answer: RateLimitResponse) -> list[int]:
    return [int(status.code) for status in answer.statuses]


async def test_a_limit_admits_its_burst_and_then_no_more(serve: Serve) -> None:
    rig = await rig_with(serve)
    answers = [await rig.should_rate_limit(call(descriptor("route-0"))) for _ in range(5)]
    assert [answer.overall_code for answer in answers] == [OK, OK, OK, OK, OVER_LIMIT]
    assert [answer.statuses[0].limit_remaining for answer in answers] == [3, 2, 1, 0, 0]
    rig.clock.advance(1)
    assert (await rig.should_rate_limit(call(descriptor("route-0")))).overall_code == OK


async def test_every_descriptor_gets_its_status_in_order(serve: Serve) -> None:
    rig = await rig_with(serve)
    asked = call(
        descriptor("address-1", "192.0.2.7/32"), descriptor("route-0"), descriptor("address-1", "192.0.2.8/32")
    )
    answer = await rig.should_rate_limit(asked)
    assert [status.current_limit.name for status in answer.statuses] == ["address-1", "route-0", "address-1"]
    assert [status.limit_remaining for status in answer.statuses] == [9, 3, 9]
    assert (answer.overall_code, codes(answer)) == (OK, [OK, OK, OK])


async def test_one_limit_that_is_over_makes_the_whole_over_and_charges_none(serve: Serve) -> None:
    rig = await rig_with(serve)
    both = call(descriptor("address-1", "192.0.2.7/32"), descriptor("route-0"))
    for _ in range(4):
        await rig.should_rate_limit(both)
    answer = await rig.should_rate_limit(both)
    assert (answer.overall_code, codes(answer)) == (OVER_LIMIT, [OK, OVER_LIMIT])
    other = await rig.should_rate_limit(call(descriptor("address-1", "192.0.2.7/32")))
    assert other.statuses[0].limit_remaining == 5


async def test_addresses_are_counted_apart(serve: Serve) -> None:
    rig = await rig_with(serve)
    for address in ("192.0.2.7/32", "2001:db8::/64", "192.0.2.8/32"):
        answer = await rig.should_rate_limit(call(descriptor("address-1", address)))
        assert answer.statuses[0].limit_remaining == 9


@pytest.mark.parametrize(
    ("whole", "own", "count"),
    [(0, None, 1), (1, None, 1), (3, None, 3), (3, 2, 2), (0, 5, 5), (3, 0, 0), (2**32 - 1, None, 2**32 - 1)],
)
async def test_the_hits_are_the_descriptors_else_the_calls_else_one(
    serve: Serve, whole: int, own: int | None, count: int
) -> None:
    store = Noting(MemoryCounters(FakeClock()))
    rig = await rig_with(serve, store)
    await rig.should_rate_limit(call(descriptor("address-1", "192.0.2.7/32", hits=own), hits=whole))
    assert [hit.count for charge in store.charges for hit in charge.hits] == [count]


async def test_an_explicit_zero_looks_and_charges_nothing(serve: Serve) -> None:
    rig = await rig_with(serve)
    looks = [await rig.should_rate_limit(call(descriptor("route-0", hits=0))) for _ in range(9)]
    assert {answer.statuses[0].limit_remaining for answer in looks} == {4}
    await rig.should_rate_limit(call(descriptor("route-0", hits=4)))
    assert (await rig.should_rate_limit(call(descriptor("route-0", hits=0)))).overall_code == OVER_LIMIT


@pytest.mark.parametrize("hits", [2**32 - 1, 2**64 - 1])
async def test_a_number_of_hits_that_can_never_pass_is_over_and_charges_nothing(serve: Serve, hits: int) -> None:
    rig = await rig_with(serve)
    answer = await rig.should_rate_limit(call(descriptor("route-0", hits=hits)))
    assert (answer.overall_code, answer.statuses[0].limit_remaining) == (OVER_LIMIT, 4)
    assert (await rig.should_rate_limit(call(descriptor("route-0", hits=4)))).overall_code == OK


@pytest.mark.parametrize(("unit", "seconds"), [("SECOND", 1), ("MINUTE", 60), ("HOUR", 3600), ("DAY", 86400)])
async def test_a_limit_that_envoy_brings_along_replaces_the_configured_one(
    serve: Serve, unit: str, seconds: int
) -> None:
    rig = await rig_with(serve)
    asked = call(descriptor("route-0", limit=override(2, unit)))
    answers = [await rig.should_rate_limit(asked) for _ in range(3)]
    assert [answer.overall_code for answer in answers] == [OK, OK, OVER_LIMIT]
    limit = answers[0].statuses[0].current_limit
    assert (limit.requests_per_unit, limit.unit) == (2, Unit.Value(unit))
    assert answers[2].statuses[0].duration_until_reset.seconds == seconds


async def test_the_largest_override_does_not_overflow(serve: Serve) -> None:
    rig = await rig_with(serve)
    answer = await rig.should_rate_limit(call(descriptor("route-0", limit=override(2**32 - 1, "YEAR"))))
    assert (answer.overall_code, answer.statuses[0].limit_remaining) == (OK, 2**32 - 2)


async def test_a_refusal_is_a_problem_that_says_when_to_come_back(serve: Serve) -> None:
    rig = await rig_with(serve)
    await rig.should_rate_limit(call(descriptor("route-0", hits=4)))
    answer = await rig.should_rate_limit(call(descriptor("route-0")))
    headers = {item.key: item.value for item in answer.response_headers_to_add}
    assert headers["content-type"] == "application/problem+json"
    assert headers["retry-after"] == "1"
    assert headers["ratelimit"] == '"route-0";r=0;t=1'
    problem = json.loads(answer.raw_body)
    assert (problem["status"], problem["reason"], problem["limit"]) == (429, "rate_limited", "route-0")


async def test_an_admission_has_the_rate_limit_fields_and_no_body(serve: Serve) -> None:
    rig = await rig_with(serve)
    answer = await rig.should_rate_limit(call(descriptor("route-0")))
    headers = {item.key: item.value for item in answer.response_headers_to_add}
    assert headers == {"ratelimit-policy": '"route-0";q=4;w=1', "ratelimit": '"route-0";r=3;t=1'}
    assert answer.raw_body == b""


async def test_the_reset_is_when_the_counter_is_full_again(serve: Serve) -> None:
    rig = await rig_with(serve)
    first = await rig.should_rate_limit(call(descriptor("route-0")))
    assert first.statuses[0].duration_until_reset.ToNanoseconds() == 250_000_000
    rig.clock.advance(0.1)
    second = await rig.should_rate_limit(call(descriptor("route-0")))
    assert second.statuses[0].duration_until_reset.ToNanoseconds() == 400_000_000


async def test_the_record_names_the_request_the_route_and_the_address(serve: Serve) -> None:
    rig = await rig_with(serve)
    asked = call(descriptor("address-1", "192.0.2.7/32", hits=11))
    await rig.should_rate_limit(asked, metadata=[(CALL_REQUEST_ID, "id-7")])
    (record,) = rig.records
    assert (record.service, record.result, record.reason) == ("ratelimit", Result.DENY, "rate_limited")
    assert (record.route, record.request_id, record.address, record.status) == ("orders", "id-7", "192.0.2.7", 429)


async def test_a_limit_that_counts_no_address_is_recorded_with_the_callers(serve: Serve) -> None:
    rig = await rig_with(serve)
    await rig.should_rate_limit(call(descriptor("route-0")), metadata=[(CALL_ADDRESS, "192.0.2.9")])
    assert rig.records[0].address == "192.0.2.9"


def test_the_units_of_an_override_are_the_units_of_a_limit() -> None:
    for name, number in RateLimitUnit.items():
        assert Unit.Value(name) == number


async def test_a_limit_over_a_period_that_envoy_has_no_word_for_is_told_per_second(serve: Serve) -> None:
    rig = await rig_with(serve)
    limit = (await rig.should_rate_limit(call(descriptor("odd-3")))).statuses[0].current_limit
    assert (limit.requests_per_unit, limit.unit) == (3, Unit.SECOND)
