"""envoy.service.accesslog.v3.AccessLogService: Envoy tells of the end of requests: on one stream of those that hold
something, on another, where usage is kept, of all, or else of those to models.

Best effort, by its nature: Envoy loses entries while the sidecar is away, and nobody notices. A slot then comes back
when its lease is over, a reservation stays charged, and a request is missing in the sums.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

import grpc

from extproc.core.ended import Ended
from extproc.core.errors import StoreUnavailable
from extproc.core.held import settlements
from extproc.core.limits import Settlement
from extproc.core.names import (
    DECIDED_HELD,
    DECIDED_TIER,
    DECISION_NAMESPACE,
    EVIDENCE_LOG,
    USAGE_LOG,
)
from extproc.core.ports import CounterStore
from extproc.core.usage import Usage, Used, hour_of, status_class
from extproc.services.ended_requests import Watched, consumer_of
from extproc.services.records import reading
from extproc.wire.accesslog_pb2 import HTTPAccessLogEntry, StreamAccessLogsMessage, StreamAccessLogsResponse

SERVICE: Final = "envoy.service.accesslog.v3.AccessLogService"
SUMMED: Final = (USAGE_LOG, EVIDENCE_LOG)
UNWATCHED: Final = Watched()


class AccessLog:
    """Takes StreamAccessLogs; the one answer, at the stream's end, says nothing."""

    def __init__(
        self,
        store: CounterStore,
        count: Callable[[Used, Usage], None] | None = None,
        tell: Callable[[Ended], None] | None = None,
        watched: Watched = UNWATCHED,
    ) -> None:
        """`count` gathers what requests used, `tell` what versions of models did; where it is None, nobody asks."""
        self._store = store
        self._count = count
        self._tell = tell
        self._watched = watched

    async def stream(
        self,
        messages: AsyncIterator[StreamAccessLogsMessage],
        context: grpc.aio.ServicerContext[StreamAccessLogsMessage, StreamAccessLogsResponse],
    ) -> StreamAccessLogsResponse:
        log = ""  # a stream says with its first message what it tells
        async for message in messages:
            log = log or message.identifier.log_name
            if log in SUMMED:
                self._tally(message, used=log == USAGE_LOG)
                continue
            ended = [one for entry in message.http_logs.log_entry for one in _held(entry)]
            if ended:
                with suppress(StoreUnavailable):  # which has been counted, and ends by itself
                    await self._store.settle(ended)
        return StreamAccessLogsResponse()

    def _tally(self, message: StreamAccessLogsMessage, *, used: bool) -> None:
        for entry in message.http_logs.log_entry:
            ended = self._watched.ended(entry)
            if used and self._count is not None:
                self._count(*self._used(entry, ended))
            if ended is not None and self._tell is not None:
                self._tell(ended)

    def _used(self, entry: HTTPAccessLogEntry, ended: Ended | None) -> tuple[Used, Usage]:
        common, response = entry.common_properties, entry.response
        decided = common.metadata.filter_metadata[DECISION_NAMESPACE].fields
        hour, status = hour_of(common.start_time.seconds), status_class(response.response_code.value)
        tier, (model, version) = decided[DECIDED_TIER].string_value, _answered(ended)
        used = Used(hour, consumer_of(entry), tier, common.route_name, status, model, version)
        sent, received = common.downstream_wire_bytes_sent, common.downstream_wire_bytes_received
        return used, Usage(1, received, sent, self._watched.tokens(entry))

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


def _answered(ended: Ended | None) -> tuple[str, str]:
    """The model and the version that a request was answered by, or would have been."""
    return ("", "") if ended is None else (ended.model, ended.version)
