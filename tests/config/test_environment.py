"""The one substitution there is."""

from __future__ import annotations

import pytest

from extproc.config.environment import substitute
from extproc.config.source import parse
from tests.config.gateways import SMALL, load_text, messages_of

ENVIRONMENT = {"A": "1", "B_2": "two", "EMPTY": "", "NESTED": "${A}", "NULL": "null"}

TABLE = [
    ("plain", "plain"),
    ("", ""),
    ("${A}", "1"),
    ("x${A}y", "x1y"),
    ("${A}${B_2}", "1two"),
    ("${A}:${B_2}:${A}", "1:two:1"),
    ("${A:=9}", "1"),
    ("${UNSET:=9}", "9"),
    ("${UNSET:=}", ""),
    ("${EMPTY:=9}", "9"),
    ("${UNSET:=127.0.0.1:8080}", "127.0.0.1:8080"),
    ("${UNSET:=[::1]:8080}", "[::1]:8080"),
    ("${UNSET:=https://id.example.com/a?b=c}", "https://id.example.com/a?b=c"),
    ("${UNSET:=:=}", ":="),
    ("unix:${UNSET:=/run/extproc}", "unix:/run/extproc"),
    ("${NESTED}", "${A}"),
    ("$A", "$A"),
    ("$$", "$$"),
    ("$ {A}", "$ {A}"),
    ("{A}", "{A}"),
]

UNSET = [("${UNSET}", "UNSET"), ("${EMPTY}", "EMPTY"), ("${A}${_X9}", "_X9"), ("${a}", "a")]
MISSPELT = ["${A:-9}", "${A-9}", "${A:9}", "${}", "${ A }", "${1}", "${A.B}", "${A", "x ${é} y"]


@pytest.mark.parametrize(("written", "read"), TABLE)
def test_references_are_replaced_by_values_or_defaults(written: str, read: str) -> None:
    assert substitute(written, ENVIRONMENT) == read


@pytest.mark.parametrize(("written", "name"), UNSET)
def test_a_name_that_is_neither_set_nor_defaulted_is_refused_by_name(written: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"^the environment variable {name} is not set and has no default$"):
        substitute(written, ENVIRONMENT)


@pytest.mark.parametrize("written", MISSPELT)
def test_a_reference_in_the_spelling_of_a_shell_does_not_pass_as_text(written: str) -> None:
    with pytest.raises(ValueError, match="is no reference"):
        substitute(written, ENVIRONMENT)


def test_keys_are_never_replaced() -> None:
    source = parse("${A}: ${A}", lambda text: substitute(text, ENVIRONMENT))
    assert source.data == {"${A}": 1}


def test_a_plain_scalar_is_read_after_its_replacement_and_a_quoted_one_stays_text() -> None:
    source = parse("- ${A}\n- '${A}'\n- ${NULL}\n- \"${NULL}\"\n", lambda text: substitute(text, ENVIRONMENT))
    assert source.data == [1, "1", None, "null"]


def test_a_value_cannot_write_yaml() -> None:
    source = parse("a: ${X}", lambda text: substitute(text, {"X": "1\nb: 2"}))
    assert source.data == {"a": "1\nb: 2"}


def test_a_gateway_file_takes_its_addresses_from_the_environment() -> None:
    text = SMALL.replace("127.0.0.1:9101", "${USERS:=127.0.0.1:9101}")
    assert str(load_text(text).config.upstreams["users"].endpoints[0]) == "127.0.0.1:9101"
    assert str(load_text(text, {"USERS": "users:1"}).config.upstreams["users"].endpoints[0]) == "users:1"


def test_every_unset_variable_is_told_once_and_nothing_else_about_it() -> None:
    text = SMALL.replace("127.0.0.1:9101", "${USERS}").replace("/users", "'${PATH_OF_USERS}'")
    assert messages_of(text) == [
        "upstreams.users.endpoints[0]: the environment variable USERS is not set and has no default",
        "routes[0].match.path_prefix: the environment variable PATH_OF_USERS is not set and has no default",
    ]


def test_a_value_that_is_no_unicode_is_a_problem_of_the_file() -> None:
    text = SMALL.replace("upstream: users", "upstream: users, authorize: '${CONDITION}'")
    assert messages_of(text, {"CONDITION": "'\udcff' == ''"}) == [
        "routes[0].authorize: an expression is text in UTF-8",
    ]
