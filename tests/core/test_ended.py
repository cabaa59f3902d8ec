"""What the end of a request says of a version: table by table, who is counted, as what, and how fast it was."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.core.ended import MOST_TOKENS, Ended, read_score
from extproc.core.evidence import bucket_of

ENDED = Ended("chat", "v1", 1_790_000_000, 200, sent=0.010, first=0.110, last=0.510, over=0.600)


def told(ended: Ended) -> dict[str, tuple[int, int]]:
    return {version: (seen.requests, int(seen.error)) for version, seen in ended.seen()}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (1, 0)),
        ({"status": 404}, (1, 0)),
        ({"status": 429}, (1, 1)),
        ({"status": 499}, (1, 0)),
        ({"status": 500}, (1, 1)),
        ({"status": 503}, (1, 1)),
        ({"status": 503, "from_upstream": False, "no_answer": True}, (1, 1)),
        ({"status": 200, "no_answer": True}, (1, 1)),
        ({"status": 0, "from_upstream": False, "no_answer": True}, (1, 1)),
    ],
)
def test_an_answer_is_an_error_where_the_version_failed(change: dict[str, Any], expected: tuple[int, int]) -> None:
    assert told(ENDED._replace(**change)) == {"v1": expected}


@pytest.mark.parametrize(
    "change",
    [
        {"status": 403, "from_upstream": False},
        {"status": 429, "from_upstream": False},
        {"status": 503, "from_upstream": False},
        {"status": 0, "from_upstream": False, "client_left": True},
        {"client_left": True},
        {"status": 503, "from_upstream": False, "no_answer": True, "client_left": True},
    ],
)
def test_what_the_gateway_refuses_and_a_client_that_leaves_say_nothing(change: dict[str, Any]) -> None:
    assert told(ENDED._replace(**change)) == {}


def test_after_a_fallback_who_answered_is_counted_and_who_failed_as_well() -> None:
    ended = ENDED._replace(answered="v2", fallen_back="v1", tokens=5)
    assert told(ended) == {"v2": (1, 0), "v1": (1, 1)}
    seen = dict(ended.seen())
    assert (seen["v2"].tokens, seen["v1"].tokens) == (5, 0)
    assert (seen["v2"].bucket, seen["v1"].bucket) == (bucket_of(0.5), None)


def test_a_fallback_that_fails_too_is_an_error_of_both() -> None:
    assert told(ENDED._replace(status=502, answered="v2", fallen_back="v1")) == {"v2": (1, 1), "v1": (1, 1)}


@pytest.mark.parametrize(
    ("answered", "fallen_back"), [("v2", ""), ("", "v1"), ("v2", "v3"), ("v2", "v2"), ("v1", "v1"), ("v1", "v2")]
)
def test_an_upstreams_own_headers_lay_nothing_at_another_versions_door(answered: str, fallen_back: str) -> None:
    assert told(ENDED._replace(status=500, answered=answered, fallen_back=fallen_back)) == {"v1": (1, 1)}


@pytest.mark.parametrize(
    ("change", "latency"),
    [
        ({}, 0.5),
        ({"stream": True}, 0.1),
        ({"first": None, "last": None}, 0.59),
        ({"stream": True, "first": None}, 0.59),
        ({"last": 0.005}, 0.0),
        ({"sent": None}, None),
        ({"first": None, "last": None, "over": None}, None),
    ],
)
def test_latency_is_the_versions_own(change: dict[str, Any], latency: float | None) -> None:
    ended = ENDED._replace(**change)
    assert ended.latency == (None if latency is None else pytest.approx(latency))
    ((_, seen),) = ended.seen()
    assert seen.bucket == (None if latency is None else bucket_of(latency))


def test_tokens_are_bounded() -> None:
    assert [dict(ENDED._replace(tokens=n).seen())["v1"].tokens for n in (-5, 7, 2**70)] == [0, 7, MOST_TOKENS]


def test_a_score_is_of_an_answer_and_not_of_an_error() -> None:
    scored = ENDED._replace(score=0.5)
    assert [dict(one.seen())["v1"].score for one in (scored, scored._replace(status=500))] == [0.5, None]


@pytest.mark.parametrize(("text", "score"), [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("1.0", 1.0), (".5", 0.5)])
def test_a_score_is_a_number_from_0_to_1(text: str, score: float) -> None:
    assert read_score(text) == score


@pytest.mark.parametrize(
    "text",
    ["", "nan", "NaN", "inf", "-0", "-0.5", "+0.5", "1.1", "1.0000001", "2", "1e-3", "0x1", " 0.5", "0.5 ", "0,5",
     "0." + "1" * 5_000, "\u0660.\u0665", "0.5\n", "0.5,0.7", "null", "0._5"],
)  # fmt: skip
def test_anything_else_is_none(text: str) -> None:
    assert read_score(text) is None
