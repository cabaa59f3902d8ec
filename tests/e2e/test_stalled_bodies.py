"""Bodies that never come to their end: whoever sends them waits alone, and not for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.clients import read_reply, request
from tests.e2e.credentials import FREE
from tests.e2e.harness import HEAD, SeparateGateway
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

STALLED = 200
GATEWAY = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
defaults: {authenticate: partners, limits: []}
routes:
  - {name: plain, match: {path: /plain}, upstream: main}
  - name: metered
    match: {path: /metered}
    upstream: main
    stream: true
    limits: [{per: consumer, tokens: 1000000/hour}]
    meter: {reserve: [max_tokens]}
"""
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        yield only


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[SeparateGateway]:
    """As it is rendered, but that a request has ten seconds and not sixty."""
    with SeparateGateway(GATEWAY, [upstream]) as running:
        running.start_sidecar()
        running.start_envoy({'request_timeout: "60s"': 'request_timeout: "10s"'})
        running.wait_for_sidecar()
        yield running


@pytest.mark.parametrize("path", ["/plain", "/metered"])
def test_two_hundred_stalled_bodies_keep_nobody_waiting_and_end_by_themselves(
    gateway: SeparateGateway, upstream: Upstream, path: str
) -> None:
    upstream.clear()
    with ExitStack() as stack:
        stalled = [stack.enter_context(gateway.client.connected()) for _ in range(STALLED)]
        head = request("POST", path, ("host", "gateway.test"), ("content-length", "100"), FREE)
        for connection in stalled:
            connection.sendall(head + b'{"max_tokens":')
        for number in range(20):
            reply = gateway.client.ask("POST", path, FREE, body=b'{"max_tokens":%d}' % number)
            assert reply.status == 200
        assert len(upstream.received) == 20
        for connection in stalled:
            connection.settimeout(60)
            ended = read_reply(connection, "POST")
            assert ended is not None
            assert (ended.status, ended.reason) == (408, "request_timeout")
    assert len(upstream.received) == 20
