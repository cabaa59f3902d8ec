"""What operators and files do to a rollout: shares that add up, states that follow, and records that say why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.rollout import (
    FILE,
    OPERATOR,
    WHOLE,
    Ramp,
    Rollout,
    RolloutConflict,
    Rules,
    Status,
    What,
    fits,
    knows,
    shared_out,
    spread,
)
from extproc.core.rollout_changes import paused, planned, promoted, rolled_back, started, with_shares
from tests.core.rollouts import NOW, RAMP, RULES, begun

THREE = Rules("recommend", "v3", {"v1": 6_000, "v2": 3_000, "v3": 1_000}, None, RAMP)


def fresh(rules: Rules = THREE) -> Rollout:
    return planned(rules, None, NOW)[0]


@pytest.mark.parametrize(
    ("wanted", "after"),
    [
        ({"v3": 5_000}, {"v1": 3_333, "v2": 1_667, "v3": 5_000}),
        ({"v3": 0}, {"v1": 6_667, "v2": 3_333, "v3": 0}),
        ({"v3": 10_000}, {"v1": 0, "v2": 0, "v3": 10_000}),
        ({"v1": 0}, {"v1": 0, "v2": 7_500, "v3": 2_500}),
        ({"v1": 1_000, "v2": 2_000}, {"v1": 1_000, "v2": 2_000, "v3": 7_000}),
        ({"v1": 1_000, "v2": 2_000, "v3": 7_000}, {"v1": 1_000, "v2": 2_000, "v3": 7_000}),
    ],
)
def test_named_versions_get_what_was_said_and_the_others_the_rest_as_they_shared_it(
    wanted: Mapping[str, int], after: Mapping[str, int]
) -> None:
    rollout, change = with_shares(fresh(), wanted, "by hand", NOW + 5)
    assert rollout.shares == after
    assert list(rollout.shares) == ["v1", "v2", "v3"]
    assert (rollout.status, rollout.generation, rollout.run) == (Status.FIXED, 2, 2)
    assert (change.what, change.by, change.reason) == (What.SET, OPERATOR, "by hand")
    assert (change.before, change.after, change.at) == (THREE.planned, after, NOW + 5)


@pytest.mark.parametrize("wanted", [{"v4": 100}, {"v1": 10_001}, {"v1": -1}, {"v1": 6_000, "v2": 5_000}, {}])
def test_shares_that_cannot_be_are_refused(wanted: Mapping[str, int]) -> None:
    with pytest.raises(RolloutConflict):
        with_shares(fresh(), wanted, "", NOW)


def test_all_that_are_named_must_add_up() -> None:
    with pytest.raises(RolloutConflict, match="add up to 100"):
        with_shares(fresh(), {"v1": 1, "v2": 1, "v3": 1}, "", NOW)


@given(st.integers(0, WHOLE), st.dictionaries(st.sampled_from("abcdef"), st.integers(0, WHOLE), min_size=1))
def test_what_is_spread_is_given_away_whole_and_by_less_than_one_of_what_is_fair(
    total: int, mix: Mapping[str, int]
) -> None:
    given_away = spread(total, mix)
    assert sum(given_away.values()) == total
    assert list(given_away) == list(mix)
    everything = sum(mix.values())
    assert all(abs(given_away[name] - total * mix[name] / everything) < 1 for name in mix if everything)


def test_whoever_gave_everything_away_gets_it_back_in_the_same_mix() -> None:
    whole = promoted(fresh(), RAMP, "", NOW)[0]
    assert whole.shares == {"v1": 0, "v2": 0, "v3": WHOLE}
    back = rolled_back(whole, OPERATOR, "", NOW)[0]
    assert back.shares == {"v1": 6_667, "v2": 3_333, "v3": 0}


def test_where_a_file_gave_the_others_nothing_the_first_of_them_gets_what_comes_back() -> None:
    rollout = fresh(Rules("m", "v3", {"v1": 0, "v2": 0, "v3": WHOLE}))
    assert rolled_back(rollout, OPERATOR, "", NOW)[0].shares == {"v1": WHOLE, "v2": 0, "v3": 0}


def test_a_ramp_begins_with_its_first_step_or_with_what_is_there() -> None:
    assert begun().share == 100
    ten = started(fresh(), RAMP, "", NOW)[0]
    assert (ten.share, ten.status) == (1_000, Status.RAMPING)


def test_what_is_paused_goes_on_where_it_was_and_is_the_same_run() -> None:
    ramping = replace(begun(), shares={"v1": 9_500, "v2": 500})
    waiting = paused(ramping, "lunch", NOW + 10)[0]
    assert (waiting.status, waiting.share, waiting.run) == (Status.PAUSED, 500, ramping.run)
    on = started(waiting, RAMP, "", NOW + 100)[0]
    assert (on.status, on.share, on.run, on.since) == (Status.RAMPING, 500, ramping.run, NOW + 100)


def test_an_operator_who_sets_shares_stops_the_ramp() -> None:
    rollout = with_shares(begun(), {"v2": 4_000}, "", NOW)[0]
    assert rollout.status is Status.PAUSED
    assert rollout.run == rollout.generation


def test_what_was_rolled_back_begins_anew() -> None:
    back = rolled_back(begun(), OPERATOR, "", NOW)[0]
    again = started(back, RAMP, "", NOW)[0]
    assert (again.share, again.run) == (100, again.generation)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: started(begun(), RAMP, "", NOW),
        lambda: started(fresh(), None, "", NOW),
        lambda: started(promoted(begun(), RAMP, "", NOW)[0], RAMP, "", NOW),
        lambda: paused(fresh(), "", NOW),
        lambda: promoted(promoted(begun(), RAMP, "", NOW)[0], RAMP, "", NOW),
        lambda: rolled_back(rolled_back(begun(), OPERATOR, "", NOW)[0], OPERATOR, "", NOW),
    ],
)
def test_what_makes_no_sense_is_refused(ask: Callable[[], object]) -> None:
    with pytest.raises(RolloutConflict):
        ask()


def test_a_file_with_other_weights_takes_effect_as_it_is_written() -> None:
    before = promoted(fresh(), RAMP, "", NOW)[0]
    edited = replace(THREE, planned={"v1": 5_000, "v2": 4_000, "v3": 1_000})
    assert not fits(edited, before)
    assert knows(edited, before)
    rollout, change = planned(edited, before, NOW + 1)
    assert (rollout.shares, rollout.status, rollout.generation) == (edited.planned, Status.FIXED, 3)
    assert (change.by, change.what, change.before) == (FILE, What.PLANNED, before.shares)


def test_a_file_in_which_a_version_is_another_one_is_another_file() -> None:
    assert not fits(replace(THREE, candidate="v2"), fresh())
    assert not knows(replace(THREE, planned={"v1": 9_000, "v4": 1_000}), fresh())
    assert fits(replace(THREE, ramp=Ramp((200,), 1.0)), fresh())


def test_a_ramp_that_starts_by_itself_does() -> None:
    rules = replace(RULES, ramp=replace(RAMP, starts=True))
    rollout = planned(rules, None, NOW)[0]
    assert (rollout.status, rollout.shares) == (Status.RAMPING, {"v1": 9_900, "v2": 100})
    there = planned(replace(rules, planned={"v1": 0, "v2": WHOLE}), None, NOW)[0]
    assert there.status is Status.FIXED


@given(st.integers(0, WHOLE))
def test_shares_always_add_up(share: int) -> None:
    assert sum(shared_out(fresh(), share).values()) == WHOLE
