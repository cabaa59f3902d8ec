"""Two answers to one request: how alike they are, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extproc.config.expressions import compile_expression
from extproc.core.comparing import Agreement, Comparison, compare
from extproc.core.headers import Headers
from extproc.core.message import Request
from extproc.core.ports import Answer

ASKED = Comparison("score", "v1", "score", Request("POST", "/score", body=b"12345", headers=Headers((("a", "bc"),))))


def answer(document: Any, status: int = 200) -> Answer:
    return Answer(status, body=json.dumps(document).encode())


def alike(expression: str, one: Answer | None, other: Answer | None) -> Agreement:
    (said,) = compare({"field": compile_expression(expression)}, ASKED, one, other).values()
    return said


CASES = [
    ("response.json.label", answer({"label": "cat"}), answer({"label": "cat", "more": 1}), Agreement.AGREE),
    ("response.json.label", answer({"label": "cat"}), answer({"label": "dog"}), Agreement.DIFFER),
    ("response.json.label", answer({"label": "cat"}), answer({}), Agreement.DIFFER),
    ("response.json.label", answer({}), answer({}), Agreement.UNDECIDED),
    ("response.json.label", answer({"label": True}), answer({"label": 1}), Agreement.DIFFER),
    ("response.json.score > 0.5", answer({"score": 0.6}), answer({"score": 0.9}), Agreement.AGREE),
    ("response.status", answer({}), answer({}, 500), Agreement.DIFFER),
    ("response.status", answer({}), None, Agreement.UNANSWERED),
    ("response.status", None, answer({}), Agreement.UNANSWERED),
    (
        "response.json",
        Answer(200, body=b"{"),
        Answer(200, body=b'{"a": 1, "a": 2}'),
        Agreement.AGREE,
    ),  # neither is JSON
]


@pytest.mark.parametrize(("expression", "one", "other", "expected"), CASES)
def test_answers_are_compared_by_what_an_expression_says_of_each(
    expression: str, one: Answer | None, other: Answer | None, expected: Agreement
) -> None:
    assert alike(expression, one, other) is expected


def test_each_field_is_compared_on_its_own() -> None:
    fields = {name: compile_expression(f"response.json.{name}") for name in ("a", "b")}
    said = compare(fields, ASKED, answer({"a": 1, "b": 2}), answer({"a": 1, "b": 3}))
    assert said == {"a": Agreement.AGREE, "b": Agreement.DIFFER}


def test_a_comparison_knows_how_much_it_takes_to_keep() -> None:
    assert ASKED.weight == len("/score") + 5 + 3
