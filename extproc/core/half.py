"""One direction of an ext_proc stream: which of its messages may come now, and what each of them asks for."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import Final

from extproc.core.errors import ProtocolViolation
from extproc.core.exchange_messages import (
    Body,
    ChunkReply,
    Edit,
    Headers,
    HeadersReply,
    Judge,
    Question,
    Replies,
    RequestHeaders,
    TrailersReply,
)
from extproc.core.message import Request, Response
from extproc.core.processing import BodyMode, Side

# Envoy takes pieces of up to 64 KiB, and this leaves room for the message around one.
MAX_CHUNK: Final = 60 * 1024


class State(Enum):
    OPEN = auto()
    JUDGING_HEADERS = auto()
    BODY_DUE = auto()  # buffered: one message with all of it
    JUDGING_BODY = auto()
    FLOWING = auto()  # pieces, and trailers perhaps
    EDITING = auto()
    TRAILERS_MAY_COME = auto()
    CUT = auto()  # we have ended it, Envoy has not yet
    DONE = auto()


JUDGING: Final = frozenset({State.JUDGING_HEADERS, State.JUDGING_BODY})
# All has been judged and edited: what may still come is looked at by nobody.
SETTLED: Final = frozenset({State.TRAILERS_MAY_COME, State.CUT, State.DONE})


class Half:
    """`shown` is what the route's mode shows of this direction. Headers that it does not show are waved through."""

    def __init__(self, shown: Side, *, of_request: bool) -> None:
        self._shown = shown
        self._of_request = of_request
        self._message: Request | Response | None = None
        self._after = State.DONE
        self._trailers_come = False
        self._ended = False  # by the sender: only an empty piece that says so again may follow
        self.state = State.OPEN

    @property
    def duplex(self) -> bool:
        return self._shown.body is BodyMode.FULL_DUPLEX

    def headers(self, message: Headers) -> Replies | Question:
        self._expect(State.OPEN, kind=type(message).__name__)
        self._message = message.request if isinstance(message, RequestHeaders) else message.response
        self._ended = message.end
        if not self._shown.headers:
            self.state = State.DONE
            return (HeadersReply(self._of_request),)
        if self._shown.body is BodyMode.BUFFERED and not message.end:
            self.state = State.BODY_DUE
            return (HeadersReply(self._of_request),)
        self._after = State.DONE if message.end else self._behind_headers()
        self.state = State.JUDGING_HEADERS
        return Judge(self._message)

    def body(self, message: Body) -> Replies | Question:
        if self.state is State.CUT:
            return ()  # on its way when we ended it, and Envoy wants no reply
        if self._is_repeated_end(message):
            return () if self.duplex else (ChunkReply(self._of_request, b"", message.end, duplex=False),)
        if self.state is State.FLOWING:
            self.state, self._ended = State.EDITING, message.end
            return Edit(self._of_request, message.body, message.end)
        self._expect(State.BODY_DUE, kind=type(message).__name__)
        if not message.end:
            raise ProtocolViolation("a buffered body comes whole, this one does not end")
        self.state = State.JUDGING_BODY
        self._after = State.TRAILERS_MAY_COME if self._shown.trailers else State.DONE
        return Judge(self._with_body(message.body))

    def trailers(self, kind: str) -> Replies | Question:
        if not self._shown.trailers or self._ended:
            raise ProtocolViolation(f"{kind} cannot follow in state {self.state.name}")
        if self.state is State.CUT:
            self.state = State.DONE
            return ()
        if self.state is State.FLOWING and self.duplex:
            self.state, self._ended, self._trailers_come = State.EDITING, True, True
            return Edit(self._of_request, b"", end=True)
        self._expect(State.TRAILERS_MAY_COME, State.FLOWING, kind=kind)
        self.state, self._ended = State.DONE, True
        return (TrailersReply(self._of_request),)

    def judged(self) -> State:
        """What was being judged; the direction goes on from there."""
        judging, self.state = self.state, self._after
        return judging

    def edited(self, chunk: bytes, *, end: bool) -> Replies:
        self._expect(State.EDITING, kind="an edit")
        if not self.duplex:
            if end and not self._ended:
                raise ProtocolViolation("in lock-step only Envoy ends a body")
            self.state = State.DONE if self._ended else State.FLOWING
            return (ChunkReply(self._of_request, chunk, self._ended, duplex=False),)
        ends = end or self._ended
        # Where trailers follow, it is their reply that ends the stream.
        replies = self._pieces(chunk, end=ends and not self._trailers_come)
        self.state = State.DONE if self._ended else State.CUT if end else State.FLOWING
        return (*replies, TrailersReply(self._of_request)) if self._trailers_come else replies

    def _behind_headers(self) -> State:
        if self._shown.body.in_chunks:
            return State.FLOWING
        return State.TRAILERS_MAY_COME if self._shown.trailers else State.DONE

    def _is_repeated_end(self, message: Body) -> bool:
        """Envoy may say the end twice, or send an empty piece behind it (envoy#46237)."""
        return self.state is State.DONE and self._shown.body.in_chunks and self._ended and not message.body

    def _pieces(self, chunk: bytes, *, end: bool) -> Replies:
        pieces = [chunk[at : at + MAX_CHUNK] for at in range(0, len(chunk), MAX_CHUNK)] or ([b""] if end else [])
        last = len(pieces) - 1
        return tuple(
            [ChunkReply(self._of_request, piece, end and n == last, duplex=True) for n, piece in enumerate(pieces)]
        )

    def _with_body(self, body: bytes) -> Request | Response:
        if self._message is None:
            raise ProtocolViolation("a body without headers")
        return replace(self._message, body=body)

    def _expect(self, *states: State, kind: str) -> None:
        if self.state not in states:
            raise ProtocolViolation(f"{kind} cannot follow in state {self.state.name}")
