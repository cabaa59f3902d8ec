"""envoy.service.ext_proc.v3.ExternalProcessor: one stream per HTTP exchange whose answer is edited.

Nothing here decides: the exchange says what may follow, the chain what to do. What could not be decided is an explicit
500; what must not happen aborts the stream with a non-OK status, because a clean end would let the answer through.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

import grpc

from extproc.core.chain import Outcome
from extproc.core.decision import CONTINUE
from extproc.core.errors import CouldNotDecide, ProtocolViolation
from extproc.core.exchange import Exchange, ImmediateReply, Judge, Reply, State
from extproc.core.gateway import Gateway, ServedRoute
from extproc.core.message import Consumer, Request
from extproc.core.ports import Clock, Recorder
from extproc.services import ext_proc_wire as wire
from extproc.services.records import failure, record_of
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
        conversation = _Conversation(self._gateway, self._clock, self._recorder)
        try:
            async for message in messages:
                reply = await conversation.answer(message)
                yield wire.encode(reply)
                if isinstance(reply, ImmediateReply):
                    return
        except ProtocolViolation as violation:
            conversation.record_violation(violation)
            await context.abort(grpc.StatusCode.INTERNAL, "protocol violation")
        if conversation.unfinished:
            await context.abort(grpc.StatusCode.INTERNAL, "the exchange ended before its last reply")

    def handler(self) -> grpc.GenericRpcHandler:
        method = grpc.stream_stream_rpc_method_handler(
            self.process,
            request_deserializer=ProcessingRequest.FromString,
            response_serializer=ProcessingResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Process": method})


class _Conversation:
    """What one stream has learnt so far."""

    def __init__(self, gateway: Callable[[], Gateway], clock: Clock, recorder: Recorder) -> None:
        self._gateway = gateway
        self._clock = clock
        self._recorder = recorder
        self._exchange: Exchange | None = None
        self._served: ServedRoute | None = None
        self._route = ""
        self._request = Request("", "")
        self._consumer: Consumer | None = None
        self._edits = True

    @property
    def unfinished(self) -> bool:
        return self._exchange is not None and self._exchange.state in (State.JUDGING_HEADERS, State.JUDGING_BODY)

    async def answer(self, message: ProcessingRequest) -> Reply:
        """Raises ProtocolViolation."""
        started = self._clock.monotonic()
        try:
            exchange = self._opened(message)
            asked = exchange.receive(wire.decode(message))
            if not isinstance(asked, Judge):
                return asked
            if not self._edits:
                return exchange.decided(CONTINUE)
            outcome = await self._judge(asked)
            reply = exchange.decided(outcome.decision)
            self._record(outcome, started, "")
            return reply
        except ProtocolViolation:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was decided, and that refuses
            failed = failure(error)
            self._record(replace(failed.outcome, consumer=self._consumer), started, failed.detail)
            return ImmediateReply(failed.reply)

    def record_violation(self, violation: ProtocolViolation) -> None:
        outcome = failure(CouldNotDecide("protocol violation")).outcome
        self._record(replace(outcome, consumer=self._consumer), self._clock.monotonic(), str(violation))

    def _opened(self, message: ProcessingRequest) -> Exchange:
        """The first message says which route and request this is."""
        if self._exchange is None:
            self._route, revision, self._consumer = wire.decode_decision(message)
            self._request = wire.decode_request(message)
            self._edits = wire.is_from_upstream(message)
            self._served = self._gateway().route(self._route, revision)
            self._exchange = Exchange(response_body=self._served.response_body)
        return self._exchange

    async def _judge(self, asked: Judge) -> Outcome:
        if self._served is None:
            raise ProtocolViolation("a response before its route was known")
        return await self._served.chain.on_response(asked.response, self._request, self._consumer)

    def _record(self, outcome: Outcome, started: int, detail: str) -> None:
        took = self._clock.monotonic() - started
        self._recorder.record(record_of(NAME, self._route, self._request, outcome, took, detail))
