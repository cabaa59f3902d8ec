"""Conversations of an ext_proc stream, written from top to bottom: Envoy's message (`>>`), the sidecar's reply (`<<`).

The last line says how the stream ends. What really came is compared line by line with what is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import grpc
from google.protobuf.struct_pb2 import Struct

from extproc.core.names import ANSWER_ATTRIBUTE, DECISION_NAMESPACE, EXT_PROC_ATTRIBUTES, ROUTE_ATTRIBUTE
from extproc.services.headers import raw_options
from extproc.wire.base_pb2 import HeaderMap, HeaderValue, Metadata
from extproc.wire.process_pb2 import (
    BodyMutation,
    BodyResponse,
    CommonResponse,
    HeaderMutation,
    HeadersResponse,
    HttpBody,
    HttpHeaders,
    ProcessingRequest,
    ProcessingResponse,
)
from tests.services.harness import NAME, PLAN, Rig, Stream

Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Ended:
    """How the stream ends: when Envoy has closed its side, or before that `by_itself`."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    by_itself: bool = False


GOES_WELL = Ended()
IS_ABORTED = Ended(grpc.StatusCode.INTERNAL)
Line = ProcessingRequest | ProcessingResponse | Ended


class Playbook:
    def __init__(self) -> None:
        self.lines: list[Line] = []

    def __rshift__(self, message: ProcessingRequest) -> Self:
        self.lines.append(message)
        return self

    def __lshift__(self, reply: ProcessingResponse | Ended) -> Self:
        self.lines.append(reply)
        return self

    async def play(self, rig: Rig, metadata: Sequence[tuple[str, str]] = ()) -> None:
        call = rig.process(metadata)
        played: list[Line] = []
        for line in self.lines:
            played += await _played(call, line)
        assert played == self.lines


async def _played(call: Stream, line: Line) -> list[Line]:
    if isinstance(line, ProcessingRequest):
        await call.write(line)
        return [line]
    if isinstance(line, Ended) and not line.by_itself:
        await call.done_writing()
    try:
        reply = await call.read()
    except grpc.aio.AioRpcError:
        reply = grpc.aio.EOF
    if isinstance(reply, ProcessingResponse):
        return [reply]  # where an end was written, this is one reply too many
    return [Ended(await call.code(), isinstance(line, Ended) and line.by_itself)]


def response_headers(*fields: tuple[str, str], status: str = "200", end: bool = False) -> ProcessingRequest:
    seen = [(":status", status), *fields]
    values = [HeaderValue(key=name, raw_value=value.encode()) for name, value in seen]
    return ProcessingRequest(response_headers=HttpHeaders(headers=HeaderMap(headers=values), end_of_stream=end))


def request_headers() -> ProcessingRequest:
    return ProcessingRequest(request_headers=HttpHeaders(end_of_stream=True))


def response_body(body: bytes, *, end: bool = True) -> ProcessingRequest:
    return ProcessingRequest(response_body=HttpBody(body=body, end_of_stream=end))


def about(
    message: ProcessingRequest,
    *,
    route: str = NAME,
    answered: str = "via_upstream",
    decided: dict[str, str] | None = None,
    **attributes: str,
) -> ProcessingRequest:
    """The message with what Envoy says beside it: attributes, and as metadata what ext_authz has `decided`."""
    seen, known = Struct(), Struct()
    seen.update({ROUTE_ATTRIBUTE: route, ANSWER_ATTRIBUTE: answered, "request.id": "id-1", **attributes})
    known.update({"route": NAME, "revision": PLAN} if decided is None else decided)
    told = ProcessingRequest(
        attributes={EXT_PROC_ATTRIBUTES: seen}, metadata_context=Metadata(filter_metadata={DECISION_NAMESPACE: known})
    )
    told.MergeFrom(message)
    return told


def goes_on_with_request() -> ProcessingResponse:
    return ProcessingResponse(request_headers=HeadersResponse(response=_common(())))


def goes_on(fields: Fields = (), remove: Sequence[str] = ()) -> ProcessingResponse:
    """Reply to a response's headers, edited or not."""
    return ProcessingResponse(response_headers=HeadersResponse(response=_common(fields, remove)))


def goes_on_with_body(fields: Fields = (), body: bytes | None = None) -> ProcessingResponse:
    common = _common(fields)
    if body is not None:
        common.body_mutation.CopyFrom(BodyMutation(body=body))
    return ProcessingResponse(response_body=BodyResponse(response=common))


def _common(fields: Fields, remove: Sequence[str] = ()) -> CommonResponse:
    return CommonResponse(header_mutation=HeaderMutation(set_headers=raw_options(fields), remove_headers=remove))
