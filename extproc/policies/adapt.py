"""`version.adapt_to` of a route: bodies of the version that clients speak become those of the one that the upstream
speaks, and back.

Only a good answer is a document of the API: whatever has a status below 200 or above 299, no body or another media type
than JSON passes as it is. A good one that cannot be adapted is 502: as it is, it would be another version's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, ClassVar, Final

from extproc import (
    CONTINUE,
    AdaptSpec,
    BodyEditor,
    Context,
    Continue,
    CouldNotDecide,
    Decision,
    HeaderEdits,
    Headers,
    Lens,
    Memory,
    NotAdaptable,
    Phase,
    Policy,
    Ports,
    Request,
    Response,
    adapt_body,
    adapt_event,
    refusal,
)

LOWEST_GOOD, LOWEST_OTHER = 200, 300
EVENTS: Final = "text/event-stream"
# What ends a document of a stream: the empty line behind an event (HTML, server-sent events §9.2.5), or its line.
ENDS: Final = {
    EVENTS: re.compile(rb"\r\n\r\n|\n\r\n|\n\n|\r\r"),
    "application/x-ndjson": re.compile(rb"\n"),
    "application/jsonl": re.compile(rb"\n"),
}
LONGEST_END: Final = 3  # bytes of such an end that may have come before the rest of it
MOST_KEPT: Final = 1024 * 1024  # as much as of an answer that is held whole
PROBLEM: Final = "application/problem+json"
# They are of the body that the upstream sent (RFC 9530; the older two RFC 3230), or of parts of it (RFC 9110 §14).
OF_THE_OLD_BODY: Final = HeaderEdits(
    remove=("content-digest", "repr-digest", "digest", "content-md5", "accept-ranges"),
)


Adaptation = Callable[[bytes, Lens, Memory], bytes]


class AnswerNotAdaptable(CouldNotDecide):
    """A stream that has begun cannot become a 502 any more: it ends where it stops making sense."""

    reason = "answer_not_adaptable"
    status = HTTPStatus.BAD_GATEWAY


def _phases(settings: AdaptSpec) -> frozenset[Phase]:
    answer = Phase.RESPONSE_STREAM if settings.stream else Phase.RESPONSE_BODY
    needed = ((Phase.REQUEST_BODY, settings.request), (answer, settings.response))
    return frozenset(phase for phase, lens in needed if lens.steps)


@dataclass(frozen=True, slots=True)
class Adapt(Policy):
    served: str
    spoken: str
    there: Lens
    back: Lens
    stream: bool

    name: ClassVar[str] = "adapt"
    Settings: ClassVar[type[AdaptSpec]] = AdaptSpec
    phases: ClassVar[Any] = staticmethod(_phases)

    @staticmethod
    def build(settings: AdaptSpec, ports: Ports) -> Policy:
        back = settings.response.inverse()
        return Adapt(settings.served, settings.spoken, settings.request, back, settings.stream)

    async def on_forward(self, request: Request, context: Context) -> Decision:
        if not request.body or not self.there.steps:
            return CONTINUE
        if not _is_plain_json(request.headers):
            return refusal(415, "body_not_json", f"version {self.served} of this API takes JSON, without an encoding")
        try:
            return Continue(body=adapt_body(request.body, self.there, Memory()))
        except NotAdaptable as error:
            return refusal(422, "body_not_adaptable", f"no document of version {self.served}: {error}")

    async def on_response(self, response: Response, request: Request, context: Context) -> Decision:
        if not self._concerns(response):
            return CONTINUE
        if response.body is None:  # a stream, whose body is adapted as it passes
            return Continue(response=OF_THE_OLD_BODY)
        if not response.body:
            return CONTINUE
        try:
            _check_whole(response.headers)
            adapted = adapt_body(response.body, self.back, Memory())
        except NotAdaptable as error:
            said = f"the upstream's answer is no document of version {self.spoken}"
            return replace(refusal(502, "answer_not_adaptable", said), facts={"not_adaptable": str(error)})
        return Continue(response=OF_THE_OLD_BODY, body=adapted)

    async def on_stream(self, response: Response, request: Request, context: Context) -> BodyEditor | None:
        if not self._concerns(response):
            return None
        try:
            _check_whole(response.headers)
        except NotAdaptable as error:
            raise AnswerNotAdaptable(str(error)) from None
        media_type = _media_type(response.headers)
        return Adapting(ENDS.get(media_type), adapt_event if media_type == EVENTS else adapt_body, self.back)

    def _concerns(self, response: Response) -> bool:
        good = LOWEST_GOOD <= response.status < LOWEST_OTHER
        streamed = self.stream and _media_type(response.headers) in ENDS
        return good and bool(self.back.steps) and (streamed or _claims_json(response.headers))


class Adapting(BodyEditor):
    """Adapts each event of a stream, each of its lines, or, where it has neither, the whole of it at its end."""

    def __init__(self, end: re.Pattern[bytes] | None, adapt: Adaptation, back: Lens) -> None:
        self._end, self._adapt, self._back = end, adapt, back
        self._kept = b""

    async def feed(self, piece: bytes) -> bytes:
        searched = max(0, len(self._kept) - LONGEST_END)
        self._kept += piece
        given = []
        while self._end is not None and (found := self._end.search(self._kept, searched)):
            given.append(self._adapted(self._kept[: found.end()]))
            self._kept, searched = self._kept[found.end() :], 0
        if len(self._kept) > MOST_KEPT:
            raise AnswerNotAdaptable(f"more than {MOST_KEPT} bytes that belong together")
        return b"".join(given)

    async def finish(self) -> bytes:
        kept, self._kept = self._kept, b""
        return self._adapted(kept)

    def _adapted(self, document: bytes) -> bytes:
        if not document.strip():
            return document
        try:
            adapted = self._adapt(document, self._back, Memory())
        except NotAdaptable as error:
            raise AnswerNotAdaptable(str(error)) from None
        return adapted + b"\n" if self._adapt is adapt_body and document.endswith(b"\n") else adapted


def _check_whole(headers: Headers) -> None:
    if headers.get("content-encoding") not in (None, "", "identity") or "content-range" in headers:
        raise NotAdaptable((), "encoded, or only a part of it")


def _is_plain_json(headers: Headers) -> bool:
    return _claims_json(headers) and headers.get("content-encoding") in (None, "", "identity")


def _claims_json(headers: Headers) -> bool:
    media_type = _media_type(headers)
    return media_type != PROBLEM and (media_type == "application/json" or media_type.endswith("+json"))


def _media_type(headers: Headers) -> str:
    return (headers.get("content-type") or "").split(";")[0].strip().lower()
