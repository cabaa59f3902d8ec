"""Compact JWS (RFC 7515 §7.1), read more strictly than the library behind it would.

PyJWT verifies the signature and nothing else. Every check of RFC 8725 that two readers could do differently stands here
in the open: one spelling, one key, that key's own algorithm, no name twice, no critical extension.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import jwt

from extproc.core.errors import InvalidToken
from extproc.core.strict_json import loads_strictly
from extproc.stores.jwks import Jwk
from extproc.stores.weak_keys import HASH_BYTES

MAX_TOKEN: Final = 16 * 1024  # Envoy itself stops at 60 KiB of headers
MAX_HEADER: Final = 1024
COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+")
UNSUPPORTED: Final = frozenset({"crit", "b64", "cty", "zip", "enc"})  # what they ask for, nobody here does
UNTYPED: Final = "jwt"  # RFC 7519 §5.1: to say nothing is to say that
MEDIA_TYPE: Final = "application/"  # RFC 7515 §4.1.9: may be left out


class Compact(NamedTuple):
    """A token of the right form. Nothing that it says is believed yet."""

    text: str
    algorithm: str
    kid: str | None

    def claims_issuer(self, issuer: str) -> bool:
        """What it says for itself, so that nobody is asked about the tokens of others."""
        try:
            claims = loads_strictly(_bytes(self.text.split(".")[1]))
        except ValueError:
            return False
        return isinstance(claims, dict) and claims.get("iss") == issuer


class BoundKey(NamedTuple):
    """A key with the one algorithm that it verifies."""

    algorithm: str
    material: Any


class Keyring:
    """Keys by their ids, each bound to one algorithm."""

    def __init__(self, keys: Sequence[Jwk], algorithms: Sequence[str]) -> None:
        self._bound: dict[str | None, list[BoundKey]] = {}
        for key in keys:
            algorithm = next((one for one in algorithms if one in key.algorithms and _long_enough(key, one)), None)
            if algorithm is not None:
                self._bound.setdefault(key.kid, []).append(BoundKey(algorithm, key.material))
        self._all = [key for keys in self._bound.values() for key in keys]

    def __len__(self) -> int:
        return len(self._all)

    def knows(self, token: Compact) -> bool:
        """Whether another look at the issuer's keys would be no help."""
        named = self._named(token)
        return bool(named) if token.kid is not None else any(key.algorithm == token.algorithm for key in named)

    def key_of(self, token: Compact) -> BoundKey:
        """The key that the token names, or the only one of its algorithm where it names none."""
        fitting = [key for key in self._named(token) if key.algorithm == token.algorithm]
        if len(fitting) != 1:
            raise InvalidToken("unknown_key")
        return fitting[0]

    def _named(self, token: Compact) -> Sequence[BoundKey]:
        """Where the keys have no ids, a token's own chooses nothing."""
        if token.kid is None or self._bound.keys() == {None}:
            return self._all
        return self._bound.get(token.kid, ())


def read_compact(token: str, types: Collection[str]) -> Compact:
    """Raises InvalidToken for whatever is not spelled in the one way, or asks for what nobody here does."""
    if len(token) > MAX_TOKEN or not COMPACT.fullmatch(token):
        raise InvalidToken("malformed_token")
    segments = token.split(".")
    if not all(_is_canonical(segment) for segment in segments[:2]):
        raise InvalidToken("malformed_token")
    header = _header(segments[0])
    if header.keys() & UNSUPPORTED or not _is_of(types, header.get("typ", UNTYPED)):
        raise InvalidToken("unsupported_token")
    return Compact(token, header["alg"], header.get("kid"))


def verified_payload(token: Compact, key: BoundKey) -> bytes:
    """Raises InvalidToken where that key did not sign it."""
    try:
        decoded = _library().decode_complete(token.text, key.material, algorithms=[key.algorithm])
    except jwt.PyJWTError:
        raise InvalidToken("invalid_signature") from None
    return bytes(decoded["payload"])


@cache
def _library() -> jwt.PyJWS:
    return jwt.PyJWS()


def _long_enough(key: Jwk, algorithm: str) -> bool:
    """A secret without an algorithm of its own is for those hashes that are no longer than it is."""
    return not isinstance(key.material, bytes) or len(key.material) >= HASH_BYTES[algorithm]


def _is_canonical(segment: str) -> bool:
    """Whether its bytes are spelled in no other way: spare bits at the end are zero (RFC 4648 §3.5)."""
    if len(segment) % 4 == 1:
        return False
    spelled = base64.urlsafe_b64encode(_bytes(segment)).rstrip(b"=")
    return spelled == segment.encode()


def _bytes(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _header(segment: str) -> Mapping[str, Any]:
    if len(segment) > MAX_HEADER:
        raise InvalidToken("malformed_token")
    try:
        header = loads_strictly(_bytes(segment))
    except ValueError:
        raise InvalidToken("malformed_token") from None
    if not isinstance(header, dict) or not isinstance(header.get("alg"), str):
        raise InvalidToken("malformed_token")
    if not isinstance(header.get("kid", ""), str):
        raise InvalidToken("malformed_token")
    return header


def _is_of(types: Collection[str], kind: object) -> bool:
    return isinstance(kind, str) and kind.lower().removeprefix(MEDIA_TYPE) in types
