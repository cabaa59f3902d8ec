"""Which limit a descriptor meets, whom it counts, and what the metrics call it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.descriptors import find, limits_of, matches
from tests.core.trees import Entries, domains

TREE = """
domain: d
descriptors:
  - {key: exact, value: one, rate_limit: {unit: second, requests_per_unit: 1}}
  - {key: exact, rate_limit: {unit: minute, requests_per_unit: 2}}
  - {key: exact, value: free}
  - key: outer
    value: a
    rate_limit: {unit: day, requests_per_unit: 3}
    descriptors: [{key: inner, value: b, rate_limit: {unit: day, requests_per_unit: 4}}]
  - key: bare
    descriptors: [{key: inner, rate_limit: {unit: hour, requests_per_unit: 5}}]
  - {key: path, value: a*, rate_limit: {unit: hour, requests_per_unit: 6}}
  - {key: path, value: ab*, rate_limit: {unit: hour, requests_per_unit: 7}}
  - {key: path, value: abc, rate_limit: {unit: hour, requests_per_unit: 8}}
  - {key: path, value: "*", rate_limit: {unit: hour, requests_per_unit: 9}}
  - {key: path, rate_limit: {unit: hour, requests_per_unit: 10}}
  - {key: x-*, rate_limit: {unit: hour, requests_per_unit: 11}}
  - {key: x-y, value: v, rate_limit: {unit: hour, requests_per_unit: 12}}
  - {key: a_b, value: c, rate_limit: {unit: hour, requests_per_unit: 13}}
  - {key: a, rate_limit: {unit: hour, requests_per_unit: 14}}
  - {key: star, value: f*, rate_limit: {unit: hour, requests_per_unit: 15}}
  - {key: star, value: fo*, rate_limit: {unit: hour, requests_per_unit: 16}}
"""


@pytest.mark.parametrize(
    ("entries", "count"),
    [
        ((), None),
        ((("nobody", ""),), None),
        ((("exact", "one"),), 1),
        ((("exact", "two"),), 2),
        ((("exact", ""),), 2),
        ((("Exact", "one"),), None),
        ((("exact", "free"),), None),
        ((("outer", "a"),), 3),
        ((("outer", "b"),), None),
        ((("outer", "a"), ("inner", "b")), 4),
        ((("outer", "a"), ("inner", "c")), None),
        ((("outer", "a"), ("inner", "b"), ("more", "")), None),
        ((("exact", "one"), ("more", "")), None),
        ((("bare", "x"),), None),
        ((("bare", "x"), ("inner", "y")), 5),
        ((("inner", "y"), ("bare", "x")), None),
        ((("path", "abd"),), 6),  # the first in the file, not the longest
        ((("path", "abc"),), 8),
        ((("path", "xyz"),), 9),
        ((("path", ""),), 9),
        ((("x-y", "v"),), 12),
        ((("x-z", "v"),), 11),
        ((("a_b", "c"),), 13),
        ((("a", "b_c"),), 14),  # a client's value is never part of a key
        ((("star", "fo*"),), 16),  # as it is written in the file
        ((("star", "fox"),), 15),
    ],
)
def test_a_descriptor_meets_the_limit_of_the_node_that_its_last_entry_reaches(
    entries: Entries, count: int | None
) -> None:
    found = find(domains(TREE)["d"], "d", entries)
    assert (found.limit.count if found else None) == count


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("foo*", "foo", True),
        ("foo*", "fo", False),
        ("*foo", "a foo", True),
        ("*foo", "foo!", False),
        ("*", "", True),
        ("**", "x", True),
        ("bar*b", "barb", True),
        ("bar*b", "bab", False),
        ("aba*aba", "aba", False),  # what is counted for the beginning is not there for the end
        ("a*b*c", "abc", True),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "acb", False),
        ("a*bb*c", "abc", False),
        ("*a*b*", "ba", False),
        ("*a*b*", "xaxbx", True),
        ("plain", "plain", True),
        ("plain", "plainer", False),
        ("a.c", "abc", False),
    ],
)
def test_a_star_stands_for_any_characters_or_none(pattern: str, text: str, fits: bool) -> None:
    assert matches(tuple(pattern.split("*")), text) is fits


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_pattern_fits_what_the_same_regular_expression_fits(pattern: str, text: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert matches(tuple(pattern.split("*")), text) is (re.fullmatch(expression, text) is not None)


METRICS = """
domain: d
descriptors:
  - {key: plain, rate_limit: &five {unit: minute, requests_per_unit: 5}}
  - {key: wild, value: a*, rate_limit: *five}
  - {key: shown, value: a*, value_to_metric: true, rate_limit: *five}
  - {key: detailed, detailed_metric: true, rate_limit: *five}
  - {key: told, value_to_metric: true, descriptors: [{key: inner, rate_limit: *five}]}
  - {key: shared, value: a*, share_threshold: true, value_to_metric: true, rate_limit: *five}
  - key: shared
    value: b*
    share_threshold: true
    descriptors: [{key: inner, detailed_metric: true, rate_limit: *five}]
  - key: both
    value: a*
    share_threshold: true
    descriptors: [{key: both, value: c*, share_threshold: true, rate_limit: *five}, {key: own, rate_limit: *five}]
"""


@pytest.mark.parametrize(
    ("entries", "subject", "told"),
    [
        ((("plain", "v"),), ("plain", "v"), "d.plain"),
        ((("wild", "ab"),), ("wild", "ab"), "d.wild_a*"),
        ((("shown", "ab"),), ("shown", "ab"), "d.shown_ab"),
        ((("detailed", "v"),), ("detailed", "v"), "d.detailed_v"),
        ((("detailed", ""),), ("detailed", ""), "d.detailed_"),
        ((("told", "v"), ("inner", "w")), ("told", "v", "inner", "w"), "d.told_v.inner"),
        ((("told", ""), ("inner", "w")), ("told", "", "inner", "w"), "d.told.inner"),
        ((("shared", "ab"),), ("shared", "a*"), "d.shared_a*"),
        ((("shared", "a*"),), ("shared", "a*"), "d.shared_a*"),
        ((("shared", "b1"), ("inner", "w")), ("shared", "b*", "inner", "w"), "d.shared_b*.inner_w"),
        ((("both", "a1"), ("both", "c1")), ("both", "a*", "both", "c*"), "d.both_a*.both_c*"),
        ((("both", "a1"), ("own", "x")), ("both", "a*", "own", "x"), "d.both_a*.own"),
    ],
)
def test_a_shared_wildcard_counts_its_pattern_and_metrics_are_named_as_the_file_says(
    entries: Entries, subject: tuple[str, ...], told: str
) -> None:
    found = find(domains(METRICS)["d"], "d", entries)
    assert found is not None
    assert (found.subject, found.told) == (subject, told)


def test_all_limits_are_listed_by_their_paths() -> None:
    assert [limit.path for limit in limits_of(domains(TREE)["d"])][:4] == [
        "d.exact_one", "d.exact", "d.outer_a", "d.outer_a.inner_b",
    ]  # fmt: skip
