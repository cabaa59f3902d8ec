"""What the record of a refusal or a failure tells the operator: which policy, which steps, who was asking."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from extproc.core.decision import Continue, HeaderEdits
from extproc.core.errors import StoreUnavailable
from extproc.core.limits import Charge, CounterState
from extproc.core.message import Consumer
from extproc.core.record import DecisionRecord, Result
from tests.services.conftest import Serve
from tests.services.descriptors import LIMITS, call, descriptor
from tests.services.fakes import REFUSED, Answers, Edits, NoStore, Raises, Waits
from tests.services.harness import Rig, chain, check_request, gateway, settled
from tests.services.playbook import about, response_headers

FIRST = about(response_headers())


def told(rig: Rig) -> tuple[Result, str, str, list[str]]:
    """The only record: how it ended, why, by which policy, and the steps until then."""
    (record,) = rig.records
    return record.result, record.reason, record.policy, [name for name, _ in record.steps]


async def test_an_allow_names_its_steps_and_blames_nobody(serve: Serve) -> None:
    rig = await serve(gateway(chain(Answers(), Answers())))
    await rig.check(check_request())
    assert told(rig) == (Result.ALLOW, "allowed", "", ["policy-0", "policy-1"])


async def test_a_refusal_names_the_policy_that_refused(serve: Serve) -> None:
    rig = await serve(gateway(chain(Answers(), Answers(REFUSED), Answers())))
    await rig.check(check_request())
    assert told(rig) == (Result.DENY, "not_admitted", "policy-1", ["policy-0", "policy-1"])


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Raises(ValueError()), "policy_failed"),
        (Raises(StoreUnavailable("full")), "store_unavailable"),
        (Raises(asyncio.CancelledError()), "policy_failed"),
        (Raises(SystemExit(1)), "policy_failed"),
        (Answers("allow"), "policy_failed"),
        (Answers(Continue(consumer=Consumer("root"))), "invalid_mutation"),
    ],
)
async def test_a_failure_names_the_policy_that_failed(serve: Serve, policy: Raises | Answers, reason: str) -> None:
    rig = await serve(gateway(chain(Answers(), policy, Answers())))
    await rig.check(check_request())
    assert told(rig) == (Result.ERROR, reason, "policy-1", ["policy-0", "policy-1"])


async def test_what_was_known_before_a_failure_is_recorded(serve: Serve) -> None:
    knows = Answers(Continue(facts={"version": "v2"}))
    rig = await serve(gateway(chain(knows, Raises(ValueError()))))
    answer = await rig.check(check_request())
    assert answer.denied_response.status.code == 500
    assert rig.records[0].facts == {"version": "v2"}
    assert answer.dynamic_metadata["version"] == "v2"


async def test_a_call_that_was_cancelled_names_the_policy_that_it_waited_for(serve: Serve) -> None:
    policy = Waits()
    rig = await serve(gateway(chain(Answers(), policy)))
    asked = rig.calling_check(check_request())
    waiting = asyncio.ensure_future(asked.code())
    await asyncio.wait_for(policy.begun.wait(), 10)
    asked.cancel()
    await asyncio.wait_for(policy.ended.wait(), 10)
    assert await waiting is grpc.StatusCode.CANCELLED
    assert told(rig) == (Result.ERROR, "could_not_decide", "policy-1", ["policy-0", "policy-1"])


async def test_a_route_that_is_not_there_is_no_policys_fault(serve: Serve) -> None:
    rig = await serve(gateway(chain(Answers())))
    await rig.check(check_request(route="other"))
    assert told(rig) == (Result.ERROR, "unknown_route", "", [])


async def test_an_edit_that_cannot_be_sent_keeps_the_steps_and_blames_nobody(serve: Serve) -> None:
    unsendable = Answers(Continue(request=HeaderEdits(set=(("x-any", "\ud800"),))))
    rig = await serve(gateway(chain(unsendable, Answers())))
    await rig.check(check_request())
    assert told(rig) == (Result.ERROR, "could_not_decide", "", ["policy-0", "policy-1"])


async def answered(rig: Rig) -> None:
    stream = rig.process()
    await stream.write(FIRST)
    await stream.read()
    await stream.done_writing()


async def test_an_answer_that_is_refused_names_the_policy(serve: Serve) -> None:
    rig = await serve(gateway(chain(response=[Answers(), Answers(REFUSED)])))
    await answered(rig)
    assert told(rig) == (Result.DENY, "not_admitted", "response-1", ["response-1"])


async def test_an_answer_that_cannot_be_judged_names_the_policy(serve: Serve) -> None:
    rig = await serve(gateway(chain(response=[Raises(ValueError()), Answers()])))
    await answered(rig)
    assert told(rig) == (Result.ERROR, "policy_failed", "response-0", ["response-1", "response-0"])


async def test_an_edit_of_an_answer_that_cannot_be_made_keeps_the_steps(serve: Serve) -> None:
    rig = await serve(gateway(chain(response=[Edits(b"x")])))
    await answered(rig)
    assert told(rig) == (Result.ERROR, "invalid_mutation", "", ["response-0"])


async def test_a_rate_limit_is_the_policy_limit_wherever_it_is_placed(serve: Serve) -> None:
    rig = await serve(gateway(limits=LIMITS))
    for _ in range(5):
        await rig.should_rate_limit(call(descriptor("route-0")))
    assert [limited(record) for record in rig.records] == [("", ["limit"])] * 4 + [("limit", ["limit"])]


def limited(record: DecisionRecord) -> tuple[str, list[str]]:
    return record.policy, [name for name, _ in record.steps]


async def test_a_store_that_does_not_answer_is_the_limits_failure(serve: Serve) -> None:
    rig = await serve(gateway(limits=LIMITS), NoStore())
    with pytest.raises(grpc.aio.AioRpcError):
        await rig.should_rate_limit(call(descriptor("route-0")))
    assert told(rig) == (Result.ERROR, "store_unavailable", "limit", ["limit"])


async def test_a_limit_that_is_not_there_is_no_policys_fault(serve: Serve) -> None:
    rig = await serve(gateway(limits=LIMITS))
    with pytest.raises(grpc.aio.AioRpcError):
        await rig.should_rate_limit(call(descriptor("route-9")))
    assert told(rig) == (Result.ERROR, "unknown_route", "", [])


class Paused(NoStore):
    """A counter store that has begun to count and does not come to an end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError("never set")


async def test_a_rate_limit_call_that_was_cancelled_is_recorded(serve: Serve) -> None:
    store = Paused()
    rig = await serve(gateway(limits=LIMITS), store)
    tasks = len(asyncio.all_tasks())
    asked = asyncio.ensure_future(rig.should_rate_limit(call(descriptor("route-0"))))
    await asyncio.wait_for(store.begun.wait(), 10)
    asked.cancel()
    await settled(tasks)
    assert told(rig) == (Result.ERROR, "could_not_decide", "limit", ["limit"])


async def test_an_answer_whose_client_went_away_while_it_was_judged_is_recorded(serve: Serve) -> None:
    policy = Waits()
    rig = await serve(gateway(chain(response=[policy])))
    tasks = len(asyncio.all_tasks())
    stream = rig.process()
    await stream.write(FIRST)
    await asyncio.wait_for(policy.begun.wait(), 10)
    stream.cancel()
    await settled(tasks)
    assert told(rig) == (Result.ERROR, "could_not_decide", "response-0", ["response-0"])
