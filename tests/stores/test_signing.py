"""Tokens of our own: what they say, how long they are used again, and which keys are good for them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from extproc.core.message import Consumer
from extproc.stores import signing
from extproc.stores.jwks import parse_jwks
from extproc.stores.signing import Signer, read_keys
from extproc.testing import FakeClock

ACME = Consumer("acme", "free", ("orders:read",), {"secret": "claim"}, "company", ("staff, all",))
Write = Callable[[str], Path]


@pytest.fixture
def pem(tmp_path: Path) -> Write:
    def write(name: str) -> Path:
        file = tmp_path / name
        file.write_bytes(private_pem(ed25519.Ed25519PrivateKey.generate()))
        return file

    return write


def private_pem(key: Any, passphrase: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    written: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return written


def signer(*files: Path, clock: FakeClock | None = None) -> Signer:
    return Signer(read_keys(files), "extproc", 60, clock or FakeClock())


def verified(token: str, jwks: dict[str, object], audience: str) -> dict[str, Any]:
    """As an upstream does it, with the library alone; the clock is a fake one, so times are looked at apart."""
    keys = jwt.PyJWKSet.from_dict(jwks)
    key = next(key for key in keys.keys if key.key_id == jwt.get_unverified_header(token)["kid"])
    options: Any = {"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "sub", "jti"]}
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["EdDSA"], audience=audience, issuer="extproc", options=options
    )
    return claims


def test_an_upstream_verifies_who_is_asking_with_the_published_keys(pem: Write) -> None:
    made = signer(pem("a.pem"))
    token = made.token(ACME, "users")
    claims = verified(token, made.published(), "users")
    assert len(claims.pop("jti")) >= 16
    now = int(FakeClock().now())
    assert claims == {
        "iss": "extproc", "aud": "users", "sub": "acme", "tier": "free", "scopes": ["orders:read"],
        "groups": ["staff, all"], "iat": now, "exp": now + 60,
    }  # fmt: skip
    assert "claim" not in json.dumps(jwt.decode(token, options={"verify_signature": False}))


def test_a_token_for_one_upstream_is_good_for_no_other(pem: Write) -> None:
    made = signer(pem("a.pem"))
    with pytest.raises(jwt.InvalidAudienceError):
        verified(made.token(ACME, "users"), made.published(), "orders")


def test_a_token_of_another_key_is_not_believed(pem: Write) -> None:
    made, other = signer(pem("a.pem")), signer(pem("b.pem"))
    forged = {**other.published()["keys"][0], "kid": made.published()["keys"][0]["kid"]}  # type: ignore[index]
    with pytest.raises(jwt.InvalidSignatureError):
        verified(made.token(ACME, "users"), {"keys": [forged]}, "users")


def test_who_has_no_tier_is_said_to_have_none(pem: Write) -> None:
    made = signer(pem("a.pem"))
    assert "tier" not in verified(made.token(Consumer("acme"), "users"), made.published(), "users")


def test_a_token_is_used_again_for_half_of_its_life(pem: Write) -> None:
    clock = FakeClock()
    made = signer(pem("a.pem"), clock=clock)
    first = made.token(ACME, "users")
    clock.advance(29)
    assert made.token(ACME, "users") == first
    clock.advance(1)
    second = made.token(ACME, "users")
    assert second != first
    assert verified(second, made.published(), "users")["iat"] == int(clock.now())


def test_a_clock_that_steps_back_gets_a_token_of_its_own_time(pem: Write) -> None:
    clock = FakeClock()
    made = signer(pem("a.pem"), clock=clock)
    first = made.token(ACME, "users")
    clock.advance(-3600)
    assert made.token(ACME, "users") != first


@pytest.mark.parametrize(
    "other",
    [
        replace(ACME, id="acme2"),
        replace(ACME, tier=None),
        replace(ACME, tier="premium"),
        replace(ACME, scopes=()),
        replace(ACME, groups=("staff", "all")),
    ],
)
def test_what_differs_in_anything_that_a_token_says_has_another_token(pem: Write, other: Consumer) -> None:
    made = signer(pem("a.pem"))
    assert made.token(ACME, "users") != made.token(other, "users")
    assert verified(made.token(other, "users"), made.published(), "users")["sub"] == other.id


def test_tokens_are_kept_up_to_a_bound_the_least_used_going_first(pem: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "MAX_TOKENS", 2)
    made = signer(pem("a.pem"))
    first, second = (made.token(Consumer(name), "users") for name in ("a", "b"))
    assert made.token(Consumer("a"), "users") == first
    made.token(Consumer("c"), "users")
    assert made.token(Consumer("a"), "users") == first
    assert made.token(Consumer("b"), "users") != second


def test_the_first_key_signs_and_all_are_published(pem: Write) -> None:
    """Rotation: a new key is published as the second one, then signs as the first, while the old one still verifies."""
    old, new = pem("old.pem"), pem("new.pem")
    before, during = signer(old, new), signer(new, old)
    assert before.published()["keys"] == during.published()["keys"][::-1]  # type: ignore[index]
    for token in (before.token(ACME, "users"), during.token(ACME, "users")):
        assert verified(token, before.published(), "users") == verified(token, during.published(), "users")
    assert jwt.get_unverified_header(during.token(ACME, "users"))["kid"] == during.published()["keys"][0]["kid"]  # type: ignore[index]


def test_what_is_published_is_public_and_what_this_gateway_would_accept_itself(pem: Write) -> None:
    made = signer(pem("a.pem"), pem("b.pem"))
    assert [key.algorithms for key in parse_jwks(made.published())] == [("EdDSA",), ("EdDSA",)]
    for key in made.published()["keys"]:  # type: ignore[attr-defined]
        assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}


def test_the_id_of_a_key_is_its_thumbprint(tmp_path: Path) -> None:
    """RFC 8037 appendix A.3."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    (tmp_path / "a.pem").write_bytes(private_pem(ed25519.Ed25519PrivateKey.from_private_bytes(seed)))
    (key,) = read_keys([tmp_path / "a.pem"])
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_a_key_that_openssl_makes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(file)], check=True)
    assert len(read_keys([file])) == 1


