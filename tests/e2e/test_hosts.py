"""However a host is spelled, it gets no other policy than its own: rows 7 and 8 of docs/assurance.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from extproc.plan.routing import is_odd, normal_host
from tests.e2e.clients import request
from tests.e2e.credentials import PREMIUM
from tests.e2e.harness import FENCE, HEAD, RunningGateway
from tests.e2e.http2 import ask
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

GATEWAY = (
    HEAD
    + """
upstreams: {open: {endpoints: ["${OPEN}"]}, guarded: {endpoints: ["${GUARDED}"]}}
defaults: {authenticate: partners, limits: []}
routes:
  - name: host
    match: {hosts: [h.example], path_prefix: /}
    upstream: guarded
    authorize: 'request.host == "h.example"'
  - {name: wild, match: {hosts: ["*.w.example"], path_prefix: /}, upstream: guarded}
  - """
    + FENCE
    + """
  - {name: rest, match: {path_prefix: /rest}, upstream: open, authenticate: none}
"""
)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[list[Upstream]]:
    with started("open", "guarded") as found:
        yield found


@pytest.fixture(scope="module")
def gateway(upstreams: list[Upstream]) -> Iterator[RunningGateway]:
    with RunningGateway(GATEWAY, upstreams) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstreams: list[Upstream]) -> None:
    for upstream in upstreams:
        upstream.clear()


def nobody_received(upstreams: list[Upstream]) -> bool:
    return not any(upstream.received for upstream in upstreams)


@pytest.mark.parametrize("path", ["/x", "/rest"])
@pytest.mark.parametrize("host", ["h.example", "H.EXAMPLE", "h.example:443", "h.example.", "H.Example.:8443"])
def test_no_spelling_of_a_host_gets_around_its_policy(
    gateway: RunningGateway, upstreams: list[Upstream], host: str, path: str
) -> None:
    assert gateway.client.get(path, host=host).status == 401
    assert nobody_received(upstreams)
    reply = gateway.client.get(path, PREMIUM, host=host)
    assert reply.status == 200  # its condition compares the host: policies see it in lower case, without port and dot
    decision = gateway.decision(reply.id)
    assert (decision["route"], decision["host"]) == ("host", "h.example")
    assert normal_host(host) == "h.example"


@pytest.mark.parametrize("hosts", [["h.example", "other.example"], ["other.example", "h.example"]])
def test_two_host_lines_are_400(gateway: RunningGateway, upstreams: list[Upstream], hosts: list[str]) -> None:
    reply = gateway.client.send(request("GET", "/rest", *(("host", host) for host in hosts), PREMIUM))
    assert reply is not None
    assert (reply.status, reply.reason) == (400, "bad_request")
    assert nobody_received(upstreams)


def test_an_empty_host_line_counts_for_nothing(gateway: RunningGateway, upstreams: list[Upstream]) -> None:
    """Envoy takes the other one, for the route and for the upstream alike."""
    lines = [("host", ""), ("host", "h.example")]
    refused = gateway.client.send(request("GET", "/rest", *lines))
    allowed = gateway.client.send(request("GET", "/rest", *lines, PREMIUM))
    assert refused is not None
    assert allowed is not None
    assert (refused.reason, allowed.status) == ("no_credentials", 200)
    assert upstreams[1].only().all("host") == ["h.example"]


ODD = [
    "h.example,other.example", "h.example, other.example", "other.example,h.example", "h.example:", "h.example:x",
    "h.example:443:", "h.example..", ".h.example", "h..example", "h%2eexample", "user@h.example", "[::1", "::1", "[]",
    "h.example;x", "a,b.w.example", "user@a.w.example", ".w.example", "",
]  # fmt: skip


@pytest.mark.parametrize("host", ODD)
def test_a_host_that_is_not_one_name_is_400_whatever_routes_there_are(
    gateway: RunningGateway, upstreams: list[Upstream], host: str
) -> None:
    with gateway.watched() as decisions:
        reply = gateway.client.get("/rest", PREMIUM, host=host)
    assert (reply.status, reply.reason) == (400, "bad_request")
    assert decisions == []
    assert nobody_received(upstreams)
    assert is_odd(normal_host(host), "/rest")  # what `extproc explain` says


@pytest.mark.parametrize("host", ["other.example", "x.h.example", "example", "hxexample", "w.example", "127.0.0.1"])
def test_a_host_that_no_route_names_is_404(gateway: RunningGateway, upstreams: list[Upstream], host: str) -> None:
    reply = gateway.client.get("/x", PREMIUM, host=host)
    assert (reply.status, reply.reason) == (404, "no_route")
    assert nobody_received(upstreams)


@pytest.mark.parametrize(
    "host",
    ["other.example", "a_b.example", "localhost:8080", "127.0.0.1", "[::1]", "[2001:DB8::1]:443", "xn--e1a"],
)
def test_names_and_addresses_are_hosts(gateway: RunningGateway, upstreams: list[Upstream], host: str) -> None:
    assert gateway.client.get("/rest", host=host).status == 200
    assert len(upstreams[0].received) == 1


@pytest.mark.parametrize(
    "target", ["http://h.example/x", "HTTP://H.EXAMPLE/x", "http://h.example.:80/rest", "http://u:p@h.example/rest"]
)
def test_the_host_of_an_absolute_target_is_the_one_that_counts(
    gateway: RunningGateway, upstreams: list[Upstream], target: str
) -> None:
    reply = gateway.client.send(request("GET", target, ("host", "other.example")))
    assert reply is not None
    assert (reply.status, reply.reason) == (401, "no_credentials")
    assert nobody_received(upstreams)


@pytest.mark.parametrize(
    "target", ["http:///rest", "http://", "ftp://h.example/rest", "http://h.example:99999999/rest"]
)
def test_an_absolute_target_without_a_good_host_is_400(
    gateway: RunningGateway, upstreams: list[Upstream], target: str
) -> None:
    reply = gateway.client.send(request("GET", target, ("host", "other.example"), PREMIUM))
    assert reply is not None
    assert (reply.status, reply.reason) == (400, "bad_request")
    assert nobody_received(upstreams)


def test_of_an_authority_and_another_host_the_authority_counts_for_route_and_upstream(
    gateway: RunningGateway, upstreams: list[Upstream]
) -> None:
    reply = ask(gateway.client.port, (":authority", "h.example"), (":path", "/rest"), ("host", "other.example"))
    assert reply is not None
    assert reply.reason == "no_credentials"
    reply = ask(gateway.client.port, (":authority", "other.example"), (":path", "/rest"), ("host", "h.example"))
    assert reply is not None
    assert reply.status == 200
    assert upstreams[0].only().all("host") == ["other.example"]
