"""What `match`, `redirect`, `defaults` and the order of routes mean, shown by which upstream gets the request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from extproc.app.project import read_project
from extproc.core.headers import Headers
from extproc.core.message import Request
from extproc.plan.model import ToUpstream
from extproc.plan.routing import find_route, normal_host, normal_path
from tests.e2e.clients import Field
from tests.e2e.harness import FENCE, HEAD, RunningGateway
from tests.e2e.upstreams import Answer, Upstream, started

pytestmark = pytest.mark.e2e

GATEWAY = (
    HEAD
    + """
upstreams:
  first: {endpoints: ["${FIRST}"]}
  second: {endpoints: ["${SECOND}"]}
  third: {endpoints: ["${THIRD}"]}
defaults: {authenticate: none, timeout: 1s}
routes:
  - {name: exact-host, match: {hosts: [api.example], path_prefix: /host}, upstream: first}
  - {name: wild-host, match: {hosts: ["*.shop.example"], path_prefix: /host}, upstream: second}
  - {name: any-host, match: {path_prefix: /host}, upstream: third}
  - {name: only-host, match: {hosts: [api.example], path: /only}, upstream: first}
  - {name: exact-path, match: {path: /api/exact}, upstream: first}
  - {name: inner-prefix, match: {path_prefix: /api/inner}, upstream: second}
  - {name: slash-prefix, match: {path_prefix: /slash/}, upstream: second}
  - {name: methods, match: {path: /methods, methods: [GET, POST]}, upstream: first}
  - {name: header-exact, match: {path: /headers, headers: {x-beta: "1"}}, upstream: first}
  - {name: header-prefix, match: {path: /headers, headers: {x-beta: {prefix: can}}}, upstream: second}
  - {name: header-present, match: {path: /headers, headers: {x-beta: present}}, upstream: third}
  - {name: query-exact, match: {path: /query, query: {v: "2"}}, upstream: first}
  - {name: query-prefix, match: {path: /query, query: {v: {prefix: beta-}}}, upstream: second}
  - {name: query-present, match: {path: /query, query: {v: present}}, upstream: third}
  - {name: order-1, match: {path_prefix: /order/special}, upstream: first}
  - {name: order-2, match: {path_prefix: /order}, upstream: second}
  - {name: order-3, match: {path_prefix: /order/never}, upstream: third}
  - {name: longer, match: {path_prefix: /longer}, upstream: first, timeout: 4s}
  - {name: guarded, match: {path: /guarded}, upstream: first, authenticate: partners}
  - {name: move, match: {path_prefix: /old/api}, redirect: {to: /new, status: 308}}
  - {name: move-one, match: {path: /old/page}, redirect: {to: /new/page, status: 301}}
  - {name: move-away, match: {path_prefix: /old/away}, redirect: {to: "https://new.example/base", status: 302}}
  - {name: move-port, match: {path: /old/port}, redirect: {to: "http://new.example:8443/there", status: 303}}
  - {name: move-root, match: {path_prefix: /old/root}, redirect: {to: "https://new.example/", status: 307}}
  - {name: move-up, match: {path_prefix: /old/up}, redirect: {to: /, status: 307}}
  - {name: move-slash, match: {path_prefix: /old/slash/}, redirect: {to: /new, status: 302}}
  - """
    + FENCE
)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[list[Upstream]]:
    with started("first", "second", "third") as found:
        yield found


@pytest.fixture(scope="module")
def gateway(upstreams: list[Upstream]) -> Iterator[RunningGateway]:
    with RunningGateway(GATEWAY, upstreams) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstreams: list[Upstream]) -> None:
    for upstream in upstreams:
        upstream.clear()


@pytest.fixture
def served(gateway: RunningGateway, upstreams: list[Upstream]) -> Served:
    return Served(gateway, upstreams)


class Served:
    """Sends one request and says which upstream got it; None is a 404 that reached nobody. What `extproc explain`
    would say of the same request is held to it."""

    def __init__(self, gateway: RunningGateway, upstreams: list[Upstream]) -> None:
        self._gateway = gateway
        self._upstreams = upstreams
        environment = {"SIDECAR_SOCKETS": "/run/extproc", **gateway.environment}
        self._plan = read_project(gateway.file, environment).plan

    def __call__(self, path: str, *fields: Field, method: str = "GET", host: str = "gateway.test") -> str | None:
        reply = self._gateway.client.ask(method, path, *fields, host=host)
        received = [upstream.name for upstream in self._upstreams for _ in upstream.received]
        assert self._found(method, path, fields, host) == (received[0] if received else None)
        if not received:
            assert (reply.status, reply.reason) == (404, "no_route")
            return None
        assert reply.status == 200
        assert len(received) == 1
        assert {upstream.received[0].target for upstream in self._upstreams if upstream.received} == {path}
        return received[0]

    def _found(self, method: str, target: str, fields: tuple[Field, ...], host: str) -> str | None:
        path, _, query = target.partition("?")
        headers = Headers.of(fields)
        seen = Request(method, normal_path(path), normal_host(host), query, headers=headers)
        route = find_route(self._plan, seen)
        return route.target.upstream if route and isinstance(route.target, ToUpstream) else None


@pytest.mark.parametrize(
    ("host", "upstream"),
    [
        ("api.example", "first"),
        ("API.Example", "first"),
        ("api.example:443", "first"),
        ("api.example:65535", "first"),
        ("api.example.", "first"),
        ("Api.Example.:443", "first"),
        ("a.shop.example", "second"),
        ("a.b.shop.example", "second"),
        ("A.SHOP.example.:8080", "second"),
        ("shop.example", "third"),
        ("xshop.example", "third"),
        ("api.example.evil", "third"),
        ("evil-api.example", "third"),
        ("127.0.0.1", "third"),
    ],
)
def test_a_host_is_compared_without_case_port_and_trailing_dot(served: Served, host: str, upstream: str) -> None:
    assert served("/host/x", host=host) == upstream


def test_a_host_with_a_dot_behind_its_port_is_the_plain_host_or_refused(
    gateway: RunningGateway, upstreams: list[Upstream]
) -> None:
    reply = gateway.client.get("/host/x", host="Api.Example:443.")
    assert reply.status == 400 or [bool(upstream.received) for upstream in upstreams] == [True, False, False]


def test_a_route_of_one_host_is_not_there_for_another(served: Served) -> None:
    assert served("/only", host="other.example") is None


@pytest.mark.parametrize(
    ("path", "upstream"),
    [
        ("/api/exact", "first"),
        ("/api/exact?x=1", "first"),
        ("/api/exact/", None),
        ("/api/exact/more", None),
        ("/api/exactly", None),
        ("/api/Exact", None),
        ("/api/inner", "second"),
        ("/api/inner?x=/a", "second"),
        ("/api/inner/", "second"),
        ("/api/inner/a/b", "second"),
        ("/api/innermost", None),
        ("/api/inner-x", None),
        ("/api/inner;x=1", None),
        ("/API/inner", None),
        ("/slash/", "second"),
        ("/slash/x", "second"),
        ("/slash", None),
        ("/", None),
        ("/nowhere", None),
    ],
)
def test_a_path_matches_whole_and_a_prefix_ends_at_a_segment(served: Served, path: str, upstream: str | None) -> None:
    assert served(path) == upstream


@pytest.mark.parametrize(
    "path",
    [
        "/api//inner///x",
        "/api/./inner/.",
        "/api/x/../inner/..",
        "/api/inner/x/../../inner/y/",
        "/../../api/inner",
        "/%61pi/inner/%7Ex%2d",
        "/api/inner/%2E%2e/inner/%2e",
        "/api\\inner/x",
        "/api/inner/%c3%a9%20%25%3f%3B",
        "/api/inner/a;b=c,d:e@f!$&'()*+=",
        "/api/inner/..x/...",
        "/api/inner//../x",
        "/api/inner/x//..//../y",
    ],
)
def test_a_path_is_made_normal_before_it_is_matched(
    gateway: RunningGateway, upstreams: list[Upstream], path: str
) -> None:
    """Held to what `extproc explain` makes of it: what the upstream gets is the normal path."""
    assert gateway.client.get(path).status == (200 if normal_path(path).startswith("/api/inner") else 404)
    assert [one.target for one in upstreams[1].received] in ([normal_path(path)], [])


@pytest.mark.parametrize("path", ["/api%2finner/x", "/api/inner%5cx", "/api/inner/%2F..%2f"])
def test_an_escaped_slash_is_answered_with_the_way_to_the_normal_path(gateway: RunningGateway, path: str) -> None:
    reply = gateway.client.get(path)
    assert (reply.status, reply.header("location")) == (307, normal_path(path))


@pytest.mark.parametrize(
    ("method", "upstream"),
    [("GET", "first"), ("POST", "first"), ("PUT", None), ("DELETE", None), ("HEAD", None), ("TRACE", None)],
)
def test_a_method_that_is_not_named_is_not_routed(
    gateway: RunningGateway, upstreams: list[Upstream], method: str, upstream: str | None
) -> None:
    assert gateway.client.ask(method, "/methods").status == (200 if upstream else 404)
    assert [one.name for one in upstreams if one.received] == ([upstream] if upstream else [])


@pytest.mark.parametrize(
    ("fields", "upstream"),
    [
        ([("x-beta", "1")], "first"),
        ([("X-Beta", "1")], "first"),
        ([("x-beta", "canary")], "second"),
        ([("x-beta", "11")], "third"),
        ([("x-beta", "2"), ("x-beta", "1")], "first"),  # each line of a repeated field is compared on its own
        ([("x-beta", "2,1")], "third"),
        ([("x-beta", "")], "third"),
        ([], None),
    ],
)
def test_a_header_matches_by_value_by_prefix_or_by_being_there(
    served: Served, fields: list[Field], upstream: str | None
) -> None:
    assert served("/headers", *fields) == upstream


@pytest.mark.parametrize(
    ("path", "upstream"),
    [
        ("/query?v=2", "first"),
        ("/query?a=b&v=2", "first"),
        ("/query?v=beta-3", "second"),
        ("/query?v=22", "third"),
        ("/query?v=", "third"),
        ("/query?v", "third"),
        ("/query?w=2", None),
        ("/query?v=%32", "third"),
        ("/query?%76=2", None),
        ("/query?v=1&v=2", "third"),
        ("/query?v=2&v=1", "first"),
        ("/query?V=2", None),
        ("/query?&&v=2", "first"),
        ("/query", None),
    ],
)
def test_a_query_parameter_matches_by_value_by_prefix_or_by_being_there(
    served: Served, path: str, upstream: str | None
) -> None:
    assert served(path) == upstream


@pytest.mark.parametrize(
    ("path", "upstream"), [("/order/special/x", "first"), ("/order/x", "second"), ("/order/never", "second")]
)
def test_the_first_route_that_matches_wins(served: Served, path: str, upstream: str) -> None:
    assert served(path) == upstream


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [
        ("/old/api", 308, "http://gateway.test/new"),
        ("/old/api/a/b?c=d&e=%20", 308, "http://gateway.test/new/a/b?c=d&e=%20"),
        ("/old/api/", 308, "http://gateway.test/new/"),
        ("/old/page?q=1", 301, "http://gateway.test/new/page?q=1"),
        ("/old/away/x?y=z", 302, "https://new.example/base/x?y=z"),
        ("/old/away", 302, "https://new.example/base"),
        ("/old/port", 303, "http://new.example:8443/there"),
        ("/old/root/x", 307, "https://new.example/x"),
        ("/old/root", 307, "https://new.example/"),
        ("/old/up/x", 307, "http://gateway.test/x"),
        ("/old/up/", 307, "http://gateway.test/"),
        ("/old/up/old/up?a=/old/up", 307, "http://gateway.test/old/up?a=/old/up"),
        ("/old/slash/x?y=z", 302, "http://gateway.test/new/x?y=z"),
        ("/old/slash/", 302, "http://gateway.test/new/"),
    ],
)
def test_a_redirect_keeps_what_follows_a_prefix_and_the_query(
    gateway: RunningGateway, upstreams: list[Upstream], path: str, status: int, location: str
) -> None:
    reply = gateway.client.get(path)
    assert (reply.status, reply.header("location")) == (status, location)
    assert [upstream.received for upstream in upstreams] == [[], [], []]


def test_a_route_overrides_the_default_authentication(gateway: RunningGateway, upstreams: list[Upstream]) -> None:
    assert gateway.client.get("/guarded").reason == "no_credentials"
    assert upstreams[0].received == []
    assert gateway.client.get("/order/special").status == 200


def test_the_default_timeout_holds_where_a_route_writes_none(
    gateway: RunningGateway, upstreams: list[Upstream]
) -> None:
    upstreams[1].answers["/order/slow"] = Answer(delay=1.6)
    reply = gateway.client.get("/order/slow")
    assert (reply.status, reply.reason) == (504, "upstream_timeout")
    assert upstreams[1].only().target == "/order/slow"


def test_a_route_overrides_the_default_timeout(gateway: RunningGateway, upstreams: list[Upstream]) -> None:
    upstreams[0].answers["/longer/slow"] = Answer(delay=1.6, body=b"late")
    reply = gateway.client.get("/longer/slow")
    assert (reply.status, reply.body) == (200, b"late")
