"""One ext_proc stream as a state machine: message in, question or reply out. No I/O, no policy, no protobuf.

Rule 1: exactly one reply per message, of the message's own kind (external_processor.proto: anything else is spurious).
Rule 2: what cannot follow is a ProtocolViolation, and the caller aborts the stream with a non-OK status: Envoy lets a
request through, uninspected, when its stream closes cleanly.

The messages of the request's side are answered with "go on": what a request may do was decided by ext_authz, before
this stream opened. The response is judged once: with its body where the route's mode shows one, else by its headers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from extproc.core.decision import NO_EDITS, Continue, Decision, HeaderEdits, LocalReply
from extproc.core.errors import InvalidMutation, ProtocolViolation
from extproc.core.message import Response


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    end: bool


@dataclass(frozen=True, slots=True)
class ResponseHeaders:
    response: Response
    end: bool


@dataclass(frozen=True, slots=True)
class ResponseBody:
    body: bytes = field(repr=False)
    end: bool = True


Message = RequestHeaders | ResponseHeaders | ResponseBody


@dataclass(frozen=True, slots=True)
class Judge:
    """The caller must ask the policies about this response and hand their decision to `decided`."""

    response: Response


@dataclass(frozen=True, slots=True)
class HeadersReply:
    of_request: bool
    edits: HeaderEdits = NO_EDITS


@dataclass(frozen=True, slots=True)
class BodyReply:
    """`edits` reach the client too: in BUFFERED mode the headers wait for the body. `body` None leaves it as it is."""

    edits: HeaderEdits = NO_EDITS
    body: bytes | None = field(default=None, repr=False)

    @property
    def content_length(self) -> int | None:
        """The exact length that must be set with a new body: Envoy compares, and answers 500 when they differ."""
        return None if self.body is None else len(self.body)


@dataclass(frozen=True, slots=True)
class ImmediateReply:
    reply: LocalReply


Reply = HeadersReply | BodyReply | ImmediateReply


class State(Enum):
    OPEN = auto()
    REQUEST_SEEN = auto()
    BODY_DUE = auto()
    JUDGING_HEADERS = auto()
    JUDGING_BODY = auto()
    DONE = auto()


# (state, message) -> (state when the message ends the stream's side, state when a body follows that the mode shows).
TRANSITIONS: dict[tuple[State, type[Message]], tuple[State, State]] = {
    (State.OPEN, RequestHeaders): (State.REQUEST_SEEN, State.REQUEST_SEEN),
    (State.OPEN, ResponseHeaders): (State.JUDGING_HEADERS, State.BODY_DUE),
    (State.REQUEST_SEEN, ResponseHeaders): (State.JUDGING_HEADERS, State.BODY_DUE),
    (State.BODY_DUE, ResponseBody): (State.JUDGING_BODY, State.JUDGING_BODY),
}


class Exchange:
    """Feed it every message with `receive`; where that returns a Judge, answer it with `decided`."""

    def __init__(self, *, response_body: bool) -> None:
        self._response_body = response_body
        self._response: Response | None = None
        self.state = State.OPEN

    def receive(self, message: Message) -> Reply | Judge:
        """Raises ProtocolViolation where the message cannot follow the ones before."""
        try:
            ended, more = TRANSITIONS[self.state, type(message)]
        except KeyError:
            raise ProtocolViolation(f"{type(message).__name__} cannot follow in state {self.state.name}") from None
        body_follows = self._response_body and not message.end
        self.state = more if body_follows else ended
        if isinstance(message, RequestHeaders):
            return HeadersReply(of_request=True)
        if isinstance(message, ResponseHeaders):
            self._response = message.response
            return HeadersReply(of_request=False) if body_follows else Judge(message.response)
        if not message.end:
            raise ProtocolViolation("a buffered body comes whole, this one does not end")
        return Judge(self._with_body(message.body))

    def decided(self, decision: Decision) -> Reply:
        """Raises InvalidMutation for an edit that this phase cannot carry."""
        judging, self.state = self.state, State.DONE
        if judging not in (State.JUDGING_HEADERS, State.JUDGING_BODY):
            raise ProtocolViolation("nothing was asked")
        if isinstance(decision, LocalReply):
            return ImmediateReply(decision)
        return self._continue(decision, judging)

    def _continue(self, decision: Continue, judging: State) -> Reply:
        if judging is State.JUDGING_BODY:
            return BodyReply(decision.response, decision.body)
        if decision.body is not None:
            raise InvalidMutation("a policy replaced the body of a response whose body it was not shown")
        return HeadersReply(of_request=False, edits=decision.response)

    def _with_body(self, body: bytes) -> Response:
        if self._response is None:
            raise ProtocolViolation("a body without headers")
        return replace(self._response, body=body)
