from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.core.conversions import CONVERSIONS, Conversion, table
from extproc.core.lens import Convert, Lens, Memory, NotAdaptable
from extproc.core.lens_building import MAX_CHANGES, Change, NotInvertible, build, read_path
from extproc.core.lens_proof import alike, disproof

Written = tuple[str, str, object]

THERE: list[tuple[list[Written], Any, Any]] = [
    ([("rename", "name", "full_name")], {"name": "Ada", "id": 1}, {"full_name": "Ada", "id": 1}),
    ([("rename", "address.city", "town")], {"address": {"city": "Jena"}}, {"address": {"town": "Jena"}}),
    ([("rename", "name", "full_name")], {"id": 1}, {"id": 1}),
    ([("move", "city", "address.city")], {"city": "Jena"}, {"address": {"city": "Jena"}}),
    ([("move", "address.city", "city")], {"address": {"city": "Jena"}}, {"city": "Jena"}),
    ([("move", "city", "address.city")], {"city": 1, "address": {"zip": 2}}, {"address": {"zip": 2, "city": 1}}),
    ([("default", "locale", "en")], {}, {"locale": "en"}),
    ([("default", "locale", "en")], {"locale": "de"}, {"locale": "de"}),
    ([("default", "address.country", "DE")], {"address": None}, {"address": None}),
    ([("drop", "fax", "")], {"fax": "1", "id": 2}, {"id": 2}),
    ([("wrap", ".", "data")], {"id": 1}, {"data": {"id": 1}}),
    ([("wrap", "price", "amount")], {"price": 3}, {"price": {"amount": 3}}),
    ([("unwrap", "price", "amount")], {"price": {"amount": 3}}, {"price": 3}),
    ([("convert", "at", "unix_seconds_to_rfc3339")], {"at": 1735689600}, {"at": "2025-01-01T00:00:00Z"}),
    ([("convert", "at", "unix_milliseconds_to_rfc3339")], {"at": 250}, {"at": "1970-01-01T00:00:00.250Z"}),
    ([("convert", "at", "rfc3339_to_unix_seconds")], {"at": "1970-01-01T01:00:00.5+01:00"}, {"at": 0.5}),
    ([("convert", "state", {"active": "enabled"})], {"state": "active"}, {"state": "enabled"}),
    ([("convert", "state", {"active": "enabled"})], {"state": None}, {"state": None}),
    ([("convert", "tags", "text_to_list")], {"tags": "a,b"}, {"tags": ["a", "b"]}),
    ([("rename", "items[].sku", "id")], {"items": [{"sku": 1}, {}, 3]}, {"items": [{"id": 1}, {}, 3]}),
    ([("rename", "[].lines[].sku", "id")], [{"lines": [{"sku": 1}]}], [{"lines": [{"id": 1}]}]),
    ([("wrap", "items[]", "value")], {"items": [1, None]}, {"items": [{"value": 1}, {"value": None}]}),
    ([("rename", "a", "b"), ("rename", "c", "a")], {"a": 1, "c": 2}, {"b": 1, "a": 2}),
]  # fmt: skip

REFUSED: list[tuple[list[Written], int, str]] = [
    ([("rename", "a", "b"), ("rename", "c", "b")], 1, "b is there already"),
    ([("rename", "a", "b"), ("move", "a", "c")], 1, "nothing is at a any more: a change before this one took it away"),
    ([("move", "a", "b.c"), ("rename", "d", "b")], 1, "b is there already"),
    ([("rename", "a", "b"), ("default", "b", 1)], 1, "b is there already"),
    ([("default", "a", 1), ("default", "a", 2)], 1, "a is there already"),
    ([("drop", "a", 1), ("convert", "a.b", "text_to_list")], 1, "nothing is at a.b any more"),
    ([("wrap", ".", "data"), ("rename", "a", "b")], 1, "nothing is at a any more"),
    ([("unwrap", ".", "data"), ("wrap", ".", "x"), ("drop", "data", 1)], 2, "nothing is at data any more"),
    ([("move", "a.b", "a")], 0, "a.b and a overlap"),
    ([("move", "items[].a", "b")], 0, "b is not in the same list as items[].a"),
    ([("move", "items[]", "b")], 0, "a member is moved, neither an item of a list nor the whole document"),
    ([("rename", ".", "a")], 0, "a member is moved"),
    ([("rename", "a", "b.c")], 0, "'b.c' is no name of a member; `move` takes a path"),
    ([("wrap", "a", "b.c")], 0, "'b.c' is no name of a member"),
    ([("default", "items[]", 1)], 0, "a member comes or goes"),
    ([("convert", "a", {"x": "z", "y": "z"})], 0, "'x' and 'y' both become 'z', so nobody could say which it was"),
    ([("convert", "a", "rot13")], 0, "there is no conversion 'rot13': write one of boolean_to_text"),
    ([("rename", "a..b", "c")], 0, "'a..b' is no path"),
    ([("rename", "", "c")], 0, "'' is no path"),
]  # fmt: skip


