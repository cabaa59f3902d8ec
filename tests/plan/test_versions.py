"""What a route's version means: where it is judged, what it costs, where its successor is."""

from __future__ import annotations

import pytest

from extproc.core.headers import Headers
from extproc.core.lens import Memory
from extproc.core.message import Request
from extproc.core.specs import ADAPT, AUTHORIZE, LIMIT, VERSION, AdaptSpec
from extproc.plan.describe import describe
from extproc.plan.model import Plan
from extproc.plan.routing import find_route
from tests.plan.gateways import HEAD, plan_of

VERSIONS = """\
versions:
  v0: {status: sunset, successor: v2}
  v1: {status: deprecated, deprecated: 2026-10-01, successor: v2}
  ending: {status: deprecated, deprecated: 2026-10-01, sunset: 2027-04-01T12:00:00Z}
  switched: {status: deprecated, deprecated: 2026-10-01, brown_outs: [{start: 2026-11-01, end: 2026-11-02}]}
  v2: {status: current}
"""


def versions_of(*routes: str) -> Plan:
    return plan_of(*(f"upstream: users, {route}" for route in routes), head=HEAD + VERSIONS)


@pytest.mark.parametrize(
    ("version", "calls"),
    [("{is: v2}", 0), ("{is: v1}", 0), ("{is: v0}", 1), ("{is: ending}", 1), ("{is: switched}", 1)],
)
def test_an_open_route_asks_only_where_its_version_ends(version: str, calls: int) -> None:
    (route,) = versions_of(f"authenticate: none, version: {version}").routes
    assert route.placement.calls == calls
    assert [spec.kind for spec in route.policies] == [VERSION] * calls


def test_whether_it_is_gone_is_judged_before_anything_is_counted() -> None:
    (route,) = versions_of('authenticate: partners, authorize: "true", limits: [tier], version: {is: v1}').routes
    assert [spec.kind for spec in route.policies] == [VERSION, AUTHORIZE, LIMIT]


def test_the_routes_own_policies_see_bodies_in_the_words_of_the_upstream() -> None:
    own = "policies: [{use: transform, response: {}}]"
    changes = "version: {is: v1, adapt_to: v2, response: [{rename: {a: b}}]}"
    (route,) = versions_of(f"authenticate: none, {own}, {changes}").routes
    assert [spec.kind for spec in route.policies] == [ADAPT, "transform"], "answers meet the last one first"
    assert route.placement.edits_body


def test_the_successor_is_where_a_route_of_it_has_the_same_path_but_for_the_name() -> None:
    plan = versions_of(
        "authenticate: none, match: {path_prefix: /api/v1/users}, version: {is: v1}",
        "authenticate: none, match: {path_prefix: /api/v2/users}, version: {is: v2}",
        "authenticate: none, match: {path_prefix: /api/v1/orders}, version: {is: v1}",
        "authenticate: none, match: {path_prefix: /v1/named}, version: {is: v1, successor: 'https://new.example/named'}",
    )
    assert [route.version.successor_at for route in plan.routes if route.version] == [
        "/api/v2/users", "", "", "https://new.example/named",
    ]  # fmt: skip


def test_changes_of_several_versions_are_one_lens() -> None:
    plan = versions_of(
        "authenticate: none, version: {is: v0, adapt_to: v1, then: route-1, body: [{rename: {title: name}}]}",
        "authenticate: none, version: {is: v1, adapt_to: v2, request: [{rename: {name: full_name}}]}",
    )
    specs = [spec.settings for spec in plan.routes[0].policies if isinstance(spec.settings, AdaptSpec)]
    assert (specs[0].served, specs[0].spoken) == ("v0", "v2")
    assert specs[0].request.forward({"title": "x"}, Memory()) == {"full_name": "x"}
    assert specs[0].response.forward({"title": "x"}, Memory()) == {"name": "x"}


def test_a_plan_says_which_versions_end_and_which_are_adapted() -> None:
    plan = versions_of(
        "authenticate: none, version: {is: ending}",
        "authenticate: none, version: {is: v0, adapt_to: v2, response: [{rename: {a: b}}]}",
        "authenticate: none",
    )
    ending, adapted, none = (route.api_version for route in describe(plan).routes)
    assert ending is not None
    assert (ending.deprecated, ending.sunset) == ("2026-10-01", "2027-04-01T12:00:00Z")
    assert ending.text == "ending, deprecated from 2026-10-01, gone from 2027-04-01T12:00:00Z"
    assert adapted is not None
    assert (adapted.spoken, adapted.text) == ("v2", "v0, gone, then v2, adapted to v2")
    assert none is None


def test_another_date_is_another_revision() -> None:
    """Envoy says the dates: with an old bootstrap they would be the old ones."""
    route = "upstream: users, authenticate: none, version: {is: ending}"
    later = VERSIONS.replace("2027-04-01", "2028-04-01")
    assert plan_of(route, head=HEAD + VERSIONS).revision != plan_of(route, head=HEAD + later).revision


@pytest.mark.parametrize(
    ("accept", "name"), [("application/vnd.v1+json", "route-0"), ("*/*", "route-1"), (None, "route-1")]
)
def test_a_media_type_chooses_a_route(accept: str | None, name: str) -> None:
    plan = versions_of(
        "authenticate: none, match: {path: /users, media_type: application/vnd.v1+json}",
        "authenticate: none, match: {path: /users}",
    )
    found = find_route(plan, Request("GET", "/users", headers=Headers.of({"accept": accept} if accept else {})))
    assert found is not None
    assert found.name == name
