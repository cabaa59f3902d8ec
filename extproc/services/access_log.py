"""envoy.service.accesslog.v3.AccessLogService: Envoy tells of the end of requests: on one stream of those that hold
something, on another, where usage is kept, of all.

Best effort, by its nature: Envoy loses entries while the sidecar is away, and nobody notices. A slot then comes back
when its lease is over, a reservation stays charged, and a request is missing in the sums.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

import grpc

from extproc.core.errors import StoreUnavailable
from extproc.core.held import is_metered, settled_amount, settlements
from extproc.core.limits import Settlement
from extproc.core.names import (
    DECIDED_ANONYMOUS,
    DECIDED_CONSUMER,
    DECIDED_HELD,
    DECIDED_TIER,
    DECISION_NAMESPACE,
    USAGE_LOG,
)
from extproc.core.ports import CounterStore
from extproc.core.usage import Usage, Used, hour_of, status_class
from extproc.services.records import reading
from extproc.wire.accesslog_pb2 import HTTPAccessLogEntry, StreamAccessLogsMessage, StreamAccessLogsResponse

SERVICE: Final = "envoy.service.accesslog.v3.AccessLogService"


class AccessLog:
    """Takes StreamAccessLogs; the one answer, at the stream's end, says nothing."""

    def __init__(self, store: CounterStore, count: Callable[[Used, Usage], None] | None = None) -> None:
        """`count` gathers what requests used; where it is None, nobody asks."""
        self._store = store
        self._count = count

    async def stream(
        self,
        messages: AsyncIterator[StreamAccessLogsMessage],
        context: grpc.aio.ServicerContext[StreamAccessLogsMessage, StreamAccessLogsResponse],
    ) -> StreamAccessLogsResponse:
        used = False  # a stream says with its first message what it tells
        async for message in messages:
            used = used or message.identifier.log_name == USAGE_LOG
            if used:
                self._tally(message)
                continue
            ended = [one for entry in message.http_logs.log_entry for one in _held(entry)]
            if ended:
                with suppress(StoreUnavailable):  # which has been counted, and ends by itself
                    await self._store.settle(ended)
        return StreamAccessLogsResponse()

    def _tally(self, message: StreamAccessLogsMessage) -> None:
        if self._count is not None:
            for entry in message.http_logs.log_entry:
                self._count(*_used(entry))

    def handler(self) -> grpc.GenericRpcHandler:
        method = grpc.stream_unary_rpc_method_handler(
            self.stream,
            request_deserializer=reading(StreamAccessLogsMessage),
            response_serializer=StreamAccessLogsResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"StreamAccessLogs": method})


def _held(entry: HTTPAccessLogEntry) -> tuple[Settlement, ...]:
    common = entry.common_properties
    held = common.metadata.filter_metadata[DECISION_NAMESPACE].fields[DECIDED_HELD].string_value
    # An answer of which no byte came cannot have been metered: the client has gone before, or Envoy says why itself.
    answered = common.HasField("time_to_first_upstream_rx_byte")
    return settlements(held, entry.response.response_headers, answered=answered)


def _used(entry: HTTPAccessLogEntry) -> tuple[Used, Usage]:
    common, response = entry.common_properties, entry.response
    decided = common.metadata.filter_metadata[DECISION_NAMESPACE].fields
    consumer = decided[DECIDED_CONSUMER].string_value or decided[DECIDED_ANONYMOUS].string_value
    used = Used(
        hour_of(common.start_time.seconds), consumer, decided[DECIDED_TIER].string_value, common.route_name,
        status_class(response.response_code.value),
    )  # fmt: skip
    # Of a metered answer, whoever has read it tells.
    metered = is_metered(decided[DECIDED_HELD].string_value)
    tokens = 0 if metered else sum(settled_amount(value) for value in response.response_headers.values())
    return used, Usage(1, common.downstream_wire_bytes_received, common.downstream_wire_bytes_sent, tokens)
