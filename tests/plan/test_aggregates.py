"""What an aggregate means: its parts with all that they do not say themselves, and the least that it costs."""

from __future__ import annotations

from typing import Any, Final

import pytest

from extproc.core.policy import Phase
from extproc.core.problems import InvalidConfig
from extproc.core.processing import BodyMode
from extproc.core.specs import AggregateSpec, Lines, PartSpec
from extproc.plan.compile import compile_plan
from extproc.plan.describe import describe
from extproc.plan.model import Plan, RoutePlan, ToAggregate
from extproc.plan.times import upstreams_of, whole_time
from extproc.plugins.registry import built_in
from tests.config.gateways import load_text

HEAD: Final = """
listeners: [{name: public, address: "0.0.0.0:8080"}]
versions: {v1: {status: deprecated, deprecated: 2026-10-01}}
upstreams:
  users: {endpoints: ["127.0.0.1:1"], timeout: 2s}
  orders: {endpoints: ["127.0.0.1:2"], timeout: 1s, retries: 2, credential: {header: x-key, value: secret}}
routes:
"""


def plan_of(*keys: str) -> Plan:
    route = "\n    ".join(("  - name: home", "match: {path: /home}", "authenticate: none", *keys))
    return compile_plan(load_text(HEAD + route + "\n", {}), built_in().kinds)


def route_of(*keys: str) -> RoutePlan:
    (route,) = plan_of(*keys).routes
    return route


def spec_of(*keys: str) -> AggregateSpec:
    target = route_of(*keys).target
    assert isinstance(target, ToAggregate)
    return target.spec


def part_of(written: str, *keys: str) -> PartSpec:
    (part,) = spec_of(f"aggregate: {{a: {{{written}}}}}", *keys).parts
    return part


TIMES = [
    ("upstream: users, path: /", (), 2.0, 0),
    ("upstream: users, path: /", ("timeout: 1s",), 1.0, 0),
    ("upstream: users, path: /, retries: 1", (), 15.0, 1),
    ("upstream: users, path: /, timeout: 300ms", (), 0.3, 0),
    ("upstream: users, path: /, timeout: 30s", (), 15.0, 0),
    ("upstream: orders, path: /", (), 15.0, 2),
    ("upstream: orders, path: /, retries: 0", (), 1.0, 0),
]


@pytest.mark.parametrize(("written", "keys", "timeout", "retries"), TIMES)
def test_a_parts_time_and_tries_are_its_own_or_its_upstreams_within_the_routes(
    written: str, keys: tuple[str, ...], timeout: float, retries: int
) -> None:
    part = part_of(written, *keys)
    assert (part.timeout, part.retries) == (timeout, retries)


def test_a_part_is_no_longer_than_the_whole_may_be() -> None:
    assert part_of("upstream: users, path: /").limit == 1024 * 1024
    assert part_of("upstream: users, path: /, response_limit: 1KiB").limit == 1024
    assert part_of("upstream: users, path: /, response_limit: 2MiB", "response_limit: 64KiB").limit == 64 * 1024


def test_a_default_makes_a_part_optional_and_null_is_one() -> None:
    defaults = {"": (False, None), ", default: null": (True, "null"), ", default: [1, {a: b}]": (True, '[1,{"a":"b"}]')}
    for written, expected in defaults.items():
        part = part_of(f"upstream: users, path: /{written}")
        assert (part.optional, part.default) == expected


LINES = [
    ((), Lines.ON_REQUEST),
    (("merge: {ndjson: always}",), Lines.ALWAYS),
    (("merge: {ndjson: never}",), Lines.NEVER),
    (("merge: {body: parts.a}",), Lines.NEVER),
]


@pytest.mark.parametrize(("keys", "lines"), LINES)
def test_lines_are_sent_on_request_unless_an_expression_makes_the_answer(keys: tuple[str, ...], lines: Lines) -> None:
    assert spec_of("aggregate: {a: {upstream: users, path: /}}", *keys).lines is lines


def test_a_route_shows_the_requests_headers_and_its_body_only_where_an_expression_reads_it() -> None:
    plain = route_of("aggregate: {a: {upstream: users, path: /}}")
    reading = route_of("aggregate: {a: {upstream: users, path: /, method: POST, body: request.json}}")
    assert [one.placement.shown.request.body for one in (plain, reading)] == [BodyMode.NONE, BodyMode.BUFFERED]
    assert [one.placement.shown.response.headers for one in (plain, reading)] == [False, False]
    assert [one.policies[-1].phases for one in (plain, reading)] == [{Phase.FORWARD}, {Phase.REQUEST_BODY}]
    assert isinstance(reading.target, ToAggregate)
    assert (reading.target.spec.reads_body, reading.target.spec.lines) == (True, Lines.NEVER)


def test_a_route_without_a_call_to_let_it_in_pays_the_stream_alone() -> None:
    route = route_of("aggregate: {a: {upstream: orders, path: /}}")
    assert route.placement.services == ("ext_proc",)
    counted = route_of("aggregate: {a: {upstream: users, path: /}}", "limits: [{per: address, rate: 1/s}]")
    assert counted.placement.services == ("ratelimit", "ext_proc")


def test_what_answers_say_of_a_version_is_said_in_lines_too() -> None:
    spec = spec_of("aggregate: {a: {upstream: users, path: /}}", "version: {is: v1}")
    assert spec.said == (("deprecation", "@1790812800"),)


def test_its_upstreams_and_its_time_are_those_of_the_route() -> None:
    plan = plan_of("timeout: 3s", "aggregate: {a: {upstream: orders, path: /}, b: {upstream: users, path: /}}")
    (route,) = plan.routes
    assert [one.name for one in upstreams_of(plan, route)] == ["orders", "users"]
    assert (whole_time(plan, route), plan.aggregates) == (3.0, (route.target.spec,))  # type: ignore[union-attr]


REFUSED = [
    "response: {headers: {x-a: \"'1'\"}}",
    "response: {json: {set: {a: '1'}}}",
]


@pytest.mark.parametrize("edits", REFUSED)
def test_a_policy_that_edits_answers_is_refused_for_it_would_see_none(edits: str) -> None:
    with pytest.raises(InvalidConfig, match="put together behind the policies"):
        plan_of("aggregate: {a: {upstream: users, path: /}}", f"policies: [{{use: transform, {edits}}}]")


def test_a_policy_that_edits_requests_comes_before_it() -> None:
    edits = "policies: [{use: transform, request: {query: {set: {q: '\"1\"'}}}}]"
    route = route_of("aggregate: {a: {upstream: users, path: /}}", edits)
    assert [spec.kind for spec in route.policies] == ["transform", "aggregate"]


def test_a_plan_says_which_parts_there_are_and_what_waits_for_what() -> None:
    parts = 'a: {upstream: users, path: /a}, b: {upstream: orders, path: "/{parts.a.id}", optional: true}'
    (described,) = describe(plan_of(f"aggregate: {{{parts}}}")).routes
    target: Any = described.target
    assert (target.kind, target.text) == ("aggregate", "aggregate: a users, b orders (optional)")
    assert [(part.name, part.after, part.optional) for part in target.parts] == [("a", (), False), ("b", ("a",), True)]
    rule = described.policies[-1].rule
    assert rule == "a: GET /a of users within 2 s, b: GET /{parts.a.id} of orders within 15 s, 2 retries, optional"
    assert "secret" not in str(described)
