"""The keys of an issuer that publishes them at a URL: fetched in the background, so that nobody waits for an issuer.

One task looks after them (`tend`), so there is never more than one fetch under way. Where nobody does, as in `extproc
explain`, whoever needs them fetches them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, NoReturn

from extproc.core.errors import ProviderUnavailable
from extproc.core.limits import NANOSECONDS
from extproc.core.ports import Answer, Call, Clock, Fetch, KeySource
from extproc.core.strict_json import loads_strictly
from extproc.stores.discovery import document_of, jwks_location
from extproc.stores.freshness import Freshness, lifetime_of
from extproc.stores.jwks import Jwk, parse_jwks

MAX_BYTES: Final = 512 * 1024
TIMEOUT: Final = 5.0  # seconds for an issuer's answer
WAIT: Final = 0.3  # seconds that a request waits for it: Envoy gives the sidecar half a second
MAX_WAITING: Final = 256  # requests; Envoy asks for no more than some thousand at once, and others want an answer too
DISCOVERED: Final = 3_600 * NANOSECONDS  # how long an issuer's word about where its keys are is remembered
ACCEPT: Final = (("accept", "application/jwk-set+json, application/json"),)
OK: Final = 200
NO_KEYS: Final = -1
LONGEST_SAID: Final = 200  # characters of what went wrong: the set that it may quote is longer

KEYS_UNAVAILABLE: Final = "keys_unavailable"  # the event of an issuer that gave no keys
Tell = Callable[..., object]  # an event of the sidecar's own log: its name, and what it says


def nobody(event: str, **said: object) -> None:
    """Whom nobody listens to."""


class RemoteKeys:
    """Where a set cannot be had or trusted, the last good one stays, for as long as `source.outlast` says."""

    def __init__(self, source: KeySource, clock: Clock, fetch: Fetch, tell: Tell) -> None:
        """Raises ValueError where the source leads nowhere."""
        self._tell = tell
        self._name = source.location or source.issuer
        self._source = source
        self._clock = clock
        self._fetch = fetch
        self._discovery = "" if source.location else document_of(source.issuer)
        self._location = source.location
        self._discovered = 0
        self._freshness = Freshness(outlast=round(source.outlast * NANOSECONDS))
        self._keys: tuple[Jwk, ...] = ()
        self._body = b""
        self._generation = 0
        self._attempt: asyncio.Event | None = None  # set when the fetch that is under way or asked for has ended
        self._woken = asyncio.Event()
        self._one_by_one = asyncio.Lock()
        self._waiting = 0
        self._tended = False

    @property
    def generation(self) -> int:
        return self._generation if self._freshness.is_believed(self._clock.monotonic()) else NO_KEYS

    @property
    def keys(self) -> tuple[Jwk, ...]:
        return self._keys

    def ready(self) -> bool:
        """Whether it has ever had keys. Later an outage of one issuer must not take away what the others let in."""
        return self._freshness.fetched is not None

    def is_failing(self) -> bool:
        return self._freshness.failures > 0 or self.generation == NO_KEYS

    def tend(self) -> Coroutine[Any, Any, NoReturn]:
        """Fetches when it is time to, until it is cancelled. From now on nobody else does."""
        self._tended = True
        return self._tend()

    async def _tend(self) -> NoReturn:
        while True:
            if (left := self._freshness.due - self._clock.monotonic()) <= 0:
                async with self._one_by_one:
                    await self._fetch_if_due()
                continue
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left / NANOSECONDS):
                    await self._woken.wait()

    async def renewed(self, enough: Callable[[], bool]) -> None:
        """Looks again at what the issuer publishes, as far as it is time to, until there is `enough`.

        Raises:
            ProviderUnavailable: it takes too long, or too many wait already.
        """
        if not self._tended:
            await self._by_hand(enough)
            return
        if self._waiting >= MAX_WAITING:
            raise ProviderUnavailable("too many wait for the issuer's keys")
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT):
                # Once more where the fetch had begun before the key was there.
                while not enough() and (attempt := self._next()) is not None:
                    await attempt.wait()
        except TimeoutError:
            raise ProviderUnavailable("the issuer's keys are not there in time") from None
        finally:
            self._waiting -= 1

    async def _by_hand(self, enough: Callable[[], bool]) -> None:
        async with self._one_by_one:
            if not enough() and self._next() is not None:
                await self._fetch_if_due()

    def _next(self) -> asyncio.Event | None:
        """The end of the fetch that is under way, or of one for the sake of whoever asks, if it is time for that."""
        if self._attempt is None:
            now = self._clock.monotonic()
            if not (self._freshness.may_ask(now) if self.ready() else now >= self._freshness.due):
                return None
            if self.ready():
                self._freshness.ask(now)
            self._attempt = asyncio.Event()
            self._woken.set()
        return self._attempt

    async def _fetch_if_due(self) -> None:
        """Once, for better or worse."""
        if self._freshness.due > self._clock.monotonic():
            return
        attempt = self._attempt = self._attempt or asyncio.Event()
        try:
            await self._take(await self._answer())
        except Exception as error:  # noqa: BLE001 - whatever an issuer does, the sidecar goes on with what it has
            self._location = self._source.location
            self._freshness.failed(self._clock.monotonic())
            self._tell(KEYS_UNAVAILABLE, issuer=self._name, error=_said(error))
        finally:
            self._attempt = None
            attempt.set()

    async def _take(self, answer: Answer) -> None:
        if answer.body != self._body:
            # In a thread: a large set takes longer to read than a decision may wait.
            self._keys = await asyncio.to_thread(_read, answer.body)
            self._body = answer.body
            self._generation += 1
            self._tell("keys_changed", issuer=self._name, keys=len(self._keys))
        self._freshness.succeeded(self._clock.monotonic(), lifetime_of(answer.headers))

    async def _answer(self) -> Answer:
        now = self._clock.monotonic()
        if not self._location or (self._discovery and now - self._discovered > DISCOVERED):
            found = await self._got(self._discovery)
            self._location, self._discovered = jwks_location(found.body, self._source.issuer), now
        return await self._got(self._location)

    async def _got(self, url: str) -> Answer:
        answer = await self._fetch.send(Call(url, headers=ACCEPT, timeout=TIMEOUT, max_bytes=MAX_BYTES))
        if answer.status != OK:
            raise ProviderUnavailable(f"the issuer answered {answer.status}")
        return answer


def _said(error: Exception) -> str:
    """What an issuer publishes is no secret; what a library says of it might be anything."""
    expected = isinstance(error, ProviderUnavailable | ValueError)
    return (str(error) if expected else type(error).__name__)[:LONGEST_SAID]


def _read(body: bytes) -> tuple[Jwk, ...]:
    return parse_jwks(loads_strictly(body), lenient=True)
