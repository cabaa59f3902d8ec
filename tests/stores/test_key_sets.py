"""Key sets from files and secrets: read once, and a token is verified by one key with that key's one algorithm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from extproc.core.errors import InvalidToken
from extproc.core.ports import KeySource
from extproc.stores import key_sets
from extproc.stores.key_sets import StoredKeySets
from extproc.testing import FakeClock, FakeFetch
from tests.stores.signing import EC, ED, OTHER_EC, RSA, jwk, jwks, signed

SECRET: Final = "a secret of more than sixty-four bytes, which is enough for any of the hashes"


def stored() -> StoredKeySets:
    return StoredKeySets(FakeClock(), FakeFetch())


def written(folder: Path, content: bytes | dict[str, object]) -> str:
    file = folder / "jwks.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(file)


async def answer(source: KeySource, token: str, **types: tuple[str, ...]) -> bytes | str:
    """The payload, or the reason."""
    try:
        return await stored().at(source).payload_of(token, **types)
    except InvalidToken as refused:
        return refused.reason


async def test_a_set_is_read_once_and_its_keys_found_by_id(tmp_path: Path) -> None:
    source = KeySource(location=written(tmp_path, jwks(jwk(EC, kid="one"), jwk(RSA))))
    sets = stored()
    keys = sets.at(source)
    Path(source.location).unlink()
    assert sets.at(source) is keys
    assert await keys.payload_of(signed({"alg": "ES256", "kid": "one"}, EC, b"read me")) == b"read me"
    assert await keys.payload_of(signed({"alg": "RS256"}, RSA, b"and me")) == b"and me"
    assert keys.generation == keys.generation


@pytest.mark.parametrize("kid", ["", "../one", "two", "ONE", "one\x00"])
async def test_an_id_that_is_not_in_the_set_is_an_unknown_key(tmp_path: Path, kid: str) -> None:
    source = KeySource(location=written(tmp_path, jwks(jwk(EC, kid="one"))))
    assert await answer(source, signed({"alg": "ES256", "kid": kid}, EC)) == "unknown_key"


async def test_where_keys_have_no_ids_a_tokens_own_chooses_nothing(tmp_path: Path) -> None:
    source = KeySource(location=written(tmp_path, jwks(jwk(EC))))
    assert await answer(source, signed({"alg": "ES256", "kid": "any"}, EC)) == b"{}"
    assert await answer(source, signed({"alg": "ES256", "kid": "any"}, OTHER_EC)) == "invalid_signature"


async def test_without_an_id_there_must_be_one_key_of_the_algorithm(tmp_path: Path) -> None:
    several = KeySource(location=written(tmp_path, jwks(jwk(EC, kid="a"), jwk(OTHER_EC, kid="b"), jwk(ED, kid="c"))))
    assert await answer(several, signed({"alg": "ES256"}, EC)) == "unknown_key"
    assert await answer(several, signed({"alg": "EdDSA"}, ED)) == b"{}"


@pytest.mark.parametrize(
    ("algorithms", "believed"),
    [(("RS256", "PS256"), "RS256"), (("PS256", "RS256"), "PS256"), (("RS512",), "RS512")],
)
async def test_a_key_without_an_algorithm_gets_the_first_that_is_accepted(
    tmp_path: Path, algorithms: tuple[str, ...], believed: str
) -> None:
    source = KeySource(location=written(tmp_path, jwks(jwk(RSA))), algorithms=algorithms)
    for algorithm in ("RS256", "PS256", "RS512"):
        expected = b"{}" if algorithm == believed else "unknown_key"
        assert await answer(source, signed({"alg": algorithm}, RSA)) == expected


async def test_an_algorithm_that_is_not_accepted_verifies_nothing(tmp_path: Path) -> None:
    location = written(tmp_path, jwks(jwk(EC, kid="e"), jwk(RSA, kid="r", alg="RS256")))
    source = KeySource(location=location, algorithms=("ES256",))
    assert await answer(source, signed({"alg": "ES256", "kid": "e"}, EC)) == b"{}"
    assert await answer(source, signed({"alg": "RS256", "kid": "r"}, RSA)) == "unknown_key"
    with pytest.raises(ValueError, match="the set has no key for EdDSA"):
        stored().at(KeySource(location=location, algorithms=("EdDSA",)))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_secret_verifies_by_its_one_algorithm(algorithm: str) -> None:
    source = KeySource(secret=SECRET, algorithms=(algorithm,))
    good = signed({"alg": algorithm, "kid": "whatever"}, SECRET.encode())
    assert await answer(source, good) == b"{}"
    assert await answer(source, good[:-4] + "AAAA") == "invalid_signature"
    other = "HS512" if algorithm == "HS256" else "HS256"
    assert await answer(source, signed({"alg": other}, SECRET.encode())) == "unknown_key"


@pytest.mark.parametrize(
    ("secret", "algorithms", "sentence"),
    [
        ("s" * 31, ("HS256",), "a secret for HS256 has at least 32 bytes"),
        ("s" * 47, ("HS384",), "a secret for HS384 has at least 48 bytes"),
        ("s" * 63, ("HS512",), "a secret for HS512 has at least 64 bytes"),
        (SECRET, ("HS256", "HS512"), "a secret verifies with one algorithm"),
        (SECRET, ("RS256",), "a secret verifies with one algorithm"),
        (
            "-----BEGIN PUBLIC KEY-----\n" + "A" * 60 + "\n-----END PUBLIC KEY-----\n",
            ("HS256",),
            "a public key is no secret",
        ),
    ],
)
def test_a_secret_that_could_be_guessed_or_is_none_is_refused_and_not_told(
    secret: str, algorithms: tuple[str, ...], sentence: str
) -> None:
    source = KeySource(secret=secret, algorithms=algorithms)
    assert secret not in repr(source)
    with pytest.raises(ValueError, match=sentence) as refused:
        stored().at(source)
    assert secret not in str(refused.value)


async def test_secrets_in_a_file_verify_where_they_are_asked_for(tmp_path: Path) -> None:
    location = written(tmp_path, jwks(jwk(SECRET.encode(), kid="s", alg="HS256")))
    assert await answer(KeySource(location=location, algorithms=("HS256",)), signed(
        {"alg": "HS256", "kid": "s"}, SECRET.encode())) == b"{}"  # fmt: skip
    with pytest.raises(ValueError, match="keys of type 'oct' with curve None are not used"):
        stored().at(KeySource(location=location))


async def test_a_secret_without_an_algorithm_is_for_the_hashes_that_are_no_longer_than_it_is(tmp_path: Path) -> None:
    secret = b"s" * 40
    source = KeySource(location=written(tmp_path, jwks(jwk(secret))), algorithms=("HS512", "HS256"))
    assert await answer(source, signed({"alg": "HS256"}, secret)) == b"{}"
    assert await answer(source, signed({"alg": "HS512"}, secret)) == "unknown_key"


@pytest.mark.parametrize(
    ("typ", "types", "accepted"),
    [
        (..., ("jwt",), True), ("JWT", ("jwt",), True), ("application/jwt", ("jwt",), True),
        ("at+jwt", ("jwt",), False), ("at+jwt", ("at+jwt",), True), ("Application/AT+JWT", ("at+jwt",), True),
        (..., ("at+jwt",), False), ("JWT", ("at+jwt",), False), ("logout+jwt", ("logout+jwt",), True),
        (None, ("jwt",), False), ("", ("jwt",), False), (["JWT"], ("jwt",), False),
    ],
)  # fmt: skip
async def test_who_asks_says_which_types_of_tokens_are_meant(
    tmp_path: Path, typ: object, types: tuple[str, ...], accepted: bool
) -> None:
    source = KeySource(location=written(tmp_path, jwks(jwk(EC))))
    header = {"alg": "ES256", **({} if typ is ... else {"typ": typ})}
    expected = b"{}" if accepted else "unsupported_token"
    assert await answer(source, signed(header, EC), types=types) == expected


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a JWKS: Expecting value"),
        (b"[]", "is not a JWKS: a JWKS is an object with a list of keys"),
        (b'{"keys":[],"keys":[]}', "is not a JWKS: a name stands twice in one object"),
        (b'{"keys":[]}', "is not a JWKS: the set has no key that verifies signatures"),
        ("{}".encode("utf-16"), "is not a JWKS: 'utf-8' codec can't decode"),
        (b"[" * 1_000, "is not a JWKS: nested deeper than 64"),
        (b" " * (key_sets.MAX_BYTES + 1), "is not a JWKS: it is larger than 524288 bytes"),
    ],
)
def test_a_file_that_is_no_set_is_refused_with_its_name(tmp_path: Path, content: bytes, sentence: str) -> None:
    location = written(tmp_path, content)
    with pytest.raises(ValueError, match=r"jwks\.json") as refused:
        stored().at(KeySource(location=location))
    assert str(refused.value).startswith(f"{location} {sentence}")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.json cannot be read: No such file"):
        stored().at(KeySource(location=str(tmp_path / "none.json")))
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        stored().at(KeySource(location=str(tmp_path)))
