"""Real keys and tokens, well made or broken on purpose: a part of a token may be any bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.policies.jwt import JwtKind, JwtSettings
from extproc.testing import FakeClock, fake_ports

ISSUER: Final = "https://id.example.com"
EC: Final = ec.generate_private_key(ec.SECP256R1())
STRANGER: Final = ec.generate_private_key(ec.SECP256R1())
RSA: Final = rsa.generate_private_key(65_537, 2_048)
ED: Final = ed25519.Ed25519PrivateKey.generate()
SIGNERS: Final[Mapping[str, Any]] = {"ES256": EC, "RS256": RSA, "EdDSA": ED}
NOW: Final = int(FakeClock().now())
CLAIMS: Final[Mapping[str, object]] = {
    "iss": ISSUER, "aud": "shop", "sub": "acme", "tier": "free", "scope": "orders:read orders:write",
    "iat": NOW, "nbf": NOW, "exp": NOW + 600,
}  # fmt: skip


def key_set() -> dict[str, Any]:
    """One key per algorithm, each with the algorithm's name for its id."""
    entries = [
        {**json.loads(ECAlgorithm.to_jwk(EC.public_key())), "kid": "ES256", "use": "sig"},
        {**json.loads(RSAAlgorithm.to_jwk(RSA.public_key())), "kid": "RS256", "alg": "RS256"},
        {**json.loads(OKPAlgorithm.to_jwk(ED.public_key())), "kid": "EdDSA"},
    ]
    return {"keys": entries}


def segment(part: object) -> str:
    """Bytes as they are, anything else as JSON."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: object, payload: object, algorithm: str = "ES256", key: Any = None) -> str:
    """A token over exactly these parts, whatever its header says about it."""
    return signed_as_spelled(f"{segment(header)}.{segment(payload)}", algorithm, key)


def signed_as_spelled(text: str, algorithm: str = "ES256", key: Any = None) -> str:
    """The two segments as they are, and the signature of that very text."""
    maker = jwt.PyJWS().get_algorithm_by_name(algorithm)
    return f"{text}.{segment(maker.sign(text.encode(), key or SIGNERS[algorithm]))}"


def token(header: Mapping[str, object] | None = None, **claims: object) -> str:
    """A good token, but for what is given; a claim that is `...` is left out."""
    stated = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
    return signed({"alg": "ES256", "kid": "ES256", **(header or {})}, stated)


async def answer_to(*authorization: str, clock: FakeClock | None = None, **settings: object) -> Consumer | str:
    """The consumer, or the reason of the 401, for a request with these Authorization fields."""
    written = JwtSettings.model_validate(
        {"issuer": ISSUER, "audiences": ["shop", "admin"], "jwks": __file__, **settings}
    )
    method = JwtKind.build("company", written, fake_ports(clock=clock, jwks=key_set()))
    request = Request("GET", "/", headers=Headers.of([("Authorization", value) for value in authorization]))
    assert method.presents(request)
    answer = await method.authenticate(request)
    if isinstance(answer, Consumer):
        return answer
    assert answer.status == 401
    assert b"the token is not valid here" in answer.body
    return answer.reason


async def outcome(spelled: str, **settings: object) -> Consumer | str:
    return await answer_to(f"Bearer {spelled}", **settings)  # type: ignore[arg-type]
