"""Keys, the JWKs of their public halves, and whatever they sign."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

RSA: Final = rsa.generate_private_key(65_537, 2_048)
EC: Final = ec.generate_private_key(ec.SECP256R1())
OTHER_EC: Final = ec.generate_private_key(ec.SECP256R1())
P384: Final = ec.generate_private_key(ec.SECP384R1())
P521: Final = ec.generate_private_key(ec.SECP521R1())
ED: Final = ed25519.Ed25519PrivateKey.generate()


def segment(part: object) -> str:
    """Bytes as they are, anything else as JSON."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk(key: Any, **members: object) -> dict[str, Any]:
    """The public half; a secret as it is."""
    if isinstance(key, bytes):
        return {"kty": "oct", "k": segment(key), **members}
    public = key.public_key() if hasattr(key, "public_key") else key
    if isinstance(public, rsa.RSAPublicKey):
        written = RSAAlgorithm.to_jwk(public)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        written = ECAlgorithm.to_jwk(public)
    else:
        written = OKPAlgorithm.to_jwk(public)
    return {**json.loads(written), **members}


def jwks(*keys: Mapping[str, object]) -> dict[str, object]:
    return {"keys": list(keys)}


def signed(header: Mapping[str, object], key: Any, payload: object = None) -> str:
    """A token over exactly these parts, by the algorithm that its header names."""
    text = f"{segment(header)}.{segment({} if payload is None else payload)}"
    maker = jwt.PyJWS().get_algorithm_by_name(str(header["alg"]))
    return f"{text}.{segment(maker.sign(text.encode(), key))}"
