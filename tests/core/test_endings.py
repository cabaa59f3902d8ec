"""What a stream that is cut ends with, so that its readers take it for a whole one."""

from __future__ import annotations

import json
from typing import Any

from extproc.core.endings import DONE, Ending, Spent, ending_of
from extproc.core.metering import Meter, Style

SPENT = Spent(3, 40)


def written(ending: Ending, withheld: dict[str, Any], *heard: dict[str, Any]) -> list[Any]:
    for document in heard:
        ending.hear(document)
    return [
        (one.kind, one.data if one.data == DONE else json.loads(one.data)) for one in ending.written(withheld, SPENT)
    ]


def of(style: Style, *texts: str) -> Ending:
    return ending_of(Meter(style, (), (), ending=texts))


def chunk(*choices: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": list(choices), **more}


def choice(index: int, finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": {"content": "x"}, "finish_reason": finish}


def test_each_choice_that_is_open_gets_its_finish_reason() -> None:
    heard = [chunk(choice(0), choice(1)), chunk(choice(2)), chunk(choice(1, "stop"))]
    told = written(of(Style.OPENAI), chunk(choice(0)), *heard)
    last = chunk(*({"index": n, "delta": {}, "logprobs": None, "finish_reason": "length"} for n in (0, 2)))
    assert told == [("", last), ("", DONE)]


def test_usage_is_told_where_chunks_have_that_member() -> None:
    told = written(of(Style.OPENAI), chunk(choice(0), usage=None), chunk(choice(0), usage=None))
    assert told[0][1]["usage"] is None
    summed = {"prompt_tokens": 3, "completion_tokens": 40, "total_tokens": 43}
    assert told[1:] == [("", chunk(usage=summed)), ("", DONE)]


def test_a_stream_that_is_cut_before_its_first_text_says_so_in_the_words_of_what_was_withheld() -> None:
    told = written(of(Style.OPENAI), chunk(choice(0, "stop")))
    assert told[0][1]["id"] == "c1"
    assert told[0][1]["choices"][0]["finish_reason"] == "length"


def test_completions_are_texts() -> None:
    told = written(of(Style.OPENAI), chunk({"index": 0, "text": "x"}, object="text_completion"))
    assert told[0][1]["choices"] == [{"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}]


def test_messages_close_what_is_open_and_stop() -> None:
    heard = [
        {"type": "content_block_start", "index": 0}, {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1},
    ]  # fmt: skip
    delta = {"type": "message_delta", "delta": {"stop_reason": "max_tokens", "stop_sequence": None}}
    assert written(of(Style.ANTHROPIC), {}, *heard) == [
        ("content_block_stop", {"type": "content_block_stop", "index": 1}),
        ("message_delta", {**delta, "usage": {"output_tokens": 40}}),
        ("message_stop", {"type": "message_stop"}),
    ]


def test_lines_get_one_more_that_is_the_last() -> None:
    same = {"model": "m", "created_at": "now"}
    end = {"done": True, "done_reason": "length", "prompt_eval_count": 3, "eval_count": 40}
    message = {"message": {"role": "assistant", "content": ""}}
    assert written(of(Style.OLLAMA), {**same, "message": {}}) == [("", {**same, **message, **end})]
    assert written(of(Style.OLLAMA), {**same, "response": "x"}) == [("", {**same, "response": "", **end})]


def test_what_is_written_wins_over_the_style_and_no_words_end_with_nothing() -> None:
    assert written(of(Style.OPENAI, '{"over":true}', DONE), {}) == [("", {"over": True}), ("", DONE)]
    assert written(of(Style.OTHER), {}) == []


def test_what_an_upstream_sends_in_other_shapes_breaks_nothing() -> None:
    odds: tuple[dict[str, Any], ...] = (
        {"choices": 7},
        {"choices": [7, {"index": "x"}]},
        {"choices": [{}]},
        {},
        {"index": [], "type": []},
    )
    for odd in odds:
        for style in (Style.OPENAI, Style.ANTHROPIC, Style.OLLAMA):
            ending = of(style)
            ending.hear(odd)
            assert ending.written(odd, SPENT)
