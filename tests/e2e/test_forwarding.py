"""What upstreams get: signed tokens, the client's credentials, keys of their own, and nothing that was forged."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from extproc.core import names
from tests.cli.commands import extproc
from tests.e2e.clients import Field
from tests.e2e.credentials import FREE, FREE_KEY, bearer
from tests.e2e.harness import HEAD, RunningGateway, fetch
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

SECRET: Final = "Bearer sk-canary-8f1d7c"
VERSION_SECRET: Final = "canary-5b2e90"
GATEWAY: Final = (
    HEAD.replace("stores:", "signing: {keys: [signing.pem, next.pem], issuer: shop-gateway}, stores:")
    + """
upstreams:
  plain: {endpoints: ["${PLAIN}"]}
  keyed: {endpoints: ["${KEYED}"], credential: {header: authorization, value: "${SECRET}"}}
  versioned: {endpoints: ["${VERSIONED}"], credential: {header: x-provider-key, value: "${VERSION_SECRET}"}}
models:
  all-keyed: {versions: {v1: {upstream: versioned, weight: 100}, v2: {upstream: plain, weight: 0}}, sticky: none}
  all-plain: {versions: {v1: {upstream: versioned, weight: 0}, v2: {upstream: plain, weight: 100}}, sticky: none}
defaults: {authenticate: [company, partners]}
routes:
  - {name: plain, match: {path: /plain}, upstream: plain}
  - {name: signed, match: {path: /signed}, upstream: plain, forward: signed}
  - {name: signed-model, match: {path: /signed-model}, model: all-plain, forward: signed}
  - {name: kept, match: {path: /kept}, upstream: plain, forward_credentials: true}
  - {name: keyed, match: {path: /keyed}, upstream: keyed}
  - {name: keyed-kept, match: {path: /keyed-kept}, upstream: keyed, forward_credentials: true}
  - {name: keyed-open, match: {path: /keyed-open}, upstream: keyed, authenticate: none}
  - name: keyed-counted
    match: {path: /keyed-counted}
    upstream: keyed
    authenticate: none
    limits: [{per: route, rate: 1/hour}]
  - {name: model-keyed, match: {path: /model-keyed}, model: all-keyed, authenticate: none}
  - {name: model-plain, match: {path: /model-plain}, model: all-plain, authenticate: none}
  - {name: open, match: {path: /open}, upstream: plain, authenticate: none}
"""
)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, Upstream]]:
    with started("plain", "keyed", "versioned") as found:
        yield {upstream.name: upstream for upstream in found}


@pytest.fixture(scope="module")
def gateway(upstreams: dict[str, Upstream]) -> Iterator[RunningGateway]:
    made = RunningGateway(GATEWAY, list(upstreams.values()))
    made.environment |= {"SECRET": SECRET, "VERSION_SECRET": VERSION_SECRET}
    for name in ("signing.pem", "next.pem"):
        key = Ed25519PrivateKey.generate()
        (made.folder / name).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with made as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstreams: dict[str, Upstream]) -> None:
    for upstream in upstreams.values():
        upstream.clear()


def verified(gateway: RunningGateway, token: str, audience: str) -> dict[str, Any]:
    """As an upstream would that knows PyJWT and the address of the keys, and nothing else of the gateway."""
    keys = jwt.PyJWKClient(f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/.well-known/jwks.json")
    key = keys.get_signing_key_from_jwt(token)
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["EdDSA"], audience=audience, issuer="shop-gateway")
    return claims


def test_an_upstream_verifies_who_is_asking(gateway: RunningGateway, upstreams: dict[str, Upstream]) -> None:
    assert gateway.client.get("/signed", bearer("c-1", scope="a b")).status == 200
    received = upstreams["plain"].only()
    (token,) = received.all("x-consumer-token")
    claims = verified(gateway, token, "plain")
    assert (claims["sub"], claims["tier"], claims["scopes"], claims["groups"]) == ("c-1", "free", ["a", "b"], [])
    assert claims["exp"] - claims["iat"] == 60
    assert received.all("x-consumer-id") == ["c-1"]
    with pytest.raises(jwt.InvalidAudienceError):
        verified(gateway, token, "keyed")


def test_a_token_is_for_the_version_that_was_chosen(gateway: RunningGateway, upstreams: dict[str, Upstream]) -> None:
    assert gateway.client.get("/signed-model", FREE).status == 200
    (token,) = upstreams["plain"].only().all("x-consumer-token")
    assert verified(gateway, token, "plain")["sub"] == "free-caller"


def test_the_keys_are_for_anybody_and_public(gateway: RunningGateway) -> None:
    url = f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/.well-known/jwks.json"
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.headers["cache-control"] == "public, max-age=300"
        keys = json.loads(answer.read())["keys"]
    assert len(keys) == 2
    assert all("d" not in key and key["kty"] == "OKP" for key in keys)


# Every header by which an upstream is told who is asking, as they are named in one place: a new one is held here too.
IDENTITY: Final = sorted(
    value for name, value in vars(names).items() if name.startswith("CONSUMER_") and name[9:] != "PREFIX"
)


def spellings(name: str) -> list[Field]:
    return [(name, "forged"), (name.upper(), "forged-2"), (name.title(), "forged-3"), (name, "")]


@pytest.mark.parametrize("name", IDENTITY)
@pytest.mark.parametrize("path", ["/plain", "/signed", "/signed-model", "/kept", "/keyed", "/keyed-open", "/open"])
def test_a_forged_identity_changes_nothing(
    gateway: RunningGateway, upstreams: dict[str, Upstream], name: str, path: str
) -> None:
    """ACCEPTANCE 10: the sidecar's own value or none, in whatever case it is forged and how often."""
    credential = [] if path.endswith("open") else [FREE]
    upstream = upstreams["keyed" if path.startswith("/keyed") else "plain"]
    assert gateway.client.get(path, *credential).status == 200
    honest = upstream.only().all(name)
    upstream.clear()
    for field in spellings(name):
        assert gateway.client.get(path, *credential, field).status == 200
    assert gateway.client.get(path, *credential, *spellings(name)).status == 200
    assert [received.all(name) for received in upstream.received] == [honest] * 5


