"""`authorize` through the real Envoy: by scope, group, claim, tier, consumer and address; else 403."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.e2e.clients import Client, Field
from tests.e2e.credentials import FREE, PREMIUM, bearer
from tests.e2e.harness import FENCE, HEAD, RunningGateway
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

GATEWAY: Final = (
    HEAD.replace(
        'listeners: [{name: public, address: "${GATEWAY_ADDRESS}"}]',
        """
listeners:
  - {name: public, address: "${GATEWAY_ADDRESS}"}
  - {name: behind, address: "${BEHIND}", trusted_proxies: {hops: 1}}
""",
    )
    + """
upstreams: {only: {endpoints: ["${ONLY}"]}}
tiers: {free: {rate: 1000/s}, premium: {rate: 1000/s}}
defaults: {authenticate: [company, partners], authorize: {scopes: [orders:read]}}
routes:
  - {name: inherited, match: {path: /inherited}, upstream: only}
  - {name: scopes, match: {path: /scopes}, upstream: only, authorize: {scopes: [orders:read, orders:write]}}
  - {name: any-scope, match: {path: /any-scope}, upstream: only, authorize: {any_scope: [orders:write, orders:read]}}
  - {name: groups, match: {path: /groups}, upstream: only, authorize: 'size(consumer.groups) == 0'}
  - {name: claims, match: {path: /claims}, upstream: only, authorize: {claims: {role: [admin, support], level: 3}}}
  - {name: consumers, match: {path: /consumers}, upstream: only, authorize: {consumers: [premium-caller]}}
  - {name: tiers, match: {path: /tiers}, upstream: only, authorize: {tiers: [premium]}}
  - name: several
    match: {path: /several}
    upstream: only
    authorize:
      - {tiers: [premium], when: request.method == "GET"}
      - {claims: {role: admin}}
      - {addresses: [127.0.0.66]}
  - name: inside
    match: {path: /inside}
    upstream: only
    authenticate: none
    authorize: {addresses: [127.0.0.5, 192.0.2.0/24, "2001:db8::/32"]}
  - name: outside
    match: {path: /outside}
    upstream: only
    authenticate: none
    authorize: {deny_addresses: [127.0.0.5, 192.0.2.0/24, "2001:db8::/32"]}
  - """
    + FENCE.replace("limits: []", "limits: [], authorize: 'true'")
)


@pytest.fixture(scope="module")
def only() -> Iterator[Upstream]:
    with started("only") as (found,):
        yield found


@pytest.fixture(scope="module")
def gateway(only: Upstream) -> Iterator[RunningGateway]:
    with RunningGateway(GATEWAY, [only], ["BEHIND"]) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(only: Upstream) -> None:
    only.clear()


def token(**claims: Any) -> Field:
    return bearer("token-caller", **claims)


ALLOWED: Final = [
    ("/inherited", FREE),
    ("/inherited", token(scope="a orders:read")),
    ("/scopes", token(scope="orders:write orders:read more")),
    ("/scopes", token(scope=["orders:write", "orders:read"])),
    ("/any-scope", FREE),
    ("/groups", FREE),
    ("/claims", token(role="support", level=3)),
    ("/claims", token(role=["user", "admin"], level=3)),
    ("/consumers", PREMIUM),
    ("/tiers", token(tier="premium")),
    ("/several", PREMIUM),
    ("/several", token(role="admin")),
]
REFUSED: Final = [
    ("/inherited", token(), "missing_scope"),
    ("/inherited", token(scope="orders:read-none"), "missing_scope"),
    ("/scopes", FREE, "missing_scope"),
    ("/any-scope", token(scope="other"), "missing_scope"),
    ("/claims", token(role="admin", level="3"), "wrong_claim"),
    ("/claims", token(role="user", level=3), "wrong_claim"),
    ("/claims", FREE, "wrong_claim"),
    ("/consumers", FREE, "consumer_not_allowed"),
    ("/tiers", FREE, "tier_not_allowed"),
    ("/several", FREE, "no_rule_matches"),
]


@pytest.mark.parametrize(("path", "credential"), ALLOWED)
def test_what_a_rule_allows_reaches_the_upstream(
    gateway: RunningGateway, only: Upstream, path: str, credential: Field
) -> None:
    assert gateway.client.get(path, credential).status == 200
    assert only.only().target == path


@pytest.mark.parametrize(("path", "credential", "reason"), REFUSED)
def test_what_no_rule_allows_is_refused_with_its_own_reason(
    gateway: RunningGateway, only: Upstream, path: str, credential: Field, reason: str
) -> None:
    reply = gateway.client.get(path, credential)
    assert (reply.status, reply.reason) == (403, reason)
    assert only.received == []
    assert gateway.decision(reply.id)["policy"] == "authorize"


def test_who_lacks_a_scope_is_told_by_the_challenge_which_would_do(gateway: RunningGateway) -> None:
    reply = gateway.client.get("/scopes", FREE)
    challenge = 'Bearer error="insufficient_scope", scope="orders:read orders:write"'
    assert reply.all("www-authenticate") == [challenge]


def test_the_record_names_the_member_that_refused_or_the_rule_that_allowed(gateway: RunningGateway) -> None:
    refused = gateway.client.get("/several", FREE)
    assert gateway.decision(refused.id)["facts"] == {"refused_by": "[0].tiers, [1].claims.role, [2].addresses"}
    allowed = gateway.client.get("/several", token(role="admin"))
    assert gateway.decision(allowed.id)["facts"] == {"allowed_by": "[1]"}
    assert gateway.client.ask("POST", "/several", PREMIUM, body=b"").reason == "no_rule_matches"


def test_any_rule_of_several_will_do(gateway: RunningGateway, only: Upstream) -> None:
    assert gateway.client.get("/several", FREE, source="127.0.0.66").status == 200
    assert len(only.received) == 1


@pytest.mark.parametrize(
    "forged",
    [("x-forwarded-for", "192.0.2.7"), ("x-envoy-external-address", "192.0.2.7"), ("forwarded", "for=192.0.2.7")],
)
def test_the_address_is_that_of_the_connection_whatever_the_client_says(gateway: RunningGateway, forged: Field) -> None:
    client = gateway.client
    assert client.get("/inside", source="127.0.0.5").status == 200
    assert client.get("/outside", source="127.0.0.5").reason == "address_not_allowed"
    assert client.get("/inside", forged).reason == "address_not_allowed"
    assert client.get("/outside", forged).status == 200


BEHIND_A_PROXY: Final = [
    ("192.0.2.7", True),
    ("198.51.100.1", False),
    ("192.0.2.7, 198.51.100.1", False),  # the left one is the client's own word
    ("198.51.100.1, 192.0.2.7", True),
    ("2001:db8::7", True),
    ("2001:db9::7", False),
    ("::ffff:192.0.2.7", True),
    ("::ffff:198.51.100.1", False),
]


@pytest.mark.parametrize(("chain", "inside"), BEHIND_A_PROXY)
def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_names(
    gateway: RunningGateway, only: Upstream, chain: str, inside: bool
) -> None:
    client = Client(gateway.ports["BEHIND"])
    field = ("x-forwarded-for", chain)
    assert client.get("/inside", field).status == (200 if inside else 403)
    assert client.get("/outside", field).status == (403 if inside else 200)
    assert len(only.received) == 1
