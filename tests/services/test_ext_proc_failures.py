"""Exchanges that go wrong: an explicit reply where one can be given, else an aborted stream; never a clean end."""

from __future__ import annotations

import asyncio
import json
from typing import NoReturn

import grpc
import pytest

from extproc.core.decision import CONTINUE, Continue, HeaderEdits
from extproc.core.names import CALL_REVISION
from extproc.core.record import Result
from extproc.wire.process_pb2 import HttpBody, HttpTrailers, ProcessingRequest, ProcessingResponse
from tests.services.conftest import Serve
from tests.services.fakes import REFUSED, Answers, Edits, Raises, Waits
from tests.services.harness import WHOLE, Rig, chain, gateway, settled
from tests.services.playbook import (
    IS_ABORTED,
    Ended,
    Playbook,
    about,
    goes_on,
    goes_on_with_body,
    goes_on_with_request,
    request_headers,
    response_body,
    response_headers,
)

FIRST = about(response_headers())
ALONE = about(response_headers(end=True))
EMPTY = ProcessingRequest()
TRAILERS = ProcessingRequest(response_trailers=HttpTrailers())


async def immediate(rig: Rig, *messages: ProcessingRequest, revision: str = "") -> ProcessingResponse:
    """The reply that ends the exchange. Asserts that the stream ends after it, by the sidecar's doing."""
    call = rig.process([(CALL_REVISION, revision)] if revision else ())
    for message in messages:
        await call.write(message)
        reply = await call.read()
    assert isinstance(reply, ProcessingResponse)
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    assert reply.WhichOneof("response") == "immediate_response"
    return reply


def problem(reply: ProcessingResponse) -> tuple[int, str]:
    answer = reply.immediate_response
    fields = {item.header.key: item.header.raw_value for item in answer.headers.set_headers}
    assert fields == {"content-type": b"application/problem+json", "cache-control": b"no-store"}
    document = json.loads(answer.body)
    assert document["status"] == answer.status.code
    assert answer.details == f"extproc_{document['reason']}"
    return document["status"], document["reason"]


@pytest.mark.parametrize(
    "message",
    [
        about(response_headers(), route="other"),
        about(response_headers(), route="", decided={}),
        about(response_headers(), decided={"route": "orders", "revision": "r0"}),
        about(request_headers(), route="other"),
        response_headers(),
    ],
)
async def test_a_route_that_this_plan_does_not_hold_is_an_outage(serve: Serve, message: ProcessingRequest) -> None:
    rig = await serve(gateway(chain(response=[Answers()]), shown=WHOLE))
    assert problem(await immediate(rig, message)) == (503, "unknown_route")
    (record,) = rig.records
    assert (record.result, record.reason) == (Result.ERROR, "unknown_route")


@pytest.mark.parametrize("revision", ["", "r0"])
async def test_a_stream_of_another_revision_or_of_none_is_an_outage(serve: Serve, revision: str) -> None:
    rig = await serve(gateway(chain(response=[Answers()])))
    message = about(response_headers(), decided={})
    assert problem(await immediate(rig, message, revision=revision)) == (503, "unknown_route")


