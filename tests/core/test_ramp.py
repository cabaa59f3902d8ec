"""A rollout, looked at interval by interval: it goes on, it waits, it turns back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from extproc.core.evidence import Evidence
from extproc.core.guard import Comparison, Guard
from extproc.core.ramp import trial_of, waits_for
from extproc.core.rollout import AUTOMATIC, Ramp, Status, What
from extproc.core.rollout_changes import paused, planned, promoted, with_shares
from tests.core.rollouts import GUARD, NOW, RULES, Run, begun, evidence, scored

WELL = {"v1": evidence(500, 5), "v2": evidence(500, 5)}
FAILING = {"v1": evidence(500, 5), "v2": evidence(500, 50)}
NOTHING = dict[str, Evidence]()


def test_a_healthy_version_gets_step_after_step_and_then_all() -> None:
    run = Run(RULES, begun())
    for _ in range(31):
        run.look(WELL)
    assert [(change.what, change.after["v2"]) for change in run.changes] == [
        (What.STEPPED, 500), (What.STEPPED, 2_500), (What.STEPPED, 5_000), (What.STEPPED, 10_000),
        (What.COMPLETED, 10_000),
    ]  # fmt: skip
    assert [change.at - NOW for change in run.changes] == [60, 120, 180, 240, 300]
    assert {change.by for change in run.changes} == {AUTOMATIC}
    assert run.rollout.status is Status.COMPLETE


def test_a_version_that_fails_is_rolled_back_at_the_next_look_with_the_evidence_in_the_record() -> None:
    run = Run(RULES, begun())
    for _ in range(8):
        assert not [change for change in run.look(WELL) if change.what is What.ROLLED_BACK]
    looks = [run.look(FAILING) for _ in range(2)]
    change = next(change for found in looks for change in found)
    assert (change.what, change.after) == (What.ROLLED_BACK, {"v1": 10_000, "v2": 0})
    assert "error rate" in change.reason
    assert change.evidence["versions"]["v2"]["errors"] > change.evidence["versions"]["v2"]["requests"] * 0.02
    assert run.rollout.status is Status.ROLLED_BACK


@pytest.mark.parametrize(
    ("guard", "bad", "said"),
    [
        (Guard(error_rate=0.02), evidence(500, 11), "error rate"),
        (Guard(p95=0.25), evidence(500, slow=30), "p95"),
        (Guard(cost=0.5), evidence(500, tokens=500_000), "cost"),
        (Guard(score=0.8), scored(500, 500, 0.7), "score"),
        (Guard(error_rate=0.02, sequential=True, settle=0), evidence(500, 25), "error rate is above"),
        (Guard(p95=0.25, sequential=True, settle=0), evidence(500, slow=60), "slower than p95"),
        (Guard(score=0.8, sequential=True, settle=0), scored(500, 500, 0.7), "score is below"),
        (Guard(compare=Comparison(error_rate=0.0), settle=0), evidence(500, 25), "fails more often"),
        (
            Guard(compare=Comparison(slow=0.01, slower_than=0.25), settle=0),
            evidence(500, slow=50),
            "slow more",
        ),
        (Guard(compare=Comparison(score=0.05), settle=0), scored(500, 500, 0.6), "mean score is lower"),
    ],
)
def test_every_bound_turns_a_rollout_back(guard: Guard, bad: Evidence, said: str) -> None:
    others = scored(500, 500, 0.8) if bad.scores else evidence(500, 5)
    run = Run(replace(RULES, guard=guard, prices={"v2": 1.0}), begun())
    while not run.changes:
        run.look({"v1": others, "v2": bad})
        assert run.now < NOW + 200
    assert run.changes[0].what is What.ROLLED_BACK
    assert said in run.changes[0].reason


@pytest.mark.parametrize(
    "good",
    [
        evidence(500, 10),
        evidence(500, slow=24),
        evidence(500, tokens=250_000),
        scored(500, 500, 0.8),
        evidence(199, 199),
    ],
)
def test_what_is_within_its_bounds_or_too_little_breaks_none(good: Evidence) -> None:
    guard = Guard(error_rate=0.02, p95=0.25, cost=0.5, score=0.8)
    run = Run(replace(RULES, guard=guard, ramp=None), begun())
    assert run.look({"v1": evidence(500), "v2": good}) == []


def test_without_evidence_nothing_moves_for_better_or_worse() -> None:
    run = Run(RULES, begun())
    for _ in range(30):
        assert run.look(None) == []
    assert (run.rollout.share, run.rollout.status) == (100, Status.RAMPING)


def test_a_step_that_nobody_took_is_held() -> None:
    run = Run(RULES, begun())
    for _ in range(30):
        assert run.look({"v1": evidence(500)}) == []
    trial = trial_of(run.rollout, run.trial)
    assert waits_for(RULES, run.rollout, trial, {"v2": evidence(7)}, run.now) == "7 of 200 requests"
    assert "hold" in waits_for(RULES, run.rollout, trial, {}, NOW + 10)


def test_a_guard_that_holds_stops_the_ramp_until_it_has_been_quiet_for_a_whole_step() -> None:
    run = Run(replace(RULES, guard=replace(GUARD, rolls_back=False, window=10.0)), begun())
    run.look(FAILING)
    assert (run.rollout.status, run.rollout.share) == (Status.HELD, 100)
    assert [change.what for change in run.changes] == [What.HELD]
    for _ in range(6):
        run.look(FAILING)
    assert len(run.changes) == 1, "it is told once"
    last = run.now
    while len(run.changes) == 1:
        run.look(WELL)
    assert (run.changes[1].what, run.rollout.status) == (What.STEPPED, Status.RAMPING)
    assert run.now - last >= 60


def test_a_paused_ramp_does_not_go_on_and_is_guarded_all_the_same() -> None:
    run = Run(RULES, paused(begun(), "", NOW)[0])
    for _ in range(10):
        assert run.look(WELL) == []
    while not run.changes:
        run.look(FAILING)
    assert run.changes[0].what is What.ROLLED_BACK


def test_weights_that_are_fixed_are_guarded_too() -> None:
    rules = replace(RULES, planned={"v1": 9_000, "v2": 1_000}, ramp=None)
    run = Run(rules, planned(rules, None, NOW)[0])
    run.look(WELL)
    while not run.changes:
        run.look(FAILING)
    assert run.rollout.shares == {"v1": 10_000, "v2": 0}


def test_what_is_promoted_is_held_as_a_step_is_and_watched_meanwhile() -> None:
    run = Run(RULES, promoted(begun(), RULES.ramp, "", NOW)[0])
    assert (run.rollout.share, run.rollout.status) == (10_000, Status.RAMPING)
    for _ in range(3):
        run.look({"v2": evidence(500, 5)})
    while not run.changes:
        run.look({"v2": evidence(500, 50)})
    assert run.rollout.shares == {"v1": 10_000, "v2": 0}


def test_what_is_complete_is_not_left_by_itself() -> None:
    run = Run(RULES, promoted(begun(), RULES.ramp, "", NOW)[0])
    for _ in range(8):
        run.look({"v2": evidence(500, 5)})
    assert run.rollout.status is Status.COMPLETE
    for _ in range(20):
        run.look({"v2": evidence(500, 500)})
    assert (run.rollout.share, len(run.changes)) == (10_000, 1)


def test_what_the_file_gives_everything_is_not_left_by_itself() -> None:
    rules = replace(RULES, planned={"v1": 0, "v2": 10_000}, ramp=None)
    run = Run(rules, planned(rules, None, NOW)[0])
    for _ in range(20):
        assert run.look({"v2": evidence(500, 500)}) == []


def test_what_a_version_did_before_it_was_started_again_is_not_held_against_it() -> None:
    run = Run(RULES, begun())
    while not run.changes:
        run.look(FAILING)
    again = Run(RULES, begun(now=run.now), now=run.now, trial=run.trial, slots=run.slots)
    assert again.look({"v1": evidence(500), "v2": evidence(500)}) == []


def test_a_version_without_callers_is_judged_by_nothing() -> None:
    run = Run(RULES, with_shares(begun(), {"v2": 0}, "", NOW)[0])
    assert run.look(FAILING) == []


def test_a_ramp_without_a_guard_goes_on_by_the_clock() -> None:
    rules = replace(RULES, guard=None, ramp=Ramp((100, 10_000), 3.0))
    run = Run(rules, begun(rules))
    for _ in range(8):
        run.look(NOTHING)
    assert [change.what for change in run.changes] == [What.STEPPED, What.COMPLETED]


def test_steps_that_are_edited_go_on_with_the_next_that_is_larger() -> None:
    run = Run(RULES, begun())
    for _ in range(13):
        run.look(WELL)
    assert run.rollout.share == 2_500
    run.rules = replace(RULES, ramp=Ramp((1_000, 3_000), 60.0))
    for _ in range(12):
        run.look(WELL)
    assert [change.after["v2"] for change in run.changes[2:]] == [3_000, 3_000]
    assert run.rollout.status is Status.COMPLETE


def test_the_tests_count_no_second_twice() -> None:
    guard = Guard(compare=Comparison(error_rate=0.0), settle=5.0)
    run = Run(replace(RULES, guard=guard, ramp=None), begun())
    for _ in range(20):
        run.look({"v1": evidence(10, 0), "v2": evidence(10, 0)})
    assert run.trial is not None
    assert run.trial.tests["compare.error_rate"].past[1] == 50 + 10 * 20
