"""YAML with places: where everything stands, and what a scalar is."""

from __future__ import annotations

import itertools
import math

import pytest

from extproc.config.source import MAX_DEPTH, MAX_VALUES, Source, parse
from extproc.core.problems import Path

TEXT = """\
# A comment, so that the first line is not the first value.
listeners:
  - name: public
    address: 0.0.0.0:8080
  - {name: local, address: 127.0.0.1:8081}
matrix: [[a, b], [c, [d]]]
"quoted key": 1
"""

PLACES: list[tuple[Path, tuple[int, int]]] = [
    ((), (2, 1)),
    (("listeners",), (2, 1)),
    (("listeners", 0), (3, 5)),
    (("listeners", 0, "name"), (3, 5)),
    (("listeners", 0, "address"), (4, 5)),
    (("listeners", 1), (5, 5)),
    (("listeners", 1, "name"), (5, 6)),
    (("listeners", 1, "address"), (5, 19)),
    (("matrix", 0), (6, 10)),
    (("matrix", 0, 1), (6, 14)),
    (("matrix", 1, 1), (6, 22)),
    (("matrix", 1, 1, 0), (6, 23)),
    (("quoted key",), (7, 1)),
]

SCALARS: list[tuple[str, object]] = [
    ("on", "on"),
    ("off", "off"),
    ("yes", "yes"),
    ("no", "no"),
    ("y", "y"),
    ("1:30", "1:30"),
    ("2026-11-25", "2026-11-25"),
    ("0o10", "0o10"),
    ("0x10", "0x10"),
    ("010", 10),
    ("1_000", "1_000"),
    (".inf", ".inf"),
    (".nan", ".nan"),
    ("0", 0),
    ("-7", -7),
    ("+7", 7),
    ("1.5", 1.5),
    (".5", 0.5),
    ("5.", 5.0),
    ("1e3", 1000.0),
    ("1.5E-3", 0.0015),
    ("1e999", math.inf),
    ("9" * 39, int("9" * 39)),
    ("9" * 40, "9" * 40),
    ("true", True),
    ("TRUE", True),
    ("tRUE", "tRUE"),
    ("false", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("'8080'", "8080"),
    ('"8080"', "8080"),
    ('"true"', "true"),
    ("'null'", "null"),
    ("''", ""),
    ('"a\\nb"', "a\nb"),
    ("|-\n  1", "1"),
    (">-\n  true", "true"),
]


def read(text: str) -> Source:
    return parse(text, lambda scalar: scalar)


def told(source: Source) -> list[str]:
    return [finding.message for finding in source.findings]


@pytest.mark.parametrize(("path", "place"), PLACES, ids=lambda value: ".".join(map(str, value)) or "root")
def test_every_value_has_its_place(path: Path, place: tuple[int, int]) -> None:
    assert read(TEXT).position(path) == place


def test_what_is_not_written_is_placed_at_what_is_around_it() -> None:
    source = read(TEXT)
    assert source.position(("listeners", 1, "tls", "certificate")) == source.position(("listeners", 1))
    assert source.position(("nowhere",)) == source.position(())


def test_a_source_without_any_place_begins_at_the_beginning() -> None:
    assert Source().position(("routes", 0)) == (1, 1)


def test_columns_count_characters_and_not_bytes() -> None:
    assert read("{é: 1, b: 2}").position(("b",)) == (1, 8)


@pytest.mark.parametrize(("written", "meant"), SCALARS)
def test_a_scalar_is_what_yaml_1_2_says(written: str, meant: object) -> None:
    source = read(f"value: {written}\n")
    assert told(source) == []
    assert source.data == {"value": meant}
    assert type(source.data["value"]) is type(meant)


def test_an_alias_is_its_anchor_again() -> None:
    assert read("a: &a {x: [1]}\nb: *a\n").data == {"a": {"x": [1]}, "b": {"x": [1]}}


def test_keys_are_text_whatever_they_look_like() -> None:
    assert list(read("{1: a, true: b, null: c, ~: d, 1e3: e}").data) == ["1", "true", "null", "~", "1e3"]


def test_a_key_that_is_written_twice_keeps_its_first_value_and_is_told_with_both_places() -> None:
    source = read("a: 1\nb: 2\na: 3\na: 4\n")
    assert source.data == {"a": 1, "b": 2}
    assert [source.position(finding.path) for finding in source.findings] == [(3, 1), (4, 1)]
    assert {(finding.message, finding.hint) for finding in source.findings} == {
        ("duplicate key 'a'", "first written in line 1")
    }


@pytest.mark.parametrize("text", ["? [a]\n: 1\n", "? {a: b}\n: 1\n", "a: &a {x: 1}\nb:\n  <<: *a\n"])
def test_a_key_that_is_no_plain_text_is_told_and_left_out(text: str) -> None:
    source = read(text)
    assert told(source) == ["a key must be plain text; merge keys are not read"]
    assert "x" not in source.data.get("b", {})


@pytest.mark.parametrize(
    "text",
    ["a: [", "a: {b", "\ta: 1", "a: *nothing", "a: @x", '"\\x"', "a: 1\n---\nb: 2\n", "a: \x01", "\ud800", "[" * 5000],
    ids=["list", "mapping", "tab", "alias", "at", "escape", "two documents", "control", "surrogate", "brackets"],
)
def test_what_is_not_yaml_is_one_finding_and_no_data(text: str) -> None:
    source = read(text)
    assert not source.readable
    assert source.data is None
    assert [message.split(":")[0] for message in told(source)] == ["not YAML"]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n"])
def test_an_empty_file_says_so(text: str) -> None:
    source = read(text)
    assert (source.readable, source.data) == (text == "---\n", None)
    assert told(source) == ([] if source.readable else ["is empty"])


def test_nesting_stops_where_no_gateway_goes() -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH).readable
    too_deep = read("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2))
    assert told(too_deep) == [f"nested deeper than {MAX_DEPTH}"]
    assert too_deep.position(()) == (1, MAX_DEPTH + 2)


def test_an_alias_of_itself_is_too_deep_and_not_endless() -> None:
    assert told(read("&a [*a]")) == [f"nested deeper than {MAX_DEPTH}"]


def test_aliases_of_aliases_are_counted_each_time() -> None:
    names = "abcdefgh"
    text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in itertools.pairwise(names)
    )
    source = read(text)
    assert told(source) == [f"more than {MAX_VALUES} values, aliases counted each time"]
    assert source.data is None
