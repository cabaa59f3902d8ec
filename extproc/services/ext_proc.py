"""envoy.service.ext_proc.v3.ExternalProcessor: one stream per HTTP exchange that is edited.

Nothing here decides: the exchange says what may follow, the chain what to do. What could not be decided is an explicit
500; what must not happen aborts the stream with a non-OK status, because a clean end would let the message through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from http import HTTPStatus
from typing import Final

import grpc

from extproc.core.decision import CONTINUE, Continue, LocalReply
from extproc.core.errors import BodyTooLarge, CouldNotDecide, InvalidMutation, ProtocolViolation
from extproc.core.exchange import Exchange
from extproc.core.exchange_messages import Edit, ImmediateReply, Judge, Replies
from extproc.core.gateway import Gateway, ServedRoute
from extproc.core.held import reservation
from extproc.core.message import Chosen, Consumer, Request, Response
from extproc.core.names import CALL_ADDRESS, CALL_REVISION
from extproc.core.outcome import Judgement, Outcome
from extproc.core.own_answers import OwnStream
from extproc.core.ports import Clock, Recorder
from extproc.core.processing import BodyMode
from extproc.core.reservation import Reservation
from extproc.core.streams import BodyEditor
from extproc.services import ext_proc_wire as wire
from extproc.services.afterwards import Afterwards
from extproc.services.headers import call_metadata
from extproc.services.records import cancelled, decided, failure, reading, record_of
from extproc.wire.process_pb2 import ProcessingRequest, ProcessingResponse

SERVICE: Final = "envoy.service.ext_proc.v3.ExternalProcessor"
NAME: Final = "ext_proc"
Stream = grpc.aio.ServicerContext[ProcessingRequest, ProcessingResponse]


class ExtProc:
    def __init__(self, gateway: Callable[[], Gateway], clock: Clock, recorder: Recorder) -> None:
        self._gateway = gateway
        self._clock = clock
        self._recorder = recorder
        self._afterwards = Afterwards()

    async def process(
        self, messages: AsyncIterator[ProcessingRequest], context: Stream
    ) -> AsyncIterator[ProcessingResponse]:
        conversation = _Conversation(self._gateway, self._clock, self._recorder, context)
        try:
            async for message in messages:
                async with aclosing(conversation.turn(message)) as answers:
                    async for answer in answers:
                        yield answer
                if conversation.over:
                    return
        except ProtocolViolation as violation:
            conversation.record_violation(violation)
            await context.abort(grpc.StatusCode.INTERNAL, "protocol violation")
        except BrokenOff:
            await context.abort(grpc.StatusCode.INTERNAL, "the body could not be edited")
        finally:
            # A client that goes away cancels this call, and what is to be done then takes longer than it has.
            if conversation.edits:
                self._afterwards.begin(conversation.close())
        if not conversation.finished:
            await context.abort(grpc.StatusCode.INTERNAL, "the exchange ended before its last reply")

    def handler(self) -> grpc.GenericRpcHandler:
        method = grpc.stream_stream_rpc_method_handler(
            self.process,
            request_deserializer=reading(ProcessingRequest),
            response_serializer=ProcessingResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Process": method})


class BrokenOff(Exception):
    """A body of which a part has been sent could not be edited further: no reply can say so, only the stream's end."""


