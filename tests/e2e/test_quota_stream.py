"""Two Envoys and one sidecar: limits that the Envoys judge by themselves, together never above the bound.

One gateway for all tests, in the order in which they stand: what one needs, the one before it has brought about.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from extproc.core.quota import FLOORS
from tests.e2e.clients import Client, Reply
from tests.e2e.credentials import FREE, PREMIUM, bearer
from tests.e2e.harness import HEAD, SeparateGateway, eventually, fetch
from tests.e2e.upstreams import Upstream, started
from tests.free_ports import free_ports

pytestmark = pytest.mark.e2e

RATE, BURST, ENVOYS, TTL = 20, 20, 2, 10
GATEWAY = (
    HEAD.replace("sidecar: {", f"sidecar: {{quota_stream: {{envoys: {ENVOYS}, ttl: {TTL}s}}, ")
    + f"""
upstreams: {{main: {{endpoints: ["${{MAIN}}"]}}}}
tiers: {{free: {{rate: {RATE}/s, burst: {BURST}}}, premium: {{rate: 1/hour, burst: 4}}}}
routes:
  - name: all
    match: {{path: /all}}
    upstream: main
    authenticate: none
    limits: [{{per: route, rate: {RATE}/s, burst: {BURST}, placement: quota_stream}}]
  - name: tier
    match: {{path: /tier}}
    upstream: main
    authenticate: [partners, company]
    limits: [{{per: tier, placement: quota_stream}}]
  - name: each
    match: {{path: /each}}
    upstream: main
    authenticate: partners
    limits: [{{per: consumer, rate: 1/day, burst: 2, placement: quota_stream}}]
  - name: free
    match: {{path: /free}}
    upstream: main
    authenticate: none
