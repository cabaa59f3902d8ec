"""The form of an API key: told apart from a typo without asking the store, and stored as its digest only."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core import api_key
from extproc.core.api_key import ALPHABET, LENGTH, digest, is_well_formed, spell

KEY = spell(bytes(range(20)))


def test_a_key_is_spelled_the_same_way_for_ever() -> None:
    assert KEY == "xpk_0029sS3yqsuDyR1vGFhTuuRAq1b43cfxa"
    assert spell(bytes(20)) == "xpk_00000000000000000000000000018dpqc"
    assert len(KEY) == LENGTH


@given(st.binary(min_size=20, max_size=20))
def test_every_key_that_is_made_is_well_formed(random: bytes) -> None:
    key = spell(random)
    assert is_well_formed(key)
    assert set(key.removeprefix("xpk_")) <= set(ALPHABET)


@given(st.binary(min_size=20, max_size=20), st.binary(min_size=20, max_size=20))
def test_different_random_bytes_make_different_keys(one: bytes, other: bytes) -> None:
    assert (spell(one) == spell(other)) is (one == other)


@pytest.mark.parametrize("size", [0, 19, 21])
def test_a_key_is_made_of_exactly_twenty_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="an API key is made of 20 random bytes"):
        spell(bytes(size))


@pytest.mark.parametrize("position", range(4, 37))
def test_one_wrong_character_anywhere_is_noticed(position: int) -> None:
    wrong = "a" if KEY[position] != "a" else "b"
    assert not is_well_formed(KEY[:position] + wrong + KEY[position + 1 :])


@pytest.mark.parametrize(
    "key",
    [
        "", "xpk_", KEY[:-1], KEY + "0", KEY[:4] + KEY[5:], KEY.upper(), KEY.lower(), f" {KEY}", f"{KEY}\n", KEY[4:],
        "sk__" + KEY[4:], KEY.replace("x", "\u0445", 1), KEY[:-1] + "\u0660", "x" * 1_000_000, "\ud800" * 37,
    ],
)  # fmt: skip
def test_what_is_not_our_key_is_told_apart(key: str) -> None:
    assert not is_well_formed(key)


def test_a_digest_is_sha256_in_hex() -> None:
    assert digest(KEY) == hashlib.sha256(KEY.encode()).hexdigest()
    assert len(digest("\ud800")) == 64


def test_random_and_checksum_fill_their_places() -> None:
    assert len(ALPHABET) == 62
    assert 62**api_key.RANDOM_LENGTH > 2 ** (8 * api_key.RANDOM_BYTES) > 62 ** (api_key.RANDOM_LENGTH - 1)
    assert 62**api_key.CHECK_LENGTH > 2**32
    assert is_well_formed(spell(b"\xff" * 20))
