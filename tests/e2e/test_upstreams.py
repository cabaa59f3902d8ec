"""How an upstream's endpoints are found, balanced, retried and avoided."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.harness import HEAD, RunningGateway, eventually
from tests.e2e.upstreams import Answer, Upstream, refusing_port, started

pytestmark = pytest.mark.e2e

GATEWAY = (
    HEAD
    + """
upstreams:
  robin: {endpoints: ["${GOOD}", "${OTHER}"], balance: round_robin}
  least: {endpoints: ["${GOOD}", "${OTHER}"], balance: least_request}
  chance: {endpoints: ["${GOOD}", "${OTHER}"], balance: random}
  retried: {endpoints: ["127.0.0.1:${REFUSING}", "${GOOD}"], balance: round_robin, retries: 2}
  refusing: {endpoints: ["127.0.0.1:${REFUSING}"], connect_timeout: 500ms}
  named: {endpoints: ["localhost:${GOOD_PORT}"], dns: strict}
  named-logically: {endpoints: ["localhost:${GOOD_PORT}"], dns: logical}
  named-plainly: {endpoints: ["localhost:${GOOD_PORT}"]}
  unresolvable: {endpoints: ["no-such-host.invalid:80"], dns: strict}
  checked: {endpoints: ["${GOOD}", "${ILL}"], balance: round_robin, health_check: /healthz}
  watched: {endpoints: ["${GOOD}", "${ILL}"], balance: round_robin, outlier_detection: true}
defaults: {authenticate: none, timeout: 5s}
routes:
"""
    + "".join(
        f"  - {{name: {name}, match: {{path_prefix: /{name}}}, upstream: {name}}}\n"
        for name in (
            "robin", "least", "chance", "retried", "refusing", "named", "named-logically", "named-plainly",
            "unresolvable", "checked", "watched",
        )
    )
)  # fmt: skip


@pytest.fixture(scope="module")
def upstreams() -> Iterator[list[Upstream]]:
    with started("good", "other", "ill") as found:
        found[2].answers["/healthz"] = found[2].answers["/watched"] = Answer(status=503)
        yield found


@pytest.fixture(scope="module")
def gateway(upstreams: list[Upstream]) -> Iterator[RunningGateway]:
    with refusing_port() as port:
        made = RunningGateway(GATEWAY, upstreams)
        made.environment |= {"REFUSING": str(port), "GOOD_PORT": str(upstreams[0].port)}
        with made as running:
            yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstreams: list[Upstream]) -> None:
    for upstream in upstreams:
        upstream.clear()


@pytest.mark.parametrize("name", ["robin", "least", "chance"])
def test_every_way_of_balancing_serves_from_all_endpoints(
    gateway: RunningGateway, upstreams: list[Upstream], name: str
) -> None:
    statuses = [gateway.client.get(f"/{name}").status for _ in range(40)]
    assert statuses == [200] * 40
    good, other = len(upstreams[0].received), len(upstreams[1].received)
    assert good + other == 40
    assert min(good, other) > 3


def test_a_refused_connection_is_tried_on_the_next_endpoint(gateway: RunningGateway, upstreams: list[Upstream]) -> None:
    replies = [gateway.client.ask("POST", "/retried", body=b"x") for _ in range(20)]
    assert [reply.status for reply in replies] == [200] * 20
    assert len(upstreams[0].received) == 20


@pytest.mark.parametrize("name", ["refusing", "unresolvable"])
def test_an_upstream_that_nobody_serves_is_503(gateway: RunningGateway, name: str) -> None:
    reply = gateway.client.get(f"/{name}")
    assert (reply.status, reply.reason) == (503, "unavailable")


@pytest.mark.parametrize("name", ["named", "named-logically", "named-plainly"])
def test_an_endpoint_may_be_a_name(gateway: RunningGateway, upstreams: list[Upstream], name: str) -> None:
    assert [gateway.client.get(f"/{name}").status for _ in range(10)] == [200] * 10
    assert len(upstreams[0].received) == 10


def test_an_endpoint_that_fails_its_health_check_is_avoided(gateway: RunningGateway, upstreams: list[Upstream]) -> None:
    eventually(lambda: gateway.stat("cluster.upstream.checked.membership_healthy") == 1, "one endpoint is healthy")
    assert [gateway.client.get("/checked").status for _ in range(20)] == [200] * 20
    assert len(upstreams[0].received) == 20
    assert upstreams[2].received == []
    assert upstreams[2].health_checks


def test_an_endpoint_that_keeps_failing_is_ejected(gateway: RunningGateway, upstreams: list[Upstream]) -> None:
    def ejected() -> bool:
        gateway.client.get("/watched")
        return gateway.stat("cluster.upstream.watched.outlier_detection.ejections_active") == 1

    eventually(ejected, "the failing endpoint is ejected")
    upstreams[0].clear()
    upstreams[2].clear()
    replies = [gateway.client.get("/watched") for _ in range(20)]
    assert {json.loads(reply.body)["upstream"] for reply in replies} == {"good"}
    assert upstreams[2].received == []
