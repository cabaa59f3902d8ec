"""The adapter around the CEL runtime: types at load, exceptions for errors, JSON for results."""

from __future__ import annotations

import json
import re

import pytest

from extproc.config.expressions import (
    MAX_LENGTH,
    ExpressionFailed,
    check_answer_expression,
    compile_condition,
    compile_expression,
)
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request, Response
from extproc.core.variables import TYPES, variables

SEEN = variables(
    Request(
        "GET",
        "/users/1",
        "api.example.com",
        "all=1",
        "https",
        Headers((("x-beta", "1"),)),
        "192.0.2.7",
        "id",
        "stream",
    ),
    "users",
    Consumer("acme", "premium", ("users:read",), {"level": 3, "groups": ["a", {"b": None}], "ratio": 0.5}),
    Response(200, Headers((("content-type", "application/json"),))),
    {"name": "Ada", "tags": ["x"], "age": 36, "nothing": None},
    {"request.json": {"a": 1}, "event.type": "message", "event.json": {"b": 2}, "value": 3, "parts": {"a": 1}},
)

VALUES = [
    ("request.method", "GET"),
    ("request.path + '?' + request.query", "/users/1?all=1"),
    ("request.host + ' ' + request.scheme + ' ' + request.address", "api.example.com https 192.0.2.7"),
    ("request.headers['x-beta']", "1"),
    ("request.params.all", "1"),
    ("route.name", "users"),
    ("consumer.id + ':' + consumer.tier", "acme:premium"),
    ("consumer.scopes", ["users:read"]),
    ("consumer.claims", {"groups": ["a", {"b": None}], "level": 3, "ratio": 0.5}),
    ("response.status / 100", 2),
    ("response.headers['content-type']", "application/json"),
    ("response.json.name", "Ada"),
    ("response.json", {"age": 36, "name": "Ada", "nothing": None, "tags": ["x"]}),
    ("1 + 1", 2),
    ("18446744073709551615u", 18_446_744_073_709_551_615),
    ("1.5", 1.5),
    ("true", True),
    ("null", None),
    ("[1, 'a', [true], {'b': []}]", [1, "a", [True], {"b": []}]),
    ("{'b': 1, 'a': {'d': 2, 'c': [3]}}", {"a": {"c": [3], "d": 2}, "b": 1}),
    ("{2: 'whole', 3u: 'unsigned', true: 'boolean'}", {"2": "whole", "3": "unsigned", "true": "boolean"}),
    ("has(consumer.claims.level) ? 'level' : 'none'", "level"),
    ("request.path.startsWith('/users/') && size(consumer.scopes) == 1", True),
]

ERRORS = [
    "1 / 0",
    "[1 / 0]",
    "consumer.claims.missing",
    "[consumer.claims.missing]",
    "consumer.claims.level + 'a'",
    "request.headers['missing'] == ''",
    "response.json.name > 1",
    "consumer.scopes[7]",
]

NO_JSON = [
    ("duration('1s')", "timedelta"),
    ("[duration('1s')]", "timedelta"),
    ("{'a': timestamp('2026-11-25T00:00:00Z')}", "datetime"),
    ("b'bytes'", "byte"),
    ("type(1)", "Type"),
    ("1.0 / 0.0", "inf"),
    ("[-1.0 / 0.0]", "-inf"),
    ("0.0 / 0.0", "nan"),
]

REFUSED = [
    ("", "Syntax error"),
    ("1 +", "Syntax error"),
    ("'open", "Syntax error"),
    ("consumer.scope", "undeclared reference to 'consumer.scope'"),
    ("consumer", "undeclared reference to 'consumer'"),
    ("request.header", "undeclared reference to 'request.header'"),
    ("nosuchfunction(1)", "undeclared reference to 'nosuchfunction'"),
    ("request.method == 1", "found no matching overload for '_==_'"),
    ("'a' in request.method", "found no matching overload for '@in'"),
    ("(" * 500 + "1" + ")" * 500, "recursion limit exceeded"),
    ("'\udcff'", "an expression is text in UTF-8"),
    ("1" + " " * MAX_LENGTH, f"at most {MAX_LENGTH} characters"),
]

