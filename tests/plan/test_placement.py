"""Where each capability of a route runs, and so how many calls a request on it costs."""

from __future__ import annotations

import pytest

from extproc.plan.model import Placement
from tests.plan.gateways import BODY, HEADERS, limits_of, plan_of, route_of

ADDRESS = "limits: [{per: address, rate: 5/s}]"

# The route's keys -> fused, the names of its descriptors, edits, edits_body, calls.
TABLE = [
    ("upstream: users, authenticate: none", (False, [], False, False, 0)),
    ("upstream: users, authenticate: partners", (True, [], False, False, 1)),
    ("upstream: users, authenticate: none, authorize: 'request.method == \"GET\"'", (True, [], False, False, 1)),
    ("upstream: users, authenticate: partners, authorize: 'true', limits: [tier]", (True, [], False, False, 1)),
    ("model: recommend, authenticate: none", (True, [], False, False, 1)),
    ("redirect: {to: /new}, authenticate: none", (False, [], False, False, 0)),
    ("redirect: {to: /new}, authenticate: partners", (True, [], False, False, 1)),
    (f"upstream: users, authenticate: none, {ADDRESS}", (False, ["address-0"], False, False, 1)),
    (f"upstream: users, authenticate: partners, {ADDRESS}", (True, [], False, False, 1)),
    (f"model: recommend, authenticate: none, {ADDRESS}", (True, [], False, False, 1)),
    (f"redirect: {{to: /new}}, authenticate: none, {ADDRESS}", (True, [], False, False, 1)),
    (f"upstream: users, authenticate: none, policies: [{HEADERS}]", (False, [], True, False, 1)),
    (f"upstream: users, authenticate: none, policies: [{BODY}]", (False, [], True, True, 1)),
    (f"upstream: users, authenticate: none, policies: [{HEADERS}, {BODY}]", (False, [], True, True, 1)),
    (f"upstream: users, authenticate: partners, policies: [{BODY}]", (True, [], True, True, 2)),
    (f"upstream: users, authenticate: none, {ADDRESS}, policies: [{HEADERS}]", (False, ["address-0"], True, False, 2)),
    ("upstream: users, authenticate: none, limits: []", (False, [], False, False, 0)),
    (
        "upstream: users, authenticate: none, limits: [{per: route, rate: 9/s}, {per: address, rate: 5/s}]",
        (False, ["route-0", "address-1"], False, False, 1),
    ),
]


@pytest.mark.parametrize(("route", "expected"), TABLE)
def test_a_route_costs_no_more_calls_than_it_needs(
    route: str, expected: tuple[bool, list[str], bool, bool, int]
) -> None:
    placed = route_of(route).placement
    assert (
        placed.fused,
        [limit.name for limit in placed.descriptors],
        placed.edits,
        placed.edits_body,
        placed.calls,
    ) == expected


@pytest.mark.parametrize(("route", "expected"), TABLE)
def test_no_limit_of_a_route_is_lost_or_judged_twice(
    route: str, expected: tuple[bool, list[str], bool, bool, int]
) -> None:
    planned = route_of(route)
    spec = limits_of(planned)
    fused = [limit.name for limit in spec.own] if spec else []
    written = route.count("rate:")
    assert len(fused) + len(planned.placement.descriptors) == written
    assert not (fused and planned.placement.descriptors)
    assert not fused or planned.placement.fused


@pytest.mark.parametrize(("route", "expected"), TABLE)
def test_body_edits_are_edits(route: str, expected: tuple[bool, list[str], bool, bool, int]) -> None:
    placed = route_of(route).placement
    assert placed.edits or not placed.edits_body


def test_a_placement_of_nothing_costs_nothing() -> None:
    assert Placement(fused=False).calls == 0


def test_descriptors_are_found_by_route_and_limit() -> None:
    plan = plan_of(
        "upstream: users, authenticate: none, limits: [{per: address, rate: 5/s}, {per: route, rate: 100/s}]",
        "upstream: users, authenticate: partners, limits: [{per: address, rate: 5/s}]",
        "upstream: users, authenticate: none, limits: [{per: address, rate: 7/s}]",
    )
    assert {key: (limit.scope, limit.count) for key, limit in plan.descriptors.items()} == {
        ("route-0", "address-0"): ("route/route-0", 5),
        ("route-0", "route-1"): ("route/route-0", 100),
        ("route-2", "address-0"): ("route/route-2", 7),
    }
