"""An issuer that publishes its keys, and key sets that a task tends, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from extproc.core.errors import CouldNotDecide, InvalidToken
from extproc.core.headers import Headers
from extproc.core.ports import Answer, KeySet, KeySource
from extproc.stores.key_sets import StoredKeySets
from extproc.testing import FakeClock, FakeFetch
from tests.stores.signing import jwks, signed

ISSUER: Final = "https://id.example.com"
URL: Final = "https://id.example.com/jwks"
DOCUMENT: Final = "https://id.example.com/.well-known/openid-configuration"
BY_URL: Final = KeySource(ISSUER, URL)
DISCOVERED: Final = KeySource(ISSUER)
PATIENCE: Final = 3.0


class Issuer:
    """What it publishes, and the key sets that believe it."""

    def __init__(self, *keys: Mapping[str, object]) -> None:
        self.clock = FakeClock()
        self.fetch = FakeFetch()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.sets = StoredKeySets(self.clock, self.fetch, lambda event, **said: self.told.append((event, said)))
        self.fetch.answers[DOCUMENT] = answer({"issuer": ISSUER, "jwks_uri": URL})
        self.publish(*keys)

    def publish(self, *keys: Mapping[str, object], **headers: str) -> None:
        self.fetch.answers[URL] = answer(jwks(*keys), 200, **headers)

    @property
    def asked(self) -> list[str]:
        return [call.url for call in self.fetch.calls]

    @asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.sets.tend())
        await until(lambda: self.sets._tasks is not None)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def passes(self, seconds: float) -> None:
        """Time, and whatever is done in it."""
        before = len(self.fetch.calls)
        self.clock.advance(seconds)
        for remote in self.sets._remote.values():
            due = remote._freshness.due <= self.clock.monotonic()
            remote._woken.set()
            if due:
                await until(lambda: len(self.fetch.calls) > before)
                await until(lambda remote=remote: remote._attempt is None)  # type: ignore[misc]


def answer(document: object, status: int = 200, **headers: str) -> Answer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Answer(status, Headers.of({name.replace("_", "-"): value for name, value in headers.items()}), body)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - it is a thread that is waited for, which tells nobody
            await asyncio.sleep(0)


def token(key: Any, kid: str, algorithm: str = "ES256", issuer: str = ISSUER) -> str:
    return signed({"alg": algorithm, "kid": kid}, key, {"iss": issuer})


async def outcome(keys: KeySet, spelled: str) -> str:
    """`good`, or the reason why not."""
    try:
        await keys.payload_of(spelled)
    except InvalidToken as refused:
        return refused.reason
    except CouldNotDecide as undecided:
        return undecided.reason
    return "good"
