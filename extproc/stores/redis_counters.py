"""Counters in a Redis that several sidecars share: one script judges all counters of a call, by Redis's own clock.

What several calls ask in one turn of the event loop goes out together. Nothing is tried twice: an answer that is lost
may have been a charge, and counts as one.

In a Cluster, a script reaches one slot only. The counters of one subject are in one; those that subjects share (a
route's, a tier's) are judged before, each in its own, and given back when a later one refuses. Meanwhile they are as if
charged: such a counter may refuse as many as there are calls between its judgement and the last one, and never admits
more than its limit. Where giving back fails as well, it stays charged. While
a slot is on its way to another node, its counters are judged in the same way, each alone: a script of several keys runs
nowhere then. A retry is not known as one meanwhile, and a budget, which is two keys, waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple

from redis.exceptions import AskError, NoScriptError, ReadOnlyError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as NotConnected

from extproc.core.errors import StoreUnavailable
from extproc.core.limits import Charge, CounterState, Hit, Kind, Per, Settlement
from extproc.core.ports import Clock
from extproc.stores.redis_charge import (
    BACK,
    HIT,
    Item,
    Question,
    ask,
    ask_to_settle,
    group_of,
    seconds_of,
    states_of,
    wall,
)
from extproc.stores.redis_connection import RedisConnection
from extproc.stores.redis_scripts import run

SCRIPT: Final = files("extproc.stores").joinpath("counters.lua").read_bytes()
SHA: Final = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()  # how Redis names it (EVALSHA)
AT_ONCE: Final = 128  # questions in one pipeline: Redis answers them in some 5 ms
TRIES: Final = 3  # at finding the window that Redis is in: the second one knows its time
SHARED: Final = (Per.ROUTE, Per.TIER)
Time = Callable[[], str]
Answer = list[int]


class Part(NamedTuple):
    """What one script judges of a charge. Without the charge's key it is alone: a retry is not known as one."""

    items: Sequence[Item]
    charge: Charge

    @property
    def can_be_taken_apart(self) -> bool:
        return len(self.items) > 1 or self.charge.key is not None

    def each_alone(self) -> list[Part]:
        return [Part([item], self.charge._replace(key=None)) for item in self.items]


def own_time() -> str:
    """Redis's."""
    return ""


class SlotMoving(StoreUnavailable):
    """What was asked about is half on one node and half on another."""