def test_the_names_of_identity_headers_are_those_that_an_upstream_can_get() -> None:
    assert IDENTITY == [
        "x-consumer-groups", "x-consumer-id", "x-consumer-scopes", "x-consumer-tier", "x-consumer-token",
    ]  # fmt: skip


def test_a_credential_is_removed_unless_the_route_forwards_it(
    gateway: RunningGateway, upstreams: dict[str, Upstream]
) -> None:
    token = bearer("c-1")
    for path, credential, arrives in [
        ("/plain", FREE, []), ("/plain", token, []), ("/signed", FREE, []), ("/kept", FREE, [FREE[1]]),
        ("/kept", token, [token[1]]),
    ]:  # fmt: skip
        upstreams["plain"].clear()
        assert gateway.client.get(path, credential).status == 200
        assert upstreams["plain"].only().all(credential[0]) == arrives
    assert gateway.client.get("/kept", FREE, token).reason == "several_credentials"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/keyed", [bearer("c-1")]),
        ("/keyed", [FREE]),
        ("/keyed-kept", [bearer("c-1")]),
        ("/keyed-open", []),
        ("/keyed-open", [("authorization", "Bearer of-the-client")]),
        ("/keyed-open", [("Authorization", "a"), ("AUTHORIZATION", "b")]),
    ],
)
def test_an_upstream_is_shown_its_own_key_whatever_the_client_sent(
    gateway: RunningGateway, upstreams: dict[str, Upstream], path: str, fields: list[Field]
) -> None:
    reply = gateway.client.get(path, *fields)
    assert reply.status == 200
    assert upstreams["keyed"].only().all("authorization") == [SECRET]
    assert gateway.decision(reply.id)["result"] == "allow"


def test_a_version_is_shown_its_key_and_another_is_not(gateway: RunningGateway, upstreams: dict[str, Upstream]) -> None:
    forged = ("x-provider-key", "mine")
    assert gateway.client.get("/model-keyed", forged).status == 200
    assert upstreams["versioned"].only().all("x-provider-key") == [VERSION_SECRET]
    assert gateway.client.get("/model-plain", forged).status == 200
    assert upstreams["plain"].only().all("x-provider-key") == ["mine"]


def test_limits_hold_on_a_route_that_asks_for_the_key_alone(gateway: RunningGateway) -> None:
    assert [gateway.client.get("/keyed-counted").status for _ in range(2)] == [200, 429]


def test_a_key_goes_to_its_upstream_alone(gateway: RunningGateway, upstreams: dict[str, Upstream]) -> None:
    for path in ("/plain", "/signed", "/signed-model", "/kept", "/keyed", "/keyed-kept"):
        assert gateway.client.get(path, FREE).status == 200
    for path in ("/keyed-open", "/model-keyed", "/model-plain", "/open"):
        assert gateway.client.get(path).status == 200
    got = {name: repr([one.fields for one in upstream.received]) for name, upstream in upstreams.items()}
    assert {name for name in got if SECRET in got[name]} == {"keyed"}
    assert {name for name in got if VERSION_SECRET in got[name]} == {"versioned"}


def test_no_secret_is_anywhere_but_at_its_upstream(gateway: RunningGateway) -> None:
    for path in ("/signed", "/keyed", "/keyed-kept", "/keyed-open", "/model-keyed", "/keyed?debug=1"):
        gateway.client.get(path, *([] if "open" in path or "model" in path else [FREE]))
    written = "".join(file.read_text("utf-8", "replace") for file in files_of(gateway.work))
    admin, envoy = gateway.ports["SIDECAR_ADMIN"], gateway.ports["ENVOY_ADMIN"]
    shown = (
        gateway.output() + fetch(f"http://127.0.0.1:{admin}/metrics") + fetch(f"http://127.0.0.1:{envoy}/config_dump")
    )
    assert "listeners" in shown
    environment = gateway.environment | {"SIDECAR_SOCKETS": str(gateway.folder)}
    ended = [
        extproc(*command, str(gateway.file), *rest, folder=gateway.folder, environment=environment)
        for command, rest in [
            (("render",), ()), (("plan",), ()), (("plan",), ("--output", "json")), (("check",), ()),
            (("explain",), ("--path", "/keyed-open")), (("explain",), ("--path", "/model-keyed", "--output", "json")),
            (("explain",), ("--path", "/signed", "-H", f"x-api-key: {FREE_KEY}")),
        ]
    ]  # fmt: skip
    assert [one.code for one in ended] == [0] * len(ended)
    said = [one.output + one.errors for one in ended]
    assert "(not shown)" in said[4]
    assert "(not shown)" in said[5]
    assert "x-consumer-token: (signed)" in said[6]
    assert "authorization of keyed" in said[1]
    everything = written + shown + "".join(said)
    for secret in (SECRET.removeprefix("Bearer "), VERSION_SECRET, "eyJ"):
        assert secret not in everything


def files_of(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
