"""Changes of a gateway file by hand: where a path leads, and what it sets."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.config.changes import apply, parse_change
from extproc.config.source import parse

TEXT = """
tiers: {free: {rate: 1/s}}
empty:
routes: [{name: one, limits: [tier]}, {name: two}]
"""


def changed(*changes: str) -> Any:
    source = parse(TEXT, str)
    for change in changes:
        assert apply(parse_change(change), source, str) == []
    return source.data


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("tiers.free.rate=20/s", ("tiers", "free", "rate"), "20/s"),
        ("routes[0].limits[1]={per: address}", ("routes", 0, "limits", 1), "{per: address}"),
        ("consumers['a.b@c.d'].rate=1/s", ("consumers", "a.b@c.d", "rate"), "1/s"),
        ('consumers["a=b"].rate=1/s', ("consumers", "a=b", "rate"), "1/s"),
        ("a.b-c_d=x=y", ("a", "b-c_d"), "x=y"),
    ],
)
def test_a_change_is_a_path_and_a_value(text: str, path: tuple[str | int, ...], value: str) -> None:
    change = parse_change(text)
    assert (change.path, change.value) == (path, value)


@pytest.mark.parametrize(
    "text", ["", "=", "a", "a=", "=a", ".a=1", "a..b=1", "a.=1", "[0]=1", "a[x]=1", "a[0=1", "a[-1]=1", "a[]=1", "a b"]
)
def test_what_names_no_place_is_no_change(text: str) -> None:
    with pytest.raises(ValueError, match="is no change: write a path and a value"):
        parse_change(text)


def test_values_are_yaml_and_what_is_missing_is_made() -> None:
    assert changed("tiers.paid.burst=7")["tiers"] == {"free": {"rate": "1/s"}, "paid": {"burst": 7}}
    assert changed("empty.x.y=true")["empty"] == {"x": {"y": True}}
    assert changed("tiers={a: {b: [1, 'c']}}")["tiers"] == {"a": {"b": [1, "c"]}}


def test_a_member_of_a_list_is_named_by_its_place_or_its_name_and_one_may_be_added() -> None:
    assert changed("routes[0].limits[0]=x")["routes"][0]["limits"] == ["x"]
    assert changed("routes.two.limits=[a]", "routes.two.limits[1]=b")["routes"][1]["limits"] == ["a", "b"]


def test_later_changes_see_earlier_ones() -> None:
    assert changed("tiers.free={burst: 1}", "tiers.free.rate=2/s")["tiers"]["free"] == {"burst": 1, "rate": "2/s"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("routes[2].name=x", "routes has no such member"),
        ("routes.three.name=x", "routes has no such member"),
        ("routes[0].limits[0].rate=1/s", "routes[0].limits[0] has no members: set it as a whole"),
        ("tiers[0]=x", "tiers has no members: set it as a whole"),
    ],
)
def test_a_place_that_is_not_there_is_a_finding(text: str, said: str) -> None:
    (found,) = apply(parse_change(text), parse(TEXT, str), str)
    assert found.message == said


def test_a_file_that_is_a_list_or_a_text_has_nothing_to_set() -> None:
    for text in ("[1]", "x"):
        (found,) = apply(parse_change("a.b=1"), parse(text, str), str)
        assert "the file has no" in found.message
