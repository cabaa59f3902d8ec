"""Client certificates: who is asking is whom a certificate was issued to, and nothing that a client writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.certificates import CLIENT, SERVER, Authority, Issued, dns, email, replace, uri
from tests.e2e.clients import Client, Reply
from tests.e2e.credentials import FREE
from tests.e2e.harness import FENCE, HEAD, RunningGateway, eventually
from tests.e2e.secure_clients import SecureClient, trusting
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

SERVERS: Final = Authority("servers")
CLIENTS: Final = Authority("clients")
STRANGERS: Final = Authority("clients")  # of the same name, with another key
RELOADED: Final = 10.0
DEVICE: Final = "spiffe://test/device/7"
GATEWAY: Final = (
    HEAD.replace(
        "listeners: [",
        """listeners: [
  {name: asking, address: "${ASKING}", tls: {certificate: server.crt, key: server.key, client_ca: clients.crt,
    crl: clients.crl}},
  {name: requiring, address: "${REQUIRING}", tls: {certificate: server.crt, key: server.key, client_ca: clients.crt,
    require_client_certificate: true}},
  """,
    )
    + """
  devices: {client_certificate: {consumer: san_uri, prefix: "spiffe://test/device/", tier: free, scopes: [read]}}
  hosts: {client_certificate: {consumer: san_dns}}
upstreams: {main: {endpoints: ["${MAIN}"]}}
tiers: {free: {rate: 1000/s}}
defaults: {authenticate: devices, limits: []}
routes:
  - {name: main, match: {path: /}, upstream: main, limits: [tier]}
  - {name: hosts, match: {path: /hosts}, upstream: main, authenticate: hosts}
  - {name: either, match: {path: /either}, upstream: main, authenticate: [devices, partners]}
  - {name: open, match: {path: /open}, upstream: main, authenticate: none}
  - {name: keys, match: {path: /keys}, upstream: main, authenticate: partners}
  - """
    + FENCE
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        yield only


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[RunningGateway]:
    made = RunningGateway(GATEWAY, [upstream], ["ASKING", "REQUIRING"])
    SERVERS.issue(dns("gateway.test")).write(made.folder, "server")
    replace(made.folder / "clients.crt", CLIENTS.pem)
    replace(made.folder / "clients.crl", CLIENTS.revocations())
    with made as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstream: Upstream) -> None:
    upstream.clear()


def client(gateway: RunningGateway, shown: Issued | None = None, listener: str = "ASKING") -> SecureClient:
    return SecureClient(gateway.ports[listener], trusting(SERVERS, shown, gateway.work), "gateway.test")


def device(name: str = DEVICE, days: int = 30) -> Issued:
    return CLIENTS.issue(uri(name), usage=CLIENT, days=days)


def test_the_holder_of_a_certificate_is_the_consumer(gateway: RunningGateway, upstream: Upstream) -> None:
    reply = client(gateway, device()).get("/")
    assert reply.status == 200
    seen = upstream.only()
    assert [seen.header(f"x-consumer-{name}") for name in ("id", "tier", "scopes")] == [DEVICE, "free", "read"]
    assert gateway.decision(reply.id)["consumer"] == DEVICE


def test_without_a_certificate_the_answer_is_401_and_asks_for_nothing(gateway: RunningGateway) -> None:
    for asked in (client(gateway), Client(gateway.ports["GATEWAY_ADDRESS"])):
        reply = asked.get("/")
        assert (reply.status, reply.reason) == (401, "no_credentials")
        assert reply.header("www-authenticate") is None


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(device(days=-1), id="expired"),
        pytest.param(STRANGERS.issue(uri(DEVICE), usage=CLIENT), id="of another authority"),
        pytest.param(CLIENTS.issue(uri(DEVICE), usage=SERVER), id="for servers"),
    ],
)
@pytest.mark.parametrize("listener", ["ASKING", "REQUIRING"])
def test_a_certificate_that_is_not_good_closes_the_connection(
    gateway: RunningGateway, upstream: Upstream, shown: Issued, listener: str
) -> None:
    with gateway.watched() as decisions:
        assert client(gateway, shown, listener).tried("/open") is None
    assert decisions == []
    assert upstream.received == []


def test_where_one_is_required_no_connection_is_without(gateway: RunningGateway, upstream: Upstream) -> None:
    assert client(gateway, listener="REQUIRING").tried("/open") is None
    assert upstream.received == []
    assert client(gateway, device(), "REQUIRING").get("/open").status == 200


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "no_consumer"),
        ([dns(DEVICE.replace("://", "."))], "no_consumer"),
        ([email("device@test")], "no_consumer"),
        ([uri(DEVICE), uri("spiffe://test/device/8")], "no_consumer"),
        ([uri("spiffe://other/device/7")], "unknown_certificate"),
    ],
)
def test_a_name_of_another_type_or_none_or_two_is_nobody(
    gateway: RunningGateway, upstream: Upstream, names: list[object], reason: str
) -> None:
    reply = client(gateway, CLIENTS.issue(*names, common_names=[DEVICE], usage=CLIENT)).get("/")  # type: ignore[arg-type]
    assert (reply.status, reply.reason) == (401, reason)
    assert upstream.received == []


def test_the_same_text_as_another_type_of_name_is_not_the_same_caller(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    """Envoy's own `source.principal` is alike for both."""
    as_uri = client(gateway, CLIENTS.issue(uri("device.test"), usage=CLIENT)).get("/hosts")
    assert (as_uri.status, as_uri.reason) == (401, "no_consumer")
    assert client(gateway, CLIENTS.issue(dns("device.test"), usage=CLIENT)).get("/hosts").status == 200
    assert upstream.only().header("x-consumer-id") == "device.test"


def test_nothing_that_a_client_writes_is_a_certificate(gateway: RunningGateway, upstream: Upstream) -> None:
    forged = ("x-forwarded-client-cert", f"By=spiffe://test/gateway;Hash={'0' * 64};URI={DEVICE}")
    for asked in (client(gateway), Client(gateway.ports["GATEWAY_ADDRESS"])):
        assert asked.get("/", forged).status == 401
    assert client(gateway, device("spiffe://test/device/8")).get("/", forged).status == 200
    seen = upstream.only()
    assert seen.header("x-consumer-id") == "spiffe://test/device/8"
    assert seen.header("x-forwarded-client-cert") is None


def test_a_certificate_and_a_key_are_one_too_many(gateway: RunningGateway, upstream: Upstream) -> None:
    both = client(gateway, device()).get("/either", FREE)
    assert (both.status, both.reason) == (401, "several_credentials")
    assert upstream.received == []
    alone: list[Reply] = [client(gateway, device()).get("/either"), client(gateway).get("/either", FREE)]
    assert [reply.status for reply in alone] == [200, 200]


def test_a_route_that_asks_for_a_key_does_not_mind_the_connections_certificate(gateway: RunningGateway) -> None:
    assert client(gateway, device()).get("/keys", FREE).status == 200
    assert client(gateway, device()).get("/keys").status == 401


def test_a_session_is_not_taken_up_again(gateway: RunningGateway) -> None:
    """It would not be verified again."""
    with client(gateway, device()).connected() as first:
        first.sendall(b"GET /open HTTP/1.1\r\nhost: gateway.test\r\n\r\n")
        assert first.recv(1)
        session = first.session
    assert session is None or not session.has_ticket


def test_what_is_revoked_on_disk_is_refused_within_ten_seconds(gateway: RunningGateway, upstream: Upstream) -> None:
    lost, kept = device(), device("spiffe://test/device/8")
    lost_client, kept_client = client(gateway, lost), client(gateway, kept)
    assert lost_client.get("/").status == 200
    replace(gateway.folder / "clients.crl", CLIENTS.revocations(lost))
    eventually(lambda: lost_client.tried("/") is None, "the revoked certificate is refused", RELOADED)
    upstream.clear()
    assert lost_client.tried("/open") is None
    assert upstream.received == []
    assert kept_client.get("/").status == 200
    replace(gateway.folder / "clients.crl", CLIENTS.revocations())
    eventually(lambda: lost_client.tried("/"), "a list without it", RELOADED)


def test_another_authority_on_disk_is_the_one_that_counts(gateway: RunningGateway) -> None:
    before = client(gateway, device(), "REQUIRING")
    assert before.get("/open").status == 200
    replace(gateway.folder / "clients.crt", STRANGERS.pem)
    after = client(gateway, STRANGERS.issue(uri(DEVICE), usage=CLIENT), "REQUIRING")
    eventually(lambda: after.tried("/open"), "the new authority", RELOADED)
    assert before.tried("/open") is None
    replace(gateway.folder / "clients.crt", CLIENTS.pem)
    eventually(lambda: before.tried("/open"), "the old authority", RELOADED)
