"""Nothing is let through because something is missing: the sidecar, its plan, or a decision."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import Reply
from tests.e2e.credentials import FREE
from tests.e2e.harness import HEAD, SeparateGateway, eventually
from tests.e2e.upstreams import Answer, Upstream, started

pytestmark = pytest.mark.e2e

# The routes by what they need the sidecar for.
ROUTES = """
  - {name: fused, match: {path: /fused}, upstream: main}
  - {name: model, match: {path: /model}, model: choice}
  - {name: counted, match: {path: /counted}, upstream: main, authenticate: none, limits: [{per: address, rate: 1000/s}]}
  - name: edited
    match: {path: /edited}
    upstream: main
    policies: [{use: transform, response: {json: {set: {by: 'route.name'}}}}]
  - name: open-edited
    match: {path: /open-edited}
    upstream: main
    authenticate: none
    policies: [{use: transform, response: {json: {set: {by: 'route.name'}}}}]
"""
GATEWAY = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}, other: {endpoints: ["${OTHER}"]}}
models: {choice: {versions: {v1: {upstream: main, weight: 100}}, sticky: consumer}}
defaults: {authenticate: partners, limits: []}
routes:
"""
    + ROUTES
    + """
  - {name: free, match: {path: /free}, upstream: main, authenticate: none}
"""
)
NEEDING = ("/fused", "/model", "/counted", "/edited", "/open-edited")
# These are judged before the upstream is called; the last one only on the way back.
JUDGED_FIRST = NEEDING[:-1]


@pytest.fixture(scope="module")
def upstreams() -> Iterator[list[Upstream]]:
    with started("main", "other") as found:
        for path in NEEDING:
            found[0].answers[path] = Answer(body=b'{"unedited": true}')
        yield found


@pytest.fixture
def upstream(upstreams: list[Upstream]) -> Upstream:
    for one in upstreams:
        one.clear()
    return upstreams[0]


@pytest.fixture(scope="module")
def gateway(upstreams: list[Upstream]) -> Iterator[SeparateGateway]:
    """One for all tests; each leaves it with Envoy running and a healthy sidecar."""
    with SeparateGateway(GATEWAY, upstreams) as running:
        yield running


@pytest.fixture(scope="module")
def started_late(gateway: SeparateGateway) -> dict[str, Reply]:
    """Envoy first; what it answers alone; then the sidecar."""
    gateway.start_envoy()
    gateway.wait_for_sidecar(healthy=False)
    replies = {path: gateway.client.get(path, FREE) for path in (*NEEDING, "/free")}
    gateway.sidecar = gateway.start_sidecar()
    gateway.wait_for_sidecar()
    return replies


def assert_closed(gateway: SeparateGateway, upstream: Upstream) -> None:
    """Every route that needs the sidecar refuses with 503, and shows nothing of the upstream's answer."""
    for path in NEEDING:
        reply = gateway.client.get(path, FREE)
        assert (path, reply.status) == (path, 503)
        assert reply.reason
        assert b"unedited" not in reply.body
    assert [received.target for received in upstream.received if received.target in JUDGED_FIRST] == []
    upstream.clear()


def assert_open(gateway: SeparateGateway) -> None:
    for path in NEEDING:
        assert (path, gateway.client.get(path, FREE).status) == (path, 200)


def test_an_envoy_that_starts_before_its_sidecar_refuses_until_it_is_there(
    gateway: SeparateGateway, started_late: dict[str, Reply], upstream: Upstream
) -> None:
    assert {path: reply.status for path, reply in started_late.items()} == {**dict.fromkeys(NEEDING, 503), "/free": 200}
    assert_open(gateway)


@pytest.mark.usefixtures("started_late")
def test_a_killed_sidecar_closes_every_route_that_needs_it_and_a_new_one_opens_them(
    gateway: SeparateGateway, upstream: Upstream
) -> None:
    gateway.sidecar.kill()
    gateway.sidecar.wait(5)
    assert_closed(gateway, upstream)  # at once, before Envoy's health check can have noticed
    gateway.wait_for_sidecar(healthy=False)
    assert_closed(gateway, upstream)
    assert gateway.client.get("/free").status == 200
    gateway.sidecar = gateway.start_sidecar()
    gateway.wait_for_sidecar()
    assert_open(gateway)


@pytest.mark.usefixtures("started_late")
def test_a_sidecar_that_is_told_to_stop_closes_them_too(gateway: SeparateGateway, upstream: Upstream) -> None:
    gateway.sidecar.terminate()
    assert gateway.sidecar.wait(10) == 0
    assert_closed(gateway, upstream)
    gateway.sidecar = gateway.start_sidecar()
    gateway.wait_for_sidecar()
    assert_open(gateway)


@pytest.mark.usefixtures("started_late")
def test_a_stopped_sidecar_that_still_accepts_connections_is_refused_in_time(
    gateway: SeparateGateway, upstream: Upstream
) -> None:
    """SIGSTOP: the socket is there and nobody answers. The deadline is the sidecar's `timeout`, 500 ms."""
    gateway.sidecar.send_signal(signal.SIGSTOP)
    try:
        assert_closed(gateway, upstream)
    finally:
        gateway.sidecar.send_signal(signal.SIGCONT)
    gateway.wait_for_sidecar()
    eventually(lambda: gateway.client.get("/fused", FREE).status == 200, "the sidecar is asked again")
    assert_open(gateway)


OTHER_FILES = {
    "a sidecar that lacks the route": GATEWAY.replace(ROUTES, ""),
    "a sidecar of another revision": GATEWAY.replace("rate: 1000/s", "rate: 1001/s"),
    "a sidecar where everything is open": GATEWAY.replace("authenticate: partners", "authenticate: none").replace(
        "sticky: consumer", "sticky: none"
    ),
}


@pytest.mark.usefixtures("started_late")
@pytest.mark.parametrize("name", OTHER_FILES)
def test_a_sidecar_that_holds_another_plan_than_envoy_lets_nothing_through(
    gateway: SeparateGateway, upstream: Upstream, name: str
) -> None:
    other: Path = gateway.folder / "other.yaml"
    other.write_text(OTHER_FILES[name])
    gateway.replace_sidecar(other)
    for path in JUDGED_FIRST:
        assert (path, gateway.client.get(path, FREE).status) == (path, 503)
    assert upstream.received == []
    assert gateway.client.get("/open-edited", FREE).status == 503
    reply = gateway.client.get("/fused", FREE)
    assert reply.reason == "unknown_route"
    assert gateway.decision(reply.id)["result"] == "error"
    gateway.replace_sidecar(gateway.file)
    assert_open(gateway)


@pytest.mark.usefixtures("started_late")
def test_a_client_cannot_choose_the_cluster(
    gateway: SeparateGateway, upstream: Upstream, upstreams: list[Upstream]
) -> None:
    for path in ("/model", "/fused", "/free"):
        assert gateway.client.get(path, FREE, ("x-extproc-cluster", "upstream.other")).status == 200
    assert gateway.client.get("/model", ("x-extproc-cluster", "upstream.other")).status == 401
    assert len(upstream.received) == 3
    assert upstreams[1].received == []
    assert all(received.all("x-extproc-cluster") == [] for received in upstream.received)


@pytest.mark.usefixtures("started_late")
def test_a_second_sidecar_beside_a_live_one_does_not_start(gateway: SeparateGateway) -> None:
    assert gateway.start_sidecar().wait(15) == 3
    assert_open(gateway)
