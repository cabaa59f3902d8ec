"""envoy.service.auth.v3.Authorization: the fused call. Who is asking, may they, how often, and where to."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import unquote

import grpc
from google.protobuf.struct_pb2 import Struct

from extproc.core.comparing import Comparison
from extproc.core.decision import SET_COOKIE, Continue, LocalReply
from extproc.core.errors import InvalidMutation
from extproc.core.gateway import Gateway
from extproc.core.handover import NOTHING_MORE, Fields, Handover
from extproc.core.headers import Headers
from extproc.core.held import spell_held
from extproc.core.identity import CALLERS, spell_groups
from extproc.core.message import Chosen, Consumer, Request
from extproc.core.names import (
    CALL_ADDRESS,
    DECIDED_ANONYMOUS,
    DECIDED_CONSUMER,
    DECIDED_GROUPS,
    DECIDED_HELD,
    DECIDED_MODEL,
    DECIDED_REASON,
    DECIDED_REVISION,
    DECIDED_ROUTE,
    DECIDED_SCOPES,
    DECIDED_TIER,
    DECIDED_VERSION,
    REQUEST_ID,
    REVISION,
    ROUTE,
    TOLD_ADDRESS,
)
from extproc.core.outcome import Outcome
from extproc.core.ports import Clock, Recorder
from extproc.core.query import without
from extproc.services.headers import add_fields, call_metadata, decode_headers
from extproc.services.records import ALLOWED, cancelled, decided, failure, reading, record_of
from extproc.wire.auth_pb2 import CheckRequest, CheckResponse, DeniedHttpResponse
from extproc.wire.base_pb2 import HeaderMap, HeaderValue, HttpStatus, Status

SERVICE: Final = "envoy.service.auth.v3.Authorization"
NAME: Final = "ext_authz"
REMEMBERED: Final = 1024  # certificates: a connection's own comes with each of its requests; and what clients are told
SHORT: Final = 128  # characters: a longer value is no number
COOKIES: Final = frozenset({SET_COOKIE})  # no two can be one field (RFC 9110 §5.3)
OK: Final[int] = grpc.StatusCode.OK.value[0]
DENIED: Final = Status(code=grpc.StatusCode.PERMISSION_DENIED.value[0])


class Stamp(NamedTuple):
    """What Envoy's call names, and every answer repeats."""

    route: str
    revision: str


def unheard(comparison: Comparison) -> None:
    """For whoever compares nothing."""


