"""ext_proc's messages between the wire and the exchange."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from google.protobuf.struct_pb2 import Struct

from extproc.core.decision import HeaderEdits, LocalReply
from extproc.core.errors import ProtocolViolation
from extproc.core.exchange_messages import (
    AnswerChunkReply,
    AnswerHeadersReply,
    BodyReply,
    ChunkReply,
    HeadersReply,
    ImmediateReply,
    Message,
    Reply,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    TrailersReply,
)
from extproc.core.identity import read_groups
from extproc.core.message import Chosen, Consumer, Request, Response
from extproc.core.names import (
    ADDRESS_ATTRIBUTE,
    ANSWER_ATTRIBUTE,
    DECIDED_ANONYMOUS,
    DECIDED_CONSUMER,
    DECIDED_GROUPS,
    DECIDED_HELD,
    DECIDED_MODEL,
    DECIDED_REVISION,
    DECIDED_ROUTE,
    DECIDED_SCOPES,
    DECIDED_TIER,
    DECIDED_VERSION,
    DECISION_NAMESPACE,
    EXT_PROC_ATTRIBUTES,
    FROM_UPSTREAM,
    HOST_ATTRIBUTE,
    ID_ATTRIBUTE,
    METHOD_ATTRIBUTE,
    PATH_ATTRIBUTE,
    REPLY_DETAILS,
    ROUTE_ATTRIBUTE,
    SCHEME_ATTRIBUTE,
    SIZE_ATTRIBUTE,
)
from extproc.core.own_answers import OwnAnswer
from extproc.core.processing import BodyMode
from extproc.services.headers import decode_headers, pseudo_header, raw_options
from extproc.wire.base_pb2 import HeaderMap, HeaderValue, HttpStatus
from extproc.wire.process_pb2 import (
    BodyMutation,
    BodyResponse,
    CommonResponse,
    HeaderMutation,
    HeadersResponse,
    HttpHeaders,
    ImmediateResponse,
    ProcessingMode,
    ProcessingRequest,
    ProcessingResponse,
    StreamedBodyResponse,
    StreamedImmediateResponse,
    TrailersResponse,
)

NO_STATUS: Final = "0"
MAX_NUMBER: Final = 2**52
SHOWN: Final = {
    ProcessingMode.NONE: BodyMode.NONE,
    ProcessingMode.BUFFERED: BodyMode.BUFFERED,
    ProcessingMode.STREAMED: BodyMode.STREAMED,
    ProcessingMode.FULL_DUPLEX_STREAMED: BodyMode.FULL_DUPLEX,
}


def decode(message: ProcessingRequest, known: Request) -> Message:
    """`known` is what attributes say of the request. Raises ProtocolViolation for a message that holds none."""
    kind = message.WhichOneof("request")
    if kind == "response_headers":
        return ResponseHeaders(_response(message.response_headers), message.response_headers.end_of_stream)
    if kind == "response_body":
        return ResponseBody(message.response_body.body, message.response_body.end_of_stream)
    if kind == "request_headers":
        return RequestHeaders(message.request_headers.end_of_stream, _request(message.request_headers, known))
    if kind == "request_body":
        return RequestBody(message.request_body.body, message.request_body.end_of_stream)
    if kind == "request_trailers":
        return RequestTrailers()
    if kind == "response_trailers":
        return ResponseTrailers()
    raise ProtocolViolation(f"a message of kind {kind}")


def modes(message: ProcessingRequest) -> tuple[BodyMode, BodyMode] | None:
    """How Envoy shows bodies of requests and of responses. Only the first message of a stream says so, and an Envoy
    before 1.34 not even that."""
    if not message.HasField("protocol_config"):
        return None
    told = message.protocol_config
    try:
        return SHOWN[told.request_body_mode], SHOWN[told.response_body_mode]
    except KeyError:
        raise ProtocolViolation("bodies are shown in a way that no plan asks for") from None


def _request(headers: HttpHeaders, known: Request) -> Request:
    """The headers as the upstream would get them; where nobody asked for them, they may be none at all."""
    if not headers.headers.headers:
        return known
    path, _, query = pseudo_header(headers.headers, ":path").partition("?")
    return replace(
        known,
        method=pseudo_header(headers.headers, ":method"),
        path=path,
        query=query,
        host=pseudo_header(headers.headers, ":authority").lower() or known.host,
        scheme=pseudo_header(headers.headers, ":scheme") or known.scheme,
        headers=decode_headers(headers.headers),
    )


def _response(headers: HttpHeaders) -> Response:
    status = pseudo_header(headers.headers, ":status") or NO_STATUS
    if not (status.isascii() and status.isdigit()):
        raise ProtocolViolation("a response whose status is no number")
    return Response(int(status), decode_headers(headers.headers))


def decode_decision(message: ProcessingRequest) -> tuple[str, str, Consumer | None]:
    """Route, revision and consumer, from the ext_authz answer that Envoy forwards. Where none was asked for, the route
    comes as an attribute, and the revision only with the call."""
    decided = message.metadata_context.filter_metadata.get(DECISION_NAMESPACE, Struct()).fields
    route = _text(_attributes(message), ROUTE_ATTRIBUTE) or decided[DECIDED_ROUTE].string_value
    revision = decided[DECIDED_REVISION].string_value
    name, anonymous = decided[DECIDED_CONSUMER].string_value, decided[DECIDED_ANONYMOUS].string_value
    if not name and not anonymous:
        return route, revision, None
    tier = decided[DECIDED_TIER].string_value
    scopes = tuple(scope for scope in decided[DECIDED_SCOPES].string_value.split(" ") if scope)
    groups = read_groups(decided[DECIDED_GROUPS].string_value)
    return route, revision, Consumer(name or anonymous, tier or None, scopes, groups=groups, anonymous=not name)


def decode_chosen(message: ProcessingRequest) -> Chosen | None:
    """The version of a model that the ext_authz answer decided for."""
    decided = message.metadata_context.filter_metadata.get(DECISION_NAMESPACE, Struct()).fields
    model = decided[DECIDED_MODEL].string_value
    return Chosen(model, decided[DECIDED_VERSION].string_value) if model else None


def decode_held(message: ProcessingRequest) -> str:
    """What the request holds until it ends: core.held."""
    held: str = (
        message.metadata_context.filter_metadata.get(DECISION_NAMESPACE, Struct()).fields[DECIDED_HELD].string_value
    )
    return held


def decode_request(message: ProcessingRequest) -> Request:
    """The request by its attributes: no message of its own is paid for it. Headers are not among them."""
    attributes = _attributes(message)
    path, _, query = _text(attributes, PATH_ATTRIBUTE).partition("?")
    return Request(
        method=_text(attributes, METHOD_ATTRIBUTE),
        path=path,
        query=query,
        host=_text(attributes, HOST_ATTRIBUTE).lower(),
        scheme=_text(attributes, SCHEME_ATTRIBUTE),
        address=_text(attributes, ADDRESS_ATTRIBUTE).rpartition(":")[0].strip("[]"),
        id=_text(attributes, ID_ATTRIBUTE),
        size=_number(attributes, SIZE_ATTRIBUTE),
    )


def is_from_upstream(message: ProcessingRequest) -> bool:
    """A refusal, ours or Envoy's, comes by here as well; it is no answer of the upstream's and is not to be edited."""
    return _text(_attributes(message), ANSWER_ATTRIBUTE) in ("", FROM_UPSTREAM)


def _attributes(message: ProcessingRequest) -> Struct:
    return message.attributes.get(EXT_PROC_ATTRIBUTES, Struct())


def _text(attributes: Struct, name: str) -> str:
    return attributes.fields[name].string_value if name in attributes.fields else ""


def _number(attributes: Struct, name: str) -> int:
    """A whole one from 0: Struct has doubles alone, and what is none of ours may be anything."""
    found = attributes.fields[name].number_value if name in attributes.fields else 0
    return int(found) if 0 <= found <= MAX_NUMBER else 0


def encode(reply: Reply) -> ProcessingResponse:
    if isinstance(reply, HeadersReply):
        answer = HeadersResponse(response=CommonResponse(header_mutation=_mutation(reply.edits, reply.line)))
        return (
            ProcessingResponse(request_headers=answer)
            if reply.of_request
            else ProcessingResponse(response_headers=answer)
        )
    if isinstance(reply, BodyReply | ChunkReply):
        body = _body(reply) if isinstance(reply, BodyReply) else _chunk(reply)
        return ProcessingResponse(request_body=body) if reply.of_request else ProcessingResponse(response_body=body)
    if isinstance(reply, ImmediateReply):
        return ProcessingResponse(immediate_response=_immediate(reply.reply))
    if isinstance(reply, TrailersReply):
        behind = TrailersResponse()
        return (
            ProcessingResponse(request_trailers=behind)
            if reply.of_request
            else ProcessingResponse(response_trailers=behind)
        )
    return ProcessingResponse(streamed_immediate_response=_answer(reply))


def _body(reply: BodyReply) -> BodyResponse:
    mutation = _mutation(reply.edits, reply.line)
    if reply.body is None:
        return BodyResponse(response=CommonResponse(header_mutation=mutation))
    mutation.set_headers.extend(raw_options([("content-length", str(reply.content_length))]))
    return BodyResponse(response=CommonResponse(header_mutation=mutation, body_mutation=BodyMutation(body=reply.body)))


def _chunk(reply: ChunkReply) -> BodyResponse:
    """In lock-step the piece is replaced by another; in full duplex each is sent on its own, or it is lost."""
    if reply.duplex:
        streamed = StreamedBodyResponse(body=reply.chunk, end_of_stream=reply.end)
        return BodyResponse(response=CommonResponse(body_mutation=BodyMutation(streamed_response=streamed)))
    mutation = BodyMutation(body=reply.chunk) if reply.chunk else BodyMutation(clear_body=True)
    return BodyResponse(response=CommonResponse(body_mutation=mutation))


def _answer(reply: AnswerHeadersReply | AnswerChunkReply) -> StreamedImmediateResponse:
    if isinstance(reply, AnswerChunkReply):
        piece = StreamedBodyResponse(body=reply.chunk, end_of_stream=reply.end)
        return StreamedImmediateResponse(body_response=piece)
    fields = ((":status", str(reply.status)), *reply.headers)
    values = [HeaderValue(key=name, raw_value=value.encode("utf-8")) for name, value in fields]
    headers = HttpHeaders(headers=HeaderMap(headers=values), end_of_stream=reply.end)
    return StreamedImmediateResponse(headers_response=headers)


def _mutation(edits: HeaderEdits, line: tuple[tuple[str, str], ...] = ()) -> HeaderMutation:
    return HeaderMutation(set_headers=raw_options((*line, *edits.set)), remove_headers=edits.remove)


def leave_length_out(answer: ProcessingResponse) -> None:
    """Of an answer that has no body."""
    if answer.HasField("response_headers"):
        answer.response_headers.response.header_mutation.remove_headers.append("content-length")


def more_time(seconds: float) -> ProcessingResponse:
    """Of this message Envoy reads nothing else, and once for each message of its own (external_processor.proto)."""
    answer = ProcessingResponse()
    answer.override_message_timeout.FromMilliseconds(round(seconds * 1000))
    return answer


def _immediate(reply: LocalReply | OwnAnswer) -> ImmediateResponse:
    return ImmediateResponse(
        status=HttpStatus(code=reply.status),  # type: ignore[arg-type]  # enums are open, every status has a number
        headers=HeaderMutation(set_headers=raw_options(reply.headers)),
        body=reply.body,
        details=REPLY_DETAILS + reply.reason,
    )
