"""Upstreams of an aggregate in a test: each part's answer, after a time that passes on a fake clock and on no other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from extproc.core.errors import AnswerTooLong, NoAnswerInTime, Overloaded, ProviderUnavailable
from extproc.core.limits import NANOSECONDS
from extproc.core.message import Consumer
from extproc.core.ports import Answer, Call
from extproc.core.specs import PartSpec
from extproc.testing import FakeClock

TURNS = 10  # of the event loop: by then, whatever begins at the same time has begun


@dataclass(frozen=True, slots=True)
class Given:
    """`delay` in seconds; with `away` nobody is there, with `endless` nothing ever comes, with `ended` the
    call is cancelled by somebody else."""

    body: bytes = b"{}"
    status: int = HTTPStatus.OK.value
    delay: float = 0.01
    away: bool = False
    endless: bool = False
    ended: bool = False


@dataclass(slots=True)
class Upstreams:
    """Answers by the part's name. `begun` are the parts in the order in which they were asked, `ended` those whose
    caller waited no more; `most` were asked at the same time."""

    given: Mapping[str, Given]
    clock: FakeClock = field(default_factory=FakeClock)
    calls: dict[str, Call] = field(default_factory=dict)
    consumers: list[Consumer | None] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    most: int = 0
    entered_now: int = 0
    full: bool = False
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    _due: list[int] = field(default_factory=list)
    _moves: int = 0

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        if self.full:
            raise Overloaded("too many")
        self.entered_now += 1
        try:
            yield
        finally:
            self.entered_now -= 1

    async def send(self, route: str, part: PartSpec, call: Call, consumer: Consumer | None) -> Answer:
        self.begun.append(part.name)
        self.calls[part.name] = call
        self.consumers.append(consumer)
        given = self.given.get(part.name, Given())
        try:
            if given.endless:
                self.hanging.set()
                await asyncio.Event().wait()
            await self._passed(min(given.delay, call.timeout))
        except asyncio.CancelledError:
            self.ended.append(part.name)
            raise
        if given.ended:
            raise asyncio.CancelledError
        if given.delay > call.timeout:
            raise NoAnswerInTime("late")
        if given.away:
            raise ProviderUnavailable("nobody is there")
        if len(given.body) > call.max_bytes:
            raise AnswerTooLong("too long")
        return Answer(given.status, body=given.body)

    async def _passed(self, seconds: float) -> None:
        """The clock moves to whatever is due first, when all that begins now has begun, and what came is seen."""
        due = self.clock.ticks + round(seconds * NANOSECONDS)
        self._due.append(due)
        self.most = max(self.most, len(self._due))
        try:
            moved = -1
            while due > min(self._due) or moved != self._moves:
                moved = self._moves
                for _ in range(TURNS):
                    await asyncio.sleep(0)
            self._moves += 1
            self.clock.advance(max(0, due - self.clock.ticks) / NANOSECONDS)
        finally:
            self._due.remove(due)
