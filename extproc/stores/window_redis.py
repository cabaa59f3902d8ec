"""Calendar counters in a Redis, for several processes: exact, by one clock, each key with an end.

A counter is one text, `WINDOW:COUNT`. Redis adds to it in a script, by its own time: neither processes whose clocks
differ nor a clock that is set can make two of one window.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from extproc.core.counter_keys import counter_name
from extproc.core.errors import StoreUnavailable
from extproc.core.windows import MOST, Addition, Counted
from extproc.stores.redis_connection import RedisConnection

PREFIX: Final = b"extproc:window:"
# As `goes_on` and `grown` in core/windows.py say. Numbers are written in digits: by itself Lua would write 1e+15.
SCRIPT: Final = (
    b"""
local unit, hits = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = tonumber(redis.call('TIME')[1])
local window = math.floor(now / unit)
local begun, held = window, 0
local value = redis.call('GET', KEYS[1])
if value then
  local first, second = string.match(value, '^(%%d+):(%%d+)$')
  if tonumber(first) >= window and tonumber(first) <= window + 1 then
    begun, held = tonumber(first), tonumber(second)
  end
end
if hits ~= 0 then
  local after = math.max(0, math.min(held + hits, %d))
  redis.call('SET', KEYS[1], string.format('%%.0f:%%.0f', begun, after))
  redis.call('EXPIREAT', KEYS[1], (begun + 1) * unit)
end
return {now, held}
"""
    % MOST
)
DIGEST: Final = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()  # how Redis calls a script that it knows


Waiting = tuple[tuple[Addition, ...], "asyncio.Future[Counted]"]


class RedisWindows:
    """Whoever asks in the same turn of the event loop is asked for together: a connection each would cost them all more
    time than Redis takes."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._waiting: list[Waiting] = []
        self._asking: set[asyncio.Future[None]] = set()
        self.ready = connection.ready
        self.tend = connection.tend
        self.close = connection.close

    async def add(self, additions: tuple[Addition, ...]) -> Counted:
        if not additions:
            return Counted(0, ())
        answer: asyncio.Future[Counted] = asyncio.get_running_loop().create_future()
        self._waiting.append((additions, answer))
        if len(self._waiting) == 1:
            asking = asyncio.ensure_future(self._ask())
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
        return await answer

    async def _ask(self) -> None:
        """Begins in the next turn, with all that have come until then. Who has gone meanwhile was counted all the
        same."""
        waiting, self._waiting = self._waiting, []
        try:
            answers = iter(await self._connection.ask(lambda client: _added(client, _all(waiting))))
        except Exception as error:  # noqa: BLE001 - whatever it is, they wait for it
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(StoreUnavailable(str(error)) if isinstance(error, StoreUnavailable) else error)
            return
        for additions, answer in waiting:
            counted = list(islice(answers, len(additions)))
            if not answer.done():
                _tell(answer, counted)


def _tell(answer: asyncio.Future[Counted], counted: Sequence[Any]) -> None:
    """A counter that Redis cannot add to, for another program's value stands there, is the concern of its own call."""
    failed = next((one for one in counted if isinstance(one, Exception)), None)
    if failed is not None:
        answer.set_exception(StoreUnavailable(f"Redis cannot count ({type(failed).__name__})"))
        return
    answer.set_result(Counted(counted[0][0], tuple([held for _, held in counted])))


def _all(waiting: Sequence[Waiting]) -> tuple[Addition, ...]:
    return tuple([addition for additions, _ in waiting for addition in additions])


async def _added(client: Redis, additions: tuple[Addition, ...]) -> list[Any]:
    """One way there and back. What Redis does not know the script of has not been done, and may be asked again: with
    the script itself, which it then remembers."""
    answers = await _asked(client, "EVALSHA", DIGEST, additions)
    unknown = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        again = await _asked(client, "EVAL", SCRIPT, tuple(additions[n] for n in unknown))
        for n, answer in zip(unknown, again, strict=True):
            answers[n] = answer
    return answers


async def _asked(client: Redis, command: str, script: str | bytes, additions: tuple[Addition, ...]) -> list[Any]:
    async with client.pipeline(transaction=False) as pipe:
        for key, unit, hits in additions:
            name = PREFIX + unit.name.lower().encode() + b":" + counter_name(key)
            pipe.execute_command(command, script, 1, name, unit.value, max(-MOST, min(hits, MOST)))
        return list(await pipe.execute(raise_on_error=False))
