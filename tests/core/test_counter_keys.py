"""Names of counters: never one name for two, never long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.counter_keys import LONGEST, counter_name

TEXTS = st.lists(st.text(alphabet="ab_:|\n#0123456789é", max_size=120), max_size=5).map(tuple)
APART = [
    ("d", "a", "b_c"), ("d", "a_b", "c"), ("d", "a", "b", "c"), ("d", "a|b", "c"), ("d", "a", "|b", "c"),
    ("d", "a:", "b"), ("d", "a", ":b"), ("d", "a\n", "b"), ("d", "a", "\nb"), ("d", "", "ab"), ("d", "ab", ""),
    ("d", "1:a"), ("d", "1", "a"), ("d", "x" * 10_240), ("d", "x" * 10_239), ("d", "x" * 10_239, "x"), ("d",),
    (), ("",),
]  # fmt: skip


def test_parts_that_differ_have_names_that_differ_whatever_separators_they_hold() -> None:
    assert len({counter_name(parts) for parts in APART}) == len(APART)


@given(TEXTS, TEXTS)
def test_two_names_are_the_same_only_for_the_same_parts(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert (counter_name(one) == counter_name(other)) is (one == other)


@given(TEXTS)
def test_a_name_is_never_longer_than_its_bound(parts: tuple[str, ...]) -> None:
    assert len(counter_name(parts)) <= LONGEST


@pytest.mark.parametrize("length", [10, 1_000, 10_240, 1_000_000])
def test_a_long_value_makes_no_long_name(length: int) -> None:
    assert len(counter_name(("domain", "key", "v" * length))) <= LONGEST
