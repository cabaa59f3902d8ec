"""A query as Envoy takes it apart, and as others might."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.query import Parameter, parameters, parameters_called, without

QUERY = st.text("ab%61=&+;", max_size=20)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", []), ("a", [("a", "")]), ("a=", [("a", "")]), ("a=1&a=2", [("a", "1"), ("a", "2")]),
        ("a=b=c", [("a", "b=c")]), ("&a=1", [("", ""), ("a", "1")]), ("a=%26&b", [("a", "%26"), ("b", "")]),
    ],
)  # fmt: skip
def test_a_query_is_split_at_every_ampersand_and_nothing_is_decoded(query: str, found: list[tuple[str, str]]) -> None:
    assert parameters(query) == [Parameter(*one) for one in found]


@pytest.mark.parametrize("query", ["key=1", "%6bey=1", "k%65y=1", "%6B%65%79=1", "a&key", "a=1&key="])
def test_a_parameter_is_found_however_its_name_is_spelt(query: str) -> None:
    assert len(parameters_called("key", query)) == 1


@pytest.mark.parametrize("query", ["", "keys=1", "a=key", "%256bey=1", "KEY=1", "monkey", "k=ey"])
def test_other_parameters_are_not_taken_for_it(query: str) -> None:
    assert parameters_called("key", query) == []


@pytest.mark.parametrize(
    ("query", "left"),
    [("key=1", ""), ("b=2&key=1&a=1", "a=1&b=2"), ("b&a=1&key", "a=1&b="), ("key=1&key=2", ""), ("%6bey=1", "%6bey=1")],
)
def test_what_is_left_is_in_the_order_of_the_names(query: str, left: str) -> None:
    assert without(query, ["key"]) == left


@given(QUERY)
def test_what_was_removed_is_gone_and_the_rest_is_there(query: str) -> None:
    left = parameters(without(query, ["a"]))
    assert sorted(left) == sorted(one for one in parameters(query) if one.name != "a")
