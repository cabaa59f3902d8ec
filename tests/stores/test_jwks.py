"""Key sets: a key that must not be used never gets in, a set that cannot be trusted is refused."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from extproc.stores.jwks import MAX_KEYS, parse_jwks


def public(key: Any) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPublicKey):
        return dict(json.loads(RSAAlgorithm.to_jwk(key)))
    if isinstance(key, ec.EllipticCurvePublicKey):
        return dict(json.loads(ECAlgorithm.to_jwk(key)))
    return dict(json.loads(OKPAlgorithm.to_jwk(key)))


EC_PRIVATE: Final = ec.generate_private_key(ec.SECP256R1())
EC: Final = public(EC_PRIVATE.public_key())
RSA: Final = public(rsa.generate_private_key(65_537, 2_048).public_key())
ED: Final = public(ed25519.Ed25519PrivateKey.generate().public_key())
P384: Final = public(ec.generate_private_key(ec.SECP384R1()).public_key())
P521: Final = public(ec.generate_private_key(ec.SECP521R1()).public_key())
OCT: Final = {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode()}

USED: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "RSA without an algorithm": (RSA, "RS256 RS384 RS512 PS256 PS384 PS512"),
    "EC": (EC, "ES256"),
    "EC P-384": (P384, "ES384"),
    "EC P-521": (P521, "ES512"),
    "Ed25519": (ED, "EdDSA"),
    **{f"RSA for {name}": ({**RSA, "alg": name}, name) for name in ("RS384", "RS512", "PS256", "PS384", "PS512")},
    "for signatures": ({**EC, "use": "sig", "key_ops": ["verify"]}, "ES256"),
    "for several operations": ({**EC, "key_ops": ["wrapKey", "verify"]}, "ES256"),
    "with members nobody knows": ({**EC, "x5t": "abc", "nbf": 1}, "ES256"),
}
LEFT_OUT: Final[dict[str, dict[str, Any]]] = {
    "encryption": {**EC, "use": "enc"},
    "another use": {**EC, "use": "Sig"},
    "use a list": {**EC, "use": ["sig"]},
    "use null": {**EC, "use": None},
    "other operations": {**EC, "key_ops": ["sign"]},
    "no operation": {**EC, "key_ops": []},
    "operations a text": {**EC, "key_ops": "verify"},
    "a secret for encryption": {**OCT, "use": "enc"},
}
REFUSED: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "a secret": (OCT, "keys of type 'oct' with curve None are not used"),
    "a secret that claims to be for RS256": ({**OCT, "alg": "RS256"}, "keys of type 'oct'"),
    "no type": ({"n": RSA["n"], "e": RSA["e"]}, "keys of type None"),
    "a type that is no text": ({**RSA, "kty": ["RSA"]}, "are not used"),
    "a type in lower case": ({**RSA, "kty": "rsa"}, "keys of type 'rsa'"),
    "another curve": ({**EC, "crv": "secp256k1"}, "keys of type 'EC' with curve 'secp256k1'"),
    "no curve": ({name: EC[name] for name in ("kty", "x", "y")}, "keys of type 'EC' with curve None"),
    "Ed448": ({**ED, "crv": "Ed448"}, "keys of type 'OKP' with curve 'Ed448'"),
    "X25519": ({**ED, "crv": "X25519"}, "keys of type 'OKP' with curve 'X25519'"),
    "RSA with a curve": ({**RSA, "crv": "P-256"}, "keys of type 'RSA' with curve 'P-256'"),
    "RSA for HS256": ({**RSA, "alg": "HS256"}, "a RSA key cannot have the algorithm 'HS256'"),
    "RSA for ES256": ({**RSA, "alg": "ES256"}, "a RSA key cannot have the algorithm 'ES256'"),
    "RSA for none": ({**RSA, "alg": "none"}, "a RSA key cannot have the algorithm 'none'"),
    "RSA for nothing": ({**RSA, "alg": None}, "a RSA key cannot have the algorithm None"),
    "RSA for encryption": ({**RSA, "alg": "RSA-OAEP"}, "cannot have the algorithm 'RSA-OAEP'"),
    "P-256 for ES384": ({**EC, "alg": "ES384"}, "a EC key cannot have the algorithm 'ES384'"),
    "an id that is no text": ({**EC, "kid": 1}, "a EC key cannot have the id 1"),
    "a private key": (public(EC_PRIVATE.public_key()) | {"d": EC["x"]}, "the set holds a private key"),
    "a point that is not on the curve": ({**EC, "y": EC["x"]}, "the EC key None cannot be read"),
    "a point that is cut": ({**EC, "x": EC["x"][:-4]}, "the EC key None cannot be read"),
    "a modulus that is missing": ({"kty": "RSA", "e": "AQAB"}, "the RSA key None cannot be read"),
    "a modulus that is no text": ({**RSA, "n": 5}, "the RSA key None cannot be read"),
    "an exponent of one": ({**RSA, "e": "AQ"}, "the RSA key None cannot be read"),
    "a private RSA key without its exponent": (RSA | {"p": "AQ", "q": "AQ"}, "the set holds a private key"),
    "a short Ed25519 key": ({**ED, "x": "AAAA"}, "the OKP key None cannot be read"),
}
NO_SETS: Final[list[object]] = [
    None, [], "keys", 1, {}, {"keys": {}}, {"keys": None}, {"keys": [[]]}, {"keys": ["EC"]}, {"keys": [None]},
]  # fmt: skip


@pytest.mark.parametrize("case", USED)
def test_a_public_key_has_the_algorithms_that_it_could_verify(case: str) -> None:
    entry, algorithms = USED[case]
    (key,) = parse_jwks({"keys": [{**entry, "kid": "k"}]})
    assert (key.kid, key.algorithms) == ("k", tuple(algorithms.split()))
    assert "material" not in repr(key)


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_key_for_another_use_is_left_out(case: str) -> None:
    (key,) = parse_jwks({"keys": [LEFT_OUT[case], {**RSA, "kid": "good"}]})
    assert key.kid == "good"
    with pytest.raises(ValueError, match="the set has no key that verifies signatures"):
        parse_jwks({"keys": [LEFT_OUT[case]]})


@pytest.mark.parametrize("case", REFUSED)
def test_one_key_that_must_not_be_used_fails_the_whole_set(case: str) -> None:
    entry, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=r".") as refused:
        parse_jwks({"keys": [{**RSA, "kid": "good"}, entry]})
    assert sentence in str(refused.value)


@pytest.mark.parametrize("bits", [512, 1_024, 2_047])
def test_an_rsa_key_that_is_too_short_fails_the_whole_set(bits: int) -> None:
    numbers = rsa.RSAPublicNumbers(65_537, (1 << (bits - 1)) + 1)
    try:
        weak = public(numbers.public_key())
    except ValueError:
        pytest.skip("the library itself refuses so short a key")
    with pytest.raises(ValueError, match=rf"has {bits} bits, at least 2048 are needed|cannot be read"):
        parse_jwks({"keys": [{**EC, "kid": "good"}, weak]})


@pytest.mark.parametrize("document", NO_SETS)
def test_what_is_no_set_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="a JWKS is an object with a list of keys"):
        parse_jwks(document)


def test_two_keys_of_one_id_are_refused_and_two_without_are_not() -> None:
    with pytest.raises(ValueError, match="two keys of the set have the same kid"):
        parse_jwks({"keys": [{**EC, "kid": "k"}, {**RSA, "kid": "k"}]})
    assert len(parse_jwks({"keys": [EC, RSA]})) == 2


@pytest.mark.parametrize("case", REFUSED)
def test_in_the_set_of_somebody_else_such_a_key_is_passed_over(case: str) -> None:
    entry, _ = REFUSED[case]
    if entry.get("kty") == "oct":
        return  # which refuses the set, below
    (key,) = parse_jwks({"keys": [entry, {**RSA, "kid": "good"}]}, lenient=True)
    assert key.kid == "good"
    with pytest.raises(ValueError, match="the set has no key that verifies signatures"):
        parse_jwks({"keys": [entry]}, lenient=True)


AMBIGUOUS: Final[dict[str, list[dict[str, Any]]]] = {
    "an id twice": [{**EC, "kid": "k"}, {**RSA, "kid": "k"}],
    "an id twice, of which one key is not used": [{**EC, "kid": "k"}, {**EC, "crv": "secp256k1", "kid": "k"}],
    "a secret among public keys": [{**EC, "kid": "k"}, OCT],
    "a public key among secrets": [OCT, {**EC, "kid": "k"}],
    "secrets alone": [OCT],
    "nothing": [],
    "nothing for signatures": [{**EC, "use": "enc"}],
    "too many": [{**EC, "kid": str(number)} for number in range(MAX_KEYS + 1)],
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_a_set_that_cannot_be_trusted_is_refused_whosever_it_is(case: str) -> None:
    for lenient in (False, True):
        with pytest.raises(ValueError, match=r"."):
            parse_jwks({"keys": AMBIGUOUS[case]}, lenient=lenient)


def test_secrets_and_public_keys_do_not_mix_where_secrets_are_expected_either() -> None:
    with pytest.raises(ValueError, match=r"secrets .* among public keys"):
        parse_jwks({"keys": [OCT, EC]}, secrets=True)
    (key,) = parse_jwks({"keys": [{**OCT, "alg": "HS256"}]}, secrets=True)
    assert key.algorithms == ("HS256",)


SHORT: Final = {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 31).decode()}


@pytest.mark.parametrize(
    "entry", [SHORT, {**SHORT, "alg": "HS256"}, {**OCT, "alg": "HS384"}, {**OCT, "alg": "RS256"}, {"kty": "oct"}]
)
def test_a_secret_is_at_least_as_long_as_its_hash(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|cannot be read|cannot have"):
        parse_jwks({"keys": [entry]}, secrets=True)


MEMBERS = st.sampled_from(["kty", "crv", "alg", "kid", "use", "key_ops", "n", "e", "x", "y", "k", "d", "p"])
VALUES = st.one_of(
    st.floats(), st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.lists(st.text(max_size=4)),
    st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "RS256", "sig", "AQAB", "AQ", "A" * 43, "_" * 683]),
)  # fmt: skip


ENTRIES: Final = st.builds(
    lambda sound, changed: {**sound, **changed},
    st.sampled_from([RSA, EC, ED, P521, OCT, {}]),
    st.dictionaries(MEMBERS, VALUES, max_size=2),
)


@given(st.lists(ENTRIES, max_size=3), st.booleans(), st.booleans())
def test_whatever_a_set_holds_it_is_read_or_refused(entries: list[Any], secrets: bool, lenient: bool) -> None:
    with suppress(ValueError):
        assert parse_jwks({"keys": entries}, secrets=secrets, lenient=lenient)
