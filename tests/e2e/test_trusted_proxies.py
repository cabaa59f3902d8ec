"""Whom a request comes from, when proxies stand in front: the same for limits, conditions, records and access log.

The ways differ in who says the address: a proxy that appends to x-forwarded-for, or a balancer that speaks the PROXY
protocol, each with TLS behind it as well.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.certificates import Authority, dns
from tests.e2e.clients import Client, Field, Reply, request
from tests.e2e.credentials import FREE
from tests.e2e.harness import HEAD, RunningGateway, eventually
from tests.e2e.secure_clients import SecureClient, trusting
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

AUTHORITY: Final = Authority()
TLS: Final = "tls: {certificate: server.crt, key: server.key}"
GATEWAY: Final = (
    HEAD.replace(
        "listeners: [",
        f"""listeners: [
  {{name: hop, address: "${{HOP}}", trusted_proxies: {{hops: 1}}}},
  {{name: hop-tls, address: "${{HOP_TLS}}", trusted_proxies: {{hops: 1}}, {TLS}}},
  {{name: proxy, address: "${{PROXY}}", trusted_proxies: {{proxy_protocol: true}}}},
  {{name: proxy-tls, address: "${{PROXY_TLS}}", trusted_proxies: {{proxy_protocol: true}}, {TLS}}},
  """,
    )
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
defaults: {authenticate: partners, limits: []}
routes:
  - {name: inside, match: {path: /inside}, upstream: main, authorize: 'request.address == "203.0.113.9"'}
  - {name: fused, match: {path: /fused}, upstream: main, limits: [{per: address, rate: 2/hour}]}
  - {name: rls, match: {path: /rls}, upstream: main, authenticate: none, limits: [{per: address, rate: 2/hour}]}
"""
)
LISTENERS: Final = ("HOP", "HOP_TLS", "PROXY", "PROXY_TLS")
FORGED: Final = ("192.0.2.1", "192.0.2.2, 192.0.2.3", "203.0.113.9")


def version_1(address: str) -> bytes:
    return f"PROXY TCP4 {address} 192.0.2.200 4711 443\r\n".encode()


def version_2(address: str) -> bytes:
    """The binary form (proxy-protocol.txt §2.2)."""
    addresses = socket.inet_aton(address) + socket.inet_aton("192.0.2.200") + struct.pack("!HH", 4711, 443)
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x11]) + struct.pack("!H", len(addresses)) + addresses


@dataclass(frozen=True, slots=True)
class Way:
    """`head` is what a balancer says before the client's own bytes; without it, the proxy appends a header."""

    listener: str
    head: Callable[[str], bytes] | None = None

    def ask(self, gateway: RunningGateway, path: str, address: str, forged: str = "") -> Reply:
        """A request of the client at `address`, who has written a header of its own."""
        chain = [forged] if self.head is not None else [*([forged] if forged else []), address]
        fields: list[Field] = [FREE, *([("x-forwarded-for", ", ".join(chain))] if any(chain) else [])]
        head, port = self.head(address) if self.head else b"", gateway.ports[self.listener]
        if self.listener.endswith("TLS"):
            return SecureClient(port, trusting(AUTHORITY), "gateway.test", head).get(path, *fields)
        reply = Client(port).send(head + request("GET", path, ("host", "gateway.test"), *fields))
        assert reply is not None
        return reply


WAYS: Final = {
    "hop": Way("HOP"),
    "hop with TLS": Way("HOP_TLS"),
    "PROXY 1": Way("PROXY", version_1),
    "PROXY 2": Way("PROXY", version_2),
    "PROXY 1 with TLS": Way("PROXY_TLS", version_1),
    "PROXY 2 with TLS": Way("PROXY_TLS", version_2),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        yield only


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[RunningGateway]:
    made = RunningGateway(GATEWAY, [upstream], LISTENERS)
    AUTHORITY.issue(dns("gateway.test")).write(made.folder, "server")
    with made as running:
        yield running


@every_way
def test_conditions_records_and_access_log_have_the_same_address(gateway: RunningGateway, way: Way) -> None:
    expected: dict[str, str] = {}
    for address, status in (("203.0.113.9", 200), ("203.0.113.10", 403)):
        for forged in ("", *FORGED):
            reply = way.ask(gateway, "/inside", address, forged)
            assert reply.status == status, (address, forged)
            expected[reply.id] = address
    assert {id_: gateway.decision(id_)["address"] for id_ in expected} == expected

    def logged() -> bool:
        return {one["request_id"]: one["address"] for one in gateway.access_log()}.items() >= expected.items()

    eventually(logged, "the access log says the same")


@every_way
@pytest.mark.parametrize("path", ["/fused", "/rls"])
def test_a_forged_chain_is_counted_as_the_address_behind_it(gateway: RunningGateway, way: Way, path: str) -> None:
    """Two per hour: the third is one too many whatever was written, and a neighbour has its own."""
    number = 2 * list(WAYS.values()).index(way)
    mine, neighbour = f"198.51.100.{number}", f"198.51.100.{number + 1}"
    statuses = [way.ask(gateway, path, mine, forged).status for forged in ("", *FORGED)]
    assert statuses == [200, 200, 429, 429]
    assert way.ask(gateway, path, neighbour, mine).status == 200


@pytest.mark.parametrize("path", ["/fused", "/rls"])
def test_without_trusted_proxies_a_forged_chain_is_counted_as_whoever_connects(
    gateway: RunningGateway, path: str
) -> None:
    def ask(source: str, *fields: Field) -> int:
        return gateway.client.get(path, FREE, *fields, source=source).status

    chains: list[list[Field]] = [[("x-forwarded-for", chain)] for chain in FORGED]
    assert [ask("127.0.0.31"), *(ask("127.0.0.31", *chain) for chain in chains)] == [200, 200, 429, 429]
    assert ask("127.0.0.32", ("x-forwarded-for", "127.0.0.31")) == 200
