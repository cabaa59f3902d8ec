"""A route that anybody may call, chosen by what the client writes, past one that authenticates (ACCEPTANCE 19)."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.config.exposure import check_exposure
from extproc.core.problems import spell_path

HEADER: dict[str, Any] = {"headers": {"x-internal": "1"}}
QUERY: dict[str, Any] = {"query": {"preview": "present"}}
USERS = {"path_prefix": "/users"}


def route(name: str, authenticate: object, match: object, **keys: object) -> dict[str, Any]:
    return {"name": name, "match": match, "upstream": "users", "authenticate": authenticate, **keys}


def told(*routes: dict[str, Any], **blocks: object) -> list[str]:
    return [spell_path(finding.path) for finding in check_exposure({"routes": list(routes), **blocks})]


GUARDED = route("guarded", "partners", USERS)
EXPOSED = [
    {**USERS, **HEADER},
    {**USERS, **QUERY},
    {"path": "/users/7", **HEADER},
    {"path_prefix": "/", **HEADER},
    {"path_prefix": "/users/7/", **HEADER},
    {**USERS, **HEADER, "methods": ["GET"]},
    {**USERS, **HEADER, "hosts": ["a.test"]},
    {**USERS, **HEADER, "hosts": ["a.test", "*"]},
]
APART = [
    USERS,
    {"path": "/users"},
    {"path_prefix": "/user", **HEADER},
    {"path": "/orders", **HEADER},
    {**USERS, "headers": {}, "query": {}},
    {**USERS, "methods": ["OPTIONS"]},
]


@pytest.mark.parametrize("match", EXPOSED)
def test_an_open_route_before_a_guarded_one_must_not_be_the_clients_choice(match: dict[str, Any]) -> None:
    key = "headers" if "headers" in match else "query"
    assert told(route("open", "none", match), GUARDED) == [f"routes[0].match.{key}"]


@pytest.mark.parametrize("match", APART)
def test_what_is_told_apart_by_host_path_or_method_is_fine(match: dict[str, Any]) -> None:
    assert told(route("open", "none", match), GUARDED) == []


@pytest.mark.parametrize(
    ("one", "other", "exposed"),
    [
        ({"methods": ["GET"]}, {"methods": ["POST"]}, False),
        ({"methods": ["GET", "POST"]}, {"methods": ["POST"]}, True),
        ({"hosts": ["a.test"]}, {"hosts": ["b.test"]}, False),
        ({"hosts": ["a.test"]}, {"hosts": ["*.test"]}, True),
        ({"hosts": ["*.test"]}, {"hosts": ["a.test"]}, True),
    ],
)
def test_hosts_and_methods_must_meet(one: dict[str, Any], other: dict[str, Any], exposed: bool) -> None:
    found = told(route("open", "none", {**USERS, **HEADER, **one}), route("guarded", "partners", {**USERS, **other}))
    assert bool(found) is exposed


def test_a_guarded_route_that_comes_first_and_takes_all_leaves_nothing_to_choose() -> None:
    assert told(GUARDED, route("open", "none", {**USERS, **HEADER})) == []


def test_a_guarded_route_that_comes_first_and_takes_some_is_the_clients_choice_too() -> None:
    first = route("guarded", "partners", {**USERS, "headers": {"x-mode": "private"}})
    assert told(first, route("open", "none", {**USERS, "headers": {"x-mode": "public"}})) == ["routes[1].match.headers"]


def test_routes_that_all_authenticate_or_are_all_open_may_be_chosen() -> None:
    assert told(route("a", "partners", {**USERS, **HEADER}), GUARDED) == []
    assert told(route("a", "none", {**USERS, **HEADER}), route("b", "none", USERS)) == []


def test_a_redirect_leads_past_nobody() -> None:
    assert told(route("away", "none", {**USERS, **HEADER}, redirect={"to": "/x"}), GUARDED) == []


def test_the_word_of_the_defaults_counts() -> None:
    silent = {key: value for key, value in GUARDED.items() if key != "authenticate"}
    exposed = route("open", "none", {**USERS, **HEADER})
    assert told(exposed, silent, defaults={"authenticate": "partners"}) == ["routes[0].match.headers"]
    assert told(exposed, silent, defaults={"authenticate": "none"}) == []


@pytest.mark.parametrize("odd", [None, 3, "text", [], {}, [[]], {"headers": 3}, {"path": 3, "headers": {"a": 1}}])
def test_odd_data_is_survived(odd: object) -> None:
    assert told(route("open", "none", odd), GUARDED, route("odd", odd, odd)) == []
