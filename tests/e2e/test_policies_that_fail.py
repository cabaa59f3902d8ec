"""Policies that raise, answer nonsense or do not answer, through the real Envoy: rows 28, 29 and 33."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.clients import request
from tests.e2e.harness import FENCE, HEAD, RunningGateway, eventually, fetch
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

POLICIES: Final = '''
import asyncio
from pathlib import Path

from extproc import CONTINUE, Continue, LocalReply, Phase, Policy, Settings, StoreUnavailable


class NoException(BaseException):
    """As libraries derive what nobody shall catch."""


class DoesSettings(Settings):
    what: str


def raises(error):
    def judge():
        raise error
    return judge


WAYS = {
    "raises": raises(ValueError("canary")),
    "exits": raises(SystemExit(0)),
    "interrupts": raises(KeyboardInterrupt()),
    "cancels": raises(asyncio.CancelledError()),
    "raises-no-exception": raises(NoException()),
    "none": lambda: None,
    "yes-it-is": lambda: True,
    "allow": lambda: "allow",
    "a-class": lambda: Continue,
    "ok": lambda: LocalReply(200, "fine"),
    "no-content": lambda: LocalReply(204, "fine"),
    "partial": lambda: LocalReply(226, "fine"),
    "early": lambda: LocalReply(103, "early"),
    "no-status": lambda: LocalReply(0, "fine"),
    "no-store": raises(StoreUnavailable()),
}


class Does(Policy):
    name = "does"
    Settings = DoesSettings
    phases = frozenset({Phase.REQUEST})

    def __init__(self, what):
        self._what = WAYS[what]

    @staticmethod
    def build(settings, ports):
        return Does(settings.what)

    async def on_request(self, request, context):
        return self._what()


class WaitsSettings(Settings):
    diary: str
    seconds: float


class Waits(Policy):
    """Writes down when it begins, and how it ends."""

    name = "waits"
    Settings = WaitsSettings
    phases = frozenset({Phase.REQUEST})

    def __init__(self, settings):
        self._diary, self._seconds = Path(settings.diary), settings.seconds

    @staticmethod
    def build(settings, ports):
        return Waits(settings)

    async def on_request(self, request, context):
        self._diary.write_text("begun")
        try:
            await asyncio.sleep(self._seconds)
            self._diary.write_text("waited until the end")
        except asyncio.CancelledError:
            self._diary.write_text("stopped")
            raise
        return CONTINUE
'''
WAYS: Final = {
    "raises": (500, "policy_failed"),
    "exits": (500, "policy_failed"),
    "interrupts": (500, "policy_failed"),
    "cancels": (500, "policy_failed"),
    "raises-no-exception": (500, "policy_failed"),
    "none": (500, "policy_failed"),
    "yes-it-is": (500, "policy_failed"),
    "allow": (500, "policy_failed"),
    "a-class": (500, "policy_failed"),
    "ok": (500, "invalid_mutation"),
    "no-content": (500, "invalid_mutation"),
    "partial": (500, "invalid_mutation"),
    "early": (500, "invalid_mutation"),
    "no-status": (500, "policy_failed"),
    "no-store": (503, "store_unavailable"),
}
# The policy waits longer than the sidecar is given: were it not stopped, it would end by itself, and say so.
WAITS_FOR: Final = 15
GATEWAY: Final = (
    HEAD.replace("sidecar: {", "sidecar: {timeout: 30s, ")
    + """
upstreams: {only: {endpoints: ["${ONLY}"]}}
defaults: {authenticate: none, limits: []}
routes:
"""
    + "".join(
        f"  - {{name: {way}, match: {{path: /{way}}}, upstream: only, policies: [{{use: does, what: {way}}}]}}\n"
        for way in WAYS
    )
    + f"""
  - name: waits
    match: {{path: /waits}}
    upstream: only
    timeout: 30s
    policies: [{{use: waits, seconds: {WAITS_FOR}, diary: "${{DIARY}}"}}]
  - """
    + FENCE
)


@pytest.fixture(scope="module")
def only() -> Iterator[Upstream]:
    with started("only") as (found,):
        yield found


@pytest.fixture(scope="module")
def gateway(only: Upstream) -> Iterator[RunningGateway]:
    made = RunningGateway(GATEWAY, [only])
    made.environment["DIARY"] = str(diary(made))
    (made.folder / "policies").mkdir()
    (made.folder / "policies" / "mine.py").write_text(POLICIES)
    with made as running:
        yield running


def diary(gateway: RunningGateway) -> Path:
    return gateway.folder / "diary"


@pytest.fixture(autouse=True)
def _nothing_received(only: Upstream) -> None:
    only.clear()


@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_decision_is_an_explicit_refusal_and_counted(
    gateway: RunningGateway, only: Upstream, way: str
) -> None:
    status, reason = WAYS[way]
    before = counted(gateway, way, reason)
    reply = gateway.client.get(f"/{way}")
    assert (reply.status, reply.reason) == (status, reason)
    assert only.received == []
    record = gateway.decision(reply.id)
    assert (record["result"], record["policy"]) == ("error", "does")
    eventually(lambda: counted(gateway, way, reason) == before + 1, "it is counted")


def counted(gateway: RunningGateway, route: str, reason: str) -> float:
    text = fetch(f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/metrics")
    labels = (f'route="{route}"', f'reason="{reason}"', 'decision="error"')
    lines = [one for one in text.splitlines() if one.startswith("extproc_decisions_total")]
    return sum(float(one.rpartition(" ")[2]) for one in lines if all(label in one for label in labels))


def test_a_client_that_goes_away_stops_the_policy_at_once_and_the_record_is_written(
    gateway: RunningGateway, only: Upstream
) -> None:
    told = diary(gateway)
    with gateway.watched() as decisions:
        with gateway.client.connected() as connection:
            connection.sendall(request("GET", "/waits", ("host", "gateway.test")))
            eventually(lambda: told.exists() and told.read_text() == "begun", "the policy has begun")
        # Long before it would have ended by itself: then it would have said so.
        assert eventually(lambda: told.read_text().removeprefix("begun"), "the policy has ended") == "stopped"
    assert only.received == []
    (record,) = decisions
    assert (record["result"], record["route"], record["policy"]) == ("error", "waits", "waits")
    assert record["detail"] == "the call was cancelled"
