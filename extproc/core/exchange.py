"""One ext_proc stream as a state machine: message in, question or replies out. No I/O, no policy, no protobuf.

Rule 1: exactly one reply per message, of the message's own kind (external_processor.proto: anything else is spurious);
in full duplex any number of pieces, in order, and none behind the one that ends.
Rule 2: what cannot follow is a ProtocolViolation, and the caller aborts the stream with a non-OK status: Envoy lets a
request through, uninspected, when its stream closes cleanly.

What a request may do was decided by ext_authz, before this stream opened: here it is edited, or refused for its body.
Request and response are judged once each: with the body where the mode shows it whole, else by the headers.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from extproc.core.decision import Continue, Decision, LocalReply, refusal
from extproc.core.errors import BodyTooLarge, InvalidMutation, ProtocolViolation
from extproc.core.exchange_messages import (
    AnswerChunkReply,
    AnswerHeadersReply,
    BodyReply,
    HeadersReply,
    ImmediateReply,
    Message,
    Question,
    Replies,
    Reply,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    TrailersReply,
    is_of_request,
)
from extproc.core.half import JUDGING, SETTLED, Half, State
from extproc.core.message import Request
from extproc.core.own_answers import OwnAnswer
from extproc.core.processing import MAX_SHOWN, BodyMode, Processing

NO_BODY: Final = "a request with trailers has a body between them and its headers"


class Exchange:
    """Feed it every message with `receive`; answer a Judge with `decided`, an Edit with `edited`.

    `limit` is the longest body that a buffered response may be given, `request_limit` a request: Envoy answers 500 for
    a longer one. `modes_named` says that Envoy has named the modes that it uses, and that they are these.
    """

    def __init__(
        self,
        shown: Processing,
        *,
        limit: int = MAX_SHOWN,
        request_limit: int = MAX_SHOWN,
        modes_named: bool = False,
    ) -> None:
        self._shown = shown
        self._limits = {True: request_limit, False: limit}
        self._request = Half(shown.request, of_request=True, whole=modes_named)
        self._response = Half(shown.response, of_request=False, whole=modes_named)
        self._asked: Half | None = None
        self._line = Request("", "")
        self._answering = False  # with an answer of our own, in pieces
        self._over = False

    @property
    def finished(self) -> bool:
        """Whether all has been judged that there was to judge. Before that, the stream must not end cleanly."""
        if self._over:
            return True
        last = self._response if self._shown.response.headers or not self._shown.request.headers else self._request
        return self._asked is None and not self._answering and last.state in SETTLED

    def receive(self, message: Message) -> Replies | Question:
        """Raises ProtocolViolation where the message cannot follow the ones before."""
        if self._asked is not None or self._over:
            raise self._violation(message, "nothing is to follow" if self._over else "an answer is owed")
        if self._answering:
            return self._while_answering(message)
        half = self._request if is_of_request(message) else self._response
        if isinstance(message, RequestHeaders) and self._response.state is not State.OPEN:
            raise self._violation(message, "the response has begun")
        asked = self._heard(half, message)
        if not isinstance(asked, tuple):
            self._asked = half
        return asked

    def decided(self, decision: Decision | OwnAnswer) -> Reply:
        """Raises InvalidMutation for an edit that this phase cannot carry, or an answer of our own in place of an
        upstream's that is there already."""
        half, self._asked = self._asked, None
        if half is None or half.state not in JUDGING:
            raise ProtocolViolation("nothing was asked")
        judging = half.judged()
        if isinstance(decision, OwnAnswer) and half is not self._request:
            raise InvalidMutation("an upstream has answered already")
        if isinstance(decision, LocalReply | OwnAnswer):
            self._over = True
            return ImmediateReply(decision)
        return self._continue(decision, judging, of_request=half is self._request)

    def edited(self, chunk: bytes, *, end: bool = False) -> Replies:
        """`end` before Envoy's own ends a body early, which only full duplex can do."""
        half, self._asked = self._asked, None
        if half is None:
            raise ProtocolViolation("nothing was asked")
        return half.edited(chunk, end=end)

    def answer(self, status: int, headers: tuple[tuple[str, str], ...], *, end: bool = False) -> Reply:
        """In place of `decided`: an answer of our own that is sent in pieces. Only a request's headers can be answered
        so, and only where no body of it is held (external_processor.proto: StreamedImmediateResponse)."""
        half, self._asked = self._asked, None
        streamable = self._shown.request.body in (BodyMode.NONE, BodyMode.FULL_DUPLEX)
        if half is not self._request or half.state is not State.JUDGING_HEADERS or not streamable:
            raise ProtocolViolation("nothing that an answer in pieces may follow was asked")
        half.judged()
        self._answering, self._over = not end, end
        return AnswerHeadersReply(status, headers, end)

    def answered(self, chunk: bytes, *, end: bool) -> Reply:
        if not self._answering:
            raise ProtocolViolation("no answer in pieces has begun")
        self._answering, self._over = not end, end
        return AnswerChunkReply(chunk, end)

    def _heard(self, half: Half, message: Message) -> Replies | Question:
        if isinstance(message, RequestHeaders):
            self._line = message.request
        if isinstance(message, RequestHeaders | ResponseHeaders):
            return half.headers(message)
        if isinstance(message, RequestBody | ResponseBody):
            return half.body(message)
        return half.trailers(type(message).__name__)

    def _while_answering(self, message: Message) -> Replies:
        """What is left of the request is nobody's any more."""
        if isinstance(message, RequestBody | RequestTrailers) and self._request.duplex:
            return ()
        raise self._violation(message, "an answer in pieces has begun")

    def _continue(self, decision: Continue, judging: State, *, of_request: bool) -> Reply:
        edits = decision.request if of_request else decision.response
        line = decision.rewrite.line(self._line) if of_request and decision.rewrite else ()
        if judging is State.JUDGING_END:
            return self._at_the_end(bool(edits or line or decision.body), of_request=of_request)
        if judging is State.JUDGING_HEADERS:
            if decision.body is not None:
                raise InvalidMutation("a policy replaced a body that it was not shown")
            return HeadersReply(of_request, edits, line)
        limit = self._limits[of_request]
        if decision.body is not None and len(decision.body) > limit:
            raise BodyTooLarge(f"a body of {len(decision.body)} bytes was made, and Envoy holds {limit}")
        return BodyReply(edits, decision.body, of_request, line)

    def _at_the_end(self, edited: bool, *, of_request: bool) -> Reply:
        """The reply to trailers carries no edit of what came before them."""
        if not edited:
            return TrailersReply(of_request)
        if not of_request:
            raise InvalidMutation("an answer without a body has trailers, behind which its headers cannot be edited")
        self._over = True
        return ImmediateReply(refusal(HTTPStatus.BAD_REQUEST, "malformed_request", NO_BODY))

    @staticmethod
    def _violation(message: Message, why: str) -> ProtocolViolation:
        return ProtocolViolation(f"{type(message).__name__} cannot follow: {why}")
