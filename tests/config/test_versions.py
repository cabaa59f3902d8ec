"""`versions`, and a route's `version`: what two of them must agree on. Single mistakes are in tests/config/bad."""

from __future__ import annotations

import pytest

from extproc.config.versions import parse_moment
from tests.config.gateways import LISTENERS, UPSTREAMS, messages_of

VERSIONS = "versions: {v0: {}, v1: {}, v2: {}}\n"


def routes(*versions: str) -> str:
    listed = [
        f"  - {{name: r{index}, match: {{path: /{index}}}, upstream: users, authenticate: none, version: {version}}}\n"
        for index, version in enumerate(versions)
    ]
    return LISTENERS + UPSTREAMS + VERSIONS + "routes:\n" + "".join(listed)


@pytest.mark.parametrize(
    ("written", "moment"),
    [("1970-01-02", 86_400), ("2026-10-01", 1_790_812_800), ("2026-10-01T00:00:01Z", 1_790_812_801)],
)
def test_a_day_is_its_first_second(written: str, moment: int) -> None:
    assert parse_moment(written) == moment


@pytest.mark.parametrize(
    "written", ["2026-1-1", "2026-10-01T00:00:00", "2026-10-01T00:00:00+02:00", "", None, 1.5, True]
)
def test_what_leaves_the_moment_open_is_none(written: object) -> None:
    with pytest.raises(ValueError, match="not a moment"):
        parse_moment(written)


def test_routes_that_go_on_with_each_other_in_a_circle_are_refused() -> None:
    text = routes("{is: v0, adapt_to: v1, then: r1}", "{is: v1, adapt_to: v0, then: r0}")
    assert messages_of(text) == [
        "routes[0].version.then: r0 would go on with itself",
        "routes[1].version.then: r1 would go on with itself",
    ]


def test_a_change_that_another_route_cannot_follow_is_told_where_the_two_meet() -> None:
    text = routes(
        "{is: v0, adapt_to: v1, then: r1, body: [{rename: {id: full_name}}]}",
        "{is: v1, adapt_to: v2, body: [{rename: {name: full_name}}]}",
    )
    assert messages_of(text) == [
        "routes[0].version.then: full_name is there already, and the way back could not tell the two apart"
    ]


def test_what_is_wrong_in_one_route_alone_is_told_there_too() -> None:
    text = routes("{is: v1, adapt_to: v2, request: [{drop: {a: 1}}, {drop: {a: 1}}], response: [{move: {a: a.b}}]}")
    assert messages_of(text) == [
        "routes[0].version.request[1].drop.a: nothing is at a any more: a change before this one took it away",
        "routes[0].version.response[0].move.a: a and a.b overlap",
    ]
