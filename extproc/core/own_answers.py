"""What the gateway answers by itself to a request that was let in. It is no LocalReply: that one refuses, in whatever
phase, while these exist only where a route's aggregate puts an answer together, after everything has let the request in
(core.chain holds them to that). So no mistake in a refusal can make it a success, and no policy can answer 200."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from extproc.core.decision import check_reply
from extproc.core.errors import BodyTooLarge
from extproc.core.processing import MAX_SHOWN

STATUS: Final = 200
REASON: Final = "aggregated"


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """Whole. `facts` go into the decision's record."""

    body: bytes = field(repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    status: int = field(default=STATUS, init=False)
    reason: str = field(default=REASON, init=False)

    def __post_init__(self) -> None:
        check_reply(self.headers)
        if len(self.body) > MAX_SHOWN:
            raise BodyTooLarge(f"an answer of our own has at most {MAX_SHOWN} bytes")


class Pieces(Protocol):
    """An asynchronous generator, for one."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class OwnStream:
    """In pieces, as they are made. Whoever takes them closes `pieces` too. `facts` are complete with the last piece."""

    pieces: Pieces = field(repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    status: int = field(default=STATUS, init=False)
    reason: str = field(default=REASON, init=False)

    def __post_init__(self) -> None:
        check_reply(self.headers)


class Begun:
    """A first piece that is there, and the rest."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes]) -> None:
        self._first: bytes | None = first
        self._rest = rest

    def __aiter__(self) -> Begun:
        return self

    async def __anext__(self) -> bytes:
        first, self._first = self._first, None
        return await anext(self._rest) if first is None else first

    async def aclose(self) -> None:
        await self._rest.aclose()
