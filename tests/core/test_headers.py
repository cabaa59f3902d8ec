"""Header fields: names in lower case, order and repetition kept, and what a name and a value may hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.headers import Headers, is_field_value, is_token

FIELDS = [("Accept", "a"), ("X-One", "1"), ("ACCEPT", "b")]


def test_names_are_kept_in_lower_case() -> None:
    assert [name for name, _ in Headers.of(FIELDS)] == ["accept", "x-one", "accept"]


def test_order_and_repetition_survive() -> None:
    assert Headers.of(FIELDS).fields == (("accept", "a"), ("x-one", "1"), ("accept", "b"))
    assert len(Headers.of(FIELDS)) == 3


def test_a_mapping_is_as_good_as_pairs() -> None:
    assert Headers.of({"A": "1", "B": "2"}) == Headers.of([("a", "1"), ("b", "2")])


def test_a_repeated_field_reads_as_one_value_with_commas() -> None:
    headers = Headers.of(FIELDS)
    assert headers.get("accept") == "a,b"
    assert headers.all("accept") == ("a", "b")
    assert headers.as_dict() == {"accept": "a,b", "x-one": "1"}


def test_an_absent_field_is_none_and_an_empty_one_is_empty() -> None:
    headers = Headers.of({"x-empty": ""})
    assert headers.get("x-empty") == ""
    assert headers.get("x-none") is None
    assert headers.all("x-none") == ()
    assert "x-empty" in headers
    assert "x-none" not in headers


def test_headers_are_equal_by_their_fields_in_order() -> None:
    assert Headers.of([("a", "1"), ("b", "2")]) != Headers.of([("b", "2"), ("a", "1")])
    assert hash(Headers.of([("a", "1")])) == hash(Headers.of([("A", "1")]))


@pytest.mark.parametrize("name", ["x-request-id", "a", "_", "!#$%&'*+-.^_`|~09az"])
def test_these_are_header_names(name: str) -> None:
    assert is_token(name)


@pytest.mark.parametrize("name", ["", "X-Upper", "a b", "a:", ":path", "a\n", "\x00", "ä", "a/b", 'a"', "(a)"])
def test_these_are_not_header_names(name: str) -> None:
    assert not is_token(name)


@pytest.mark.parametrize("value", ["", "a b", "tab\there", "\xe9\xff", "\x80", " edge ", '"quoted"'])
def test_these_are_field_values(value: str) -> None:
    assert is_field_value(value)


@pytest.mark.parametrize("character", [chr(code) for code in (*range(9), *range(10, 32), 127)])
def test_no_control_character_but_tab_is_in_a_field_value(character: str) -> None:
    assert not is_field_value(f"before{character}after")


@given(st.lists(st.tuples(st.text("abAB-", min_size=1, max_size=3), st.text(max_size=3))))
def test_nothing_is_lost_whatever_the_fields_are(fields: list[tuple[str, str]]) -> None:
    headers = Headers.of(fields)
    assert [value for _, value in headers] == [value for _, value in fields]
    for name in {name for name, _ in headers}:
        assert headers.all(name) == tuple(value for known, value in headers if known == name)
        assert headers.get(name) == ",".join(headers.all(name))