class _Conversation:
    """What one stream has learnt so far."""

    def __init__(self, gateway: Callable[[], Gateway], clock: Clock, recorder: Recorder, call: Stream) -> None:
        self._gateway = gateway
        self._clock = clock
        self._recorder = recorder
        self._call = call
        self._exchange: Exchange | None = None
        self._served: ServedRoute | None = None
        self._route = ""
        self._request = Request("", "")
        self._revision = ""
        self._consumer: Consumer | None = None
        self._edits = True
        self._judged: Outcome | None = None
        self._modes: tuple[BodyMode, BodyMode] | None = None
        self._editor: BodyEditor | None = None
        self._owed: Judge | None = None
        self.over = False  # whether the client has its answer, and nothing more is to be said
        self._refused = False
        self._flowing = False  # whether a part of an edited body may have left
        self._reservation: Reservation | None = None
        self._held = ""
        self._chosen: Chosen | None = None

    async def turn(self, message: ProcessingRequest) -> AsyncGenerator[ProcessingResponse]:
        """The replies to one message, and behind them an answer of our own, where there is one."""
        for answer in await self.answers(message):
            yield answer
            if answer.HasField("immediate_response"):
                self.over = True
                return
        if self.answers_itself:
            async with aclosing(self.own_answer()) as answers:
                async for answer in answers:
                    yield answer
            self.over = self.finished

    @property
    def edits(self) -> bool:
        return self._editor is not None

    async def close(self) -> None:
        """The exchange is over. Nobody can be refused any more: what fails is written down."""
        if self._editor is None:
            return
        started = self._clock.monotonic()
        try:
            await decided(self._editor.close())
        except Exception as error:  # noqa: BLE001 - an author's own code may raise whatever it likes
            failed = failure(error)
            self._record(replace(failed.outcome, consumer=self._consumer), started, failed.detail)

    @property
    def finished(self) -> bool:
        """Whether all has been judged, or refused. Before that, the stream must not end cleanly."""
        return self._refused or (self._exchange is not None and self._exchange.finished)

    @property
    def answers_itself(self) -> bool:
        """Whether Envoy has been asked to wait for an answer of our own, which is to be made now."""
        return self._owed is not None

    async def answers(self, message: ProcessingRequest) -> list[ProcessingResponse]:
        """Raises ProtocolViolation or BrokenOff."""
        started = self._clock.monotonic()
        try:
            return await self._answered(message, started)
        except ProtocolViolation:
            raise
        except asyncio.CancelledError as error:
            self._gone(error, started)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was decided, and that refuses
            return [self._failed(error, started)]

    async def own_answer(self) -> AsyncGenerator[ProcessingResponse]:
        """In one piece or several. Raises as `answers` does."""
        started, owed, self._owed = self._clock.monotonic(), self._owed, None
        try:
            if owed is not None:
                async with aclosing(self._made(self._opened(), owed, started)) as made:
                    async for piece in made:
                        yield piece
        except ProtocolViolation:
            raise
        except asyncio.CancelledError as error:
            self._gone(error, started)
            raise
        except Exception as error:  # noqa: BLE001 - as in `answers`
            yield self._failed(error, started)

    def _gone(self, error: asyncio.CancelledError, started: int) -> None:
        gone = cancelled(error)
        self._record(replace(gone.outcome, consumer=self._consumer), started, gone.detail)

    def _failed(self, error: Exception, started: int) -> ProcessingResponse:
        """Raises BrokenOff where a part of a body has left."""
        failed = failure(error, self._judged)
        self._record(replace(failed.outcome, consumer=self._consumer), started, failed.detail)
        if self._flowing:
            raise BrokenOff from None
        self._refused = True
        return wire.encode(ImmediateReply(failed.reply))

    async def _answered(self, message: ProcessingRequest, started: int) -> list[ProcessingResponse]:
        self._introduce(message)
        heard = wire.decode(message, self._request)
        exchange = self._opened()
        asked = exchange.receive(heard)
        if isinstance(asked, Judge):
            held = self._served.held if self._served is not None else None
            if held is not None and isinstance(asked.message, Request):
                self._owed = asked
                return [wire.more_time(held)]
            return [await self._judged_by_policies(exchange, asked, started)]
        replies = await self._edit(exchange, asked.chunk, end=asked.end) if isinstance(asked, Edit) else asked
        return [wire.encode(reply) for reply in replies]

    async def _judged_by_policies(self, exchange: Exchange, asked: Judge, started: int) -> ProcessingResponse:
        if isinstance(asked.message, Response) and not self._edits:
            return wire.encode(exchange.decided(CONTINUE))
        self._judged = outcome = await decided(self._judge(asked))
        if isinstance(outcome.decision, OwnStream):
            raise InvalidMutation("an answer in pieces, for which nobody asked Envoy to wait")
        answer = wire.encode(exchange.decided(outcome.decision))
        if isinstance(asked.message, Response) and self._tells_length_of_none(asked.message):
            wire.leave_length_out(answer)
        await self._begin_editing(asked, outcome.decision)
        self._record(outcome, started, "")
        self._judged = None
        return answer

    def _tells_length_of_none(self, response: Response) -> bool:
        """Of a body that would be another one if it came: RFC 9110 §8.6 has no length in such an answer, or the right
        one, which nobody knows."""
        bodiless = self._request.method == "HEAD" or response.status == HTTPStatus.NOT_MODIFIED
        shown = self._served is not None and self._served.shown.response.body is not BodyMode.NONE
        return bodiless and shown and "content-length" in response.headers

    async def _made(self, exchange: Exchange, asked: Judge, started: int) -> AsyncGenerator[ProcessingResponse]:
        self._judged = outcome = await decided(self._judge(asked))
        decision = outcome.decision
        if not isinstance(decision, OwnStream):
            answer = wire.encode(exchange.decided(decision))
            self._record(outcome, started, "")
            self._judged = None
            yield answer
            return
        async with aclosing(decision.pieces) as pieces:
            self._flowing = True  # when its beginning has left, a failure can only break it off
            yield wire.encode(exchange.answer(decision.status, decision.headers))
            async for piece in pieces:
                yield wire.encode(exchange.answered(piece, end=False))
        yield wire.encode(exchange.answered(b"", end=True))
        self._record(replace(outcome, facts={**outcome.facts, **decision.facts}), started, "")

    async def _edit(self, exchange: Exchange, chunk: bytes, *, end: bool) -> Replies:
        editor = self._editor
        if editor is None or editor.ended:
            return exchange.edited(chunk, end=end)
        self._flowing = True
        started = self._clock.monotonic()
        made = await decided(editor.feed(chunk)) if chunk else b""
        if end and not editor.ended:
            made += await decided(editor.finish())
        if editor.refused is not None:
            self._record_cut(editor.refused, started)
        return exchange.edited(made, end=end or editor.ended)

    def _record_cut(self, refused: LocalReply, started: int) -> None:
        """An answer that was ended before its time is a decision of its own. What the client got was the upstream's."""
        outcome = Outcome(refused, self._consumer, facts=refused.facts)
        took = self._clock.monotonic() - started
        record = record_of(NAME, self._route, self._request, outcome, took, "")
        self._recorder.record(record._replace(status=0))

    async def _begin_editing(self, asked: Judge, decision: Judgement) -> None:
        """Before the reply to the headers leaves, while a failure can still be told as one."""
        served = self._served
        streams = served is not None and served.shown.response.body.in_chunks
        if served is None or not streams or not isinstance(decision, Continue) or isinstance(asked.message, Request):
            return
        known = (self._consumer, self._reservation, self._chosen)
        stream = served.chain.on_stream(asked.message, self._request, *known)
        self._editor = await decided(stream)

    def record_violation(self, violation: ProtocolViolation) -> None:
        outcome = failure(CouldNotDecide("protocol violation")).outcome
        self._record(replace(outcome, consumer=self._consumer), self._clock.monotonic(), str(violation))

    def _introduce(self, message: ProcessingRequest) -> None:
        """The first message says which route and request this is, the response's headers who made the answer."""
        if self._exchange is None:
            self._route, stamped, self._consumer = wire.decode_decision(message)
            # A route that needs no ext_authz call has no answer of one to bring the revision.
            self._revision = call_metadata(self._call, CALL_REVISION) or stamped
            request = wire.decode_request(message)
            self._request = replace(request, address=call_metadata(self._call, CALL_ADDRESS) or request.address)
            self._modes = wire.modes(message)
            self._held = wire.decode_held(message)
            self._chosen = wire.decode_chosen(message)
        if message.HasField("response_headers"):
            self._edits = wire.is_from_upstream(message)

    def _opened(self) -> Exchange:
        if self._exchange is None:
            self._served = served = self._gateway().route(self._route, self._revision)
            shown = served.shown
            self._reservation = reservation(self._held) if self._held else None
            if self._modes not in (None, (shown.request.body, shown.response.body)):
                raise ProtocolViolation("Envoy shows bodies in another way than the plan says")
            self._exchange = Exchange(
                shown,
                limit=served.chain.response_limit,
                request_limit=served.chain.request_limit,
                modes_named=self._modes is not None,
            )
        return self._exchange

    async def _judge(self, asked: Judge) -> Outcome:
        served = self._served
        if served is None:
            raise ProtocolViolation("a message before its route was known")
        if isinstance(asked.message, Request):
            body = asked.message.body
            self._request = replace(asked.message, body=None, size=asked.message.size if body is None else len(body))
            return await served.chain.on_forward(asked.message, self._consumer, self._reservation)
        if len(asked.message.body or b"") > served.chain.response_limit:
            raise BodyTooLarge(f"the answer is longer than the route's response_limit: {served.chain.response_limit}")
        return await served.chain.on_response(asked.message, self._request, self._consumer, self._reservation)

    def _record(self, outcome: Outcome, started: int, detail: str) -> None:
        took = self._clock.monotonic() - started
        self._recorder.record(record_of(NAME, self._route, self._request, outcome, took, detail))
