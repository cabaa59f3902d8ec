"""Answers of the gateway's own on an ext_proc stream: time is asked for, then comes all of it, or piece after piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest

from extproc.core.chain import Link
from extproc.core.decision import LocalReply
from extproc.core.errors import InvalidMutation, StoreUnavailable
from extproc.core.gateway import Gateway
from extproc.core.handover import NOTHING_MORE
from extproc.core.message import Request
from extproc.core.outcome import Outcome
from extproc.core.own_answers import OwnAnswer, OwnStream
from extproc.core.policy import Context, Policy
from extproc.core.processing import Processing, Side
from extproc.core.record import Result
from extproc.services import ext_authz, ratelimit
from extproc.services.headers import raw_options
from extproc.wire.auth_pb2 import CheckResponse
from extproc.wire.base_pb2 import HeaderMap, HeaderValue, HttpStatus
from extproc.wire.process_pb2 import (
    HeaderMutation,
    HttpHeaders,
    ImmediateResponse,
    ProcessingResponse,
    StreamedBodyResponse,
    StreamedImmediateResponse,
)
from tests.services.conftest import Serve
from tests.services.harness import NAME, Rig, chain, check_request, gateway
from tests.services.playbook import IS_ABORTED, Ended, Playbook, about, request_headers

REQUESTS = Processing(request=Side(headers=True))
STAMP = ext_authz.Stamp(NAME, "r1")
JSON = (("content-type", "application/json"),)
ENDS = Ended(by_itself=True)


@dataclass(slots=True)
class Pieces:
    """What a stream is made of: bytes, an error that is raised, or None for a piece that never comes."""

    given: list[bytes | Exception | None]
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self.given:
            raise StopAsyncIteration
        given = self.given.pop(0)
        if isinstance(given, Exception):
            raise given
        if given is None:
            self.waiting.set()
            await asyncio.Event().wait()
        return given or b""

    async def aclose(self) -> None:
        self.closed.set()


@dataclass(slots=True)
class Answers(Policy):
    answer: Any

    async def on_request(self, request: Request, context: Context) -> Any:
        return self.answer

    async def on_forward(self, request: Request, context: Context) -> Any:
        return self.answer


def answering(answer: object, *, may: bool = True, held: float | None = 2.0) -> Gateway:
    """A gateway whose one route has one policy on the way to its upstream, which `may` answer in its place."""
    links = (Link("aggregate", Answers(answer), answers=may),)
    served = gateway(replace(chain(), forward_links=links), shown=REQUESTS)
    return Gateway(served.revision, {NAME: replace(served.routes[NAME], held=held)}, {})


def more_time(milliseconds: int) -> ProcessingResponse:
    reply = ProcessingResponse()
    reply.override_message_timeout.FromMilliseconds(milliseconds)
    return reply


def whole(body: bytes, fields: tuple[tuple[str, str], ...] = JSON) -> ProcessingResponse:
    headers = HeaderMutation(set_headers=raw_options(fields))
    status = HttpStatus(code=200)  # type: ignore[arg-type]
    answer = ImmediateResponse(status=status, headers=headers, body=body, details="extproc_aggregated")
    return ProcessingResponse(immediate_response=answer)


def begins(*fields: tuple[str, str]) -> ProcessingResponse:
    values = [HeaderValue(key=name, raw_value=value.encode()) for name, value in ((":status", "200"), *fields)]
    headers = HttpHeaders(headers=HeaderMap(headers=values))
    return ProcessingResponse(streamed_immediate_response=StreamedImmediateResponse(headers_response=headers))


def piece(body: bytes, *, end: bool = False) -> ProcessingResponse:
    part = StreamedBodyResponse(body=body, end_of_stream=end)
    return ProcessingResponse(streamed_immediate_response=StreamedImmediateResponse(body_response=part))


async def test_time_is_asked_for_before_the_answer_which_ends_the_stream(serve: Serve) -> None:
    rig = await serve(answering(OwnAnswer(b'{"a":1}', JSON, {"missing": "b: timeout"})))
    play = Playbook() >> about(request_headers()) << more_time(2000) << whole(b'{"a":1}') << ENDS
    await play.play(rig)
    (record,) = rig.records
    assert (record.result, record.reason, record.status, record.facts) == (
        Result.ALLOW, "aggregated", 200, {"missing": "b: timeout"},
    )  # fmt: skip
    assert record.policy == ""


async def test_a_route_that_answers_nothing_itself_asks_for_no_time(serve: Serve) -> None:
    rig = await serve(answering(OwnAnswer(b"1", JSON), held=None))
    await (Playbook() >> about(request_headers()) << whole(b"1") << ENDS).play(rig)


async def test_an_answer_goes_out_piece_after_piece(serve: Serve) -> None:
    pieces = Pieces([b"a", b"b"])
    rig = await serve(answering(OwnStream(pieces, JSON, {"missing": "c: timeout"})))
    play = Playbook() >> about(request_headers()) << more_time(2000) << begins(*JSON)
    await (play << piece(b"a") << piece(b"b") << piece(b"", end=True) << ENDS).play(rig)
    (record,) = rig.records
    assert (record.result, record.reason, record.facts) == (Result.ALLOW, "aggregated", {"missing": "c: timeout"})
    assert pieces.closed.is_set()


async def test_an_answer_that_cannot_go_on_is_broken_off_and_never_ends_as_if_it_were_whole(serve: Serve) -> None:
    pieces = Pieces([b"a", StoreUnavailable("gone")])
    rig = await serve(answering(OwnStream(pieces, JSON)))
    play = Playbook() >> about(request_headers()) << more_time(2000) << begins(*JSON) << piece(b"a")
    await (play << replace(IS_ABORTED, by_itself=True)).play(rig)
    assert [record.result for record in rig.records] == [Result.ERROR]
    assert pieces.closed.is_set()


async def test_whoever_leaves_in_the_middle_of_an_answer_ends_its_making(serve: Serve) -> None:
    pieces = Pieces([b"a", None])
    rig: Rig = await serve(answering(OwnStream(pieces, JSON)))
    call = rig.process()
    await call.write(about(request_headers()))
    assert [await call.read() for _ in range(3)] == [more_time(2000), begins(*JSON), piece(b"a")]
    await pieces.waiting.wait()
    call.cancel()
    await asyncio.wait_for(pieces.closed.wait(), 20)


@pytest.mark.parametrize("answer", [OwnAnswer(b"1"), OwnStream(Pieces([b"1"]))], ids=["whole", "stream"])
async def test_no_other_policy_may_answer_in_place_of_an_upstream(serve: Serve, answer: object) -> None:
    rig = await serve(answering(answer, may=False, held=None))
    call = rig.process()
    await call.write(about(request_headers()))
    reply = await call.read()
    assert isinstance(reply, ProcessingResponse)
    assert reply.immediate_response.status.code == 500
    assert [record.reason for record in rig.records] == ["policy_failed"]


@pytest.mark.parametrize("answer", [OwnAnswer(b"1"), OwnStream(Pieces([b"1"]))], ids=["whole", "stream"])
@pytest.mark.parametrize("may", [True, False])
async def test_nobody_is_let_in_by_an_answer(serve: Serve, answer: object, may: bool) -> None:
    """Where it is decided who may call, such an answer is none, from whichever policy."""
    links = (Link("aggregate", Answers(answer), answers=may),)
    rig = await serve(gateway(replace(chain(), links=links)))
    reply = await rig.check(check_request())
    assert reply.status.code == grpc.StatusCode.PERMISSION_DENIED.value[0]
    assert reply.denied_response.status.code == 500
    assert [record.result for record in rig.records] == [Result.ERROR]


def test_neither_call_that_comes_before_takes_an_answer_of_ours_for_leave() -> None:
    """Whatever a chain gave: what is no refusal is an error there, and refuses."""
    told, outcome, _ = ext_authz._encode(Outcome(OwnAnswer(b"1")), NOTHING_MORE, "", Request("GET", "/"), STAMP)
    answer = CheckResponse.FromString(told) if isinstance(told, bytes) else told
    assert (answer.status.code, answer.denied_response.status.code) == (7, 500)
    assert isinstance(outcome.decision, LocalReply)
    with pytest.raises(InvalidMutation):
        ratelimit.encode((), OwnAnswer(b"1"))
