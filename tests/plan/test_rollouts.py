"""What a file says of rollouts, as it is meant and as a plan tells it; and that no bootstrap need be another for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from extproc.app.project import read_project
from extproc.core.guard import Comparison, Guard
from extproc.core.rollout import Ramp, Rules
from extproc.plan.describe import describe
from extproc.plan.model import Plan

FILE = """
listeners: [{{name: public, address: "0.0.0.0:8080"}}]
sidecar: {{stores: {stores}}}
upstreams: {{one: {{endpoints: ["127.0.0.1:1"]}}, two: {{endpoints: ["127.0.0.1:2"]}}}}
models:
  recommend:
    versions: {{v1: {{upstream: one, weight: 90}}, v2: {{upstream: two, weight: 10{price}}}}}
    sticky: none
{more}
routes: [{{name: a, match: {{path: /a}}, model: recommend, authenticate: none}}]
"""
RAMP = "    ramp: {steps: [0.5, 5, 100], hold: 90s, start: automatic}\n"
GUARD = "    guard: {error_rate: 0.5%, p95: 250ms, cost: 2, on_breach: hold, compare: {slow: 1%, slower_than: 1s}}\n"


def planned(more: str = "", stores: str = "{}", price: str = "") -> Plan:
    return read_project(Path("gateway.yaml"), {}, FILE.format(more=more, stores=stores, price=price)).plan


def test_what_is_written_is_what_is_meant() -> None:
    assert planned(RAMP + GUARD, price=", price: 3").rollouts["recommend"] == Rules(
        model="recommend",
        candidate="v2",
        planned={"v1": 9_000, "v2": 1_000},
        guard=Guard(error_rate=0.005, p95=0.25, cost=2, rolls_back=False, alpha=1 - 0.95,
                    compare=Comparison(slow=0.01, slower_than=1.0)),
        ramp=Ramp((50, 500, 10_000), 90.0, starts=True),
        prices={"v1": 1.0, "v2": 3.0},
    )  # fmt: skip


def test_the_candidate_is_the_last_version_unless_it_is_named() -> None:
    assert planned().rollouts["recommend"].candidate == "v2"
    assert planned("    candidate: v1\n").rollouts["recommend"].candidate == "v1"


@pytest.mark.parametrize(
    ("more", "stores", "kept"),
    [
        ("", "{}", None),
        (RAMP, "{}", "rollouts.json"),
        (GUARD, "{}", "rollouts.json"),
        ("", "{rollouts: 'file:other.json'}", "other.json"),
        (RAMP, "{rollouts: 'file:/var/other.json'}", "/var/other.json"),
        (RAMP, "{counters: 'redis://127.0.0.1:6379'}", "redis://127.0.0.1:6379"),
        (
            RAMP,
            "{counters: 'redis://127.0.0.1:6379', rollouts: 'redis://127.0.0.1:6380/1'}",
            "redis://127.0.0.1:6380/1",
        ),
    ],
)
def test_where_rollouts_are_kept(more: str, stores: str, kept: str | None) -> None:
    located = planned(more, stores).sidecar.rollouts
    assert located is None if kept is None else located is not None and located.endswith(kept)
    assert located is None or located.startswith(("/", "redis://"))


def test_no_bootstrap_need_be_another_for_what_moves_callers() -> None:
    plain = planned().revision
    assert planned(RAMP + GUARD + "    candidate: v1\n", price=", price: 3").revision == plain
    assert planned("    candidate: v1\n", "{rollouts: 'file:r.json'}").revision == plain


def test_a_plan_tells_what_moves_by_itself() -> None:
    assert describe(planned()).rollouts == ()
    (told,) = describe(planned(RAMP + GUARD)).rollouts
    assert (told.model, told.candidate, told.steps, told.kept) == ("recommend", "v2", (0.5, 5, 100), "a file")
    assert told.rule == (
        "recommend: v2, ramp 0.5, 5, 100 %, each 90s, by itself; held where errors > 0.5%, p95 > 250ms, cost > 2 in 1m "
        "or worse than the others by 1 points slower than 1s, looked at every 10s"
    )
