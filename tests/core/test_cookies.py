"""Cookies are read by name, and taken out one by one."""

from __future__ import annotations

import pytest

from extproc.core.cookies import cookie_names, cookie_of, without_cookies
from extproc.core.headers import Headers
from extproc.core.message import Request


def asking(*fields: str) -> Request:
    return Request("GET", "/", headers=Headers.of([("cookie", value) for value in fields]))


READ: dict[str, tuple[tuple[str, ...], str | None]] = {
    "none": ((), None),
    "another": (("b=1",), None),
    "one": (("a=1",), "1"),
    "among others": (("b=2; a=1; c=3",), "1"),
    "in a field of its own": (("b=2", "a=1"), "1"),
    "with more signs": (("a=1=2==",), "1=2=="),
    "empty": (("a=",), ""),
    "a name alone": (("a",), ""),
    "twice": (("a=1; a=2",), ""),
    "twice, in two fields": (("a=1", "a=1"), ""),
    "of a longer name": (("aa=1; a1=2",), None),
    "in another case": (("A=1",), None),
}


@pytest.mark.parametrize("case", READ)
def test_a_cookie_is_read_by_its_whole_name(case: str) -> None:
    fields, value = READ[case]
    assert cookie_of(asking(*fields), "a") == value


TAKEN: dict[str, tuple[tuple[str, ...], str | None]] = {
    "nothing to take": (("b=2",), None),
    "no cookies": ((), None),
    "the only one": (("a=1",), ""),
    "the first": (("a=1; b=2; c=3",), "b=2; c=3"),
    "every one of that name": (("a=1; b=2", "a=3"), "b=2"),
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_cookie_is_taken_out_and_the_others_stay(case: str) -> None:
    fields, left = TAKEN[case]
    assert without_cookies(asking(*fields), {"a"}) == left


def test_a_star_takes_out_all_that_begin_so() -> None:
    assert without_cookies(asking("a=1; a~1=2; b=3", "a~=4; ba~=5"), {"a~*"}) == "a=1; b=3; ba~=5"


def test_names_come_in_their_order_and_as_often_as_they_were_sent() -> None:
    assert cookie_names(asking("b=1; a=2", "b=3")) == ("b", "a", "b")
