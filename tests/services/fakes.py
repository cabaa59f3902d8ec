"""Policies and stores that do one thing each, so that a test reads as what it is about."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from extproc.core.decision import CONTINUE, Continue, Decision, LocalReply, refusal
from extproc.core.errors import StoreUnavailable
from extproc.core.limits import Charge, CounterState, Settlement
from extproc.core.message import Request, Response
from extproc.core.policy import Context, Policy


@dataclass(slots=True)
class Answers(Policy):
    """Gives one answer in both phases, and keeps what it was shown. The answer may be no decision at all."""

    answer: object = CONTINUE
    requests: list[Request] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)

    async def on_request(self, request: Request, context: Context) -> Decision:
        self.requests.append(request)
        self.contexts.append(context)
        return self.answer  # type: ignore[return-value]  # a plugin's author may not have mypy

    async def on_response(self, response: Response, request: Request, context: Context) -> Decision:
        self.responses.append(response)
        return await self.on_request(request, context)


@dataclass(frozen=True, slots=True)
class Raises(Policy):
    error: BaseException

    async def on_request(self, request: Request, context: Context) -> Decision:
        raise self.error

    async def on_response(self, response: Response, request: Request, context: Context) -> Decision:
        raise self.error


@dataclass(slots=True)
class Waits(Policy):
    """Decides never. Says when it has begun, and when it has been told to end."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def on_request(self, request: Request, context: Context) -> Decision:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        return CONTINUE

    async def on_response(self, response: Response, request: Request, context: Context) -> Decision:
        return await self.on_request(request, context)


@dataclass(slots=True)
class Holds(Policy):
    """Decides when it is let go."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def on_request(self, request: Request, context: Context) -> Decision:
        self.begun.set()
        await self.let_go.wait()
        return CONTINUE


class AdmitsOne(Policy):
    """Allows exactly one value of one header."""

    async def on_request(self, request: Request, context: Context) -> Decision:
        if request.headers.all("x-pass") == ("open sesame",):
            return CONTINUE
        return refusal(403, "not_admitted", "no")


@dataclass(frozen=True, slots=True)
class Edits(Policy):
    """Puts bytes in front of a response's body."""

    prefix: bytes

    async def on_response(self, response: Response, request: Request, context: Context) -> Decision:
        return Continue(body=self.prefix + (response.body or b""))


class NoStore:
    """A counter store whose server does not answer."""

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        raise StoreUnavailable("the counters did not answer in time")

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        raise StoreUnavailable("the counters did not answer in time")


@dataclass(slots=True)
class Noting:
    """Passes everything on to another store, and keeps what was asked."""

    store: object
    charges: list[Charge] = field(default_factory=list)

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        self.charges.append(charge)
        return await self.store.hit(charge)  # type: ignore[attr-defined,no-any-return]

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self.store.settle(settlements)  # type: ignore[attr-defined]


REFUSED: LocalReply = refusal(403, "not_admitted", "no")