def lens_of(written: list[Written]) -> Lens:
    return build([Change(*one) for one in written])


@pytest.mark.parametrize(("written", "before", "after"), THERE)
def test_a_document_goes_there_and_comes_back_as_it_was(written: list[Written], before: Any, after: Any) -> None:
    lens, memory = lens_of(written), Memory()
    assert alike(lens.forward(copy.deepcopy(before), memory), after)
    assert alike(lens.inverse().forward(copy.deepcopy(after), memory), before) or "rfc3339_to" in str(written)


@pytest.mark.parametrize(("written", "index", "why"), REFUSED)
def test_what_cannot_be_undone_is_refused_with_its_place(written: list[Written], index: int, why: str) -> None:
    with pytest.raises(NotInvertible) as caught:
        lens_of(written)
    assert caught.value.index == index
    assert str(caught.value).startswith(why)


def test_more_changes_than_any_version_has_are_refused() -> None:
    with pytest.raises(NotInvertible, match="at most"):
        build([Change("rename", f"a{number}", f"b{number}") for number in range(MAX_CHANGES + 1)])


@pytest.mark.parametrize("path", [".", "[]", "a", "a.b", "a[].b", "[].a", "a[][].b", "[][]"])
def test_a_path_is_read(path: str) -> None:
    assert "".join(read_path(path)) == path.replace(".", "")


