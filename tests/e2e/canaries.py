"""Where secrets stand, one line each: what a client sends, what a file or the environment holds, what a policy says.

A new way of keeping or sending a secret is a new line in SENT, ANSWERED or KEPT; tests/e2e/test_redaction.py does the
rest. Every place has a secret of its own, so that a leak tells where it came from.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extproc.core import api_key
from tests.e2e.clients import Field
from tests.e2e.credentials import FREE, PREMIUM, bearer

HERE: Final = "HERE"  # where the secret stands, in the texts below
SECOND: Final = "x-second"


SIGNED: Final = 'sig=("@method" "@authority" "@path" "@query");created=1;keyid="k"'
SIGNATURE: Final[Field] = ("signature", "sig=:AAAA:")


def canary(place: str) -> str:
    """Letters and digits alone, so that it looks the same however it is quoted."""
    return "cNy" + hashlib.sha256(place.encode()).hexdigest()[:20] + "X"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request with a secret in it, and the status that it gets."""

    status: int
    path: str
    fields: tuple[Field, ...] = ()
    body: str = ""
    method: str = "GET"

    def filled(self, secret: str) -> Sent:
        fields = tuple((name, value.replace(HERE, secret)) for name, value in self.fields)
        return Sent(self.status, self.path.replace(HERE, secret), fields, self.body.replace(HERE, secret), self.method)