"""
)


class Fleet(SeparateGateway):
    """A sidecar and two Envoys."""

    other: Client

    def start_all(self) -> None:
        ports = dict(zip(("GATEWAY_ADDRESS", "ENVOY_ADMIN"), free_ports(2), strict=True))
        self.other = Client(ports["GATEWAY_ADDRESS"])
        self.sidecar = self.start_sidecar()
        self.envoys = [
            self.start_envoy(),
            self.start_envoy({f"port_value: {self.ports[name]}\n": f"port_value: {ports[name]}\n" for name in ports}),
        ]
        self.wait_for_sidecar()
        eventually(lambda: _answers(self.other), "the other Envoy is ready")

    def share(self, limit: str, since: int = 0) -> float:
        """The last that was assigned of it, in percent; 0 where none was."""
        facts = [found.get("facts", {}) for found in self.decisions()[since:]]
        shares = [fact["share"] for fact in facts if fact.get("limit") == limit and fact["share"].endswith("%")]
        return float(shares[-1].rstrip("%")) if shares else 0.0


def _answers(client: Client) -> bool:
    try:
        return client.get("/free").status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def upstreams() -> Iterator[list[Upstream]]:
    with started("main") as found:
        yield found


@pytest.fixture(scope="module")
def fleet(upstreams: list[Upstream]) -> Iterator[Fleet]:
    with Fleet(GATEWAY, upstreams) as running:
        running.start_all()
        yield running


def admitted(clients: Sequence[Client], path: str, seconds: float) -> tuple[int, int, float]:
    """How many requests of those that all of them send without a pause are admitted and refused, and in what time."""
    counts = {200: 0, 429: 0}
    lock = threading.Lock()
    began = time.monotonic()

    def send(client: Client) -> None:
        while time.monotonic() - began < seconds:
            status = client.get(path).status
            with lock:
                counts[status] += 1

    threads = [threading.Thread(target=send, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts[200], counts[429], time.monotonic() - began


def first_two(client: Client, path: str, field: tuple[str, str]) -> Reply:
    """The refusal of the first request. The next ones are admitted as soon as a share is assigned."""
    refused = client.get(path, field)
    eventually(lambda: client.get(path, field).status == 200, "a share is assigned")
    return refused


def test_the_first_request_of_a_bucket_is_refused_and_asks_for_a_share(fleet: Fleet) -> None:
    refused = first_two(fleet.client, "/tier", FREE)
    assert (refused.status, refused.reason, refused.header("retry-after")) == (429, "rate_limited", "1")


def test_each_envoy_admits_its_part_of_a_burst_and_no_more(fleet: Fleet) -> None:
    """At one an hour nothing is gained meanwhile."""
    for client in (fleet.client, fleet.other):
        first_two(client, "/tier", PREMIUM)
        statuses = [client.get("/tier", PREMIUM).status for _ in range(9)]
        assert statuses == [200, *[429] * 8]


def test_callers_are_counted_apart(fleet: Fleet) -> None:
    first_two(fleet.client, "/each", FREE)
    first_two(fleet.client, "/each", PREMIUM)
    assert fleet.client.get("/each", FREE).status == 429


@pytest.mark.parametrize("tier", ["gold", None])
def test_a_tier_that_is_not_there_has_no_bucket_and_is_refused(fleet: Fleet, tier: str | None) -> None:
    field = bearer("new-caller", tier=tier)
    assert {fleet.client.get("/tier", field).status for _ in range(5)} == {429}


def test_nobody_says_by_a_header_who_is_counted_or_by_what(fleet: Fleet) -> None:
    forged = (("x-consumer-tier", "free"), ("x-consumer-id", "x"), ("x-envoy-extproc-quota", "route/all/route-0"))
    assert fleet.client.get("/tier", PREMIUM, *forged).status == 429
    assert fleet.client.get("/tier", bearer("new-caller", tier="gold"), *forged).status == 429


def test_the_upstream_does_not_learn_which_limit_it_was(fleet: Fleet, upstreams: list[Upstream]) -> None:
    upstreams[0].clear()
    eventually(lambda: fleet.client.get("/tier", FREE).status == 200, "a request is admitted")
    (received,) = upstreams[0].received
    assert received.header("x-consumer-tier") == "free"
    assert [name for name, _ in received.fields if name.startswith("x-envoy-extproc")] == []


def test_a_route_without_a_shared_limit_is_passed_by(fleet: Fleet) -> None:
    assert {fleet.client.get("/free").status for _ in range(50)} == {200}


def test_the_metrics_say_how_many_envoys_share(fleet: Fleet) -> None:
    text = fetch(f"http://127.0.0.1:{fleet.ports['SIDECAR_ADMIN']}/metrics")
    assert "\nextproc_quota_envoys 2.0\n" in text
    assert "\nextproc_quota_buckets 0.0\n" not in text


def test_two_envoys_together_never_admit_more_than_the_bound(fleet: Fleet) -> None:
    both = (fleet.client, fleet.other)
    for client in both:
        client.get("/all")
    count, refused, took = admitted(both * 2, "/all", 8)
    assert count <= RATE * took + BURST
    assert refused
    assert count


def test_a_single_envoy_gets_nearly_the_whole_when_the_others_share_has_ended(fleet: Fleet) -> None:
    fleet.envoys[1].send_signal(signal.SIGKILL)
    fleet.envoys[1].wait(10)

    def has_nearly_all() -> bool:
        fleet.client.get("/all")
        return fleet.share("route/all/route-0") > 85

    eventually(has_nearly_all, "one Envoy has all but the other's floor", patience=60)
    count, _, took = admitted((fleet.client,) * 2, "/all", 3)
    assert RATE * took * 0.6 < count <= RATE * took + BURST


def test_with_the_sidecar_killed_it_is_still_limited_and_then_to_the_floor(fleet: Fleet) -> None:
    fleet.sidecar.send_signal(signal.SIGKILL)
    fleet.sidecar.wait(10)
    count, refused, took = admitted((fleet.client,), "/all", TTL + 2)
    assert count <= RATE * took + BURST
    assert refused
    count, refused, took = admitted((fleet.client,), "/all", 4)
    assert 0 < count <= RATE / (FLOORS * ENVOYS) * took + BURST / ENVOYS
    assert refused


def test_with_the_sidecar_back_it_gets_its_share_again(fleet: Fleet) -> None:
    before = len(fleet.decisions())
    fleet.sidecar = fleet.start_sidecar()

    def is_back() -> bool:
        fleet.client.get("/all")
        return fleet.share("route/all/route-0", before) > 85

    eventually(is_back, "a share is assigned anew", patience=60)


def test_envoy_lives_through_all_of_it(fleet: Fleet) -> None:
    assert fleet.envoys[0].poll() is None