class ExtAuthz:
    """Answers Check. `gateway` gives the plan in force when the call arrives."""

    def __init__(
        self,
        gateway: Callable[[], Gateway],
        clock: Clock,
        recorder: Recorder,
        compare: Callable[[Comparison], None] = unheard,
    ) -> None:
        """`compare` takes what is to be asked of two versions, and must return at once."""
        self._gateway = gateway
        self._clock = clock
        self._recorder = recorder
        self._compare = compare

    async def check(self, call: CheckRequest, context: grpc.aio.ServicerContext[CheckRequest, bytes]) -> bytes:
        """The answer as it is sent: a CheckResponse, written already."""
        started = self._clock.monotonic()
        named = call.attributes.context_extensions
        # Reading what stands beside the message takes longer than reading the message: only where it says something.
        request = decode(call, call_metadata(context, CALL_ADDRESS) if TOLD_ADDRESS in named else "")
        route, revision = named.get(ROUTE, ""), named.get(REVISION, "")
        detail = ""
        try:
            served = self._gateway().route(route, revision)
            handover, outcome = served.handover, await decided(served.chain.on_request(request))
        except asyncio.CancelledError as error:
            gone = cancelled(error)
            self._record(route, request, gone.outcome, started, gone.detail)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, no decision was reached, and that denies
            failed = failure(error)
            outcome, detail, handover = failed.outcome, failed.detail, NOTHING_MORE
        answer, outcome, detail = _encode(outcome, handover, detail, request, Stamp(route, revision))
        if isinstance(outcome.decision, Continue) and outcome.decision.compared:
            self._compare(_comparison(route, request, outcome, outcome.decision, handover))
        self._record(route, request, outcome, started, detail)
        return answer

    def _record(self, route: str, request: Request, outcome: Outcome, started: int, detail: str) -> None:
        took = self._clock.monotonic() - started
        self._recorder.record(record_of(NAME, route, request, outcome, took, detail))

    def handler(self) -> grpc.GenericRpcHandler:
        method: grpc.RpcMethodHandler[CheckRequest, bytes] = grpc.unary_unary_rpc_method_handler(
            self.check, request_deserializer=reading(CheckRequest), response_serializer=None
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Check": method})


def _comparison(route: str, request: Request, outcome: Outcome, decision: Continue, handover: Handover) -> Comparison:
    """What was let through, as it arrives: without the client's credential, and with who is asking."""
    handed = handover.hand(decision, outcome.consumer, request.headers)
    arriving = replace(
        request,
        headers=Headers(handover.reaching(handed, request.headers)),
        query=without(request.query, decision.remove_query) if decision.remove_query else request.query,
    )
    version = outcome.facts.get(DECIDED_VERSION, "")
    return Comparison(decision.compared, version, route, arriving, outcome.consumer)


def decode(call: CheckRequest, address: str = "") -> Request:
    """`address` is the client's as the generated filter knows it, empty where another Envoy calls."""
    attributes = call.attributes  # each part is read once: every look at a message makes an object
    http, source = attributes.request.http, attributes.source
    certificate, fields = source.certificate, http.header_map
    # With encode_raw_headers `headers` is empty; an Envoy that somebody else configured may send it instead.
    headers = decode_headers(fields) if fields.headers else _plain_headers(dict(http.headers))
    path, _, query = http.path.partition("?")
    return Request(
        method=http.method,
        path=path,
        query=query,
        host=http.host.lower(),  # names have no case (RFC 9110 §4.2.3), and routes were matched without it
        scheme=http.scheme,
        headers=headers,
        address=address or source.address.socket_address.address,
        id=headers.get(REQUEST_ID) or "",
        stream=http.id,
        body=http.raw_body or http.body.encode() or None,
        certificate=_pem(certificate) if certificate else "",
    )


@functools.lru_cache(REMEMBERED)
def _pem(certificate: str) -> str:
    """PEM comes URL-encoded (attribute_context.proto: Peer.certificate)."""
    return unquote(certificate)


def _plain_headers(headers: dict[str, str]) -> Headers:
    fields = (HeaderValue(key=name, value=value) for name, value in headers.items())
    return decode_headers(HeaderMap(headers=fields))


def _encode(
    outcome: Outcome, handover: Handover, detail: str, request: Request, stamp: Stamp
) -> tuple[bytes, Outcome, str]:
    """The answer, and what it really says: an edit that cannot be sent turns an allow into a refusal."""
    try:
        if isinstance(outcome.decision, Continue):
            return allow(outcome.decision, outcome, handover, request, stamp), outcome, detail
        if not isinstance(outcome.decision, LocalReply):
            raise InvalidMutation("an answer of our own, where nobody has been let in yet")
        return deny(outcome.decision, outcome, stamp).SerializeToString(), outcome, detail
    except Exception as error:  # noqa: BLE001 - text that is no Unicode, a value of the wrong type: all of it refuses
        failed = failure(error, outcome)
        # Without the consumer and the facts: they may be what could not be sent.
        denied = deny(failed.reply, Outcome(failed.reply), stamp)
        return denied.SerializeToString(), failed.outcome, failed.detail


def allow(decision: Continue, outcome: Outcome, handover: Handover, request: Request, stamp: Stamp) -> bytes:
    """The only place where a request is let through.

    In parts, one behind the other, which whoever parses them merges (protobuf.dev/programming-guides/encoding: Last
    One Wins): what is the same for each request of a caller, what the client is told, and what is this request's alone.
    """
    handed = handover.hand(decision, outcome.consumer, request.headers)
    parts = [_allowed(stamp, _who(outcome.consumer), _chosen(outcome), handed.granted, handed.remove)]
    parts += [_told(*field) if _is_told_again(*field) else _told.__wrapped__(*field) for field in decision.response.set]
    if handed.set or decision.remove_query or outcome.held:
        parts.append(_of_request(decision, outcome, handed.set).SerializeToString())
    return b"".join(parts)


def _of_request(decision: Continue, outcome: Outcome, fields: Fields) -> CheckResponse:
    """What is seldom there and never twice the same; it may be secret. No answer by itself."""
    more = CheckResponse()
    more.ok_response.query_parameters_to_remove.extend(decision.remove_query)
    add_fields(more.ok_response.headers, fields)
    _add_held(more, outcome)
    return more


@functools.lru_cache(REMEMBERED)
def _told(name: str, value: str) -> bytes:
    """A field of the answer that the client gets. A limit's, a version's are told to thousands alike."""
    answer = CheckResponse()
    add_fields(answer.ok_response.response_headers_to_add, ((name, value),), beside=COOKIES)
    return answer.SerializeToString()


def _is_told_again(name: str, value: str) -> bool:
    return len(value) <= SHORT and name != SET_COOKIE


def deny(reply: LocalReply, outcome: Outcome, stamp: Stamp) -> CheckResponse:
    """Raises InvalidMutation for a status that a client takes for success."""
    if reply.status < HTTPStatus.MULTIPLE_CHOICES:
        raise InvalidMutation(f"a refusal with the status {reply.status}")
    denied = DeniedHttpResponse(
        status=HttpStatus(code=reply.status),  # type: ignore[arg-type]  # enums are open, every status has a number
        body=reply.body.decode("utf-8", "replace"),
    )
    answer = CheckResponse(status=DENIED, denied_response=denied)
    add_fields(answer.denied_response.headers, reply.headers)
    _add_metadata(answer.dynamic_metadata, reply.reason, stamp, _who(outcome.consumer), _chosen(outcome))
    _add_held(answer, outcome)
    return answer


def _chosen(outcome: Outcome) -> Chosen:
    return Chosen(outcome.facts.get("model", ""), outcome.facts.get("version", ""))


def _add_held(answer: CheckResponse, outcome: Outcome) -> None:
    """Of a refused request as well: a slot was taken before a later policy said no."""
    if outcome.held:
        answer.dynamic_metadata.fields[DECIDED_HELD].string_value = spell_held(outcome.held)


class Who(NamedTuple):
    """What Envoy is told of a consumer."""

    id: str = ""
    anonymous: bool = False
    tier: str | None = None
    scopes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


NOBODY: Final = Who()


def _who(consumer: Consumer | None) -> Who:
    if consumer is None:
        return NOBODY
    return Who(consumer.id, consumer.anonymous, consumer.tier, tuple(consumer.scopes), tuple(consumer.groups))


# What is the same for each request of a caller is written once for the last few thousand of them.
@functools.lru_cache(CALLERS)
def _allowed(stamp: Stamp, who: Who, chosen: Chosen, granted: Fields, removed: tuple[str, ...]) -> bytes:
    answer = CheckResponse()
    answer.status.code = OK
    answer.ok_response.SetInParent()  # also where nothing is to be edited
    answer.ok_response.headers_to_remove.extend(removed)
    add_fields(answer.ok_response.headers, granted)
    _add_metadata(answer.dynamic_metadata, ALLOWED, stamp, who, chosen)
    return answer.SerializeToString()


def _add_metadata(metadata: Struct, reason: str, stamp: Stamp, who: Who, chosen: Chosen) -> None:
    """For Envoy's own access log and for ext_proc: core.names.DECIDED_*."""
    texts = {
        DECIDED_ROUTE: stamp.route,
        DECIDED_REVISION: stamp.revision,
        DECIDED_ANONYMOUS if who.anonymous else DECIDED_CONSUMER: who.id,
        DECIDED_TIER: who.tier,
        DECIDED_SCOPES: " ".join(who.scopes),
        DECIDED_GROUPS: spell_groups(who.groups),
        DECIDED_REASON: reason,
        DECIDED_MODEL: chosen.model,
        DECIDED_VERSION: chosen.version,
    }
    for key, text in texts.items():
        if text:
            metadata.fields[key].string_value = text
