"""Rollouts that drive themselves, through the real Envoy: up where a version is well, back where it fails, and on where
they were when the sidecar is killed. Minutes are seconds here, and what is waited for is a state."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.cli.commands import Ended, extproc
from tests.e2e.harness import HEAD, SeparateGateway, eventually, fetch
from tests.e2e.steady_traffic import SteadyTraffic
from tests.e2e.upstreams import Answer, Received, Upstream

pytestmark = pytest.mark.e2e

TOKEN: Final = "the admin token"
INTERVAL: Final = 2
GATEWAY: Final = (
    HEAD
    + f"""
upstreams: {{one: {{endpoints: ["${{ONE}}"]}}, two: {{endpoints: ["${{TWO}}"]}}}}
models:
  recommend:
    versions: {{v1: {{upstream: one, weight: 100}}, v2: {{upstream: two, weight: 0}}}}
    sticky: none
    ramp: {{steps: [5, 25, 50, 100], hold: HOLD}}
    guard: {{error_rate: 2%, p95: 5s, window: 10s, interval: {INTERVAL}s, min_requests: 20}}
routes: [{{name: recommend, match: {{path: /recommend}}, model: recommend, authenticate: none}}]
"""
)


class Ailing(Upstream):
    """Answers 500 to every tenth request, from when it is told to."""

    ails = False

    def record(self, seen: Received) -> Answer:
        answer = super().record(seen)
        return Answer(status=500) if self.ails and len(self.received) % 10 == 0 else answer


@contextmanager
def running(hold: str) -> Iterator[tuple[SeparateGateway, Ailing]]:
    upstreams = [Upstream("one"), Ailing("two")]
    try:
        with SeparateGateway(GATEWAY.replace("HOLD", hold), upstreams) as gateway:
            gateway.environment["EXTPROC_ADMIN_TOKEN"] = TOKEN
            gateway.sidecar = gateway.start_sidecar()
            gateway.start_envoy()
            gateway.wait_for_sidecar()
            yield gateway, upstreams[1]  # type: ignore[misc]
    finally:
        for upstream in upstreams:
            upstream.close()


def rollout(gateway: SeparateGateway, *arguments: str) -> Ended:
    ended = extproc("rollout", *arguments, folder=gateway.folder, environment=environment(gateway))
    assert (ended.code, ended.errors) == (0, "")
    return ended


def environment(gateway: SeparateGateway) -> dict[str, str]:
    return {**gateway.environment, "EXTPROC_ADMIN": admin(gateway), "COLUMNS": "160"}


def admin(gateway: SeparateGateway) -> str:
    return f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}"


def status(gateway: SeparateGateway) -> dict[str, Any]:
    """Nothing where the sidecar is not there."""
    told = fetch(f"{admin(gateway)}/rollouts/recommend", TOKEN)
    return dict(json.loads(told)) if told else {}


def until(gateway: SeparateGateway, holds: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        told = status(gateway)
        return told if told and holds(told) else None

    return eventually(found, what, patience=120.0)


def history(gateway: SeparateGateway) -> list[dict[str, Any]]:
    """The first change first."""
    changes = json.loads(rollout(gateway, "history", "recommend", "-o", "json").output)["changes"]
    return list(reversed(changes))


def looks(gateway: SeparateGateway) -> int:
    found = re.search(r'extproc_rollout_looks_total\{model="recommend"\} (\d+)', fetch(f"{admin(gateway)}/metrics"))
    return int(found[1]) if found else 0


def breaches(gateway: SeparateGateway) -> bool:
    """What the guard looks at, asked beside it."""
    seen = json.loads(fetch(f"{admin(gateway)}/evidence?model=recommend&window=10", TOKEN))["versions"].get("v2")
    return bool(seen and seen["requests"] >= 20 and seen["errors"] / seen["requests"] > 0.02)


def test_a_healthy_version_ramps_to_everything_and_one_that_begins_to_fail_is_rolled_back() -> None:
    with running("4s") as (gateway, two), SteadyTraffic(gateway.ports["GATEWAY_ADDRESS"], "/recommend") as traffic:
        eventually(lambda: len(traffic.came) > 100, "traffic")
        assert {came.version for came in traffic.came} == {"v1"}
        assert "ramping" in rollout(gateway, "start", "recommend", "--reason", "a better model").output
        until(gateway, lambda told: told["status"] == "complete", "the ramp is complete")
        seen = len(traffic.came)
        eventually(lambda: len(traffic.came) > seen + 100, "traffic")
        assert {came.version for came in traffic.came[-50:]} == {"v2"}
        changes = history(gateway)
        assert [(one["what"], one["after"]["v2"]) for one in changes] == [
            ("planned", 0), ("started", 5), ("stepped", 25), ("stepped", 50), ("stepped", 100), ("completed", 100),
        ]  # fmt: skip
        assert all(one["evidence"]["versions"]["v2"]["requests"] >= 20 for one in changes[2:])
        assert changes[1]["reason"] == "a better model"
        assert all(came.status == 200 for came in traffic.came)

        rollout(gateway, "set", "recommend", "v2=25")
        until(gateway, lambda told: told["versions"].get("v2", {}).get("requests", 0) >= 20, "requests of this run")
        before = len(traffic.came)
        two.ails = True
        eventually(lambda: breaches(gateway), "the window is over the bound", patience=60.0)
        looked = looks(gateway)
        until(gateway, lambda told: told["status"] == "rolled back", "the version is rolled back")
        assert looks(gateway) - looked <= 2, "by the second look after the breach, if one was under way"
        after = len(traffic.came)
        change = history(gateway)[-1]
        assert (change["by"], change["what"], change["after"]) == ("automatic", "rolled back", {"v1": 100, "v2": 0})
        assert "error rate" in change["reason"]
        assert change["evidence"]["versions"]["v2"]["error_rate"] > 0.02
        during = traffic.came[before:after]
        assert sum(came.status == 500 for came in during) <= 0.05 * len(during), "25 % of 10 % is 2.5 %"
        eventually(lambda: len(traffic.came) > after + 200, "traffic")
        assert set(traffic.came[after + 100 :]) == {("v1", 200)}
        told = [event for event in gateway.events() if event["event"] == "rollout_changed"]
        assert [event["what"] for event in told][-1] == "rolled back"


def test_a_sidecar_that_is_killed_in_the_middle_of_a_ramp_goes_on_at_the_same_step() -> None:
    with running("1h") as (gateway, _), SteadyTraffic(gateway.ports["GATEWAY_ADDRESS"], "/recommend") as traffic:
        rollout(gateway, "start", "recommend")
        rollout(gateway, "set", "recommend", "v2=50")
        before = until(gateway, lambda told: told["shares"]["v2"] == 50, "half of all")
        rollout(gateway, "start", "recommend")
        before = status(gateway)
        gateway.sidecar.kill()
        gateway.sidecar.wait(10)
        gateway.wait_for_sidecar(healthy=False)
        gateway.sidecar = gateway.start_sidecar()
        gateway.wait_for_sidecar()
        after = until(gateway, lambda told: bool(told["leading"]), "it leads again")
        kept = ("status", "shares", "generation", "since", "begun", "next")
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
        assert (after["status"], after["shares"], after["next"]) == ("ramping", {"v1": 50, "v2": 50}, 100)
        seen = len(traffic.came)
        eventually(lambda: len(traffic.came) > seen + 400, "traffic")
        answered = [came.version for came in traffic.came[seen:] if came.status == 200]
        assert 0.35 < answered.count("v2") / len(answered) < 0.65
