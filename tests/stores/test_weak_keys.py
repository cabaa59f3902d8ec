"""Keys that are too weak, whoever publishes them."""

from __future__ import annotations

import secrets
from math import prod

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from extproc.stores.weak_keys import ROCA_PRIMES, check_rsa, is_roca
from tests.stores.signing import RSA

SOUND = RSA.public_key().public_numbers().n


class Numbers:
    """A public key of any numbers, also those that the library would not load."""

    def __init__(self, modulus: int, exponent: int = 65_537) -> None:
        self._numbers = rsa.RSAPublicNumbers(exponent, modulus)
        self.key_size = modulus.bit_length()

    def public_numbers(self) -> rsa.RSAPublicNumbers:
        return self._numbers


def roca_factor(bits: int) -> int:
    """k*M + 65537**a mod M, as the broken generator makes its primes; that it need not be one changes no remainder."""
    primorial = 2 * prod(ROCA_PRIMES)
    multiple = secrets.randbits(bits - primorial.bit_length()) | 1 << (bits - primorial.bit_length())
    return multiple * primorial + pow(65_537, secrets.randbelow(primorial), primorial)


@pytest.mark.parametrize("bits", [1_030, 1_536, 2_048])
def test_a_modulus_of_the_broken_generator_is_known_by_its_remainders(bits: int) -> None:
    modulus = roca_factor(bits) * roca_factor(bits)
    assert is_roca(modulus)
    assert not is_roca(modulus + 2)
    with pytest.raises(ValueError, match="CVE-2017-15361"):
        check_rsa(Numbers(modulus), "k")  # type: ignore[arg-type]


def test_sound_moduli_are_not_taken_for_those() -> None:
    assert not is_roca(SOUND)
    assert not any(is_roca(secrets.randbits(2_048) | 1) for _ in range(1_000))


@pytest.mark.parametrize(
    ("modulus", "exponent", "sentence"),
    [
        (1 << 1_023 | 1, 65_537, "has 1024 bits, at least 2048 are needed"),
        (1 << 2_046 | 1, 65_537, "has 2047 bits, at least 2048 are needed"),
        (1 << 8_192 | 1, 65_537, "has 8193 bits, at most 8192 are used"),
        (SOUND, 1, "an exponent or a modulus that no sound key has"),
        (SOUND, 65_536, "an exponent or a modulus that no sound key has"),
        (SOUND, 1 << 256 | 1, "an exponent or a modulus that no sound key has"),
        (SOUND + 1, 65_537, "an exponent or a modulus that no sound key has"),
    ],
    ids=["1024", "2047", "8193", "exponent 1", "even exponent", "large exponent", "even modulus"],
)
def test_numbers_that_no_sound_key_has_are_refused(modulus: int, exponent: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_rsa(Numbers(modulus, exponent), "k")  # type: ignore[arg-type]


@pytest.mark.parametrize("exponent", [3, 17, 65_537, (1 << 256) - 1])
def test_a_sound_key_may_have_any_odd_exponent_from_three(exponent: int) -> None:
    check_rsa(Numbers(SOUND, exponent), "k")  # type: ignore[arg-type]
