"""Limits, counted through the real Envoy: exactly as many are admitted as were written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.clients import Field
from tests.e2e.credentials import FREE, PREMIUM, bearer
from tests.e2e.harness import FENCE, HEAD, RunningGateway
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

GATEWAY = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
tiers: {free: {rate: 5/hour}, premium: {rate: 1000/s}}
models: {choice: {versions: {v1: {upstream: main, weight: 100}}, sticky: none}}
defaults: {authenticate: none, limits: []}
routes:
  - {name: by-address, match: {path: /by-address}, upstream: main, limits: [{per: address, rate: 5/minute}]}
  - {name: by-route, match: {path: /by-route}, upstream: main, limits: [{per: route, rate: 5/minute}]}
  - name: two-limits
    match: {path: /two-limits}
    upstream: main
    limits: [{per: address, rate: 2/minute}, {per: route, rate: 5/minute}]
  - {name: burst, match: {path: /burst}, upstream: main, limits: [{per: route, rate: 60/hour, burst: 7}]}
  - {name: tier-one, match: {path: /tier-one}, upstream: main, authenticate: [company, partners], limits: [tier]}
  - {name: tier-two, match: {path: /tier-two}, upstream: main, authenticate: [company, partners], limits: [tier]}
  - name: consumer
    match: {path: /consumer}
    upstream: main
    authenticate: partners
    limits: [{per: consumer, rate: 5/minute}]
  - name: fused-address
    match: {path: /fused-address}
    upstream: main
    authenticate: partners
    limits: [{per: address, rate: 5/minute}]
  - name: denied
    match: {path: /denied}
    upstream: main
    authenticate: partners
    authorize: 'false'
    limits: [{per: consumer, rate: 1/hour}]
  - {name: model, match: {path: /model}, model: choice, limits: [{per: address, rate: 5/minute}]}
  - {name: moved, match: {path: /moved}, redirect: {to: /x}, limits: [{per: address, rate: 5/minute}]}
  - """
    + FENCE
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        yield only


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[RunningGateway]:
    with RunningGateway(GATEWAY, [upstream]) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstream: Upstream) -> None:
    upstream.clear()


def ask_at_once(
    gateway: RunningGateway, count: int, path: str, *fields: Field, source: str = "127.0.0.1"
) -> Counter[int]:
    """How often each status came, for requests of which eight are always under way."""
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(gateway.client.get, path, *fields, source=source) for _ in range(count)]
        return Counter(one.result().status for one in asked)


@pytest.mark.parametrize("path", ["/by-address", "/by-route", "/consumer", "/fused-address", "/model"])
def test_five_a_minute_admits_exactly_five_of_forty(gateway: RunningGateway, upstream: Upstream, path: str) -> None:
    assert ask_at_once(gateway, 40, path, FREE) == {200: 5, 429: 35}
    assert len(upstream.received) == 5


def test_a_burst_admits_exactly_its_size(gateway: RunningGateway, upstream: Upstream) -> None:
    assert ask_at_once(gateway, 30, "/burst") == {200: 7, 429: 23}
    assert len(upstream.received) == 7


def test_addresses_are_counted_apart(gateway: RunningGateway, upstream: Upstream) -> None:
    for source in ("127.0.0.31", "127.0.0.32"):
        assert ask_at_once(gateway, 10, "/by-address", source=source) == {200: 5, 429: 5}


def test_a_request_that_one_limit_refuses_is_not_counted_by_another(gateway: RunningGateway) -> None:
    """Five a minute for all: what the first address was refused beyond its own two is still there for others."""
    assert ask_at_once(gateway, 10, "/two-limits", source="127.0.0.41") == {200: 2, 429: 8}
    assert ask_at_once(gateway, 10, "/two-limits", source="127.0.0.42") == {200: 2, 429: 8}
    assert ask_at_once(gateway, 10, "/two-limits", source="127.0.0.43") == {200: 1, 429: 9}


def test_a_tier_is_one_budget_over_all_its_routes_and_one_for_each_consumer(gateway: RunningGateway) -> None:
    assert ask_at_once(gateway, 3, "/tier-one", FREE) == {200: 3}
    assert ask_at_once(gateway, 10, "/tier-two", FREE) == {200: 2, 429: 8}
    assert ask_at_once(gateway, 10, "/tier-one", bearer("somebody-else")) == {200: 5, 429: 5}
    assert ask_at_once(gateway, 20, "/tier-one", PREMIUM) == {200: 20}


def test_a_tier_that_nobody_configured_is_refused(gateway: RunningGateway, upstream: Upstream) -> None:
    reply = gateway.client.get("/tier-one", bearer("x", tier="gold"))
    assert (reply.status, reply.reason) == (403, "unknown_tier")
    assert upstream.received == []


def test_what_is_refused_anyway_is_not_counted(gateway: RunningGateway) -> None:
    assert ask_at_once(gateway, 5, "/denied", FREE) == {403: 5}


def test_a_redirect_is_counted_too(gateway: RunningGateway) -> None:
    assert ask_at_once(gateway, 20, "/moved") == {308: 5, 429: 15}
