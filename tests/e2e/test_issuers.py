"""Keys that an identity provider publishes, through the real Envoy: rotated, gone, late, and asked for by strangers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.e2e.clients import Field, Reply
from tests.e2e.harness import RunningGateway, SeparateGateway, eventually, fetch
from tests.e2e.identity_provider import AUDIENCE, DISCOVERY, JWKS, IdentityProvider, provider
from tests.e2e.pressure import pressure
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e


def gateway_of(issuer: IdentityProvider) -> str:
    return f"""
listeners: [{{name: public, address: "${{GATEWAY_ADDRESS}}"}}]
envoy: {{concurrency: 2, admin: "${{ENVOY_ADMIN}}"}}
sidecar: {{address: "unix:${{SIDECAR_SOCKETS}}", admin: "${{SIDECAR_ADMIN}}"}}
upstreams: {{main: {{endpoints: ["${{MAIN}}"]}}}}
authentication:
  found: {{jwt: {{issuer: "{issuer.url}", audiences: [{AUDIENCE}]}}}}
  access: {{jwt: {{issuer: "{issuer.url}", audiences: [{AUDIENCE}], jwks: "{issuer.url}{JWKS}", types: [at+jwt]}}}}
defaults: {{limits: []}}
routes:
  - {{name: found, match: {{path: /found}}, upstream: main, authenticate: found}}
  - {{name: access, match: {{path: /access}}, upstream: main, authenticate: access}}
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (main,):
        yield main


@pytest.fixture
def issuer() -> Iterator[IdentityProvider]:
    with provider("first") as found:
        yield found


@pytest.fixture
def gateway(issuer: IdentityProvider, upstream: Upstream) -> Iterator[RunningGateway]:
    with RunningGateway(gateway_of(issuer), [upstream]) as running:
        yield running


def told(reply: Reply) -> tuple[int, str]:
    return (reply.status, "" if reply.status == 200 else reply.reason)


def fresh(issuer: IdentityProvider, kid: str) -> Field:
    """A token that nobody has seen, so that it must be verified."""
    return issuer.bearer(kid, jti=secrets.token_hex(8))


def test_keys_are_found_by_discovery_and_told_apart_from_the_types_of_tokens(
    gateway: RunningGateway, issuer: IdentityProvider
) -> None:
    plain, access = issuer.bearer("first"), issuer.bearer("first", {"typ": "at+jwt"})
    assert told(gateway.client.get("/found", plain)) == (200, "")
    assert told(gateway.client.get("/access", access)) == (200, "")
    assert told(gateway.client.get("/access", plain)) == (401, "unsupported_token")
    assert issuer.asked == {DISCOVERY: 1, JWKS: 2}


def test_a_key_that_signs_before_anybody_fetched_it_costs_nobody_a_denial(
    gateway: RunningGateway, issuer: IdentityProvider
) -> None:
    signing = ["first"]
    with pressure(gateway.ports["GATEWAY_ADDRESS"], "/found", lambda: fresh(issuer, signing[0])) as callers:
        callers.goes_on(100)
        before = issuer.asked[JWKS]
        issuer.rotate("second")
        signing[0] = "second"
        callers.goes_on(200)
    assert set(callers.statuses) == {200}
    assert issuer.asked[JWKS] == before + 1
    assert told(gateway.client.get("/found", fresh(issuer, "first"))) == (200, "")


def test_an_issuer_that_is_gone_costs_nobody_a_denial_whose_key_was_known(
    gateway: RunningGateway, issuer: IdentityProvider
) -> None:
    with pressure(gateway.ports["GATEWAY_ADDRESS"], "/found", lambda: fresh(issuer, "first")) as callers:
        callers.goes_on(100)
        issuer.down()
        callers.goes_on(100)
        # Makes the gateway ask, in vain: nobody can say whether that key is one of the issuer's.
        assert told(gateway.client.get("/found", issuer.bearer("second"))) == (503, "provider_unavailable")
        callers.goes_on(100)
        issuer.rotate("second")
        issuer.up()
        eventually(lambda: gateway.client.get("/found", fresh(issuer, "second")).status == 200, "the issuer is back")
    assert set(callers.statuses) == {200}
    assert fetch(f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/readyz")
    events = [line for line in gateway.events() if line["event"] in {"keys_changed", "keys_unavailable"}]
    assert {line["event"] for line in events} == {"keys_changed", "keys_unavailable"}


def test_strangers_with_key_ids_of_their_own_invention_cause_one_fetch_and_harm_nobody(
    gateway: RunningGateway, issuer: IdentityProvider
) -> None:
    assert told(gateway.client.get("/found", issuer.bearer("first"))) == (200, "")
    before = issuer.asked[JWKS]

    def invented() -> Field:
        return issuer.bearer(secrets.token_hex(8))

    with (
        pressure(gateway.ports["GATEWAY_ADDRESS"], "/found", invented) as strangers,
        pressure(gateway.ports["GATEWAY_ADDRESS"], "/found", lambda: fresh(issuer, "first")) as callers,
    ):
        strangers.goes_on(1_000)
        callers.goes_on(100)
    assert set(callers.statuses) == {200}
    assert set(strangers.statuses) == {401}
    assert issuer.asked[JWKS] == before + 1


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_where_a_token_says_its_key_is_nobody_looks(
    gateway: RunningGateway, issuer: IdentityProvider, name: str
) -> None:
    with provider("first") as stranger:
        place = f"{stranger.url}{JWKS}"
        brought = {name: {"kty": "oct", "k": "AAAA"} if name == "jwk" else [place] if name == "x5c" else place}
        forged = stranger.bearer("first", brought, iss=issuer.url)
        assert told(gateway.client.get("/found", forged)) == (401, "invalid_signature")
        assert gateway.client.get("/found", issuer.bearer("first", brought)).status == 200
        assert stranger.asked == {}
    assert issuer.asked[JWKS] == 2


def test_a_gateway_that_has_never_had_its_keys_is_not_ready_and_decides_nothing(
    issuer: IdentityProvider, upstream: Upstream
) -> None:
    issuer.down()
    before = len(upstream.received)
    with SeparateGateway(gateway_of(issuer), [upstream]) as gateway:
        gateway.start_sidecar()
        gateway.start_envoy()
        gateway.wait_for_sidecar()
        ready = f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/readyz"
        assert fetch(ready.replace("readyz", "healthz"))
        assert told(gateway.client.get("/found", issuer.bearer("first"))) == (503, "provider_unavailable")
        assert told(gateway.client.get("/found", issuer.bearer("first"))) == (503, "provider_unavailable")
        assert fetch(ready) == ""
        assert len(upstream.received) == before
        issuer.up()
        eventually(lambda: fetch(ready), "the gateway is ready")
        assert told(gateway.client.get("/found", issuer.bearer("first"))) == (200, "")
