"""envoy.service.accesslog.v3.AccessLogService: Envoy tells of the end of requests that hold something.

Best effort, by its nature: Envoy loses entries while the sidecar is away, and nobody notices. A slot then comes back
when its lease is over, a reservation stays charged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import grpc

from extproc.core.errors import StoreUnavailable
from extproc.core.held import settlements
from extproc.core.limits import Settlement
from extproc.core.names import DECIDED_HELD, DECISION_NAMESPACE
from extproc.core.ports import CounterStore
from extproc.services.records import reading
from extproc.wire.accesslog_pb2 import HTTPAccessLogEntry, StreamAccessLogsMessage, StreamAccessLogsResponse

SERVICE: Final = "envoy.service.accesslog.v3.AccessLogService"


class AccessLog:
    """Takes StreamAccessLogs; the one answer, at the stream's end, says nothing."""

    def __init__(self, store: CounterStore) -> None:
        self._store = store

    async def stream(
        self,
        messages: AsyncIterator[StreamAccessLogsMessage],
        context: grpc.aio.ServicerContext[StreamAccessLogsMessage, StreamAccessLogsResponse],
    ) -> StreamAccessLogsResponse:
        async for message in messages:
            ended = [one for entry in message.http_logs.log_entry for one in _held(entry)]
            if ended:
                with suppress(StoreUnavailable):  # which has been counted, and ends by itself
                    await self._store.settle(ended)
        return StreamAccessLogsResponse()

    def handler(self) -> grpc.GenericRpcHandler:
        method = grpc.stream_unary_rpc_method_handler(
            self.stream,
            request_deserializer=reading(StreamAccessLogsMessage),
            response_serializer=StreamAccessLogsResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"StreamAccessLogs": method})


def _held(entry: HTTPAccessLogEntry) -> tuple[Settlement, ...]:
    decided = entry.common_properties.metadata.filter_metadata[DECISION_NAMESPACE]
    return settlements(decided.fields[DECIDED_HELD].string_value, entry.response.response_headers)