SENT: Final[Mapping[str, Sent]] = {
    "a bearer token": Sent(401, "/tokens", (("authorization", f"Bearer {HERE}"),)),
    "garbage for a token": Sent(401, "/tokens", (("authorization", f"{HERE} ,;= {HERE}"),)),
    "a scheme that nobody knows": Sent(401, "/tokens", (("authorization", f"Negotiate {HERE}"),)),
    "a token for a route of keys": Sent(401, "/keys", (("authorization", f"Bearer {HERE}"), FREE)),
    "a token where nobody is asked for one": Sent(200, "/open", (("authorization", f"Bearer {HERE}"),)),
    "an unknown API key": Sent(401, "/keys", (("x-api-key", HERE),)),
    "one of two API keys": Sent(401, "/keys", (FREE, ("x-api-key", HERE))),
    "a cookie of a refused request": Sent(401, "/keys", (("cookie", f"session={HERE}"),)),
    "a cookie of an allowed request": Sent(200, "/keys", (FREE, ("cookie", f"session={HERE}"))),
    "a query of a refused request": Sent(401, f"/keys?access_token={HERE}"),
    "a query of an allowed request": Sent(200, f"/keys?access_token={HERE}", (FREE,)),
    "a query without a route": Sent(404, f"/nowhere?access_token={HERE}"),
    "a query with a redirect": Sent(302, f"/moved?access_token={HERE}"),
    "a query that is not well-formed": Sent(400, f"/keys?access_token={HERE}#x"),
    "a query of a limited request": Sent(200, f"/limited?access_token={HERE}"),
    "a body": Sent(200, "/keys", (FREE,), f"password={HERE}", "POST"),
    "a body of a refused request": Sent(401, "/keys", (), f"password={HERE}", "POST"),
    "a body that is too large": Sent(413, "/keys", (FREE,), HERE + "x" * 2000, "POST"),
    "a header with an underscore": Sent(400, "/keys", ((f"x_{HERE}", HERE),)),
    "a number that is none": Sent(500, "/number", (FREE, (SECOND, HERE))),
    "a member that is not there": Sent(500, "/member", (FREE, (SECOND, HERE))),
    "a pattern that is none": Sent(500, "/pattern", (FREE, (SECOND, f"({HERE}"))),
    "what a policy quotes when it raises": Sent(500, "/raises", (FREE, (SECOND, HERE))),
    "what a policy quotes when it cannot decide": Sent(500, "/undecided", (FREE, (SECOND, HERE))),
    "what a policy quotes when it exits": Sent(500, "/exits", (FREE, (SECOND, HERE))),
    "a header value that cannot be sent": Sent(500, "/splits", (FREE, (SECOND, HERE))),
    "a header name that cannot be sent": Sent(500, "/names", (FREE, (SECOND, HERE))),
    "an upstream that is not there": Sent(500, "/elsewhere", (FREE, (SECOND, HERE))),
    "a header that may not be set": Sent(500, "/owned", (FREE, (SECOND, HERE))),
    "a reason that is none": Sent(500, "/reasons", (FREE, (SECOND, HERE))),
    "what another policy quotes of an answer": Sent(500, "/answers/quoted", (FREE,)),
    "an answer that an expression fails on": Sent(500, "/answers/failing", (FREE,)),
    "an answer that is edited": Sent(200, "/answers/edited", (FREE,)),
    "an answer that is passed on": Sent(200, "/answers/passed", (FREE,)),
    "a cookie that an upstream sets": Sent(200, "/answers/cookie", (FREE,)),
    "a token whose issuer is away": Sent(503, "/opaque", (("authorization", f"Bearer {HERE}"),)),
    "a key in a query": Sent(401, f"/linked?apikey={HERE}"),
    "a signature": Sent(401, "/machines", (("signature-input", SIGNED), ("signature", f"sig=:{HERE}:"))),
    "a nonce of a signature": Sent(401, "/machines", (("signature-input", f'{SIGNED};nonce="{HERE}"'), SIGNATURE)),
    "a session that is none": Sent(401, "/visitors", (("cookie", f"extproc-session={HERE}"),)),
    "a code that nobody asked for": Sent(401, f"/oauth2/callback?code={HERE}&state=a"),
    "a state that nobody made": Sent(401, f"/oauth2/callback?code=a&state={HERE}"),
    "what a provider says of a failure": Sent(401, f"/oauth2/callback?error={HERE}&state=a"),
    "a certificate in a header": Sent(401, "/keys", (("x-forwarded-client-cert", f"Hash={HERE}"),)),
}
# Those whose secret is not in what is sent, but in what the upstream answers there.
ANSWERED: Final = {sent.path: place for place, sent in SENT.items() if sent.path.startswith("/answers/")}
# Whole credentials. They are good, or would be: what is looked for is all of them.
PASSWORD: Final = ("authorization", "Basic " + base64.b64encode(f"me:{canary('a password')}".encode()).decode())
WRONG: Final = ("authorization", "Basic " + base64.b64encode(f"ann:{canary('a wrong one')}".encode()).decode())
TOKEN: Final = bearer(exp=4_000_000_000, secret=canary("a claim"))
EXPIRED: Final = bearer(exp=1_000_000, secret=canary("a claim"))
UNKNOWN_KEY: Final = api_key.spell(b"?" * api_key.RANDOM_BYTES)
GOOD: Final[Mapping[str, Sent]] = {
    "an API key": Sent(200, "/keys", (FREE,)),
    "another API key": Sent(200, "/keys", (PREMIUM,)),
    "a well-formed API key that nobody knows": Sent(401, "/keys", (("x-api-key", UNKNOWN_KEY),)),
    "a token": Sent(200, "/tokens", (TOKEN,)),
    "a token that is over": Sent(401, "/tokens", (EXPIRED,)),
    "a password": Sent(401, "/tokens", (PASSWORD,)),
    "a wrong password": Sent(401, "/people", (WRONG,)),
}
# What the environment holds, by variable; the gateway file names all but the last.
KEPT: Final[Mapping[str, str]] = {
    "A_SETTING": "a secret of a policy's settings",
    "A_DEEP_SETTING": "a secret deep in a policy's settings",
    "A_CONDITION": "what a condition that fails compares with",
    "AN_INTROSPECTION_SECRET": "the secret of a client of introspection",
    "A_SIGNING_SECRET": "a secret that requests are signed with",
    "A_LOGIN_SECRET": "the secret of a client of a provider",
    "A_SESSION_SECRET": "the secret that seals sessions",
    "A_TOKEN_SECRET": "a secret that tokens are signed with",
    "A_PROVIDER_KEY": "what only an upstream may see",
    "EXTPROC_ADMIN_TOKEN": "the admin token",
}
# A policy writes this one into its record: a leak on purpose, which must be found.
LEAKED: Final = "what a policy leaks"


def secrets() -> dict[str, tuple[str, ...]]:
    """Every secret by its place, in each way in which it is written."""
    found = {
        place: (canary(place),) for place in (*SENT, *KEPT.values(), LEAKED, "a claim", "a password", "a wrong one")
    }
    whole = {
        place: tuple(value.removeprefix("Bearer ").removeprefix("Basic ") for _, value in sent.fields)
        for place, sent in GOOD.items()
    }
    return found | {f"{place}, whole": values for place, values in whole.items()}


def leaks(sinks: Mapping[str, str]) -> set[tuple[str, str]]:
    """Which secrets are in which of these texts."""
    written = secrets().items()
    return {(place, sink) for sink, text in sinks.items() for place, ways in written if any(w in text for w in ways)}
