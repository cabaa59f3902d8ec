"""Ways of saying who is asking, through the real Envoy: introspection, passwords, signatures, and saying nothing."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
import yaml

from extproc.policies.basic import hash_password
from tests.e2e.clients import HOST, Field, Reply, request
from tests.e2e.credentials import FREE, FREE_KEY, bearer
from tests.e2e.harness import FENCE, HEAD, RunningGateway, eventually
from tests.e2e.providers import CLIENT, CLIENT_SECRET, Provider, provider
from tests.e2e.upstreams import Upstream, refusing_port, started
from tests.policies.signatures import ALWAYS, SECRET, derived, signed

pytestmark = pytest.mark.e2e

PASSWORD: Final = "correct h\xf6rse: battery staple"
GATEWAY: Final = (
    # Hashing takes a while where many tests run beside each other.
    HEAD.replace("stores:", "timeout: 15s, stores:")
    + f"""
  briefly: {{introspection: {{endpoint: "${{PROVIDER}}", client_id: {CLIENT}, client_secret: "${{CLIENT_SECRET}}",
    cache: 1s, negative_cache: 1s, timeout: 10s}}}}
  longer: {{introspection: {{endpoint: "${{PROVIDER}}", client_id: {CLIENT}, client_secret: "${{CLIENT_SECRET}}",
    cache: 1h, timeout: 10s}}}}
  impatient: {{introspection: {{endpoint: "${{PROVIDER}}", client_id: {CLIENT}, client_secret: "${{CLIENT_SECRET}}"}}}}
  absent: {{introspection: {{endpoint: "${{NOBODY}}", client_id: {CLIENT}, client_secret: "${{CLIENT_SECRET}}"}}}}
  people: {{basic: {{users: users.yaml, realm: shop}}}}
  machines: {{hmac: {{keys: {{billing: {{secret: "${{SIGNING_SECRET}}", consumer: billing, tier: free}}}}}}}}
  guests: {{anonymous: {{tier: guest, scopes: [docs:read]}}}}
