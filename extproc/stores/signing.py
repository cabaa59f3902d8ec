"""Tokens of our own, with which an upstream can verify who is asking: EdDSA (RFC 8037), the keys in PEM files."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from extproc.core.message import Consumer
from extproc.core.ports import Clock

MAX_FILE_BYTES: Final = 16 * 1024  # a key takes a hundred
MAX_TOKENS: Final = 10_000  # kept; each some 500 bytes, so 5 MB
JTI_BYTES: Final = 16
Key = tuple[str, str, str | None, tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`kid` is the public key's thumbprint (RFC 7638), so that the same key has the same id everywhere."""

    kid: str
    private: Ed25519PrivateKey = field(repr=False)
    public: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Signed:
    token: str = field(repr=False)
    issued: int


class Signer:
    """The first key signs, all are published. A token is used again for half of its life: what an upstream gets is good
    for the other half at least."""

    def __init__(self, keys: Sequence[SigningKey], issuer: str, lifetime: int, clock: Clock) -> None:
        self._keys = tuple(keys)
        self._issuer = issuer
        self._lifetime = lifetime
        self._clock = clock
        self._signed: OrderedDict[Key, _Signed] = OrderedDict()

    def token(self, consumer: Consumer, upstream: str) -> str:
        key = (upstream, consumer.id, consumer.tier, consumer.scopes, consumer.groups)
        now = int(self._clock.now())
        known = self._signed.get(key)
        if known is not None and known.issued <= now < known.issued + self._lifetime // 2:  # also after a step back
            self._signed.move_to_end(key)
            return known.token
        signed = _Signed(self._sign(consumer, upstream, now), now)
        self._signed[key] = signed
        self._signed.move_to_end(key)
        if len(self._signed) > MAX_TOKENS:
            self._signed.popitem(last=False)
        return signed.token

    def published(self) -> dict[str, object]:
        """The JWKS with which an upstream verifies (RFC 7517 §5)."""
        return {"keys": [{**key.public, "kid": key.kid, "use": "sig", "alg": "EdDSA"} for key in self._keys]}

    def _sign(self, consumer: Consumer, upstream: str, now: int) -> str:
        claims: dict[str, object] = {
            "iss": self._issuer,
            "aud": upstream,
            "sub": consumer.id,
            "scopes": list(consumer.scopes),
            "groups": list(consumer.groups),
            "iat": now,
            "exp": now + self._lifetime,
            "jti": secrets.token_urlsafe(JTI_BYTES),
        }
        if consumer.tier is not None:
            claims["tier"] = consumer.tier
        first = self._keys[0]
        return jwt.encode(claims, first.private, algorithm="EdDSA", headers={"kid": first.kid})


def read_keys(files: Sequence[Path]) -> list[SigningKey]:
    """Raises ValueError with a sentence that quotes nothing of a file."""
    keys = [_read(file) for file in files]
    if len({key.kid for key in keys}) != len(keys):
        raise ValueError("one signing key stands twice")
    return keys


def _read(file: Path) -> SigningKey:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"{file} is larger than {MAX_FILE_BYTES} bytes")
        text = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    try:
        private = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # a passphrase that we do not have is a TypeError
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise ValueError(f"{file} is no Ed25519 private key in PEM without a passphrase")
    return _signing_key(private)


def _signing_key(private: Ed25519PrivateKey) -> SigningKey:
    point = _base64url(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    public = {"crv": "Ed25519", "kty": "OKP", "x": point}
    # RFC 7638 §3: the required members in the order of their names, without spaces.
    thumbprint = hashlib.sha256(json.dumps(public, separators=(",", ":")).encode()).digest()
    return SigningKey(_base64url(thumbprint), private, public)


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
