"""What makes a key too weak to be believed, whoever publishes it."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

SMALLEST_RSA: Final = 2048  # RFC 7518 §3.3
LARGEST_RSA: Final = 8192  # a signature by a longer one takes milliseconds of the one loop that answers everybody
SMALLEST_EXPONENT: Final = 3
LARGEST_EXPONENT_BITS: Final = 256  # FIPS 186-5 §A.1.1
HASH_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
# ROCA, CVE-2017-15361: primes of the form k*M + 65537**a mod M leave a modulus whose remainder by each small prime is a
# power of 65537. These are the primes of the smallest M; a sound modulus passes all of them once in 2**27.
ROCA_GENERATOR: Final = 65_537
ROCA_PRIMES: Final = (
    *(3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97),
    *(101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167),
)


def check_rsa(key: RSAPublicKey, kid: object) -> None:
    """Raises ValueError for a key of the wrong size, with numbers that no key has, or made by a broken generator."""
    if key.key_size < SMALLEST_RSA:
        raise ValueError(f"the RSA key {kid!r} has {key.key_size} bits, at least {SMALLEST_RSA} are needed")
    if key.key_size > LARGEST_RSA:
        raise ValueError(f"the RSA key {kid!r} has {key.key_size} bits, at most {LARGEST_RSA} are used")
    numbers = key.public_numbers()
    odd = numbers.e % 2 == 1 and numbers.n % 2 == 1
    if not odd or numbers.e < SMALLEST_EXPONENT or numbers.e.bit_length() > LARGEST_EXPONENT_BITS:
        raise ValueError(f"the RSA key {kid!r} has an exponent or a modulus that no sound key has")
    if is_roca(numbers.n):
        raise ValueError(f"the RSA key {kid!r} was made by a generator whose keys can be factored (CVE-2017-15361)")


def is_roca(modulus: int) -> bool:
    return all(modulus % prime in powers for prime, powers in _powers())


@cache
def _powers() -> tuple[tuple[int, frozenset[int]], ...]:
    """The remainders that powers of 65537 leave, by prime."""
    return tuple((prime, _subgroup(prime)) for prime in ROCA_PRIMES)


def _subgroup(prime: int) -> frozenset[int]:
    return frozenset(pow(ROCA_GENERATOR, exponent, prime) for exponent in range(prime - 1))


def check_secret(secret: Any, algorithm: str) -> None:
    """A secret is at least as long as its hash (RFC 7518 §3.2). The longest of several algorithms need not fit."""
    needed = HASH_BYTES[algorithm]
    if len(secret) < needed:
        raise ValueError(f"a secret for {algorithm} has at least {needed} bytes")
    try:
        jwt.PyJWS().get_algorithm_by_name(algorithm).prepare_key(secret)
    except jwt.PyJWTError:
        raise ValueError("a public key is no secret") from None
