"""Policies, authenticators and requests that do one thing each, so that a test reads as what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from extproc.core.decision import CONTINUE, Continue, Decision, HeaderEdits, LocalReply
from extproc.core.headers import Headers
from extproc.core.limits import Limit, Per
from extproc.core.message import Consumer, Request, Response
from extproc.core.policy import Context, Policy

GET: Final = Request("GET", "/orders")
OK: Final = Response(200)
ACME: Final = Consumer("acme", "free", ("orders:read",))


def request(headers: Mapping[str, str] | None = None, query: str = "") -> Request:
    return Request("GET", "/orders", query=query, headers=Headers.of(headers or {}))


def limit(count: int = 5, period: int = 60, burst: int = 5, name: str = "tier", scope: str = "tier/free") -> Limit:
    return Limit(name, scope, Per.CONSUMER, count, period, burst)


def sets(name: str, value: str) -> HeaderEdits:
    return HeaderEdits(set=((name, value),))


@dataclass(slots=True)
class Says(Policy):
    """Gives one answer in both phases and keeps what it was shown. The answer may be no decision at all."""

    answer: object = CONTINUE
    shown: list[Request | Response] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)

    async def on_request(self, request: Request, context: Context) -> Decision:
        self.shown.append(request)
        self.contexts.append(context)
        return self.answer  # type: ignore[return-value]  # a plugin's author may not have mypy

    async def on_response(self, response: Response, request: Request, context: Context) -> Decision:
        self.shown.append(response)
        self.contexts.append(context)
        return self.answer  # type: ignore[return-value]


@dataclass(slots=True)
class Raises(Policy):
    error: BaseException

    async def on_request(self, request: Request, context: Context) -> Decision:
        raise self.error


@dataclass(slots=True)
class RaisesAtOnce(Policy):
    """Its author forgot `async`: it raises before there is anything to await."""

    error: BaseException

    def on_request(self, request: Request, context: Context) -> Decision:  # type: ignore[override]
        raise self.error


@dataclass(slots=True)
class Appends(Policy):
    """Puts a letter at the end of a response's body, and says so in a header."""

    letter: str

    async def on_response(self, response: Response, request: Request, context: Context) -> Decision:
        return Continue(response=sets("x-last", self.letter), body=(response.body or b"") + self.letter.encode())


@dataclass(frozen=True, slots=True)
class Method:
    """An authenticator that answers the same for whoever sends its header."""

    name: str
    header: str
    answer: object
    challenge: str = ""
    query: str = ""

    @property
    def credential_query(self) -> Sequence[str]:
        return (self.query,) if self.query else ()

    @property
    def credential_headers(self) -> Sequence[str]:
        return (self.header,)

    def presents(self, request: Request) -> bool:
        return self.header in request.headers or (bool(self.query) and self.query in request.query)

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]  # a plugin's author may not have mypy


@dataclass(frozen=True, slots=True)
class Anonymous:
    """An authenticator for whoever brings no credential."""

    name: str
    consumer: Consumer

    anonymous: ClassVar[bool] = True
    challenge: ClassVar[str] = ""
    credential_headers: ClassVar[tuple[str, ...]] = ()

    def presents(self, request: Request) -> bool:
        return False

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        return self.consumer