@pytest.mark.parametrize("path", ["", "..", "a.", ".a", "a.[]", "a[0]", "a b", "a[]b", "[]a"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        read_path(path)


def test_without_memory_what_was_dropped_comes_back_as_what_the_operator_wrote() -> None:
    lens = lens_of([("drop", "fax", "none")])
    assert lens.inverse().forward({"id": 1}, Memory()) == {"id": 1, "fax": "none"}


def test_without_memory_what_only_the_next_version_has_is_gone() -> None:
    lens = lens_of([("default", "locale", "en"), ("wrap", "name", "text")])
    assert lens.inverse().forward({"locale": "de", "name": {"text": "x", "lang": "de"}}, Memory()) == {"name": "x"}


def test_a_member_in_the_place_of_a_renamed_one_is_not_taken_for_it() -> None:
    """A caller of v1 could otherwise write what v1 does not have."""
    assert lens_of([("rename", "name", "full_name")]).forward({"full_name": "x"}, Memory()) == {}


@pytest.mark.parametrize(
    ("written", "document", "why"),
    [
        ([("convert", "a.b", {"x": "y"})], {"a": {"b": "z"}}, "at a.b: a value that the table does not have"),
        ([("unwrap", "a", "b")], {"a": {"c": 1}}, "at a: not an object with b"),
        ([("unwrap", ".", "data")], ["x"], "at the whole document: not an object with data"),
        ([("rename", "a[].b", "c")], {"a": {"b": 1}}, "at a: not a list"),
        ([("convert", "a", "seconds_to_milliseconds")], {"a": 0.0001}, "at a: finer than 1/1000"),
        ([("convert", "a", "number_to_text")], {"a": True}, "at a: not a whole number of at most 18 digits"),
        (
            [("convert", "a", "rfc3339_to_unix_seconds")],
            {"a": "2025-02-30T00:00:00Z"},
            "at a: no moment of the calendar",
        ),
    ],
)
def test_a_document_of_another_sort_is_told_by_its_place_and_never_by_its_value(
    written: list[Written], document: Any, why: str
) -> None:
    with pytest.raises(NotAdaptable) as caught:
        lens_of(written).forward(document, Memory())
    assert str(caught.value) == why


def test_two_lenses_one_after_the_other_are_one() -> None:
    older = [Change("rename", "name", "full_name"), Change("convert", "state", {"on": "active"})]
    newer = [Change("move", "full_name", "person.name"), Change("convert", "state", {"active": "enabled"})]
    lens, memory = build([*older, *newer]), Memory()
    assert lens.forward({"name": "Ada", "state": "on"}, memory) == {"person": {"name": "Ada"}, "state": "enabled"}
    assert lens.inverse().forward({"person": {"name": "Bob"}, "state": "enabled"}, memory) == {
        "name": "Bob", "state": "on"
    }  # fmt: skip
    assert not disproof(lens)


@pytest.mark.parametrize("name", CONVERSIONS)
def test_every_conversion_brings_its_samples_back(name: str) -> None:
    conversion = CONVERSIONS[name]
    assert all(alike(conversion.backward(conversion.forward(value)), value) for value in conversion.samples)


NAMES = st.sampled_from("abcd")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "a,b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
CHANGES = st.one_of(
    st.tuples(st.just("rename"), PATHS, NAMES),
    st.tuples(st.just("move"), PATHS, PATHS),
    st.tuples(st.just("default"), PATHS, JSON),
    st.tuples(st.just("drop"), PATHS, JSON),
    st.tuples(st.just("wrap"), PATHS | st.just("."), NAMES),
    st.tuples(st.just("convert"), PATHS, st.just("boolean_to_text")),
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(CHANGES, max_size=4), JSON)
def test_whatever_is_accepted_brings_every_document_back(written: list[Written], document: Any) -> None:
    try:
        lens = lens_of(written)
    except NotInvertible:
        return
    memory = Memory()
    try:
        there = lens.forward(copy.deepcopy(document), memory)
    except NotAdaptable:
        return
    assert alike(lens.inverse().forward(copy.deepcopy(there), memory), document)


@given(st.integers(-(2**53) // 1000, 2**53 // 1000))
def test_hundredths_and_thousandths_are_exact(number: int) -> None:
    for name in ("milliseconds_to_seconds", "hundredths_to_units"):
        assert CONVERSIONS[name].backward(CONVERSIONS[name].forward(number)) == number


@given(
    st.datetimes(timezones=st.none()).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
)
def test_a_moment_is_the_same_one_again(moment: Any) -> None:
    spelled = moment.isoformat(timespec="milliseconds") + "Z"
    conversion = CONVERSIONS["rfc3339_to_unix_milliseconds"]
    number = conversion.forward(spelled)
    assert conversion.forward(conversion.backward(number)) == number


def test_a_table_is_read_both_ways() -> None:
    states = table({"on": "enabled", "off": "disabled"})
    assert (states.forward("on"), states.backward("disabled")) == ("enabled", "off")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            [("default", "x", "bad"), ("convert", "x", "number_to_text")],
            "{} cannot go there and back: at x: not a whole",
        ),
        ([("wrap", "a", "v"), ("move", "a.v", "b")], "cannot go back and there: at a: not an object with v"),
    ],
)
def test_a_proof_finds_what_no_rule_forbids(written: list[Written], said: str) -> None:
    assert said in disproof(lens_of(written))


def test_a_proof_finds_a_conversion_whose_way_back_leads_elsewhere() -> None:
    broken = Lens((Convert(0, ("state",), Conversion("odd", str.upper, str.title, ("ab",))),))
    assert '"Ab"' in disproof(broken)


@pytest.mark.parametrize("written", [one for one, _, _ in THERE])
def test_a_proof_finds_nothing_where_there_is_nothing(written: list[Written]) -> None:
    assert disproof(lens_of(written)) == ""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ([1], [1, 2], False),
        ("1", 1, False),
    ],
)
def test_documents_are_compared_as_json(one: Any, other: Any, same: bool) -> None:
    assert alike(one, other) is same
