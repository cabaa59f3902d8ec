"""envoy.service.ext_proc.v3.ExternalProcessor: one stream per HTTP exchange whose answer is edited.

Nothing here decides: the exchange says what may follow, the chain what to do. What could not be decided is an explicit
500; what must not happen aborts the stream with a non-OK status, because a clean end would let the answer through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

import grpc

from extproc.core.decision import CONTINUE
from extproc.core.errors import CouldNotDecide, ProtocolViolation
from extproc.core.exchange import Exchange, ImmediateReply, Judge, State
from extproc.core.gateway import Gateway, ServedRoute
from extproc.core.message import Consumer, Request
from extproc.core.names import CALL_ADDRESS, CALL_REVISION
from extproc.core.outcome import Outcome
from extproc.core.ports import Clock, Recorder
from extproc.services import ext_proc_wire as wire
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

    async def process(
        self, messages: AsyncIterator[ProcessingRequest], context: Stream
    ) -> AsyncIterator[ProcessingResponse]:
        conversation = _Conversation(self._gateway, self._clock, self._recorder, context)
        try:
            async for message in messages:
                answer = await conversation.answer(message)
                yield answer
                if answer.HasField("immediate_response"):
                    return
        except ProtocolViolation as violation:
            conversation.record_violation(violation)
            await context.abort(grpc.StatusCode.INTERNAL, "protocol violation")
        if not conversation.finished:
            await context.abort(grpc.StatusCode.INTERNAL, "the exchange ended before its last reply")

    def handler(self) -> grpc.GenericRpcHandler:
        method = grpc.stream_stream_rpc_method_handler(
            self.process,
            request_deserializer=reading(ProcessingRequest),
            response_serializer=ProcessingResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Process": method})


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

    @property
    def finished(self) -> bool:
        """Whether the response has been judged. Before that, the stream must not end cleanly."""
        return self._exchange is not None and self._exchange.state is State.DONE

    async def answer(self, message: ProcessingRequest) -> ProcessingResponse:
        """Raises ProtocolViolation."""
        started = self._clock.monotonic()
        try:
            return await self._answered(message, started)
        except ProtocolViolation:
            raise
        except asyncio.CancelledError as error:
            gone = cancelled(error)
            self._record(replace(gone.outcome, consumer=self._consumer), started, gone.detail)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was decided, and that refuses
            failed = failure(error, self._judged)
            self._record(replace(failed.outcome, consumer=self._consumer), started, failed.detail)
            return wire.encode(ImmediateReply(failed.reply))

    async def _answered(self, message: ProcessingRequest, started: int) -> ProcessingResponse:
        self._introduce(message)
        heard = wire.decode(message)
        exchange = self._opened()
        asked = exchange.receive(heard)
        if not isinstance(asked, Judge):
            return wire.encode(asked)
        if not self._edits:
            return wire.encode(exchange.decided(CONTINUE))
        self._judged = outcome = await decided(self._judge(asked))
        answer = wire.encode(exchange.decided(outcome.decision))
        self._record(outcome, started, "")
        return answer

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
        if message.HasField("response_headers"):
            self._edits = wire.is_from_upstream(message)

    def _opened(self) -> Exchange:
        if self._exchange is None:
            self._served = self._gateway().route(self._route, self._revision)
            self._exchange = Exchange(response_body=self._served.response_body)
        return self._exchange

    async def _judge(self, asked: Judge) -> Outcome:
        if self._served is None:
            raise ProtocolViolation("a response before its route was known")
        return await self._served.chain.on_response(asked.response, self._request, self._consumer)

    def _record(self, outcome: Outcome, started: int, detail: str) -> None:
        took = self._clock.monotonic() - started
        self._recorder.record(record_of(NAME, self._route, self._request, outcome, took, detail))