upstreams: {{main: {{endpoints: ["${{MAIN}}"]}}}}
tiers: {{guest: {{rate: 3/hour}}, free: {{rate: 1000/s}}}}
defaults: {{limits: []}}
routes:
  - {{name: briefly, match: {{path: /briefly}}, upstream: main, authenticate: briefly}}
  - {{name: longer, match: {{path: /longer}}, upstream: main, authenticate: longer}}
  - {{name: impatient, match: {{path: /impatient}}, upstream: main, authenticate: impatient}}
  - {{name: absent, match: {{path: /absent}}, upstream: main, authenticate: [company, absent]}}
  - {{name: people, match: {{path: /people}}, upstream: main, authenticate: people}}
  - {{name: machines, match: {{path_prefix: /machines}}, upstream: main, authenticate: machines}}
  - {{name: mixed, match: {{path: /mixed}}, upstream: main, authenticate: [company, longer, people, machines]}}
  - name: guests
    match: {{path: /guests}}
    upstream: main
    authenticate: [partners, people, guests]
    limits: [tier]
    policies: [{{use: transform, response: {{headers: {{
      x-who: 'consumer.anonymous ? "nobody of tier " + consumer.tier + consumer.id : consumer.id'}}}}}}]
  - name: known
    match: {{path: /known}}
    upstream: main
    authenticate: [partners, guests]
    authorize: '!consumer.anonymous'
  - """
    + FENCE
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        yield only


@pytest.fixture(scope="module")
def issuer() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, issuer: Provider) -> Iterator[RunningGateway]:
    with refusing_port() as port:
        made = RunningGateway(GATEWAY, [upstream])
        made.environment |= {
            "PROVIDER": issuer.url, "NOBODY": f"http://127.0.0.1:{port}/introspect", "CLIENT_SECRET": CLIENT_SECRET,
            "SIGNING_SECRET": SECRET,
        }  # fmt: skip
        user = {"name": "acme", "password": hash_password(PASSWORD), "tier": "free", "scopes": ["orders:read"]}
        (made.folder / "users.yaml").write_text(yaml.safe_dump({"users": [user]}), "utf-8")
        with made as running:
            yield running


@pytest.fixture(autouse=True)
def _as_new(upstream: Upstream, issuer: Provider) -> None:
    upstream.clear()
    issuer.asked.clear()
    issuer.mood = "well"


def opaque(token: str) -> Field:
    return ("authorization", f"Bearer {token}")


def basic(name: str, password: str) -> Field:
    return ("authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode())


def now() -> int:
    return int(time.clock_gettime(time.CLOCK_REALTIME))


def refusal(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.reason


def identity(upstream: Upstream) -> dict[str, str]:
    """What the upstream was told about whoever asked, and every credential that reached it."""
    shown = ("authorization", "signature", "signature-input", "x-api-key")
    fields = upstream.only().fields
    return {
        name.lower(): value for name, value in fields if name.lower().startswith("x-consumer") or name.lower() in shown
    }


def test_an_active_token_is_let_through_and_stays_behind(
    gateway: RunningGateway, upstream: Upstream, issuer: Provider
) -> None:
    issuer.tokens["t-1"] = {"active": True, "sub": "acme", "tier": "free", "scope": "orders:read", "exp": now() + 600}
    assert gateway.client.get("/longer", opaque("t-1")).status == 200
    assert identity(upstream) == {
        "x-consumer-id": "acme",
        "x-consumer-tier": "free",
        "x-consumer-scopes": "orders:read",
    }
    assert issuer.asked == ["t-1"]


def test_a_token_that_nobody_gave_out_is_401(gateway: RunningGateway, upstream: Upstream) -> None:
    reply = gateway.client.get("/longer", opaque("unknown"))
    assert refusal(reply) == (401, "inactive_token")
    assert reply.all("www-authenticate") == ["Bearer"]
    assert upstream.received == []


def test_a_revoked_token_is_refused_within_the_time_of_the_cache(gateway: RunningGateway, issuer: Provider) -> None:
    issuer.tokens["t-2"] = {"active": True, "sub": "acme"}
    assert gateway.client.get("/briefly", opaque("t-2")).status == 200
    del issuer.tokens["t-2"]
    refused = eventually(
        lambda: reply if (reply := gateway.client.get("/briefly", opaque("t-2"))).status != 200 else None,
        "it is refused",
    )
    assert refusal(refused) == (401, "inactive_token")


def test_what_the_issuer_said_holds_through_its_outage_and_for_nobody_else(
    gateway: RunningGateway, upstream: Upstream, issuer: Provider
) -> None:
    issuer.tokens["t-3"] = {"active": True, "sub": "acme"}
    assert gateway.client.get("/longer", opaque("t-3")).status == 200
    issuer.mood = "gone"
    assert gateway.client.get("/longer", opaque("t-3")).status == 200
    assert refusal(gateway.client.get("/longer", opaque("t-4"))) == (503, "provider_unavailable")
    assert len(upstream.received) == 2


@pytest.mark.parametrize(
    "mood",
    [
        "slow", "gone", "", "<html>", '{"sub": "acme"}', '{"active": "true", "sub": "acme"}',
        '{"active": false, "active": true, "sub": "acme"}',
        '{"active": true, "sub": "acme", "x": "' + "x" * 100_000 + '"}',
    ],
    ids=["slow", "gone", "nothing", "no JSON", "active missing", "active a text", "active twice", "100 KB"],
)  # fmt: skip
def test_what_is_no_answer_is_503_and_the_upstream_gets_nothing(
    gateway: RunningGateway, upstream: Upstream, issuer: Provider, mood: str
) -> None:
    issuer.mood = mood
    reply = gateway.client.get("/impatient", opaque("t-5"))
    assert refusal(reply) == (503, "provider_unavailable")
    assert upstream.received == []
    record = gateway.decision(reply.id)
    assert (record["result"], record["reason"]) == ("error", "provider_unavailable")


def test_an_issuer_that_is_not_there_stops_nobody_who_has_another_credential(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    assert refusal(gateway.client.get("/absent", opaque("t-6"))) == (503, "provider_unavailable")
    assert upstream.received == []
    assert gateway.client.get("/absent", bearer()).status == 200


def test_forty_requests_with_one_token_ask_the_issuer_once(gateway: RunningGateway, issuer: Provider) -> None:
    issuer.tokens["t-7"] = {"active": True, "sub": "acme"}
    issuer.held.clear()
    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(gateway.client.get, "/longer", opaque("t-7")) for _ in range(40)]
        eventually(lambda: issuer.asked, "the issuer is asked")
        issuer.held.set()
        assert Counter(one.result().status for one in asked) == {200: 40}
    assert issuer.asked == ["t-7"]


def test_a_password_names_its_user_and_stays_behind(gateway: RunningGateway, upstream: Upstream) -> None:
    assert gateway.client.get("/people", basic("acme", PASSWORD)).status == 200
    assert identity(upstream) == {
        "x-consumer-id": "acme",
        "x-consumer-tier": "free",
        "x-consumer-scopes": "orders:read",
    }


@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        (basic("acme", "wrong"), "wrong_password"),
        (basic("nobody", PASSWORD), "wrong_password"),
        (("authorization", "Basic !"), "malformed_credentials"),
        (opaque("t"), "not_basic_credentials"),
    ],
)
def test_a_wrong_password_is_401_with_a_challenge(
    gateway: RunningGateway, upstream: Upstream, credential: Field, reason: str
) -> None:
    reply = gateway.client.get("/people", credential)
    assert refusal(reply) == (401, reason)
    assert reply.all("www-authenticate") == ['Basic realm="shop", charset="UTF-8"']
    assert upstream.received == []


def signing(path: str = "/machines", method: str = "GET", query: str = "", **parameters: object) -> tuple[Field, ...]:
    values = derived(method, HOST, path, query)
    return tuple(signed(values, parameters.pop("created", now()), **parameters).items())  # type: ignore[arg-type]


def test_a_signed_request_is_let_through_once(gateway: RunningGateway, upstream: Upstream) -> None:
    fields = signing(query="a=1&b=%20", nonce="once")
    assert gateway.client.get("/machines?a=1&b=%20", *fields).status == 200
    assert identity(upstream) == {"x-consumer-id": "billing", "x-consumer-tier": "free"}
    reply = gateway.client.get("/machines?a=1&b=%20", *fields)
    assert refusal(reply) == (401, "replayed_signature")
    assert reply.all("www-authenticate") == ['Signature alg="hmac-sha256"']
    assert len(upstream.received) == 1


def test_of_many_that_replay_at_once_one_is_let_through(gateway: RunningGateway, upstream: Upstream) -> None:
    fields = signing(nonce="many")
    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(gateway.client.get, "/machines", *fields) for _ in range(30)]
        assert Counter(one.result().status for one in asked) == {200: 1, 401: 29}
    assert len(upstream.received) == 1


@pytest.mark.parametrize(
    ("target", "method", "created", "reason"),
    [
        ("/machines?a=2", "GET", 0, "invalid_signature"),
        ("/machines/other", "GET", 0, "invalid_signature"),
        ("/machines?a=1", "DELETE", 0, "invalid_signature"),
        ("/machines?a=1", "GET", -3600, "expired"),
        ("/machines?a=1", "GET", 3600, "not_yet_valid"),
    ],
)
def test_a_signature_for_something_else_is_401(
    gateway: RunningGateway, upstream: Upstream, target: str, method: str, created: int, reason: str
) -> None:
    fields = signing(query="a=1", created=now() + created)
    assert refusal(gateway.client.ask(method, target, *fields)) == (401, reason)
    assert upstream.received == []


def test_the_path_is_signed_in_its_normal_form_and_the_host_without_its_port(gateway: RunningGateway) -> None:
    fields = signing("/machines/x", nonce="normal")
    assert gateway.client.get("//machines/./x", *fields, host=f"{HOST.upper()}:8080").status == 200


def test_a_body_needs_its_digest_signed_however_it_is_framed(gateway: RunningGateway, upstream: Upstream) -> None:
    fields = signing(method="POST", nonce="body")
    assert refusal(gateway.client.ask("POST", "/machines", *fields, body=b"{}")) == (401, "body_not_signed")
    head = request("POST", "/machines", ("host", HOST), ("transfer-encoding", "chunked"), *fields)
    chunked = gateway.client.send(head + b"2\r\n{}\r\n0\r\n\r\n", "POST")
    assert chunked is not None
    assert refusal(chunked) == (401, "body_not_signed")
    assert upstream.received == []


def test_a_body_with_a_signed_digest_reaches_the_upstream_with_it(gateway: RunningGateway, upstream: Upstream) -> None:
    digest = "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"
    values = {**derived("POST", HOST, "/machines"), "content-digest": digest}
    fields = signed(values, now(), [*ALWAYS, "content-digest"], nonce="digest").items()
    assert gateway.client.ask("POST", "/machines", *fields, ("content-digest", digest), body=b"{}").status == 200
    assert upstream.only().all("content-digest") == [digest]


@pytest.mark.parametrize("credential", [(), (bearer(),), (opaque("t-8"),), (basic("acme", PASSWORD),)])
def test_methods_of_one_header_read_one_credential(
    gateway: RunningGateway, issuer: Provider, credential: tuple[Field, ...]
) -> None:
    issuer.tokens["t-8"] = {"active": True, "sub": "acme"}
    reply = gateway.client.get("/mixed", *credential)
    assert reply.status == (200 if credential else 401)
    if not credential:
        assert reply.all("www-authenticate") == [
            'Bearer, Basic realm="shop", charset="UTF-8", Signature alg="hmac-sha256"'
        ]


def test_a_wrong_password_is_said_to_be_one_where_tokens_are_read_too(
    gateway: RunningGateway, issuer: Provider
) -> None:
    assert refusal(gateway.client.get("/mixed", basic("acme", "wrong"))) == (401, "wrong_password")
    assert issuer.asked == [], "a password is no token to ask about"


def test_two_credentials_are_refused_though_both_are_good(gateway: RunningGateway, upstream: Upstream) -> None:
    reply = gateway.client.get("/mixed", bearer(), *signing("/mixed", nonce="both"))
    assert refusal(reply) == (401, "several_credentials")
    assert upstream.received == []


def test_who_brings_no_credential_is_anonymous_and_cannot_say_otherwise(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    forged = (("x-consumer-id", "root"), ("x-consumer-tier", "free"), ("x-consumer-scopes", "all"))
    reply = gateway.client.get("/guests", *forged, source="127.0.0.51")
    assert reply.status == 200
    assert identity(upstream) == {"x-consumer-tier": "guest", "x-consumer-scopes": "docs:read"}
    assert reply.all("x-who") == ["nobody of tier guest"], "the answer's policies know it too"


def test_each_address_of_the_anonymous_has_the_tiers_rate_for_itself(gateway: RunningGateway) -> None:
    for source in ("127.0.0.52", "127.0.0.53"):
        statuses = [gateway.client.get("/guests", source=source).status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
    assert gateway.client.get("/guests", FREE, source="127.0.0.52").all("x-who") == ["free-caller"]


@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        (("x-api-key", FREE_KEY[:-1]), "unknown_api_key"),
        (("x-api-key", ""), "unknown_api_key"),
        (("authorization", ""), "not_basic_credentials"),
        (basic("acme", "wrong"), "wrong_password"),
        (("signature", "sig=:AA==:"), "unexpected_credential"),
    ],
)
def test_a_bad_credential_makes_nobody_anonymous(
    gateway: RunningGateway, upstream: Upstream, credential: Field, reason: str
) -> None:
    assert refusal(gateway.client.get("/guests", credential, source="127.0.0.54")) == (401, reason)
    assert upstream.received == []


def test_a_condition_may_ask_whether_somebody_is_anonymous(gateway: RunningGateway) -> None:
    assert refusal(gateway.client.get("/known")) == (403, "not_authorized")
    assert gateway.client.get("/known", FREE).status == 200


def test_no_credential_and_no_secret_is_written_down(gateway: RunningGateway, issuer: Provider) -> None:
    issuer.tokens["t-0123456789"] = {"active": True, "sub": "acme"}
    shown = [opaque("t-0123456789"), basic("acme", PASSWORD), basic("acme", "another-password-of-hers")]
    for credential in shown:
        gateway.decision(gateway.client.get("/mixed", credential).id)
    issuer.mood = "gone"
    gateway.decision(gateway.client.get("/mixed", opaque("t-9876543210")).id)
    secrets = [
        SECRET,
        CLIENT_SECRET,
        PASSWORD,
        *(value.split(" ")[1] for _, value in shown),
        "another-password",
        "t-9876",
    ]
    written = [file for file in gateway.work.rglob("*") if file.is_file()]
    assert len(written) >= 3
    for text in (gateway.output(), *(file.read_text("utf-8", "replace") for file in written)):
        assert [secret for secret in secrets if secret in text] == []
