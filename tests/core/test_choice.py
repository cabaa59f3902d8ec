"""A weighted draw that sticks, and that moves nobody but to the version that grows."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.core.choice import Draw, choose
from extproc.core.specs import Version

SUBJECTS = [f"caller-{number}" for number in range(100_000)]
FEW = SUBJECTS[:5_000]


def versions(*weights: int) -> list[Version]:
    return [Version(f"v{number}", f"upstream-{number}", weight) for number, weight in enumerate(weights, 1)]


def drawn(subjects: list[str], *weights: int) -> list[str]:
    offered = versions(*weights)
    return [choose("recommend", offered, subject).name for subject in subjects]


def test_ninety_to_ten_is_ninety_to_ten() -> None:
    shares = Counter(drawn(SUBJECTS, 9_000, 1_000))
    assert shares.total() == 100_000
    assert abs(shares["v2"] - 10_000) < 400  # four standard deviations


@pytest.mark.parametrize("weights", [(5_000, 3_000, 2_000), (9_900, 50, 50), (2_500, 2_500, 2_500, 2_500)])
def test_more_than_two_versions_get_their_shares(weights: tuple[int, ...]) -> None:
    shares = Counter(drawn(SUBJECTS[:40_000], *weights))
    for number, weight in enumerate(weights, 1):
        expected = 40_000 * weight / 10_000
        assert abs(shares[f"v{number}"] - expected) < 5 * expected**0.5


def test_the_same_caller_gets_the_same_version_whatever_the_order() -> None:
    offered = versions(5_000, 3_000, 2_000)
    for subject in FEW:
        assert choose("m", offered, subject) == choose("m", list(reversed(offered)), subject)


def test_callers_are_drawn_anew_for_every_model() -> None:
    offered = versions(5_000, 5_000)
    same = sum(choose("a", offered, subject) == choose("b", offered, subject) for subject in FEW)
    assert 2_300 < same < 2_700


GROWING = [
    ((9_000, 1_000), (5_000, 5_000), {"v2"}),
    ((9_000, 1_000), (0, 10_000), {"v2"}),
    ((5_000, 3_000, 2_000), (5_000, 3_000, 4_000), {"v3"}),
    ((5_000, 3_000, 2_000), (4_000, 2_400, 3_600), {"v3"}),  # the others shrink alike, as a ramp does
    ((4_000, 3_000, 2_000, 1_000), (4_000, 3_000, 2_000, 9_000), {"v4"}),
    ((5_000, 5_000), (5_000, 5_000, 2_000), {"v3"}),  # a new version
    ((5_000, 3_000, 2_000), (5_000, 3_000, 0), {"v1", "v2"}),  # who had v3 must go somewhere
]


@pytest.mark.parametrize(("before", "after", "gain"), GROWING)
def test_when_one_weight_grows_callers_move_to_it_and_nowhere_else(
    before: tuple[int, ...], after: tuple[int, ...], gain: set[str]
) -> None:
    pairs = zip(drawn(FEW, *before), drawn(FEW, *after), strict=True)
    moved_to = {now for then, now in pairs if then != now}
    assert moved_to == gain


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=5), st.data())
def test_growth_moves_nobody_between_the_others(weights: list[int], data: st.DataObject) -> None:
    grown = data.draw(st.integers(0, len(weights) - 1))
    after = [weight * 2 if number == grown else weight for number, weight in enumerate(weights)]
    for then, now in zip(drawn(FEW[:200], *weights), drawn(FEW[:200], *after), strict=True):
        assert now in (then, f"v{grown + 1}")


def test_a_version_without_weight_is_never_chosen() -> None:
    assert set(drawn(FEW, 0, 1, 0)) == {"v2"}


@pytest.mark.parametrize("weights", [(), (0,), (0, 0)])
def test_without_any_weight_there_is_nothing_to_choose(weights: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no version has any weight"):
        choose("m", versions(*weights), "caller")


def test_names_that_run_together_alike_are_drawn_apart() -> None:
    pairs = [
        (
            choose("ab", [Version("c", "x", 1), Version("d", "y", 1)], s),
            choose("a", [Version("bc", "x", 1), Version("bd", "y", 1)], s),
        )
        for s in FEW
    ]
    assert len({(first.upstream, second.upstream) for first, second in pairs}) == 4


def test_a_hundred_thousand_callers_are_shared_out_within_half_a_percent() -> None:
    for weights in ((9_000, 1_000), (6_000, 2_500, 1_500), (9_999, 1)):
        shares = Counter(drawn(SUBJECTS, *weights))
        for number, weight in enumerate(weights, 1):
            assert abs(shares[f"v{number}"] - 100_000 * weight / 10_000) <= 500


def test_from_ten_to_twenty_percent_a_tenth_of_all_move_and_all_of_them_to_the_version_that_grew() -> None:
    moved = Counter(
        pair
        for pair in zip(drawn(SUBJECTS, 9_000, 1_000), drawn(SUBJECTS, 8_000, 2_000), strict=True)
        if pair[0] != pair[1]
    )
    assert set(moved) == {("v1", "v2")}
    assert abs(moved.total() - 10_000) <= 500


def test_what_one_version_takes_from_another_moves_few_others() -> None:
    """No draw that knows the weights alone can move only those between any two of four: within twice the share that
    moves, over one and it (Bavarian et al., Optimality of correlated sampling strategies)."""
    before, after = drawn(SUBJECTS, 5_000, 3_000, 2_000), drawn(SUBJECTS, 4_000, 3_000, 3_000)
    moved = Counter(pair for pair in zip(before, after, strict=True) if pair[0] != pair[1])
    assert {now for _, now in moved} == {"v2", "v3"}  # nobody moves to the one that shrank,
    assert {then for then, _ in moved} == {"v1", "v2"}  # or away from the one that grew
    assert 10_000 <= moved.total() <= 100_000 * 2 * 0.1 / 1.1


def test_the_salt_is_what_is_drawn_by_and_not_the_model() -> None:
    offered = versions(5_000, 5_000)
    assert [Draw("s", offered).of(subject) for subject in FEW] == [choose("s", offered, subject) for subject in FEW]
    assert Draw("s", versions(0)).of("anybody") is None
