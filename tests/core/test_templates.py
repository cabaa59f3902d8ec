"""Paths with values in them: a value stays data, whoever sent it, or nothing is asked."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.templates import Piece, UnfitValue, check_path, filled, pieces_of, spelled

TEMPLATES = [
    ("/users", (Piece("/users"),)),
    ("/users/{consumer.id}", (Piece("/users/", "consumer.id"), Piece(""))),
    ("/a/{ x }/b?c={y}", (Piece("/a/", "x"), Piece("/b?c=", "y"), Piece(""))),
    ("/{ {'a': {'b': '}'}}['a']['b'] }", (Piece("/", "{'a': {'b': '}'}}['a']['b']"), Piece(""))),
    ('/{"}" + r"\\"}', (Piece("/", '"}" + r"\\"'), Piece(""))),
    ("/{'''it's } so'''}!", (Piece("/", "'''it's } so'''"), Piece("!"))),
]
UNPAIRED = ["/{", "/{a", "/a}", "/{a}}", "/{}", "/{  }", "/}{a}", "/{a}/b}"]
NO_PATHS = ["users", "", "//users", "/a/../b", "/a b", "/a#b", "/a/%2e%2e/b", "/a%2fb", "/a/..;x/b", "/\u00fc"]


@pytest.mark.parametrize(("template", "pieces"), TEMPLATES, ids=[template for template, _ in TEMPLATES])
def test_an_expression_is_what_stands_between_its_braces(template: str, pieces: tuple[Piece, ...]) -> None:
    assert pieces_of(template) == pieces


@pytest.mark.parametrize("template", UNPAIRED)
def test_braces_that_do_not_pair_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"brace|between"):
        pieces_of(template)


@pytest.mark.parametrize("template", NO_PATHS)
def test_what_makes_no_path_in_its_normal_form_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        check_path(pieces_of(template))


FIT = [
    ("/users/{x}", "acme", "/users/acme"),
    ("/users/{x}", "a b&c=d?e#f", "/users/a%20b%26c%3Dd%3Fe%23f"),
    ("/users/{x}", "..x", "/users/..x"),
    ("/v{x}/users", "..", "/v../users"),
    ("/users/{x}", "%2e%2e", "/users/%252e%252e"),
    ("/users/{x}", "Jürgen", "/users/J%C3%BCrgen"),
    ("/users?id={x}", "../admin?x=1&y=2", "/users?id=..%2Fadmin%3Fx%3D1%26y%3D2"),
    ("/users?id={x}", "", "/users?id="),
    ("/users?id={x}", "a\r\nx: y", "/users?id=a%0D%0Ax%3A%20y"),
]
UNFIT = [
    *[("/users/{x}", value) for value in ("", ".", "..", "a/b", "..\\admin", "../admin", "..;v=1")],
    *[("/users/{x}", value) for value in ("a\nb", "a\0b", "\x7f")],
    ("/users/.{x}", "."),
    ("/users/{x}/orders", ""),
    ("/users?id={x}", "\ud800"),
    ("/users/{x}", "\udcff"),
    ("/users?id={x}", "y" * 9_000),
]  # fmt: skip


@pytest.mark.parametrize(("template", "value", "made"), FIT)
def test_a_value_is_escaped_in_its_place(template: str, value: str, made: str) -> None:
    assert filled(pieces_of(template), [value]) == made


@pytest.mark.parametrize(("template", "value"), UNFIT, ids=[f"{template} {value[:12]!r}" for template, value in UNFIT])
def test_a_value_that_would_lead_elsewhere_is_refused(template: str, value: str) -> None:
    with pytest.raises(UnfitValue):
        filled(pieces_of(template), [value])


@given(st.text())
def test_whatever_a_value_is_a_path_has_it_as_one_segment_or_is_not_made(value: str) -> None:
    try:
        made = filled(pieces_of("/users/{x}/orders"), [value])
    except UnfitValue:
        return
    assert [unquote(segment) for segment in made.split("/")] == ["", "users", value, "orders"]
    assert not set("?#\\ ") & set(made)


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_whatever_a_value_is_a_query_has_it_as_that_parameter_alone(value: str) -> None:
    made = filled(pieces_of("/users?user={x}&all=no"), [value])
    assert parse_qs(made.partition("?")[2], keep_blank_values=True) == {"user": [value], "all": ["no"]}


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (7, "7"), (1.5, "1.5"), (True, "true"), (False, "false")])
def test_texts_and_numbers_have_one_spelling(value: object, text: str) -> None:
    assert spelled(value) == text


@pytest.mark.parametrize("value", [None, [], {}, ["a"]])
def test_what_is_neither_has_none(value: object) -> None:
    with pytest.raises(UnfitValue):
        spelled(value)
