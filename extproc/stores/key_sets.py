"""Where verification keys come from: a file, or a secret that both sides hold."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from extproc.core.ports import TYPES, KeySet, KeySource
from extproc.core.strict_json import loads_strictly
from extproc.stores.jwks import Jwk, parse_jwks
from extproc.stores.jws import Keyring, read_compact, verified_payload
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


class StoredKeySets:
    """Every source is read once."""

    def __init__(self) -> None:
        self._sets: dict[KeySource, KeySet] = {}

    def at(self, source: KeySource) -> KeySet:
        if source not in self._sets:
            self._sets[source] = _key_set(source)
        return self._sets[source]


def _key_set(source: KeySource) -> KeySet:
    if source.secret:
        return FixedKeySet(_of_secret(source))
    return FixedKeySet(_of_file(Path(source.location), source.algorithms))


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
        return Keyring(parse_jwks(document, secrets=algorithms[0] in HASH_BYTES), algorithms)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{file} is not a JWKS: {error}") from None
