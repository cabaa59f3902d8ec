"""Rollouts in a Redis, for all sidecars that share it: one of them leads, for as long as it says so in time."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

from extproc.core.guard import Trial
from extproc.core.rollout import Change, Rollout
from extproc.stores.redis_connection import RedisConnection
from extproc.stores.rollout_entry import MOST_CHANGES, line, read_change, read_rollout, read_trial

# What stands in braces decides where a Cluster keeps it: one script changes them together.
PREFIX: Final = "extproc:{rollouts}:"
STATES, GENERATIONS, TRIALS = f"{PREFIX}states", f"{PREFIX}generations", f"{PREFIX}trials"
LEADER: Final = f"{PREFIX}leader"
LEASE: Final = 3_000  # milliseconds: with the time between two tries, another one leads within five seconds
SCRIPT: Final = Path(__file__).with_name("rollouts.lua").read_text("utf-8")
LEAD: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
"""
GIVE_UP: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisRollouts:
    """`token` is this sidecar's own: whoever is not named by the lease changes nothing as a leader."""

    def __init__(self, connection: RedisConnection, token: str = "") -> None:
        self._connection = connection
        self._token = token or secrets.token_hex(16)
        self._leads = False
        self.tend = connection.tend

    async def read(self) -> Mapping[str, Rollout]:
        found = await self._connection.ask(lambda client: _answer(client.hgetall(STATES)))
        return {model.decode(): read_rollout(state) for model, state in found.items()}

    async def change(self, rollout: Rollout, change: Change | None, expected: int, *, leading: bool) -> bool:
        record = line(change) if change is not None else b""
        return await self._run(
            rollout.model, str(expected), rollout.generation, line(rollout), record, self._token if leading else "", b""
        )

    async def history(self, model: str) -> Sequence[Change]:
        found = await self._connection.ask(lambda client: _answer(client.lrange(_history(model), 0, MOST_CHANGES)))
        return [read_change(record) for record in found]

    async def trial(self, model: str) -> Trial | None:
        found = await self._connection.ask(lambda client: _answer(client.hget(TRIALS, model)))
        return read_trial(found) if found else None

    async def keep(self, model: str, trial: Trial) -> bool:
        return await self._run(model, "", 0, b"", b"", self._token, line(trial))

    async def lead(self) -> bool:
        answer = await self._connection.ask(
            lambda client: _answer(client.eval(LEAD, 1, LEADER, self._token, str(LEASE)))
        )
        self._leads = bool(answer)
        return self._leads

    async def give_up(self) -> None:
        if self._leads:
            self._leads = False
            await self._connection.ask(lambda client: _answer(client.eval(GIVE_UP, 1, LEADER, self._token)))

    async def close(self) -> None:
        try:
            await self.give_up()
        finally:
            await self._connection.close()

    async def _run(
        self, model: str, expected: str, generation: int, state: bytes, record: bytes, token: str, trial: bytes
    ) -> bool:
        keys = (STATES, GENERATIONS, LEADER, _history(model), TRIALS)
        arguments = (model, expected, str(generation), state, record, str(MOST_CHANGES), token, trial)

        async def ask(client: Redis) -> bool:
            return bool(await _answer(client.eval(SCRIPT, len(keys), *keys, *arguments)))

        return await self._connection.ask(ask)


def _history(model: str) -> str:
    return f"{PREFIX}history:{model}"


async def _answer(asked: Any) -> Any:
    """redis-py types its commands for both of its clients: an answer, or what must be awaited."""
    return await asked
