"""What the demo needs beside its gateway file: a signing key, API keys, and a file that names them."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from extproc.app.folders import write_private
from extproc.core import api_key
from extproc.core.ports import Clock

ISSUER: Final = "https://id.shop.example"
AUDIENCE: Final = "shop"
KEY_ID: Final = "demo"
TOKEN_LIFETIME: Final = 12 * 3600
SIGNING_KEY: Final = "demo-signing-key.pem"
JWKS: Final = "jwks.json"
KEYS: Final = "keys.yaml"
ROLLOUTS: Final = "rollouts.json"
ENVIRONMENT: Final = "demo.env"

# Service of the demo's upstream program -> the variable of gateway.yaml that gets its address.
UPSTREAMS: Final[Mapping[str, str]] = {
    "users": "USERS_ADDR",
    "orders": "ORDERS_ADDR",
    "recommend-v1": "RECOMMEND_V1_ADDR",
    "recommend-v2": "RECOMMEND_V2_ADDR",
    "chat": "CHAT_ADDR",
}


class NoDemo(Exception):
    """There is no running demo's key to sign with."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Four callers, so that no two of them share a limit."""

    free_key: str = field(repr=False)
    premium_key: str = field(repr=False)
    free_jwt: str = field(repr=False)
    premium_jwt: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the demo is to be asked. Without a token, nobody reads what the sidecar keeps to itself."""

    gateway: str
    admin: str
    admin_token: str = field(default="", repr=False)


def make_credentials(folder: Path, clock: Clock) -> Credentials:
    """A new signing key and new API keys in `folder`: the private parts stay in files that only the user may read."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_private(folder / SIGNING_KEY, pem.decode())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private.public_key()))
    write_private(folder / JWKS, json.dumps({"keys": [{**public, "kid": KEY_ID, "use": "sig", "alg": "ES256"}]}))
    free, premium = (api_key.spell(secrets.token_bytes(api_key.RANDOM_BYTES)) for _ in range(2))
    entries = [_entry(free, "free-by-key", "free"), _entry(premium, "premium-by-key", "premium")]
    write_private(folder / KEYS, yaml.safe_dump({"keys": entries}, sort_keys=False))
    free_jwt, premium_jwt = make_tokens(folder, clock)
    return Credentials(free_key=free, premium_key=premium, free_jwt=free_jwt, premium_jwt=premium_jwt)


def make_tokens(folder: Path, clock: Clock) -> tuple[str, str]:
    """The tokens of the free and of the premium caller. Raises NoDemo."""
    free = make_token(folder, clock, "free-by-jwt", "free", ())
    return free, make_token(folder, clock, "premium-by-jwt", "premium", ("orders:read",))


def make_token(folder: Path, clock: Clock, consumer: str, tier: str, scopes: tuple[str, ...]) -> str:
    """A token signed with the running demo's key. Raises NoDemo where there is none."""
    key = _signing_key(folder / SIGNING_KEY)
    now = int(clock.now())
    claims: dict[str, object] = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": consumer, "tier": tier, "iat": now, "exp": now + TOKEN_LIFETIME,
    }  # fmt: skip
    if scopes:
        claims["scope"] = " ".join(scopes)
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": KEY_ID})


def environment_file(places: Places, credentials: Credentials) -> str:
    """What a shell reads with `. demo.env`."""
    values = {
        "GATEWAY": places.gateway,
        "ADMIN": places.admin,
        "ADMIN_TOKEN": places.admin_token,
        "FREE_KEY": credentials.free_key,
        "PREMIUM_KEY": credentials.premium_key,
        "FREE_JWT": credentials.free_jwt,
        "PREMIUM_JWT": credentials.premium_jwt,
    }
    return "".join(f"{name}={shlex.quote(value) if value else ''}\n" for name, value in values.items())


def _signing_key(file: Path) -> Any:
    try:
        return load_pem_private_key(file.read_bytes(), password=None)
    except FileNotFoundError:
        raise NoDemo(f"no demo has been started here: there is no {file}") from None
    except ValueError:
        raise NoDemo(f"{file} is not a signing key: start the demo again") from None


def _entry(key: str, consumer: str, tier: str) -> dict[str, object]:
    return {"sha256": api_key.digest(key), "consumer": consumer, "tier": tier}
