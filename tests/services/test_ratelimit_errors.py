"""What cannot be judged is UNAVAILABLE, on which the filter's failure mode denies; UNKNOWN is never an answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import UInt64Value
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.core.names import ADDRESS, CALL_REQUEST_ID, LIMIT, REVISION, ROUTE
from extproc.core.ports import CounterStore
from extproc.core.record import Result
from extproc.wire.ratelimit_pb2 import RateLimitDescriptor, RateLimitRequest, RateLimitResponse
from tests.services.conftest import Serve
from tests.services.descriptors import LIMITS, Override, call, descriptor, entries, override
from tests.services.fakes import NoStore
from tests.services.harness import Rig, gateway

IMPOSSIBLE = {
    "another domain": (call(descriptor("route-0"), domain="other"), "unknown_route"),
    "no domain": (call(descriptor("route-0"), domain=""), "unknown_route"),
    "no descriptors": (call(), "unknown_route"),
    "an empty descriptor": (call(RateLimitDescriptor()), "unknown_route"),
    "a good one and an empty one": (call(descriptor("route-0"), RateLimitDescriptor()), "unknown_route"),
    "another route": (call(descriptor("route-0", route="other")), "unknown_route"),
    "another limit": (call(descriptor("route-9")), "unknown_route"),
    "another revision": (call(descriptor("route-0", revision="r0")), "unknown_route"),
    "no revision": (call(descriptor("route-0", revision="")), "unknown_route"),
    "no address": (call(descriptor("address-1")), "could_not_decide"),
    "an empty address": (call(descriptor("address-1", "")), "could_not_decide"),
    "a limit per consumer": (call(descriptor("consumer-2")), "could_not_decide"),
    "an override of no unit": (call(descriptor("route-0", limit=override(1, "UNKNOWN"))), "could_not_decide"),
    "an override of nothing": (call(descriptor("route-0", limit=override(0, "SECOND"))), "could_not_decide"),
    "hits to be given back": (
        call(RateLimitDescriptor(entries=descriptor("route-0").entries, is_negative_hits=True)),
        "could_not_decide",
    ),
}


async def unavailable(rig: Rig, asked: RateLimitRequest) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await rig.should_rate_limit(asked, metadata=[(CALL_REQUEST_ID, "id-7")])
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    (record,) = rig.records
    assert (record.result, record.request_id, record.reason) == (Result.ERROR, "id-7", failed.value.details())
    assert record.detail
    return record.reason


@pytest.mark.parametrize("asked", IMPOSSIBLE)
async def test_what_names_no_limit_of_ours_is_unavailable(serve: Serve, asked: str) -> None:
    request, reason = IMPOSSIBLE[asked]
    assert await unavailable(await serve(gateway(limits=LIMITS)), request) == reason


async def test_a_call_that_fails_in_part_charges_nothing(serve: Serve) -> None:
    rig = await serve(gateway(limits=LIMITS))
    await unavailable(rig, call(descriptor("route-0"), descriptor("route-9")))
    answer = await rig.should_rate_limit(call(descriptor("route-0", hits=0)))
    assert answer.statuses[0].limit_remaining == 4


class Cancelled(NoStore):
    """A store whose own task was cancelled under it."""

    async def hit(self, charge: object) -> tuple[()]:
        raise asyncio.CancelledError


class Empty(NoStore):
    """A store that forgets to answer."""

    async def hit(self, charge: object) -> None:  # type: ignore[override]
        return None


@pytest.mark.parametrize(
    ("store", "reason"),
    [(NoStore(), "store_unavailable"), (Cancelled(), "policy_failed"), (Empty(), "could_not_decide")],
)
async def test_a_store_that_does_not_judge_is_unavailable(serve: Serve, store: CounterStore, reason: str) -> None:
    rig = await serve(gateway(limits=LIMITS), store)
    assert await unavailable(rig, call(descriptor("route-0"))) == reason


async def test_what_the_operator_reads_is_not_told_to_envoy(serve: Serve) -> None:
    rig = await serve(gateway(limits=LIMITS), NoStore())
    assert await unavailable(rig, call(descriptor("route-0"))) == "store_unavailable"
    assert rig.records[0].detail.startswith("store_unavailable (fakes.py:")


texts = st.text(max_size=8)
stamps = st.fixed_dictionaries(
    {},
    optional={
        ROUTE: st.just("orders") | texts,
        LIMIT: st.sampled_from(["route-0", "address-1", "consumer-2", "odd-3"]) | texts,
        REVISION: st.just("r1") | texts,
        ADDRESS: st.sampled_from(["192.0.2.7/32", "2001:db8::/64"]) | texts,
    },
)
good = st.fixed_dictionaries(
    {
        ROUTE: st.just("orders"),
        LIMIT: st.sampled_from(["route-0", "address-1", "odd-3"]),
        REVISION: st.just("r1"),
        ADDRESS: st.just("192.0.2.7/32"),
    }
)
uint32 = st.integers(0, 2**32 - 1) | st.integers(0, 3)
overrides = st.builds(Override, requests_per_unit=uint32, unit=st.integers(0, 9))
descriptors = st.builds(
    RateLimitDescriptor,
    entries=(stamps | good).map(lambda stamp: entries(**stamp)),
    limit=st.none() | overrides,
    hits_addend=st.none() | st.builds(UInt64Value, value=st.integers(0, 2**64 - 1) | st.integers(0, 2)),
)
sound = st.builds(RateLimitDescriptor, entries=good.map(lambda stamp: entries(**stamp)))
calls = st.builds(call, descriptors, descriptors, domain=st.just("extproc") | texts, hits=uint32) | st.builds(
    call, sound, hits=uint32
)


def test_whatever_is_asked_the_answer_is_ok_or_over_limit_or_no_answer(tmp_path: Path) -> None:
    seen = set()
    with asyncio.Runner() as runner:
        plan = gateway(limits=LIMITS)
        rig = runner.run(Rig(lambda: plan, tmp_path / "worker.sock").start())

        @settings(max_examples=300, deadline=None)
        @given(calls)
        def whatever_is_asked(asked: RateLimitRequest) -> None:
            rig.clock.advance(0.25)
            try:
                answer = runner.run(rig.should_rate_limit(asked))
            except grpc.aio.AioRpcError as error:
                seen.add(error.code().name)
                return
            over = [status.code == RateLimitResponse.OVER_LIMIT for status in answer.statuses]
            assert answer.overall_code == (RateLimitResponse.OVER_LIMIT if any(over) else RateLimitResponse.OK)
            assert all(status.code != RateLimitResponse.UNKNOWN for status in answer.statuses)
            assert len(answer.statuses) == len(asked.descriptors)
            seen.add(RateLimitResponse.Code.Name(answer.overall_code))

        whatever_is_asked()
        runner.run(rig.stop())
    assert seen == {"OK", "OVER_LIMIT", "UNAVAILABLE"}
