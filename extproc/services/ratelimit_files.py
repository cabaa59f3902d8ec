"""envoy.service.ratelimit.v3.RateLimitService for the files of envoyproxy/ratelimit, over gRPC and as JSON.

As in `ratelimit.py`, a failure is UNAVAILABLE, on which the filter's failure mode acts, and the code UNKNOWN is never
sent. There, failures are the status UNKNOWN; their words are the same here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson, Parse, ParseError

from extproc.core.descriptors import DescriptorLimit
from extproc.core.errors import InvalidCall
from extproc.core.ports import Clock, Recorder
from extproc.core.rate_limiter import Answered, Descriptor, LimitCall, Override, RateLimiter, Status
from extproc.core.record import DecisionRecord, Result
from extproc.core.windows import Unit
from extproc.services.ratelimit import NAME, SERVICE, Call, Code, handler_of
from extproc.services.ratelimit import Unit as WireUnit
from extproc.services.ratelimit_metadata import metadata_of
from extproc.services.records import ALLOWED, cancelled, decided, failure
from extproc.wire.base_pb2 import HeaderValue
from extproc.wire.ratelimit_pb2 import RateLimitDescriptor, RateLimitRequest, RateLimitResponse

HEALTH_NAMES: Final = ("", "ratelimit", SERVICE)  # the second is what envoyproxy/ratelimit calls itself there
UNITS: Final[Mapping[int, Unit]] = {WireUnit.Value(unit.name): unit for unit in Unit}
LIMIT: Final = "limit"
RATE_LIMITED: Final = "rate_limited"
Json = tuple[int, str, str]  # an HTTP status, the content type and the text


@dataclass(frozen=True, slots=True)
class Shown:
    """What the answer tells besides the verdict: three headers, for the limit, what remains and the seconds until it is
    whole again; and the call's descriptors with the limits' metadata, for filters behind."""

    headers: tuple[str, str, str] | None = None
    metadata: bool = False


class RateLimitFiles:
    def __init__(self, limiter: RateLimiter, clock: Clock, recorder: Recorder, shown: Shown) -> None:
        self._limiter = limiter
        self._clock = clock
        self._recorder = recorder
        self._shown = shown

    async def should_rate_limit(self, call: RateLimitRequest, context: Call) -> RateLimitResponse:
        try:
            return await self._answer(call)
        except Exception as error:  # noqa: BLE001 - whatever it is, no judgement was reached
            await context.abort(grpc.StatusCode.UNAVAILABLE, said(error))

    async def answer_json(self, body: bytes) -> Json:
        """RateLimitRequest and RateLimitResponse in protobuf's JSON: 200, 429, 400 for what is no request."""
        try:
            call = Parse(body, RateLimitRequest())
        except (ParseError, UnicodeDecodeError, RecursionError):
            return HTTPStatus.BAD_REQUEST, "text/plain", "this is no RateLimitRequest as JSON\n"
        try:
            answer = await self._answer(call)
        except InvalidCall as error:
            return HTTPStatus.BAD_REQUEST, "text/plain", f"{error}\n"
        except Exception as error:  # noqa: BLE001 - whatever it is, no judgement was reached
            return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{said(error)}\n"
        over = answer.overall_code == Code.OVER_LIMIT
        status = HTTPStatus.TOO_MANY_REQUESTS if over else HTTPStatus.OK
        return status, "application/json", MessageToJson(answer, indent=None)

    async def _answer(self, call: RateLimitRequest) -> RateLimitResponse:
        started = self._clock.monotonic()
        try:
            answered = await decided(self._limiter.answer(read(call)))
            answer = encode(call, answered, self._shown)
        except asyncio.CancelledError as error:
            gone = cancelled(error)
            self._record(call.domain, Result.ERROR, gone.reply.reason, started, gone.detail)
            raise
        except Exception as error:
            failed = failure(error)
            self._record(call.domain, Result.ERROR, failed.reply.reason, started, failed.detail)
            raise
        self._record(call.domain, *((Result.DENY, RATE_LIMITED) if answered.over else (Result.ALLOW, ALLOWED)), started)
        return answer

    def _record(self, domain: str, result: Result, reason: str, started: int, detail: str = "") -> None:
        """The domain stands where a route does; values of descriptors are often credentials, and are never written."""
        policy = "" if result is Result.ALLOW else LIMIT
        took = self._clock.monotonic() - started
        self._recorder.record(DecisionRecord(NAME, result, reason, domain, policy, duration=took, detail=detail))

    def handler(self) -> grpc.GenericRpcHandler:
        return handler_of(self.should_rate_limit)


def said(error: Exception) -> str:
    """Why there is no answer: of what Envoy asked, in words; of ourselves, as a reason code."""
    return str(error) if isinstance(error, InvalidCall) else failure(error).reply.reason


def read(call: RateLimitRequest) -> LimitCall:
    return LimitCall(call.domain, tuple([_descriptor(one) for one in call.descriptors]), call.hits_addend)


def _descriptor(one: RateLimitDescriptor) -> Descriptor:
    override = None
    if one.HasField("limit"):
        override = Override(one.limit.requests_per_unit, UNITS.get(one.limit.unit))
    return Descriptor(
        tuple([(entry.key, entry.value) for entry in one.entries]),
        one.hits_addend.value if one.HasField("hits_addend") else None,
        one.is_negative_hits,
        override,
    )


def encode(call: RateLimitRequest, answered: Answered, shown: Shown) -> RateLimitResponse:
    return RateLimitResponse(
        overall_code=Code.OVER_LIMIT if answered.over else Code.OK,
        statuses=[_status(status) for status in answered.statuses],
        response_headers_to_add=_headers(shown.headers, answered.tightest),
        dynamic_metadata=metadata_of(call, answered.metadata) if shown.metadata else None,
    )


def _status(status: Status) -> RateLimitResponse.DescriptorStatus:
    code = Code.OVER_LIMIT if status.over else Code.OK
    if status.limit is None or status.limit.unit is None:
        return RateLimitResponse.DescriptorStatus(code=code, limit_remaining=status.remaining)
    return RateLimitResponse.DescriptorStatus(
        code=code,
        current_limit=_limit(status.limit, status.limit.unit),
        limit_remaining=status.remaining,
        duration_until_reset=Duration(seconds=status.reset),
    )


def _limit(limit: DescriptorLimit, unit: Unit) -> RateLimitResponse.RateLimit:
    return RateLimitResponse.RateLimit(name=limit.name, requests_per_unit=limit.count, unit=unit.name)


def _headers(names: tuple[str, str, str] | None, tightest: Status | None) -> Sequence[HeaderValue]:
    if names is None or tightest is None or tightest.limit is None:
        return ()
    values = (tightest.limit.count, tightest.remaining, tightest.reset)
    return [HeaderValue(key=name, value=str(value)) for name, value in zip(names, values, strict=True)]