FAILURES = {
    "an exception": (Raises(ValueError("s3cret")), "policy_failed"),
    "an exit": (Raises(SystemExit(0)), "policy_failed"),
    "a cancellation that nobody asked for": (Raises(asyncio.CancelledError()), "policy_failed"),
    "none": (Answers(None), "policy_failed"),
    "a header that is no unicode": (
        Answers(Continue(response=HeaderEdits(set=(("x-any", "\ud800"),)))),
        "could_not_decide",
    ),
    "a text for a body": (Answers(Continue(body="text")), "could_not_decide"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", FAILURES)
async def test_what_is_no_decision_is_a_problem_for_the_client(serve: Serve, case: str) -> None:
    policy, reason = FAILURES[case]
    rig = await serve(gateway(chain(response=[policy]), shown=WHOLE))
    reply = await immediate(rig, FIRST, response_body(b"{}"))
    assert problem(reply) == (500, reason)
    (record,) = rig.records
    assert (record.result, record.reason, record.request_id) == (Result.ERROR, reason, "id-1")
    assert "s3cret" not in repr(record)


async def test_a_body_that_was_not_shown_cannot_be_replaced(serve: Serve) -> None:
    rig = await serve(gateway(chain(response=[Edits(b"x")])))
    assert problem(await immediate(rig, FIRST)) == (500, "invalid_mutation")


async def test_a_policy_may_refuse_what_the_upstream_answered(serve: Serve) -> None:
    rig = await serve(gateway(chain(response=[Answers(REFUSED)])))
    assert problem(await immediate(rig, FIRST)) == (403, "not_admitted")
    (record,) = rig.records
    assert (record.result, record.reason, record.status) == (Result.DENY, "not_admitted", 403)


VIOLATIONS = {
    "no message at all": Playbook(),
    "an empty message": Playbook() >> EMPTY,
    "an empty message about a route": Playbook() >> about(EMPTY),
    "a body before its headers": Playbook() >> about(response_body(b"x")),
    "a request's body": Playbook() >> about(ProcessingRequest(request_body=HttpBody(end_of_stream=True))),
    "a request's trailers": Playbook() >> about(ProcessingRequest(request_trailers=HttpTrailers())),
    "trailers alone": Playbook() >> about(TRAILERS),
    "a status that is no number": Playbook() >> about(response_headers(status="2e2")),
    "headers twice": Playbook() >> FIRST << goes_on() >> FIRST,
    "a request after its response": Playbook() >> FIRST << goes_on() >> request_headers(),
    "a request twice": Playbook() >> about(request_headers()) << goes_on_with_request() >> request_headers(),
    "a body in parts": Playbook() >> FIRST << goes_on() >> response_body(b"x", end=False),
    "trailers for a body": Playbook() >> FIRST << goes_on() >> TRAILERS,
    "an empty message for a body": Playbook() >> FIRST << goes_on() >> EMPTY,
    "a body twice": Playbook() >> FIRST << goes_on() >> response_body(b"") << goes_on_with_body() >> response_body(b""),
    "headers after the end": Playbook() >> ALONE << goes_on() >> ALONE,
    "a body after the end": Playbook() >> ALONE << goes_on() >> response_body(b""),
}


@pytest.mark.parametrize("case", VIOLATIONS)
async def test_what_cannot_follow_aborts_the_stream(serve: Serve, case: str) -> None:
    rig = await serve(gateway(chain(response=[Answers(CONTINUE)]), shown=WHOLE))
    conversation = Playbook()
    conversation.lines = [*VIOLATIONS[case].lines, IS_ABORTED]
    await conversation.play(rig)
    if conversation.lines[:-1]:
        record = rig.records[-1]
        assert (record.result, record.reason) == (Result.ERROR, "could_not_decide")


@pytest.mark.parametrize(
    "conversation",
    [
        Playbook() >> FIRST << goes_on() << IS_ABORTED,
        Playbook() >> about(request_headers()) << goes_on_with_request() << IS_ABORTED,
        Playbook() << IS_ABORTED,
    ],
)
async def test_a_stream_that_envoy_closes_too_early_never_ends_cleanly(serve: Serve, conversation: Playbook) -> None:
    rig = await serve(gateway(chain(response=[Answers()]), shown=WHOLE))
    await conversation.play(rig)


async def test_a_gateway_that_cannot_be_had_is_a_problem_for_the_client(serve: Serve) -> None:
    def none_in_force() -> NoReturn:
        raise RuntimeError

    rig = await serve(none_in_force)
    assert problem(await immediate(rig, FIRST)) == (500, "could_not_decide")


async def test_a_client_that_goes_away_leaves_no_task_and_no_policy_behind(serve: Serve) -> None:
    policy = Waits()
    rig = await serve(gateway(chain(response=[policy]), shown=WHOLE))
    await (Playbook() >> about(response_headers(end=True), answered="x") << goes_on() << Ended()).play(rig)
    before = len(asyncio.all_tasks())
    deciding, waiting = rig.process(), rig.process()
    await waiting.write(FIRST)
    await waiting.read()
    await deciding.write(ALONE)
    await asyncio.wait_for(policy.begun.wait(), 10)
    for call in (deciding, waiting):
        call.cancel()
    await asyncio.wait_for(policy.ended.wait(), 10)
    assert {await deciding.code(), await waiting.code()} == {grpc.StatusCode.CANCELLED}
    await settled(before)
