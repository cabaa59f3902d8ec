"""Row 19: a route on which nobody is asked must not be chosen by what a client writes freely."""

from __future__ import annotations

from typing import Any, Final

import pytest

from extproc.config.choosable import check_choosable
from extproc.core.problems import spell_path

OPEN: Final = {"name": "open", "upstream": "a", "authenticate": "none"}
GUARDED: Final = {"name": "guarded", "upstream": "a", "authenticate": ["keys"]}


def told(one: dict[str, Any], other: dict[str, Any], **open_route: Any) -> list[str]:
    """What is said of an open route with the match `one` before a guarded one with the match `other`."""
    routes = [OPEN | {"match": one} | open_route, GUARDED | {"match": other}]
    return [f"{spell_path(found.path)}: {found.message}" for found in check_choosable({"routes": routes})]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"path_prefix": "/", "headers": {"x": "1"}}, {"path_prefix": "/"}),
        ({"path_prefix": "/", "headers": {"x": "1"}}, {"path": "/deep/down"}),
        ({"path": "/a/b", "headers": {"x": "1"}}, {"path_prefix": "/a"}),
        ({"path": "/a", "headers": {"x": "1"}}, {"path": "/a"}),
        ({"path_prefix": "/a/", "headers": {"x": "1"}}, {"path_prefix": "/a"}),
        ({"path": "/a", "headers": {"x": "1"}, "hosts": ["h.example"]}, {"path": "/a"}),
        ({"path": "/a", "headers": {"x": "1"}, "hosts": ["h.example"]}, {"path": "/a", "hosts": ["*.example"]}),
        ({"path": "/a", "headers": {"x": "1"}, "methods": ["GET"]}, {"path": "/a", "methods": ["GET", "POST"]}),
        ({"path": "/a", "headers": {"x": "1"}, "hosts": ["*"]}, {"path": "/a", "hosts": ["h.example"]}),
        ({"path": "/a", "headers": {"x": "1"}}, {"path": "/a", "headers": {"y": "1"}}),
    ],
)
def test_an_open_route_by_header_before_a_guarded_one_is_refused(one: dict[str, Any], other: dict[str, Any]) -> None:
    said = "routes[0].match.headers: whoever sends this header gets around the authentication of route 'guarded'"
    assert told(one, other) == [said]


def test_an_open_route_by_parameter_is_refused_too() -> None:
    said = "routes[0].match.query: whoever sends this parameter gets around the authentication of route 'guarded'"
    assert told({"path": "/a", "query": {"q": "1"}}, {"path": "/a"}) == [said]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"path": "/a"}, {"path": "/a"}),
        ({"path": "/a", "methods": ["GET"]}, {"path": "/a"}),
        ({"path": "/a", "headers": {"x": "1"}}, {"path": "/b"}),
        ({"path_prefix": "/a", "headers": {"x": "1"}}, {"path_prefix": "/ab"}),
        ({"path": "/a", "headers": {"x": "1"}}, {"path_prefix": "/a/b"}),
        ({"path": "/a", "headers": {"x": "1"}, "hosts": ["h.example"]}, {"path": "/a", "hosts": ["i.example"]}),
        ({"path": "/a", "headers": {"x": "1"}, "methods": ["GET"]}, {"path": "/a", "methods": ["POST"]}),
    ],
)
def test_where_no_guarded_route_would_serve_the_request_nothing_is_said(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert told(one, other) == []


@pytest.mark.parametrize(
    "keys",
    [{"authenticate": ["keys"]}, {"redirect": {"to": "/"}}, {"policies": [{"use": "signature"}]}, {"authorize": "x"}],
)
def test_a_route_on_which_something_else_decides_may_be_chosen(keys: dict[str, Any]) -> None:
    assert told({"path": "/a", "headers": {"x": "1"}}, {"path": "/a"}, **keys) == []


def test_the_defaults_count_as_the_routes_own_word() -> None:
    match = {"path": "/a"}
    routes = [{"name": "a", "match": match | {"headers": {"x": "1"}}}, GUARDED | {"match": match}]
    assert list(check_choosable({"defaults": {"authenticate": "none"}, "routes": routes}))
    assert not list(check_choosable({"defaults": {"authenticate": "keys"}, "routes": routes}))


def test_a_guarded_route_that_comes_first_is_not_got_around() -> None:
    routes = [GUARDED | {"match": {"path": "/a"}}, OPEN | {"match": {"path": "/a", "headers": {"x": "1"}}}]
    assert check_choosable({"routes": routes}) == []


def test_a_guarded_route_that_comes_first_and_takes_some_is_got_around() -> None:
    some = GUARDED | {"match": {"path": "/a", "query": {"q": "1"}}}
    routes = [some, OPEN | {"match": {"path": "/a", "headers": {"x": "1"}}}]
    assert [found.path for found in check_choosable({"routes": routes})] == [("routes", 1, "match", "headers")]


def test_a_route_that_takes_whoever_brings_nothing_is_as_open_as_one_that_asks_nobody() -> None:
    methods: dict[str, Any] = {"keys": {"api_key": {}}, "guests": {"anonymous": {}}}
    guests = OPEN | {"authenticate": ["keys", "guests"], "match": {"path": "/a", "headers": {"x": "1"}}}
    routes = [guests, GUARDED | {"match": {"path": "/a"}}]
    assert len(check_choosable({"authentication": methods, "routes": routes})) == 1
    both = [guests, GUARDED | {"authenticate": "guests", "match": {"path": "/a"}}]
    assert check_choosable({"authentication": methods, "routes": both}) == []


@pytest.mark.parametrize(
    "odd", [None, [], 1, "a", {"routes": 1}, {"routes": [1, {"match": 1, "authenticate": "none"}]}]
)
def test_odd_data_is_survived(odd: object) -> None:
    assert check_choosable(odd) == []