NO_CONDITIONS = [
    ("1", "int"),
    ("1.5", "double"),
    ("'true'", "string"),
    ("null", "null"),
    ("[true]", "list<bool>"),
    ("request.headers['x-beta']", "string"),
    ("consumer.scopes", "list<string>"),
    ("duration('1s')", "duration"),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_an_expression_gives_plain_json(text: str, value: object) -> None:
    result = compile_expression(text).value(SEEN)
    assert result == value
    assert type(result) is type(value)
    assert json.dumps(result, allow_nan=False) == json.dumps(value)


@pytest.mark.parametrize("text", ERRORS)
def test_an_error_is_raised_and_never_a_value_that_counts_as_true(text: str) -> None:
    with pytest.raises(ExpressionFailed) as failed:
        compile_expression(text).value(SEEN)
    assert failed.value.reason == "expression_failed"
    assert re.split(r"""['"]""", text)[0] in str(failed.value)  # which expression it was


@pytest.mark.parametrize(("text", "kind"), NO_JSON)
def test_a_result_that_is_not_json_is_an_error(text: str, kind: str) -> None:
    with pytest.raises(ExpressionFailed, match=f"an expression gave .*{kind}.*, which is not JSON"):
        compile_expression(text).value(SEEN)


@pytest.mark.parametrize("name", sorted(TYPES))
def test_a_variable_that_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(ExpressionFailed):
        compile_expression(f"{name} == {name}").value({})


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_variable_of_the_table_can_be_written(name: str) -> None:
    assert compile_expression(name).value(SEEN) == SEEN[name]


def test_a_value_that_the_runtime_cannot_hold_is_an_error_of_the_expression() -> None:
    for value in (2**70, object(), "\ud800"):
        with pytest.raises(ExpressionFailed):
            compile_expression("response.json").value({"response.json": value})


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_a_bad_expression_is_refused_when_it_is_written(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)) as refused:
        check_answer_expression(text)
    assert "INVALID_ARGUMENT" not in str(refused.value)
    assert "<input>" not in str(refused.value)


def test_a_caret_stands_under_the_mistake() -> None:
    with pytest.raises(ValueError, match="undeclared") as refused:
        compile_expression('"users:read" in consumer.scope')
    first, quoted, caret = str(refused.value).splitlines()
    assert first == "CEL 1:25: undeclared reference to 'consumer.scope'"
    assert quoted[caret.index("^") :] == ".scope"


def test_every_mistake_of_an_expression_is_told() -> None:
    with pytest.raises(ValueError, match="undeclared") as refused:
        compile_expression("consumer.ide == request.methd")
    assert [line for line in str(refused.value).splitlines() if not line.startswith(" ")] == [
        "CEL 1:9: undeclared reference to 'consumer.ide'",
        "1:24: undeclared reference to 'request.methd'",
    ]


@pytest.mark.parametrize(("text", "kind"), NO_CONDITIONS)
def test_a_condition_says_yes_or_no(text: str, kind: str) -> None:
    with pytest.raises(ValueError, match="a condition must be true or false, this one is of type ") as refused:
        compile_condition(text)
    assert str(refused.value).endswith(f" {kind}")


@pytest.mark.parametrize("name", ["response.status == 200", "response.json", "response.headers['a'] == 'b'"])
def test_a_condition_cannot_ask_about_a_response_that_is_yet_to_come(name: str) -> None:
    compile_expression(name)
    with pytest.raises(ValueError, match="undeclared reference to 'response"):
        compile_condition(name)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("true", True),
        ("false", False),
        ("request.method == 'GET'", True),
        ("'users:write' in consumer.scopes", False),
        ("consumer.claims.level", False),
        ("consumer.claims.groups", False),
        ("consumer.claims.level == 3", True),
    ],
)
def test_only_true_holds(text: str, holds: bool) -> None:
    assert compile_condition(text).holds(SEEN) is holds


@pytest.mark.parametrize("text", ["consumer.claims.missing", "consumer.claims.missing == 1", "1 / 0 == 1"])
def test_a_condition_that_fails_neither_holds_nor_fails_to(text: str) -> None:
    with pytest.raises(ExpressionFailed):
        compile_condition(text).holds(SEEN)


@pytest.mark.parametrize("text", ['request.headers[request.query] == "a"', "request.query.matches(request.query)"])
def test_what_a_client_sent_is_not_in_an_expression_s_failure(text: str) -> None:
    """A failure's text goes into the decision log."""
    seen = variables(Request("GET", "/", query="SECRET("), "orders", None)
    with pytest.raises(ExpressionFailed) as failed:
        compile_condition(text).value(seen)
    assert "SECRET" not in str(failed.value)
    assert failed.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('request.headers["absent"] == "s3cret"', 'request.headers["absent"] == ...'),
        ('request.headers["absent"] in ["s3cret", "s3cret"]', 'request.headers["absent"] in [..., ...]'),
        ('request.headers["absent"] in["s3cret"]', 'request.headers["absent"] in[...]'),
        ("request.headers['absent'] == r's3cret\\d'", "request.headers['absent'] == ..."),
        ("request.headers['absent'] == '\\'s3cret' // don't\n&& true", "request.headers['absent'] == ... ...\n&& true"),
        ('request.headers["absent"] == """a"s3cret"""', 'request.headers["absent"] == ...'),
        ('request.headers["absent"].startsWith("s3cret")', 'request.headers["absent"].startsWith(...)'),
    ],
)
def test_what_a_condition_compares_with_is_not_in_its_failure(text: str, told: str) -> None:
    """It may be a secret, as `"${SHARED}"` is."""
    with pytest.raises(ExpressionFailed) as failed:
        compile_condition(text).holds(SEEN)
    assert str(failed.value).startswith(f"{told!r}: ")