SECRET = ed25519.Ed25519PrivateKey.generate()
BAD: dict[str, bytes] = {
    "empty": b"",
    "noise": b"\xff\x00 hunter2",
    "public": SECRET.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "passphrase": private_pem(SECRET, b"hunter2"),
    "ed448": private_pem(ed448.Ed448PrivateKey.generate()),
    "ec": private_pem(ec.generate_private_key(ec.SECP256R1())),
    "rsa": private_pem(rsa.generate_private_key(65537, 2048)),
    "truncated": private_pem(SECRET)[:60],
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_ed25519_key_is_refused_and_not_quoted(tmp_path: Path, case: str) -> None:
    file = tmp_path / "a.pem"
    file.write_bytes(BAD[case])
    with pytest.raises(ValueError, match="is no Ed25519 private key in PEM without a passphrase") as refused:
        read_keys([file])
    assert str(refused.value).startswith(str(file))
    assert "hunter2" not in str(refused.value)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_keys([tmp_path / "none.pem"])
    (tmp_path / "large.pem").write_bytes(b"x" * (16 * 1024 + 1))
    with pytest.raises(ValueError, match="is larger than 16384 bytes"):
        read_keys([tmp_path / "large.pem"])


def test_one_key_twice_is_refused(pem: Write) -> None:
    file = pem("a.pem")
    with pytest.raises(ValueError, match="one signing key stands twice"):
        read_keys([file, file])


def test_neither_a_key_nor_a_token_is_shown(pem: Write) -> None:
    (key,) = read_keys([pem("a.pem")])
    assert "private" not in repr(key)
    assert "object" not in repr(key)
