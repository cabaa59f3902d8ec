"""Where verification keys come from: a file, a secret that both sides hold, or an issuer who publishes them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Final

from extproc.core.errors import ProviderUnavailable
from extproc.core.ports import ASYMMETRIC, TYPES, Clock, Fetch, KeySet, KeySource
from extproc.core.strict_json import loads_strictly
from extproc.stores.jwks import Jwk, parse_jwks
from extproc.stores.jws import Compact, Keyring, read_compact, verified_payload
from extproc.stores.remote_keys import NO_KEYS, RemoteKeys, Tell, nobody
from extproc.stores.weak_keys import HASH_BYTES, check_secret

MAX_BYTES: Final = 512 * 1024


class FixedKeySet:
    """Keys that stay what they are for as long as the gateway does."""

    generation: Final = 0

    def __init__(self, keys: Keyring) -> None:
        self._keys = keys

    async def payload_of(self, token: str, types: Collection[str] = TYPES) -> bytes:
        read = read_compact(token, types)
        return verified_payload(read, self._keys.key_of(read))


class RemoteKeySet:
    """An issuer's keys as one source wants them: `RemoteKeys` may be shared with others."""

    def __init__(self, keys: RemoteKeys, source: KeySource) -> None:
        self._keys = keys
        self._source = source
        self._bound = Keyring((), source.algorithms)
        self._bound_of = NO_KEYS

    @property
    def generation(self) -> int:
        return self._keys.generation

    async def payload_of(self, token: str, types: Collection[str] = TYPES) -> bytes:
        read = read_compact(token, types)
        if not self._ring().knows(read) and self._is_ours(read):
            await self._keys.renewed(lambda: self._ring().knows(read))
            if self._keys.is_failing() and not self._ring().knows(read):
                raise ProviderUnavailable("the issuer's keys cannot be had")
        return verified_payload(read, self._ring().key_of(read))

    def _is_ours(self, read: Compact) -> bool:
        """Several issuers may share a header, and each sees the others' tokens first."""
        return not self._source.issuer or read.claims_issuer(self._source.issuer)

    def _ring(self) -> Keyring:
        generation = self.generation
        if generation != self._bound_of:
            keys = () if generation == NO_KEYS else self._keys.keys
            self._bound, self._bound_of = Keyring(keys, self._source.algorithms), generation
        return self._bound


class StoredKeySets:
    """Every source is read once. Sources that lead to the same place share what is there."""

    def __init__(self, clock: Clock, fetch: Fetch, tell: Tell = nobody) -> None:
        self._clock = clock
        self._fetch = fetch
        self._tell = tell
        self._sets: dict[KeySource, KeySet] = {}
        self._remote: dict[KeySource, RemoteKeys] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def at(self, source: KeySource) -> KeySet:
        if source not in self._sets:
            self._sets[source] = self._made(source)
        return self._sets[source]

    def ready(self) -> bool:
        return all(keys.ready() for keys in self._remote.values())

    async def tend(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            for keys in self._remote.values():
                self._tasks.create_task(keys.tend())
            await asyncio.Event().wait()  # until it is cancelled, whether there is somebody to tend or not

    def _made(self, source: KeySource) -> KeySet:
        if source.secret:
            return FixedKeySet(_of_secret(source))
        if source.location and "://" not in source.location:
            return FixedKeySet(_of_file(Path(source.location), source.algorithms))
        if not set(source.algorithms) <= set(ASYMMETRIC):
            raise ValueError(f"{', '.join(source.algorithms)}: keys that others can read verify no secret's signature")
        return RemoteKeySet(self._shared(source), source)

    def _shared(self, source: KeySource) -> RemoteKeys:
        """By place: what one source wants of it besides is its own affair."""
        issuer = "" if source.location else source.issuer
        place = KeySource(issuer, source.location, outlast=source.outlast)
        if place not in self._remote:
            self._remote[place] = RemoteKeys(place, self._clock, self._fetch, self._tell)
            if self._tasks is not None:
                self._tasks.create_task(self._remote[place].tend())
        return self._remote[place]


def _of_secret(source: KeySource) -> Keyring:
    """One secret, one algorithm: else a token could choose."""
    if len(source.algorithms) != 1 or source.algorithms[0] not in HASH_BYTES:
        raise ValueError(f"a secret verifies with one algorithm: one of {', '.join(HASH_BYTES)}")
    secret = source.secret.encode()
    check_secret(secret, source.algorithms[0])
    return Keyring([Jwk(None, source.algorithms, secret)], source.algorithms)


def _of_file(file: Path, algorithms: tuple[str, ...]) -> Keyring:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        document = loads_strictly(file.read_bytes())
        keys = Keyring(parse_jwks(document, secrets=algorithms[0] in HASH_BYTES), algorithms)
        if not keys:
            raise ValueError(f"the set has no key for {', '.join(algorithms)}")
        return keys
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{file} is not a JWKS: {error}") from None
