"""Callers for tests: API keys in a key file, and tokens that a key set in a file verifies."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from extproc.core import api_key
from tests.e2e.clients import Field

ISSUER: Final = "https://id.test"
AUDIENCE: Final = "shop"
SIGNING_KEY: Final = ec.generate_private_key(ec.SECP256R1())
# Always the same: the names of tests tell them, and each process that runs tests must find the same names.
FREE_KEY: Final = api_key.spell(b"free" * 5)
PREMIUM_KEY: Final = api_key.spell(b"paid" * 5)
FREE: Final[Field] = ("x-api-key", FREE_KEY)
PREMIUM: Final[Field] = ("x-api-key", PREMIUM_KEY)

AUTHENTICATION: Final = f"""
authentication:
  company: {{jwt: {{issuer: "{ISSUER}", audiences: [{AUDIENCE}], jwks: jwks.json}}}}
  partners: {{api_key: {{header: x-api-key}}}}
"""


def write_credentials(folder: Path) -> None:
    """What AUTHENTICATION and `keys: file:keys.yaml` name."""
    (folder / "jwks.json").write_text(json.dumps(key_set()))
    entries = [_entry(FREE_KEY, "free-caller", "free"), _entry(PREMIUM_KEY, "premium-caller", "premium")]
    (folder / "keys.yaml").write_text(yaml.safe_dump({"keys": entries}))


def key_set() -> dict[str, object]:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(SIGNING_KEY.public_key()))
    return {"keys": [{**public, "kid": "test", "use": "sig", "alg": "ES256"}]}


LASTS: Final = 86_400  # some are made when tests are collected, long before they are shown


def bearer(consumer: str = "token-caller", **claims: Any) -> Field:
    """An Authorization field with a token that is good, but for the claims that a test sets otherwise."""
    now = int(time.clock_gettime(time.CLOCK_REALTIME))
    stated = {"iss": ISSUER, "aud": AUDIENCE, "sub": consumer, "tier": "free", "iat": now, "exp": now + LASTS, **claims}
    return ("authorization", "Bearer " + jwt.encode(stated, SIGNING_KEY, algorithm="ES256", headers={"kid": "test"}))


def _entry(key: str, consumer: str, tier: str) -> dict[str, object]:
    return {"sha256": api_key.digest(key), "consumer": consumer, "tier": tier, "scopes": ["orders:read"]}
