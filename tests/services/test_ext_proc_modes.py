"""Streams of every mode: requests that are rewritten, bodies that pass in pieces, and an Envoy of another opinion."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import grpc

from extproc.core.decision import Continue, Decision, refusal
from extproc.core.gateway import Gateway
from extproc.core.message import Request, Response
from extproc.core.policy import Context, Policy
from extproc.core.processing import BodyMode, Processing, Side
from extproc.core.record import Result
from extproc.core.rewrite import Rewrite
from extproc.core.streams import BodyEditor
from extproc.services.headers import raw_options
from extproc.wire.base_pb2 import HeaderMap, HeaderValue
from extproc.wire.process_pb2 import (
    BodyMutation,
    BodyResponse,
    CommonResponse,
    HeaderMutation,
    HttpBody,
    HttpHeaders,
    HttpTrailers,
    ProcessingMode,
    ProcessingRequest,
    ProcessingResponse,
    ProtocolConfiguration,
    StreamedBodyResponse,
    TrailersResponse,
)
from tests.services.conftest import Serve
from tests.services.harness import Stream, chain, gateway, settled
from tests.services.playbook import (
    GOES_WELL,
    IS_ABORTED,
    Ended,
    Playbook,
    about,
    goes_on,
    goes_on_with_request,
    response_body,
    response_headers,
)

WHOLE_REQUESTS = Processing(request=Side(headers=True, body=BodyMode.BUFFERED))
LINES = Processing(request=Side(headers=True))
PASSING = Processing(response=Side(headers=True, body=BodyMode.FULL_DUPLEX, trailers=True))
LINE = ((":method", "POST"), (":path", "/orders?a=1"), (":authority", "Shop.Example"), ("x-a", "1"))


@dataclass(slots=True)
class Forwards(Policy):
    """Gives one answer about requests on their way, and keeps what it was shown."""

    answer: Decision
    shown: list[Request] = field(default_factory=list)

    async def on_forward(self, request: Request, context: Context) -> Decision:
        self.shown.append(request)
        return self.answer


@dataclass(slots=True)
class Passes(Policy):
    editor: BodyEditor | None

    async def on_stream(self, response: Response, request: Request, context: Context) -> BodyEditor | None:
        return self.editor


class Holding(BodyEditor):
    """Gives pieces in capitals, each with the next one, and the last when the body has ended."""

    def __init__(self) -> None:
        self.kept = b""

    async def feed(self, piece: bytes) -> bytes:
        given, self.kept = self.kept, piece.upper()
        return given

    async def finish(self) -> bytes:
        return self.kept


class Failing(BodyEditor):
    async def feed(self, piece: bytes) -> bytes:
        raise ValueError("s3cret")


class Stalling(BodyEditor):
    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended_by = asyncio.Event()

    async def feed(self, piece: bytes) -> bytes:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended_by.set()
        return piece


def request_headers(*, end: bool = False) -> ProcessingRequest:
    values = [HeaderValue(key=name, raw_value=value.encode()) for name, value in LINE]
    return ProcessingRequest(request_headers=HttpHeaders(headers=HeaderMap(headers=values), end_of_stream=end))


def request_body(body: bytes) -> ProcessingRequest:
    return ProcessingRequest(request_body=HttpBody(body=body, end_of_stream=True))


def rewritten(fields: tuple[tuple[str, str], ...], body: bytes | None = None) -> ProcessingResponse:
    common = CommonResponse(header_mutation=HeaderMutation(set_headers=raw_options(fields)))
    if body is not None:
        common.body_mutation.CopyFrom(BodyMutation(body=body))
    return ProcessingResponse(request_body=BodyResponse(response=common))


def piece(body: bytes, *, end: bool = False) -> ProcessingResponse:
    streamed = BodyMutation(streamed_response=StreamedBodyResponse(body=body, end_of_stream=end))
    return ProcessingResponse(response_body=BodyResponse(response=CommonResponse(body_mutation=streamed)))


async def ended(call: Stream) -> None:
    """As Envoy ends an exchange that is complete."""
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_request_is_judged_with_its_body_and_rewritten_with_its_exact_length(serve: Serve) -> None:
    policy = Forwards(Continue(body=b"longer", rewrite=Rewrite("PUT", "/v2/orders", "b=2")))
    rig = await serve(_gateway(policy, WHOLE_REQUESTS))
    line = ((":method", "PUT"), (":path", "/v2/orders?b=2"), ("content-length", "6"))
    await (
        Playbook()
        >> about(request_headers())
        << goes_on_with_request()
        >> request_body(b"body")
        << rewritten(line, b"longer")
        << GOES_WELL
    ).play(rig)
    (shown,) = policy.shown
    assert (shown.method, shown.path, shown.query, shown.host) == ("POST", "/orders", "a=1", "shop.example")
    assert (shown.headers.get("x-a"), shown.body) == ("1", b"body")
    (record,) = rig.records
    assert (record.result, record.method, record.path) == (Result.ALLOW, "POST", "/orders")


async def test_two_policies_see_what_the_one_before_made_of_a_request(serve: Serve) -> None:
    first, second = Forwards(Continue(body=b"1", rewrite=Rewrite(path="/b"))), Forwards(Continue(body=b"2"))
    rig = await serve(_gateway(first, WHOLE_REQUESTS, second))
    call = rig.process()
    await call.write(about(request_headers()))
    await call.read()
    await call.write(request_body(b"0"))
    await call.read()
    assert [(one.path, one.body) for one in second.shown] == [("/b", b"1")]
    await ended(call)


async def test_a_request_may_be_refused_for_its_body(serve: Serve) -> None:
    rig = await serve(_gateway(Forwards(refusal(400, "malformed_body", "no")), WHOLE_REQUESTS))
    call = rig.process()
    await call.write(about(request_headers()))
    await call.read()
    await call.write(request_body(b"{"))
    reply = await call.read()
    assert isinstance(reply, ProcessingResponse)
    assert reply.immediate_response.status.code == 400
    assert await call.read() is grpc.aio.EOF


async def test_a_stream_that_ends_before_its_request_is_judged_never_ends_cleanly(serve: Serve) -> None:
    rig = await serve(_gateway(Forwards(Continue()), WHOLE_REQUESTS))
    await (Playbook() >> about(request_headers()) << goes_on_with_request() << IS_ABORTED).play(rig)


async def test_an_answer_passes_in_pieces_of_which_none_is_lost_or_repeated(serve: Serve) -> None:
    rig = await serve(_passing(Holding()))
    call = rig.process()
    await call.write(about(response_headers()))
    assert await call.read() == goes_on()
    for body, end in ((b"a", False), (b"", False), (b"b", False), (b"c", True), (b"", True)):
        await call.write(response_body(body, end=end))
    assert [await call.read() for _ in range(2)] == [piece(b"A"), piece(b"BC", end=True)]
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_where_trailers_follow_their_reply_is_the_end(serve: Serve) -> None:
    rig = await serve(_passing(Holding()))
    call = rig.process()
    await call.write(about(response_headers()))
    await call.read()
    await call.write(response_body(b"a", end=False))
    await call.write(ProcessingRequest(response_trailers=HttpTrailers()))
    behind = ProcessingResponse(response_trailers=TrailersResponse())
    assert [await call.read() for _ in range(2)] == [piece(b"A"), behind]
    await ended(call)


async def test_an_answer_that_nobody_edits_passes_in_its_pieces(serve: Serve) -> None:
    rig = await serve(_passing(None))
    await (
        Playbook()
        >> about(response_headers())
        << goes_on()
        >> response_body(b"a", end=False)
        << piece(b"a")
        >> response_body(b"", end=True)
        << piece(b"", end=True)
        << GOES_WELL
    ).play(rig)


async def test_a_body_that_cannot_be_edited_further_breaks_the_stream_off(serve: Serve) -> None:
    rig = await serve(_passing(Failing()))
    aborted = Ended(grpc.StatusCode.INTERNAL, by_itself=True)
    book = Playbook() >> about(response_headers()) << goes_on() >> response_body(b"a", end=False) << aborted
    await book.play(rig)
    record = rig.records[-1]
    assert record.result is Result.ERROR
    assert "s3cret" not in repr(record)


async def test_a_client_that_goes_away_ends_the_editor_that_it_waited_for(serve: Serve) -> None:
    editor = Stalling()
    rig = await serve(_passing(editor))
    before = len(asyncio.all_tasks())
    call = rig.process()
    await call.write(about(response_headers()))
    await call.read()
    await call.write(response_body(b"a", end=False))
    await asyncio.wait_for(editor.begun.wait(), 10)
    call.cancel()
    await asyncio.wait_for(editor.ended_by.wait(), 10)
    await settled(before)


async def test_an_envoy_that_shows_bodies_in_another_way_than_the_plan_is_aborted(serve: Serve) -> None:
    rig = await serve(_passing(None))
    for mode in (
        ProcessingMode.NONE,
        ProcessingMode.BUFFERED,
        ProcessingMode.STREAMED,
        ProcessingMode.BUFFERED_PARTIAL,
    ):
        first = about(response_headers())
        first.protocol_config.CopyFrom(ProtocolConfiguration(response_body_mode=mode))
        await (Playbook() >> first << Ended(grpc.StatusCode.INTERNAL, by_itself=True)).play(rig)
    first = about(response_headers())
    first.protocol_config.CopyFrom(ProtocolConfiguration(response_body_mode=ProcessingMode.FULL_DUPLEX_STREAMED))
    await (Playbook() >> first << goes_on()).play(rig)


def _gateway(policy: Policy, shown: Processing, *others: Policy) -> Gateway:
    return gateway(chain(forward=[policy, *others]), shown=shown)


def _passing(editor: BodyEditor | None) -> Gateway:
    return gateway(chain(response=[Passes(editor)], stream=[Passes(editor)]), shown=PASSING)
