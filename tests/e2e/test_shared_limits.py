"""Every kind of limit through the real Envoy, counted in memory and in Redis: exactly what was written is admitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.clients import Field
from tests.e2e.credentials import FREE, PREMIUM, bearer
from tests.e2e.harness import FENCE, HEAD, RunningGateway, eventually
from tests.e2e.upstreams import Answer, Upstream, started
from tests.redis_groups import RedisNode, folder

pytestmark = pytest.mark.e2e

GATEWAY = (
    HEAD.replace("stores: {", "stores: {counters: STORE, ")
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
tiers:
  free: {rate: 1000/s, quota: 5/hour}
  premium: {sliding: 7/hour, concurrency: 50}
consumers: {somebody-special: {quota: 9/hour}}
defaults: {authenticate: none, limits: []}
routes:
  - {name: by-route, match: {path: /by-route}, upstream: main, limits: [{per: route, rate: 5/minute}]}
  - name: fused
    match: {path: /fused}
    upstream: main
    authenticate: partners
    limits: [{per: consumer, rate: 5/minute}]
  - {name: tier, match: {path: /tier}, upstream: main, authenticate: [company, partners], limits: [tier]}
  - name: open
    match: {path: /open}
    upstream: main
    authenticate: partners
    limits: [{per: consumer, concurrency: 1, lease: 1h}]
  - name: refused-while-open
    match: {path: /refused-while-open}
    upstream: main
    authenticate: partners
    limits: [{per: consumer, concurrency: 1, lease: 1h}]
    policies: [{use: refuses}]
  - name: tokens
    match: {path: /tokens}
    upstream: main
    authenticate: partners
    limits: [{per: consumer, tokens: 100/hour, reserve: '60', settle: x-tokens}]
  - name: shadow
    match: {path: /shadow}
    upstream: main
    authenticate: partners
    limits: [{per: consumer, rate: 1/hour, shadow: true}]
  - {name: by-header, match: {path: /by-header}, upstream: main, limits: [{per: header:x-team, quota: 2/hour}]}
  - name: goes-on
    match: {path: /goes-on}
    upstream: main
    limits: [{per: route, quota: 1/hour, on_error: allow}]
  - name: local
    match: {path: /local}
    upstream: main
    limits: [{per: route, quota: 3/hour, on_error: local}]
  - """
    + FENCE
)
REFUSES = """
from extproc import Context, Decision, LocalReply, Phase, Policy, Ports, Request, Settings, refusal


class Refuses(Policy):
    name = "refuses"
    Settings = Settings
    phases = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: Settings, ports: Ports) -> Policy:
        return Refuses()

    async def on_request(self, request: Request, context: Context) -> Decision:
        return refusal(403, "not_today", "no")
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        yield only


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisNode]:
    node = RedisNode(folder()).start()
    yield node
    node.stop()


@pytest.fixture(scope="module", params=["memory", "redis"])
def gateway(request: pytest.FixtureRequest, upstream: Upstream, redis: RedisNode) -> Iterator[RunningGateway]:
    store = "memory" if request.param == "memory" else f"redis://127.0.0.1:{redis.port}"
    with redis.client() as client:
        client.flushall()
    with counting_in(store, upstream) as gateway:
        yield gateway


def counting_in(store: str, upstream: Upstream) -> RunningGateway:
    gateway = RunningGateway(GATEWAY.replace("STORE", store), [upstream])
    (gateway.folder / "policies").mkdir()
    (gateway.folder / "policies" / "refuses.py").write_text(REFUSES)
    return gateway


def ask_at_once(gateway: RunningGateway, times: int, path: str, *fields: Field) -> Counter[int]:
    with ThreadPoolExecutor(25) as pool:
        asked = [pool.submit(gateway.client.get, path, *fields) for _ in range(times)]
        return Counter(one.result().status for one in asked)


@pytest.mark.parametrize("path", ["/by-route", "/fused"])
def test_a_hundred_at_once_on_five_a_minute_admit_exactly_five(gateway: RunningGateway, path: str) -> None:
    assert ask_at_once(gateway, 100, path, FREE) == {200: 5, 429: 95}


def test_a_tiers_kinds_are_judged_together(gateway: RunningGateway) -> None:
    assert ask_at_once(gateway, 20, "/tier", FREE) == {200: 5, 429: 15}
    assert ask_at_once(gateway, 20, "/tier", PREMIUM) == {200: 7, 429: 13}


def test_a_consumers_own_quota_is_in_place_of_its_tiers(gateway: RunningGateway) -> None:
    assert ask_at_once(gateway, 20, "/tier", bearer("somebody-special")) == {200: 9, 429: 11}


def test_a_slot_is_given_back_when_the_request_ends(gateway: RunningGateway) -> None:
    """For an hour it would be held: only Envoy's word that the request has ended can free it."""
    for _ in range(3):
        eventually(lambda: gateway.client.get("/open", FREE).status == 200, "the slot is free again")


def test_a_slot_of_a_request_that_was_refused_later_on_is_given_back_too(gateway: RunningGateway) -> None:
    for _ in range(3):
        eventually(lambda: gateway.client.get("/refused-while-open", FREE).status == 403, "the slot is free again")


def test_what_a_request_reserved_is_settled_by_what_its_answer_says(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    """Of a hundred each reserves sixty and takes twenty: unsettled, the second would be refused for an hour."""
    upstream.answers["/tokens"] = Answer(fields=(("x-tokens", "20"),))
    for _ in range(3):
        eventually(lambda: gateway.client.get("/tokens", FREE).status == 200, "the reservation is settled")
    assert gateway.client.get("/tokens", FREE).status == 429


def test_what_no_answer_settles_stays_reserved(gateway: RunningGateway, upstream: Upstream) -> None:
    upstream.answers["/tokens"] = Answer()
    assert gateway.client.get("/tokens", PREMIUM).status == 200
    assert gateway.client.get("/tokens", PREMIUM).status == 429


def test_a_shadow_refuses_nobody_and_is_in_the_record(gateway: RunningGateway) -> None:
    replies = [gateway.client.get("/shadow", FREE) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert gateway.decision(replies[-1].id)["facts"] == {"over_in_shadow": "consumer-0"}


def test_a_header_counts_apart(gateway: RunningGateway) -> None:
    for team in ("red", "blue"):
        assert ask_at_once(gateway, 5, "/by-header", ("x-team", team)) == {200: 2, 429: 3}


def test_when_redis_is_gone_each_limit_has_its_own_say(upstream: Upstream, redis: RedisNode) -> None:
    with counting_in(f"redis://127.0.0.1:{redis.port}", upstream) as gateway:
        with redis.client() as client:
            client.flushall()
        redis.stop()
        assert ask_at_once(gateway, 10, "/by-route") == {503: 10}
        assert ask_at_once(gateway, 10, "/goes-on") == {200: 10}
        assert ask_at_once(gateway, 10, "/local") == {200: 3, 429: 7}
        redis.start()
        eventually(lambda: gateway.client.get("/by-route").status == 200, "Redis is found again")
        assert ask_at_once(gateway, 10, "/goes-on") == {200: 1, 429: 9}
