"""The variables that expressions see: exactly those of the table, in plain types."""

from __future__ import annotations

from dataclasses import replace

from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request, Response
from extproc.core.variables import OF_PAYLOADS, TYPES, variables

ASKED = Request("GET", "/orders", "api.example.com", "q=1", "https", Headers.of([("a", "1"), ("a", "2")]), "192.0.2.7")
CALLER = Consumer("acme", "free", ("orders:read",), {"sub": "acme"})
PLAIN = {
    "string": str,
    "bool": bool,
    "int": int,
    "list<string>": list,
    "map<string, string>": dict,
    "map<string, dyn>": dict,
}


def test_a_request_has_every_variable_but_the_responses() -> None:
    seen = variables(ASKED, "orders", CALLER)
    assert seen.keys() == {name for name in TYPES if not name.startswith(("response.", *OF_PAYLOADS))}
    assert seen["request.headers"] == {"a": "1,2"}
    assert (seen["consumer.id"], seen["consumer.scopes"], seen["route.name"]) == ("acme", ["orders:read"], "orders")


def test_a_parameter_is_decoded_and_the_first_of_its_name() -> None:
    seen = variables(replace(ASKED, query="q=a%20b+c&q=2&%71=3&e&x=%ff"), "orders", CALLER)
    assert seen["request.params"] == {"q": "a b c", "e": "", "x": "\ufffd"}


def test_a_response_has_every_variable() -> None:
    seen = variables(ASKED, "orders", CALLER, Response(200, Headers.of({"b": "3"})), {"x": 1})
    assert seen.keys() == {name for name in TYPES if not name.startswith(OF_PAYLOADS)}
    assert (seen["response.status"], seen["response.headers"], seen["response.json"]) == (200, {"b": "3"}, {"x": 1})


def test_every_value_is_of_the_type_that_the_table_declares() -> None:
    seen = variables(ASKED, "orders", CALLER, Response(200), None)
    for name, value in seen.items():
        assert TYPES[name] == "dyn" or type(value) is PLAIN[TYPES[name]]


def test_nobody_is_a_consumer_with_nothing() -> None:
    seen = variables(ASKED, "orders", None)
    assert [seen[name] for name in TYPES if name.startswith("consumer.")] == ["", "", "", [], True, [], {}]
    assert variables(ASKED, "orders", Consumer("acme"))["consumer.tier"] == ""


def test_who_is_anonymous_has_a_tier_and_no_id() -> None:
    seen = variables(ASKED, "orders", Consumer("anonymous", "guest", anonymous=True))
    assert (seen["consumer.id"], seen["consumer.tier"], seen["consumer.anonymous"]) == ("", "guest", True)
    assert variables(ASKED, "orders", CALLER)["consumer.anonymous"] is False
