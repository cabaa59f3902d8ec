"""JSON Web Key Sets (RFC 7517). A key that must not be used never gets in; a set that cannot be trusted is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from extproc.stores.weak_keys import check_rsa, check_secret

MAX_KEYS: Final = 256  # an issuer has a handful; each costs some 50 µs to prepare
OCTETS: Final = "oct"
PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})  # RFC 7518 §6.2.2, §6.3.2
ALGORITHMS: Final[Mapping[tuple[str, str | None], tuple[str, ...]]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    (OCTETS, None): ("HS256", "HS384", "HS512"),
}


@dataclass(frozen=True, slots=True)
class Jwk:
    """A key that may be used, with the algorithms that it could verify: one where it says so itself."""

    kid: str | None
    algorithms: tuple[str, ...]
    material: object = field(repr=False)


def parse_jwks(document: Any, *, secrets: bool = False, lenient: bool = False) -> tuple[Jwk, ...]:
    """The signing keys of a set (RFC 7517 §5). Keys for other uses are left out. A dangerous one fails the whole set
    of an operator; with `lenient`, as for the set of somebody else, it is passed over, and what fails is a set that is
    ambiguous or has nothing left. `secrets` says whether keys of type `oct` are expected.

    Raises:
        ValueError: not a set, no usable key, an id twice, secrets among public keys; a private or weak key.
    """
    signing = [entry for entry in _entries(document) if _verifies(entry)]
    named = [entry["kid"] for entry in signing if isinstance(entry.get("kid"), str)]
    if len(set(named)) != len(named):
        raise ValueError("two keys of the set have the same kid")
    keys = [key for entry in signing if (key := _key(entry, secrets=secrets, lenient=lenient)) is not None]
    if len({entry.get("kty") == OCTETS for entry in signing}) > 1:
        raise ValueError("the set holds secrets (kty oct) among public keys")
    if not keys:
        raise ValueError("the set has no key that verifies signatures")
    return tuple(keys)


def _entries(document: Any) -> Sequence[Mapping[str, Any]]:
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("a JWKS is an object with a list of keys")
    if len(entries) > MAX_KEYS:
        raise ValueError(f"the set has more than {MAX_KEYS} keys")
    return entries


def _verifies(entry: Mapping[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _key(entry: Mapping[str, Any], *, secrets: bool, lenient: bool) -> Jwk | None:
    try:
        return _usable(entry, secrets=secrets)
    except ValueError:
        if lenient:
            return None
        raise


def _usable(entry: Mapping[str, Any], *, secrets: bool) -> Jwk:
    kind, curve, kid = entry.get("kty"), entry.get("crv"), entry.get("kid")
    allowed = ALGORITHMS.get((str(kind), curve if isinstance(curve, str) else None))
    if allowed is None or (kind == OCTETS and not secrets):
        # A secret that verifies can also sign, and belongs in no file of public keys.
        raise ValueError(f"keys of type {kind!r} with curve {curve!r} are not used")
    if not (kid is None or isinstance(kid, str)):
        raise ValueError(f"a {kind} key cannot have the id {kid!r}")
    algorithms = (entry["alg"],) if "alg" in entry else allowed
    if not all(algorithm in allowed for algorithm in algorithms):
        raise ValueError(f"a {kind} key cannot have the algorithm {entry['alg']!r}")
    if entry.keys() & PRIVATE:
        raise ValueError("the set holds a private key; publish the public one only")
    return Jwk(kid, algorithms, _material(entry, algorithms[0]))


def _material(entry: Mapping[str, Any], algorithm: str) -> object:
    kind, kid = entry["kty"], entry.get("kid")
    try:
        material = jwt.PyJWK(dict(entry), algorithm=algorithm).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ArithmeticError, LookupError, TypeError, ValueError):
        raise ValueError(f"the {kind} key {kid!r} cannot be read") from None
    if isinstance(material, RSAPublicKey):
        check_rsa(material, kid)
    elif kind == OCTETS:
        check_secret(material, algorithm)
    return material
