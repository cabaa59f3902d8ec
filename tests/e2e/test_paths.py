"""However a path is spelled, it is judged as the upstream will read it: rows 1 to 4 of docs/assurance.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from extproc.plan.routing import is_odd, normal_path
from tests.e2e.clients import Reply, request
from tests.e2e.credentials import FREE, PREMIUM
from tests.e2e.harness import FENCE, HEAD, RunningGateway
from tests.e2e.http2 import ask
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

# Every route asks the sidecar, so that every request which passes has a record of the path that was judged.
GATEWAY = (
    HEAD
    + """
upstreams: {only: {endpoints: ["${ONLY}"]}}
tiers: {free: {rate: 1000/s}, premium: {rate: 1000/s}}
defaults: {authenticate: partners, limits: []}
routes:
  - {name: admin, match: {path_prefix: /admin}, upstream: only, authorize: 'consumer.tier == "premium"'}
  - {name: exact, match: {path: /exact}, upstream: only}
  - """
    + FENCE
    + """
  - {name: rest, match: {path_prefix: /, hosts: [gateway.test]}, upstream: only}
"""
)


@pytest.fixture(scope="module")
def only() -> Iterator[Upstream]:
    with started("only") as (found,):
        yield found


@pytest.fixture(scope="module")
def gateway(only: Upstream) -> Iterator[RunningGateway]:
    with RunningGateway(GATEWAY, [only]) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(only: Upstream) -> None:
    only.clear()


SPELLINGS = {
    "/x/../admin": "/admin",
    "//admin": "/admin",
    "/x/%2e%2e/admin": "/admin",
    "/%61dmin": "/admin",
    "/a\\admin": "/a/admin",
    "/x/..;/admin": "/admin",
    "/admin": "/admin",
    "///admin": "/admin",
    "/./admin": "/admin",
    "/x/%2E%2E/admin": "/admin",
    "/x/.%2e/admin": "/admin",
    "/x/..\\admin": "/admin",
    "/%61%64%6d%69%6e": "/admin",
    "/a/..//admin": "/admin",
    "/../../admin": "/admin",
    "/admin/../admin": "/admin",
    "/admin/x/..": "/admin/",
    "/admin/%2e": "/admin/",
    "/x/..;a=b/admin": "/admin",
    "/x/.;/../admin": "/admin",
    "/x;a=b/..;c/admin": "/admin",
    "/x//..;/admin": "/x/admin",
    "/%2561dmin": "/%2561dmin",
    "/a%252fadmin": "/a%252fadmin",
    "/%c0%afadmin": "/%c0%afadmin",
}


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_a_path_is_judged_as_the_upstream_sees_it(gateway: RunningGateway, only: Upstream, spelled: str) -> None:
    normal = SPELLINGS[spelled]
    route = "admin" if normal in ("/admin", "/admin/") else "rest"
    with gateway.watched() as decisions:
        replies = [gateway.client.get(spelled, *fields) for fields in ((), (FREE,), (PREMIUM,))]
    assert [(one["route"], one["path"]) for one in decisions] == [(route, normal)] * 3
    assert [reply.status for reply in replies] == [401, 403 if route == "admin" else 200, 200]
    assert [received.target for received in only.received] == [normal] * (1 if route == "admin" else 2)
    assert normal_path(spelled) == normal  # what `extproc explain` says


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/a%2fadmin", "/a/admin"),
        ("/a%5cadmin", "/a/admin"),
        ("/a%2Fadmin", "/a/admin"),
        ("/x/..%2fadmin", "/admin"),
        ("/x%2f..%2fadmin", "/admin"),
        ("/x/..%5cadmin", "/admin"),
        ("/%2fadmin", "/admin"),
        ("/%5cadmin", "/admin"),
        ("/%2f%2fevil.example", "/evil.example"),
        ("/%5c/evil.example", "/evil.example"),
    ],
)
def test_an_escaped_slash_is_sent_back_unescaped_and_reaches_nobody(
    gateway: RunningGateway, only: Upstream, path: str, normal: str
) -> None:
    """And never to another host, as a Location of two slashes would."""
    with gateway.watched() as decisions:
        reply = gateway.client.get(path, PREMIUM)
    assert (reply.status, reply.header("location")) == (307, normal)
    assert decisions == []
    assert only.received == []


@pytest.mark.parametrize(
    "path",
    [
        "/admin#x",
        "/admin%00",
        "/admin#",
        "/admin/%00x",
        "/admin?x#y",
        "admin",
        "\\admin",
        "",
        "/admin\x00",
        "/admin\xff",
    ],
)
def test_a_path_with_a_fragment_or_a_nul_is_400(gateway: RunningGateway, only: Upstream, path: str) -> None:
    with gateway.watched() as decisions:
        reply = gateway.client.send(request("GET", path, ("host", "gateway.test"), PREMIUM))
    assert reply is not None
    assert (reply.status, reply.reason) == (400, "bad_request")
    assert decisions == []
    assert only.received == []


ODD = [
    "/x/%2e%2e;/admin", "/x/.%2e;/admin", "/x/%2E%2E;a=b/admin", "/x/%2e;/admin", "/%2e%2e;/admin", "/x/..%3b/admin",
    "/x/%2e%2e%3B/admin", "/x/%2e%2e;", "/x\\..;/admin",
]  # fmt: skip


@pytest.mark.parametrize("path", ODD)
@pytest.mark.parametrize("version", [1, 2])
def test_dots_that_some_servers_would_still_follow_are_400(
    gateway: RunningGateway, only: Upstream, path: str, version: int
) -> None:
    with gateway.watched() as decisions:
        reply = asked(gateway, path, version)
    assert (reply.status, reply.reason) == (400, "bad_request")
    assert decisions == []
    assert only.received == []
    assert is_odd("gateway.test", normal_path(path))  # what `extproc explain` says


def asked(gateway: RunningGateway, path: str, version: int) -> Reply:
    if version == 1:
        return gateway.client.get(path, PREMIUM)
    reply = ask(gateway.client.port, (":path", path), PREMIUM)
    assert reply is not None
    return reply


# The rules of `match.path` and `match.path_prefix` in docs/configuration.md.
MATCHED = {
    "/admin": "admin", "/admin/": "admin", "/admin/x": "admin", "/admin?x=1": "admin", "/admin/?x=1": "admin",
    "/Admin": "rest", "/ADMIN": "rest", "/adminx": "rest", "/admin;x=1": "rest", "/admin.": "rest", "/admin%20": "rest",
    "/admin%3fx": "rest", "/exact": "exact", "/exact?x=1": "exact", "/exact/": "rest", "/Exact": "rest",
    "/exact;x=1": "rest", "/exact/x": "rest",
}  # fmt: skip


@pytest.mark.parametrize("path", MATCHED)
def test_a_path_matches_as_it_is_documented(gateway: RunningGateway, only: Upstream, path: str) -> None:
    reply = gateway.client.get(path, PREMIUM)
    assert (reply.status, gateway.decision(reply.id)["route"]) == (200, MATCHED[path])
    assert only.only().target == path


@pytest.mark.parametrize("path", [path for path, route in MATCHED.items() if route == "rest"])
def test_what_no_route_matches_is_denied(gateway: RunningGateway, only: Upstream, path: str) -> None:
    """On a host that the last route does not serve."""
    reply = gateway.client.get(path, PREMIUM, host="other.test")
    assert (reply.status, reply.reason) == (404, "no_route")
    assert only.received == []
