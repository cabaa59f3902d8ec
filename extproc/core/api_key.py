"""The form of an API key: a visible prefix, 160 random bits and a checksum. Only its digest is ever stored."""

from __future__ import annotations

import hashlib
import zlib
from typing import Final

PREFIX: Final = "xpk_"
RANDOM_BYTES: Final = 20
ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PAIRS: Final = tuple(high + low for high in ALPHABET for low in ALPHABET)  # half the divisions
RANDOM_LENGTH: Final = 27  # 62**27 > 2**160
CHECK_LENGTH: Final = 6  # three pairs: 62**6 > 2**32
ID_PREFIX: Final = "key_"
ID_DIGITS: Final = 12  # 48 bits: among a million keys, two share one in less than one case of five hundred
LENGTH: Final = len(PREFIX) + RANDOM_LENGTH + CHECK_LENGTH


def spell(random: bytes) -> str:
    """The key for these random bytes. Raises ValueError where there are not exactly RANDOM_BYTES."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"an API key is made of {RANDOM_BYTES} random bytes")
    body = PREFIX + _base62(int.from_bytes(random, "big"), RANDOM_LENGTH)
    return body + _check(body)


def is_well_formed(key: str) -> bool:
    """Whether it could be one of ours; a mistyped or truncated key is told apart without asking the store."""
    return len(key) == LENGTH and key.startswith(PREFIX) and key.isascii() and key.endswith(_check(key[:-CHECK_LENGTH]))


def digest(key: str) -> str:
    """SHA-256 suffices: 160 random bits cannot be guessed, so there is nothing for a slow hash to slow down."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def key_id(digest: str) -> str:
    """What a key is called where it is listed. Made of its digest, so that it tells nothing of the key: whoever knows
    it still has 160 bits to guess, and the store is not asked for it."""
    return ID_PREFIX + digest[:ID_DIGITS]


def _check(body: str) -> str:
    """Its three pairs, for this is asked of every request's key."""
    high, last = divmod(zlib.crc32(body.encode()), len(PAIRS))
    first, middle = divmod(high, len(PAIRS))
    return PAIRS[first] + PAIRS[middle] + PAIRS[last]


def _base62(number: int, length: int) -> str:
    digits = ""
    for _ in range(length // 2):
        number, pair = divmod(number, len(PAIRS))
        digits = PAIRS[pair] + digits
    return ALPHABET[number] + digits if length % 2 else digits
