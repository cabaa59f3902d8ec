"""Random conversations of an ext_proc stream, and what Envoy would take for an answer to each of their messages.

The judge of replies here knows nothing of the exchange: it is written from external_processor.proto alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from extproc.core.exchange_messages import (
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
from extproc.core.message import Request, Response
from extproc.core.processing import BodyMode, Processing, Side

BODY: Final = b"the quick brown fox"
SIDES: Final = (
    Side(),
    Side(headers=True),
    Side(headers=True, trailers=True),
    Side(headers=True, body=BodyMode.BUFFERED),
    Side(headers=True, body=BodyMode.BUFFERED, trailers=True),
    Side(headers=True, body=BodyMode.STREAMED),
    Side(headers=True, body=BodyMode.STREAMED, trailers=True),
    Side(headers=True, body=BodyMode.FULL_DUPLEX, trailers=True),
)


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - the same conversations in every run


def modes(chance: random.Random) -> Processing:
    return Processing(chance.choice(SIDES), chance.choice(SIDES))


def conversation(chance: random.Random, shown: Processing) -> list[Message]:
    """What Envoy may send in these modes: a body in any pieces, empty ones, an end that is said twice, no body."""
    request = list(_half(chance, shown.request, of_request=True)) if shown.request.headers else []
    response = list(_half(chance, shown.response, of_request=False)) if shown.response.headers else []
    return request + response


def disturbed(chance: random.Random, messages: Sequence[Message]) -> list[Message]:
    """The same with one mistake: something left out, repeated, moved, or the end come early."""
    told = list(messages)
    if not told:
        return told
    at = chance.randrange(len(told))
    mistake = chance.randrange(4)
    if mistake == 0:
        del told[at]
    elif mistake == 1:
        told.insert(at, chance.choice(told))
    elif mistake == 2:
        told.insert(at, told.pop(chance.randrange(len(told))))
    else:
        del told[at:]
    return told


def _half(chance: random.Random, side: Side, *, of_request: bool) -> Iterator[Message]:
    alone = chance.random() < 0.2
    if of_request:
        yield RequestHeaders(alone, Request("POST", "/"))
    else:
        yield ResponseHeaders(Response(200), alone)
    if alone:
        return
    trailers = side.trailers and chance.random() < 0.5
    body = RequestBody if of_request else ResponseBody
    if side.body is BodyMode.BUFFERED:
        yield body(BODY[: chance.randrange(len(BODY) + 1)])
    elif side.body.in_chunks:
        for piece in _pieces(chance):
            yield body(piece, end=False)
        if not trailers:
            yield body(b"" if chance.random() < 0.5 else BODY[:1], end=True)
            if chance.random() < 0.2:
                yield body(b"", end=chance.random() < 0.5)
    if trailers:
        yield RequestTrailers() if of_request else ResponseTrailers()


def _pieces(chance: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(BODY):
        size = chance.choice((0, 1, 1, 2, 5, len(BODY)))
        yield BODY[at : at + size]
        at += size


@dataclass(slots=True)
class Envoy:
    """What Envoy has seen: says of each batch of replies whether it would take it."""

    shown: Processing
    gone: set[bool] = field(default_factory=set)  # the directions whose end it was told
    bodies: dict[bool, bytes] = field(default_factory=lambda: {True: b"", False: b""})

    def takes(self, message: Message, replies: Sequence[Reply]) -> bool:
        """Records what it would send on."""
        if any(isinstance(reply, ImmediateReply) for reply in replies):
            return len(replies) == 1
        of_request = isinstance(message, RequestHeaders | RequestBody | RequestTrailers)
        side = self.shown.request if of_request else self.shown.response
        if side.body is BodyMode.FULL_DUPLEX and not isinstance(message, RequestHeaders | ResponseHeaders):
            return self._takes_pieces(message, replies, of_request=of_request)
        if len(replies) != 1:
            return False
        (reply,) = replies
        return getattr(reply, "of_request", None) is of_request and isinstance(reply, _kind(message, side))

    def _takes_pieces(self, message: Message, replies: Sequence[Reply], *, of_request: bool) -> bool:
        told = list(replies)
        if isinstance(message, RequestTrailers | ResponseTrailers):
            if of_request in self.gone:
                return not told
            if not told or told.pop() != TrailersReply(of_request):
                return False
        for reply in told:
            if not isinstance(reply, ChunkReply) or not reply.duplex or reply.of_request is not of_request:
                return False
            if of_request in self.gone:
                return False
            self.bodies[of_request] += reply.chunk
            if reply.end:
                self.gone.add(of_request)
        if isinstance(message, RequestBody | ResponseBody) and message.end:
            return of_request in self.gone
        return True


def _kind(message: Message, side: Side) -> type[Reply]:
    if isinstance(message, RequestHeaders | ResponseHeaders):
        return HeadersReply
    if isinstance(message, RequestTrailers | ResponseTrailers):
        return TrailersReply
    return BodyReply if side.body is BodyMode.BUFFERED else ChunkReply
