"""What travels on an ext_proc stream, without protobuf: Envoy's messages, what they make us ask, and our replies."""

from __future__ import annotations

from dataclasses import dataclass, field

from extproc.core.decision import NO_EDITS, HeaderEdits, LocalReply
from extproc.core.message import Request, Response
from extproc.core.own_answers import OwnAnswer

NO_REQUEST = Request("", "")


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    end: bool
    request: Request = NO_REQUEST


@dataclass(frozen=True, slots=True)
class RequestBody:
    body: bytes = field(repr=False)
    end: bool = True


@dataclass(frozen=True, slots=True)
class RequestTrailers:
    """Fields behind a body. Nobody edits them."""


@dataclass(frozen=True, slots=True)
class ResponseHeaders:
    response: Response
    end: bool


@dataclass(frozen=True, slots=True)
class ResponseBody:
    body: bytes = field(repr=False)
    end: bool = True


@dataclass(frozen=True, slots=True)
class ResponseTrailers:
    """Fields behind a body. Nobody edits them."""


Headers = RequestHeaders | ResponseHeaders
Body = RequestBody | ResponseBody
Trailers = RequestTrailers | ResponseTrailers
Message = Headers | Body | Trailers


def is_of_request(message: Message) -> bool:
    return isinstance(message, RequestHeaders | RequestBody | RequestTrailers)


@dataclass(frozen=True, slots=True)
class Judge:
    """The caller must ask the policies about this message and hand their decision to `decided`."""

    message: Request | Response

    @property
    def response(self) -> Response:
        """Raises TypeError where a request is to be judged."""
        if isinstance(self.message, Response):
            return self.message
        raise TypeError("a request is to be judged")


@dataclass(frozen=True, slots=True)
class Edit:
    """The caller must put this piece of a body through the editors and hand what they give to `edited`. With `end`,
    what they held back comes too."""

    of_request: bool
    chunk: bytes = field(repr=False)
    end: bool


Question = Judge | Edit


@dataclass(frozen=True, slots=True)
class HeadersReply:
    """`line` are pseudo-headers of the request: its method, its path with the query."""

    of_request: bool
    edits: HeaderEdits = NO_EDITS
    line: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class BodyReply:
    """`edits` take effect too: in BUFFERED mode the headers wait for the body. `body` None leaves it as it is."""

    edits: HeaderEdits = NO_EDITS
    body: bytes | None = field(default=None, repr=False)
    of_request: bool = False
    line: tuple[tuple[str, str], ...] = ()

    @property
    def content_length(self) -> int | None:
        """The exact length that must be set with a new body: Envoy compares, and answers 500 when they differ."""
        return None if self.body is None else len(self.body)


@dataclass(frozen=True, slots=True)
class ChunkReply:
    """A piece of a body that is edited as it passes. With `duplex` it is one of any number, which only follow each
    other in order; else it is the one that replaces the piece that was shown."""

    of_request: bool
    chunk: bytes = field(repr=False)
    end: bool
    duplex: bool


@dataclass(frozen=True, slots=True)
class TrailersReply:
    of_request: bool


@dataclass(frozen=True, slots=True)
class ImmediateReply:
    """A refusal, or an answer of our own."""

    reply: LocalReply | OwnAnswer


@dataclass(frozen=True, slots=True)
class AnswerHeadersReply:
    """The beginning of an answer of our own that is sent in pieces (external_processor.proto:
    StreamedImmediateResponse)."""

    status: int
    headers: tuple[tuple[str, str], ...]
    end: bool = False


@dataclass(frozen=True, slots=True)
class AnswerChunkReply:
    chunk: bytes = field(repr=False)
    end: bool


Reply = HeadersReply | BodyReply | ChunkReply | TrailersReply | ImmediateReply | AnswerHeadersReply | AnswerChunkReply
Replies = tuple[Reply, ...]
