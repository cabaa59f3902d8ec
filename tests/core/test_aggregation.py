"""Which parts wait for which, what each came to, and how they become one answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.aggregation import (
    Aggregation,
    Got,
    Missing,
    Result,
    Skipped,
    composed,
    cycle_in,
    last_line,
    line_of,
    merged,
    named_parts,
    needs_of,
)
from extproc.core.specs import AggregateSpec, PartSpec

NAMED = [
    ("consumer.id", set()),
    ("parts.profile.id", {"profile"}),
    ("has(parts.profile.id) ? parts . orders : 1", {"profile", "orders"}),
    ("parts[\"my-orders\"][0] + parts['x']", {"my-orders", "x"}),
    ("'parts.no' + \"parts.no\" + r'parts.no' + '''parts.no''' + parts.yes", {"yes"}),
    ("parts.yes // parts.no", {"yes"}),
    ("request.json.parts.profile + myparts.x + parts_of.y", set()),
    ("parts.a.parts.b", {"a"}),
]
UNNAMED = [
    "parts",
    "size(parts)",
    "parts[request.method]",
    "parts['a' + 'b']",
    "[1].map(parts, parts)",
    'parts["a\\"b"]',
]


@pytest.mark.parametrize(("expression", "names"), NAMED, ids=[expression for expression, _ in NAMED])
def test_an_expression_waits_for_the_parts_that_it_names(expression: str, names: set[str]) -> None:
    assert named_parts(expression) == names


@pytest.mark.parametrize("expression", UNNAMED)
def test_an_expression_that_does_not_say_which_part_it_means_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="name the parts"):
        named_parts(expression)


def test_a_part_waits_for_what_any_of_its_expressions_names() -> None:
    part = PartSpec(
        "d", "u", "/{parts.a.id}?x={parts.b}", headers={"x-c": "parts.c"}, body="{'d': parts.d2}", when="has(parts.e)"
    )
    assert needs_of(AggregateSpec("r", (part,))) == {"d": {"a", "b", "c", "d2", "e"}}


CIRCLES: list[tuple[Mapping[str, set[str]], tuple[str, ...]]] = [
    ({}, ()),
    ({"a": set(), "b": {"a"}, "c": {"a", "b"}}, ()),
    ({"a": {"a"}}, ("a", "a")),
    ({"a": {"b"}, "b": {"a"}}, ("a", "b", "a")),
    ({"x": {"a"}, "a": {"b"}, "b": {"c"}, "c": {"a"}}, ("a", "b", "c", "a")),
    ({"a": {"nowhere"}}, ()),
]


@pytest.mark.parametrize(("needs", "circle"), CIRCLES)
def test_parts_that_wait_for_each_other_are_found(needs: Mapping[str, set[str]], circle: tuple[str, ...]) -> None:
    assert cycle_in(needs) == circle


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.sampled_from("abcdefgh"))))
def test_a_circle_that_is_found_is_one_and_without_one_all_parts_can_be_settled(needs: dict[str, set[str]]) -> None:
    circle = cycle_in(needs)
    if circle:
        assert circle[0] == circle[-1]
        assert all(after in needs[before] for before, after in pairwise(circle))
        return
    state = Aggregation([part(name) for name in needs], {name: others & needs.keys() for name, others in needs.items()})
    waiting = list(state.begin())
    while waiting:
        waiting += state.settle(waiting.pop(), Skipped())
    assert state.finished


def part(name: str, *, optional: bool = False, default: str | None = None) -> PartSpec:
    return PartSpec(name, "upstream", "/", optional=optional, default=default)


def got(text: str) -> Got:
    return Got(text.encode(), json.loads(text))


def settled(parts: list[PartSpec], results: Mapping[str, Result]) -> Aggregation:
    state = Aggregation(parts, {})
    state.begin()
    for name, result in results.items():
        state.settle(name, result)
    return state


def test_what_does_not_wait_begins_at_once_and_the_rest_when_all_that_it_names_is_settled() -> None:
    state = Aggregation([part(name) for name in "abcd"], {"c": {"a"}, "d": {"b", "c"}})
    assert state.begin() == ("a", "b")
    assert state.settle("b", got("1")) == ()
    assert state.settle("a", got("2")) == ("c",)
    assert not state.finished
    assert state.settle("c", Skipped()) == ("d",)
    assert state.settle("d", got("3")) == ()
    assert state.finished


def test_a_part_that_is_missed_ends_it_all_and_nothing_more_begins() -> None:
    state = Aggregation([part(name) for name in "abc"], {"c": {"a"}})
    state.begin()
    assert state.settle("a", Missing("timeout")) == ()
    assert (state.finished, state.failed, state.missing) == (True, "a", {"a": "timeout"})


def test_an_optional_part_that_is_missed_lets_what_waits_for_it_begin() -> None:
    state = Aggregation([part("a", optional=True), part("b")], {"b": {"a"}})
    state.begin()
    assert state.settle("a", Missing("status_500")) == ("b",)
    assert (state.failed, state.values(frozenset("a"))) == (None, {})


@given(st.data())
def test_every_part_begins_once_and_never_before_what_it_names_is_settled(data: st.DataObject) -> None:
    names = "abcdefgh"[: data.draw(st.integers(1, 8))]
    earlier = {
        name: st.sets(st.sampled_from(names[:at])) if at else st.just(set[str]()) for at, name in enumerate(names)
    }
    needs = {name: frozenset(data.draw(some)) for name, some in earlier.items()}
    results: st.SearchStrategy[Result] = st.sampled_from([got("1"), Missing("timeout"), Skipped()])
    state = Aggregation([part(name, optional=data.draw(st.booleans())) for name in names], needs)
    running, begun = list(state.begin()), list[str]()
    begun += running
    while running and not state.finished:
        name = running.pop(data.draw(st.integers(0, len(running) - 1)))
        more = state.settle(name, data.draw(results))
        assert all(needs[one] <= state.results.keys() for one in more)
        running += more
        begun += more
    assert state.finished
    assert len(begun) == len(set(begun))
    assert state.failed is not None or set(begun) == set(names)


PARTS = [part("profile"), part("picks", optional=True), part("news", default="[1]")]
MERGED: list[tuple[Mapping[str, Result], str]] = [
    (
        {"profile": got('{"a": 1.50}'), "picks": got("[]"), "news": got("null")},
        '{"profile":{"a": 1.50},"picks":[],"news":null}',
    ),
    (
        {"profile": got("1"), "picks": Missing("timeout"), "news": got("2")},
        '{"profile":1,"news":2,"_partial":{"picks":"timeout"}}',
    ),
    (
        {"profile": got("1"), "picks": got("2"), "news": Missing("status_503")},
        '{"profile":1,"picks":2,"news":[1],"_partial":{"news":"status_503"}}',
    ),
    ({"profile": got("1"), "picks": Skipped(), "news": Skipped()}, '{"profile":1,"news":[1]}'),
]


@pytest.mark.parametrize(("results", "body"), MERGED, ids=[body for _, body in MERGED])
def test_parts_stand_under_their_names_as_they_were_written_and_what_is_missing_is_named(
    results: Mapping[str, Result], body: str
) -> None:
    assert merged(settled(PARTS, results), "_partial").decode() == body


def test_the_marker_has_the_name_that_the_operator_gives_it() -> None:
    state = settled(PARTS, {"profile": got("1"), "picks": Missing("timeout"), "news": got("2")})
    assert json.loads(merged(state, "incomplete"))["incomplete"] == {"picks": "timeout"}


def test_an_object_that_an_expression_made_is_marked_and_what_is_none_is_left_as_it_is() -> None:
    state = settled(PARTS, {"profile": got("1"), "picks": Missing("timeout"), "news": got("2")})
    assert composed({"n": 1}, state, "_partial") == b'{"n":1,"_partial":{"picks":"timeout"}}'
    assert composed([1], state, "_partial") == b"[1]"


def test_a_part_is_one_line_however_it_was_laid_out() -> None:
    line = line_of("a", got('{\r\n "x": "\\n",\n "y": 2}'))
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"part": "a", "value": {"x": "\n", "y": 2}}


def test_the_last_line_says_whether_it_is_all() -> None:
    assert json.loads(last_line({})) == {"done": True}
    assert json.loads(last_line({"picks": "timeout"})) == {"done": True, "missing": {"picks": "timeout"}}
    assert json.loads(last_line({"a": "timeout"}, {"status": 504})) == {
        "done": False, "missing": {"a": "timeout"}, "problem": {"status": 504},
    }  # fmt: skip