class RedisCounters:
    """`time` is for tests, which move it."""

    def __init__(self, connection: RedisConnection, clock: Clock, time: Time = own_time) -> None:
        self._connection = connection
        self._clock = clock
        self._time = time
        self._ahead = 0  # by how many microseconds Redis's clock was ahead of ours when it last said so
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._sending: set[asyncio.Future[None]] = set()

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        if not charge.hits:
            return ()
        holder = charge.held_by or ""
        if not holder and any(hit.counter.limit.kind is Kind.CONCURRENCY for hit in charge.hits):
            holder = secrets.token_hex(8)
        if not self._connection.is_cluster:
            items = [Item(hit, place) for place, hit in enumerate(charge.hits)]
            return tuple(await self._judged(items, charge, holder))
        return await self._hit_in_parts(charge, holder)

    async def _hit_in_parts(self, charge: Charge, holder: str) -> tuple[CounterState, ...]:
        parts = deque(Part(items, charge) for items in self._groups(charge.hits))
        states: dict[int, CounterState] = {}
        charged: list[Part] = []
        while parts:
            part = parts.popleft()
            try:
                found = await self._judged(part.items, part.charge, holder)
            except StoreUnavailable as error:
                if isinstance(error, SlotMoving) and part.can_be_taken_apart:
                    parts.extendleft(reversed(part.each_alone()))
                    continue
                await self._give_back(charged, states, holder)
                raise
            states.update({item.place: state for item, state in zip(part.items, found, strict=True)})
            if any(state.refuses for state in found):
                await self._give_back(charged, states, holder)
                break
            charged.append(part)
        return await self._all(charge, states, holder)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        together: dict[tuple[str, str], list[Settlement]] = {}
        for settlement in settlements:
            where = group_of(settlement.counter) if self._connection.is_cluster else ""
            together.setdefault((settlement.held, where), []).append(settlement)
        questions = [ask_to_settle(some, held, self._time()) for (held, _), some in together.items()]
        await asyncio.gather(*(self._answer(question) for question in questions))

    def _groups(self, hits: Sequence[Hit]) -> list[list[Item]]:
        """What one script can judge. Those that others share come first: what is refused after them is given back, and
        for the shortest time."""
        items = [Item(hit, place) for place, hit in enumerate(hits)]
        groups: dict[str, list[Item]] = {}
        for item in items:
            groups.setdefault(group_of(item.hit.counter), []).append(item)
        return sorted(groups.values(), key=lambda group: group[0].hit.counter.limit.per not in SHARED)

    async def _judged(self, items: Sequence[Item], charge: Charge, holder: str) -> list[CounterState]:
        for _ in range(TRIES):
            moment = seconds_of(wall(self._clock.now()) + self._ahead)
            answer = await self._answer(ask(HIT, items, charge, holder, self._time(), moment))
            if len(answer) != 1:
                return states_of(items, answer)
            self._ahead = answer[0] - wall(self._clock.now())
        raise StoreUnavailable("Redis's clock does not stand still in one window of the calendar")

    async def _give_back(self, parts: Sequence[Part], states: dict[int, CounterState], holder: str) -> None:
        """What was charged, and only that. Where even this fails it stays charged: too strict rather than too lax."""
        for part in parts:
            items = [item for item in part.items if item.hit.count and states[item.place].allowed]
            moment = seconds_of(wall(self._clock.now()) + self._ahead)
            try:
                if items:
                    await self._answer(ask(BACK, items, part.charge, holder, self._time(), moment))
            except StoreUnavailable:
                continue

    async def _all(self, charge: Charge, states: dict[int, CounterState], holder: str) -> tuple[CounterState, ...]:
        """What comes after a refusal was not asked, and what came before is no longer charged: both are looked at, so
        that a refusal tells as much as elsewhere."""
        if len(states) == len(charge.hits) and not any(state.refuses for state in states.values()):
            return tuple([states[place] for place in range(len(charge.hits))])
        kept = {place: state for place, state in states.items() if not state.allowed}
        looks = Charge(tuple(Hit(hit.counter, 0) for hit in charge.hits))
        for items in self._groups(looks.hits):
            missing = [item for item in items if item.place not in kept]
            if missing:
                found = await self._looked_at(missing, looks, holder)
                kept.update({item.place: state for item, state in zip(missing, found, strict=True)})
        return tuple([kept[place] for place in range(len(charge.hits))])

    async def _looked_at(self, items: Sequence[Item], looks: Charge, holder: str) -> list[CounterState]:
        try:
            return await self._judged(items, looks, holder)
        except SlotMoving:
            return [state for item in items for state in await self._judged([item], looks, holder)]

    async def _answer(self, question: Question) -> Answer:
        """Sent with all that is asked before the event loop comes round."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((question, future))
        if len(self._waiting) == 1:
            loop.call_soon(self._send_waiting)
        return await future

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), AT_ONCE):
            sending = asyncio.ensure_future(self._send(waiting[start : start + AT_ONCE]))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _send(self, batch: Sequence[tuple[Question, asyncio.Future[Answer]]]) -> None:
        """Whatever happens, everybody gets an answer or an error."""
        questions = [question for question, _ in batch]
        try:
            answers: Sequence[Any] = await self._connection.ask(lambda client: self._asked(client, questions))
        except Exception as error:  # noqa: BLE001 - those who wait are to know, whatever it is
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                _settle(future, answer)

    async def _asked(self, client: Any, questions: Sequence[Question]) -> Sequence[Any]:
        answers = list(await run(client, SHA, questions))
        lost = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if lost:  # Redis began anew, or its scripts were flushed: of these nothing has run
            await self._connection.load(SCRIPT)
            again = await run(client, SHA, [questions[place] for place in lost])
            for place, answer in zip(lost, again, strict=True):
                answers[place] = answer
        if any(isinstance(answer, ReadOnlyError) for answer in answers):  # a master no longer
            await self._connection.reconnect()
        if any(isinstance(answer, OSError | NotConnected) for answer in answers):  # one node of several
            self._connection.doubt()
        return answers


def _settle(future: asyncio.Future[Answer], answer: Answer | BaseException) -> None:
    if isinstance(answer, StoreUnavailable):
        future.set_exception(StoreUnavailable(str(answer)))  # each its own: a traceback grows with every raise
    elif isinstance(answer, AskError | TryAgainError):
        future.set_exception(SlotMoving("counters: their slot is on its way to another node of the Cluster"))
    elif isinstance(answer, BaseException):
        said = type(answer).__name__ if isinstance(answer, RedisError | OSError) else f"{type(answer).__name__} within"
        future.set_exception(StoreUnavailable(f"counters: Redis does not judge ({said})"))
    else:
        future.set_result(answer)
