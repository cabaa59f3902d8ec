"""JSON Web Key Sets from files. A key that must not be used never gets in; a set that cannot be trusted is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from extproc.core.strict_json import loads_strictly

MAX_FILE_BYTES: Final = 512 * 1024
SMALLEST_RSA: Final = 2048  # RFC 7518 §3.3
ALGORITHMS: Final[Mapping[tuple[str, str | None], tuple[str, ...]]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    kid: str | None
    algorithm: str
    material: object = field(repr=False)


class FixedKeySet:
    def __init__(self, keys: Sequence[PublicKey]) -> None:
        self._keys = tuple(keys)

    def find(self, kid: str | None) -> Sequence[PublicKey]:
        return self._keys if kid is None else [key for key in self._keys if key.kid == kid]


class FileKeySets:
    """Every location is read once."""

    def __init__(self) -> None:
        self._sets: dict[str, FixedKeySet] = {}

    def at(self, location: str) -> FixedKeySet:
        if location not in self._sets:
            self._sets[location] = FixedKeySet(_read(Path(location)))
        return self._sets[location]


def _read(file: Path) -> list[PublicKey]:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
        return parse_jwks(loads_strictly(file.read_bytes()))
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{file} is not a JWKS: {error}") from None


def parse_jwks(document: Any) -> list[PublicKey]:
    """The signing keys of a set (RFC 7517 §5). Keys for other uses are left out; a dangerous one fails the whole set.

    Raises:
        ValueError: not a set, no usable key, an id twice, a private or symmetric key, or a weak one.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("a JWKS is an object with a list of keys")
    keys = [_key(entry) for entry in entries if _verifies(entry)]
    named = [key.kid for key in keys if key.kid is not None]
    if len(set(named)) != len(named):
        raise ValueError("two keys of the set have the same kid")
    if not keys:
        raise ValueError("the set has no key that verifies signatures")
    return keys


def _verifies(entry: Mapping[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _key(entry: Mapping[str, Any]) -> PublicKey:
    kind, curve, kid = entry.get("kty"), entry.get("crv"), entry.get("kid")
    allowed = ALGORITHMS.get((str(kind), curve if isinstance(curve, str) else None))
    if allowed is None:
        # `oct` is among these: a secret that verifies can also sign, and does not belong in a file of public keys.
        raise ValueError(f"keys of type {kind!r} with curve {curve!r} are not used")
    algorithm = entry.get("alg", allowed[0])
    if algorithm not in allowed or not (kid is None or isinstance(kid, str)):
        raise ValueError(f"a {kind} key cannot have the algorithm {algorithm!r}")
    if "d" in entry:
        raise ValueError("the set holds a private key; publish the public one only")
    try:
        material = jwt.PyJWK(dict(entry), algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        raise ValueError(f"the {kind} key {kid!r} cannot be read") from None
    if isinstance(material, RSAPublicKey) and material.key_size < SMALLEST_RSA:
        raise ValueError(f"the RSA key {kid!r} has {material.key_size} bits, at least {SMALLEST_RSA} are needed")
    return PublicKey(kid, algorithm, material)
