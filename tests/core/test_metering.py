"""How many tokens an answer came to: said by its upstream, or by how much text there is."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.core.metering import LARGEST, STYLES, Count, Meter, Style, parse_places


def meter(style: Style = Style.OPENAI, **more: Any) -> Meter:
    words = STYLES[style]
    usage = tuple(map(parse_places, more.pop("usage", words.usage)))
    texts = tuple(parse_places(one)[0] for one in more.pop("text", words.text))
    reserve = tuple(parse_places(one)[0] for one in more.pop("reserve", ()))
    return Meter(style, usage, texts, reserve=reserve, **more)


def total(of: Meter, *documents: dict[str, Any], request: int = 0) -> int:
    count = of.begun(request)
    for document in documents:
        count = of.after(count, document)
    return of.total(count)


def delta(text: str, **more: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}], **more}


def say(number: object) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": 1, "total_tokens": number}}


OPENAI = [
    ((), 0, 0),
    ((delta("abcd"),), 0, 1),
    ((delta("abcde"),), 0, 2),
    ((delta("a"), delta("b"), delta("c")), 0, 3),  # a token in each, at least
    ((delta("abcd" * 10), delta("")), 0, 10),
    ((delta("äöü"),), 0, 2),  # bytes: a language of longer characters takes more tokens
    ((delta("abcd"),), 41, 12),
    ((delta("abcd"), say(50)), 400, 50),
    ((say(50), delta("abcd")), 0, 50),
    ((say(2), *[delta("abcd")] * 9), 0, 9),  # what comes behind it is not in it
    ((delta("a", usage={"total_tokens": 3}), delta("b", usage={"total_tokens": 5})), 9, 5),
    ((delta("abcd", usage=None),), 0, 1),
    ((say(-1),), 0, 0),
    ((say(1.5), say("7"), say(True), say(None)), 0, 0),
    ((say(2**60),), 0, LARGEST),
    (({"choices": [{"delta": {"role": "tool", "tool_calls": [{"id": "x", "function": {"a": "[1, 2]"}}]}}]},), 0, 2),
    (({"choices": [{"index": 0, "text": "abcdefgh"}]},), 0, 2),
    (({"choices": [{"message": {"role": "assistant", "content": "abcdefgh"}}]},), 8, 4),
    (({"choices": "x", "usage": []},), 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(("documents", "request_bytes", "expected"), OPENAI)
def test_what_chunks_of_completions_come_to(
    documents: tuple[dict[str, Any], ...], request_bytes: int, expected: int
) -> None:
    assert total(meter(), *documents, request=request_bytes) == expected


def test_messages_add_what_they_say_in_several_events() -> None:
    of = meter(Style.ANTHROPIC)
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 20, "output_tokens": 1}}}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "abcd"}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 33}}
    assert total(of, start, request=400) == 21
    assert total(of, start, *[text] * 50, request=4) == 51
    assert total(of, start, *[text] * 50, end) == 53
    assert total(of, start, text, {**end, "usage": {"input_tokens": 7, "output_tokens": 3}}) == 10
    cached = {"input_tokens": 1, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 4, "output_tokens": 8}
    assert total(of, {"content": [{"type": "text", "text": "x" * 400}], "usage": cached}) == 15


def test_lines_say_it_with_the_last() -> None:
    of = meter(Style.OLLAMA)
    text = {"message": {"role": "assistant", "content": "abcd"}, "done": False}
    assert total(of, text, text) == 2
    assert total(of, text, {"done": True, "prompt_eval_count": 26, "eval_count": 290}) == 316


def test_what_no_style_says_is_read_where_it_is_written() -> None:
    of = meter(Style.OTHER, usage=("billing.a|a", "billing.items[].n"), text=("parts[].t",), bytes_per_token=2)
    assert total(of, {"parts": [{"t": "abcd"}, {"t": "ef"}]}) == 3
    assert total(of, {"billing": {"a": 5, "items": [{"n": 2}, {"n": 3}]}}) == 10
    assert total(of, {"a": 5}) == 5


def test_what_nobody_can_read_is_counted_by_its_length() -> None:
    of = meter()
    count = of.after_text(of.after(Count(), say(2)), 400)
    assert of.total(count) == 100
    assert of.total(of.after_text(Count(), 0)) == 0


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"max_tokens": 7}, 7),
        ({"max_tokens": 7, "limits": {"most": 9}}, 9),
        ({"max_tokens": 0}, 0),
        ({"max_tokens": "7"}, 0),
        ({"max_tokens": -7}, 0),
        ({"max_tokens": 2**70}, LARGEST),
        ({}, 0),
    ],
)
def test_a_request_asks_for_the_most_that_one_of_its_places_says(body: dict[str, Any], asked: int) -> None:
    assert meter(reserve=("max_tokens", "limits.most")).asked(body) == asked
