"""A provider at which people sign in (OpenID Connect Core §3.1), on loopback. It uses nothing of ours.

It holds a client to the book: its registered address, its secret, its PKCE verifier, and each code once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.upstreams import JSON, Answer, Received, Upstream

CLIENT: Final = "shop: web"
CLIENT_SECRET: Final = "shown to the provider: s3cr3t+"  # as a form it is spelled otherwise
BASIC: Final = "Basic " + base64.b64encode(b"shop%3A+web:shown+to+the+provider%3A+s3cr3t%2B").decode()
DISCOVERY: Final = "/.well-known/openid-configuration"
AUTHORIZE, TOKEN, JWKS = "/authorize", "/token", "/keys"
KEY: Final = ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True, slots=True)
class Grant:
    redirect_uri: str
    challenge: str
    nonce: str


@dataclass(slots=True)
class Signing:
    """How the provider behaves: what it says of itself, on the way back, and of whoever signs in."""

    claims: dict[str, object] = field(default_factory=dict)
    metadata: dict[str, object] = field(default_factory=dict)
    names_itself: bool = True
    denies: bool = False
    answers: dict[str, Answer] = field(default_factory=dict)


class SignIn(Upstream):
    """Whoever comes signs in at once, as `sub: ada`. `how` says what goes otherwise."""

    def __init__(self) -> None:
        self.how = Signing()
        self.registered: set[str] = set()
        self.codes: dict[str, Grant] = {}
        super().__init__("sign_in")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, path: str) -> list[Received]:
        return [one for one in self.received if one.target.partition("?")[0] == path]

    def record(self, seen: Received) -> Answer:
        super().record(seen)
        path, _, query = seen.target.partition("?")
        if path in self.how.answers:
            return self.how.answers[path]
        if path == DISCOVERY:
            return _told(self._metadata())
        if path == JWKS:
            return _told({"keys": [_public()]})
        if path == AUTHORIZE:
            return self._authorized(_single(query))
        return self._exchanged(seen) if path == TOKEN else _told({}, 404)

    def _metadata(self) -> dict[str, object]:
        places = {"authorization_endpoint": AUTHORIZE, "token_endpoint": TOKEN, "jwks_uri": JWKS}
        return {"issuer": self.url, **{key: self.url + path for key, path in places.items()}, **self.how.metadata}

    def _authorized(self, asked: dict[str, str]) -> Answer:
        """RFC 6749 §4.1.1, RFC 7636 §4.3. To an address that it does not know it sends nobody."""
        expected = {"response_type": "code", "client_id": CLIENT, "code_challenge_method": "S256"}
        good = expected.items() <= asked.items() and "openid" in asked["scope"].split()
        if asked.get("redirect_uri") not in self.registered or not good:
            return _told({"error": "invalid_request"}, 400)
        said = {"error": "access_denied"} if self.how.denies else {"code": self._code(asked)}
        said |= {"state": asked["state"]} | ({"iss": self.url} if self.how.names_itself else {})
        return Answer(302, (("location", f"{asked['redirect_uri']}?{urlencode(said)}"),))

    def _code(self, asked: dict[str, str]) -> str:
        code = secrets.token_urlsafe(24)
        self.codes[code] = Grant(asked["redirect_uri"], asked["code_challenge"], asked["nonce"])
        return code

    def _exchanged(self, seen: Received) -> Answer:
        """RFC 6749 §4.1.3, RFC 7636 §4.6. A code is gone once it was shown."""
        if seen.method != "POST" or seen.all("authorization") != [BASIC]:
            return _told({"error": "invalid_client"}, 401)
        form = _single(seen.body.decode())
        grant = self.codes.pop(form.pop("code", ""), None)
        proof = s256(form.pop("code_verifier", ""))
        expected = {"grant_type": "authorization_code", "redirect_uri": grant.redirect_uri if grant else ""}
        if grant is None or form != expected or proof != grant.challenge:
            return _told({"error": "invalid_grant"}, 400)
        return _told({"access_token": "for-others", "token_type": "Bearer", "id_token": self._id_token(grant)})

    def _id_token(self, grant: Grant) -> str:
        now = int(time.clock_gettime(time.CLOCK_REALTIME))
        said = {"iss": self.url, "aud": CLIENT, "sub": "ada", "nonce": grant.nonce, "iat": now, "exp": now + 300}
        return jwt.encode({**said, **self.how.claims}, KEY, "ES256", headers={"kid": "first"})


@contextmanager
def sign_in() -> Iterator[SignIn]:
    found = SignIn()
    try:
        yield found
    finally:
        found.close()


def s256(verifier: str) -> str:
    """RFC 7636 §4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def query_of(url: str) -> dict[str, str]:
    return _single(urlsplit(url).query)


def _single(query: str) -> dict[str, str]:
    """No parameter twice (RFC 6749 §3.1)."""
    parsed = parse_qs(query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in parsed.values()), parsed
    return {name: values[0] for name, values in parsed.items()}


def _told(document: dict[str, Any], status: int = 200) -> Answer:
    return Answer(status, (JSON, ("cache-control", "no-store")), json.dumps(document).encode())


def _public() -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())), "kid": "first", "alg": "ES256"}
