"""Token budgets, read in the answers: streams that end where their budget does, and clients that go in the middle."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import IncompleteRead
from typing import Any, Final

import openai
import pytest

from tests.e2e.clients import Field
from tests.e2e.credentials import FREE, bearer
from tests.e2e.harness import FENCE, HEAD, RunningGateway, eventually
from tests.e2e.talkers import DONE, PATIENCE, Exchange, Talker, asked, chunk, events_of
from tests.redis_groups import RedisNode, folder

pytestmark = pytest.mark.e2e

EVENTS: Final = 10_000
STREAMS: Final = 50
BUDGET: Final = 2_000
GATEWAY: Final = (
    HEAD.replace("stores: {", 'timeout: 10s, stores: {counters: "STORE", counters_timeout: 5s, ')
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
defaults: {authenticate: partners, limits: [], meter: openai}
routes:
  - name: chat
    match: {path: /chat}
    upstream: main
    stream: true
    limits: [{per: "header:x-budget", tokens: 100/hour}]
  - name: wide
    match: {path: /wide}
    upstream: main
    stream: true
    limits: [{per: "header:x-budget", tokens: 1000000/hour}]
    policies: [{use: transform, response: {events: {json: {set: {seen: "true"}}}}}]
  - name: library
    match: {path: /chat/completions}
    authenticate: company
    upstream: main
    stream: true
    limits: [{per: "header:x-budget", tokens: 100/hour}]
  - name: shared
    match: {path: /shared}
    upstream: main
    stream: true
    limits: [{per: "header:x-budget", tokens: 2000/hour}]
  - name: reserving
    match: {path: /reserving}
    upstream: main
    limits: [{per: "header:x-budget", tokens: 100/hour}]
    meter: {reserve: [max_completion_tokens, max_tokens]}
  - name: messages
    match: {path: /messages}
    upstream: main
    stream: true
    limits: [{per: "header:x-budget", tokens: 100/hour}]
    meter: anthropic
  - name: lines
    match: {path: /lines}
    upstream: main
    stream: true
    limits: [{per: "header:x-budget", tokens: 100/hour}]
    meter: ollama
  - """
    + FENCE
)


@pytest.fixture(scope="module")
def main() -> Iterator[Talker]:
    upstream = Talker()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module", params=["memory", "redis"])
def gateway(main: Talker, request: pytest.FixtureRequest) -> Iterator[RunningGateway]:
    with ExitStack() as stack:
        store = "memory"
        if request.param == "redis":
            node = RedisNode(folder()).start()
            stack.callback(node.stop)
            store = f"redis://127.0.0.1:{node.port}"
        running = RunningGateway(GATEWAY.replace("STORE", store), [main])  # type: ignore[list-item]  # what is asked of one
        yield stack.enter_context(running)


def budget(name: str) -> Field:
    return ("x-budget", name)


def left(gateway: RunningGateway, main: Talker, name: str, path: str = "/chat") -> int:
    """Of a budget, when nothing is reserved of it: told to a request that comes to nothing."""
    with asked(gateway.client, path, FREE, budget(name)) as (_, reply):
        answer_with(main.accept(), b'{"usage":{"total_tokens":0}}')
        reply.begin()
        assert reply.status == 200
        reply.read()
        return int(re.findall(r"r=(\d+)", reply.headers["ratelimit"])[0]) + 1


def answer_with(exchange: Exchange, body: bytes, media_type: str = "application/json") -> None:
    exchange.begin(media_type)
    exchange.send(body)
    exchange.end()


def usage(total: int) -> bytes:
    return chunk(choices=[], usage={"prompt_tokens": 1, "completion_tokens": total - 1, "total_tokens": total})


def test_a_stream_is_settled_by_the_usage_that_its_last_chunk_says(gateway: RunningGateway, main: Talker) -> None:
    sent = b"".join((chunk("Hello"), chunk(" you"), usage(42), DONE))
    with asked(gateway.client, "/chat", FREE, budget("said")) as (_, reply):
        answer_with(main.accept(), sent, "text/event-stream")
        reply.begin()
        assert reply.read() == sent
    assert left(gateway, main, "said") == 58


def test_a_whole_answer_is_settled_by_its_usage_and_beyond_its_budget_as_well(
    gateway: RunningGateway, main: Talker
) -> None:
    for total, rest in ((30, 70), (69, 1)):
        with asked(gateway.client, "/chat", FREE, budget("whole")) as (_, reply):
            answer_with(main.accept(), b'{"choices":[],"usage":{"total_tokens":%d}}' % total)
            reply.begin()
            reply.read()
        assert left(gateway, main, "whole") == rest
    with asked(gateway.client, "/chat", FREE, budget("whole")) as (_, reply):
        answer_with(main.accept(), b'{"usage":{"total_tokens":500}}')
        reply.begin()
        assert json.loads(reply.read()) == {"usage": {"total_tokens": 500}}
    assert is_refused(gateway, "whole")


def is_refused(gateway: RunningGateway, name: str, path: str = "/chat", body: bytes = b"{}") -> bool:
    with asked(gateway.client, path, FREE, budget(name), body=body) as (_, reply):
        reply.begin()
        assert reply.status == 429, reply.read()
        return bool(json.loads(reply.read())["limit"] == "header-0")


def test_an_answer_without_usage_is_counted_by_its_texts_and_its_request(gateway: RunningGateway, main: Talker) -> None:
    body = b'{"choices":[{"message":{"role":"assistant","content":"12345678"}}]}'
    with asked(gateway.client, "/chat", FREE, budget("texts"), body=b'{"a":"' + b"x" * 32 + b'"}') as (_, reply):
        answer_with(main.accept(), body)
        reply.begin()
        assert reply.read() == body
    assert left(gateway, main, "texts") == 100 - 10 - 2


def test_a_stream_ends_where_its_budget_does_and_its_upstream_is_left(gateway: RunningGateway, main: Talker) -> None:
    with asked(gateway.client, "/chat", FREE, budget("cut")) as (_, reply):
        exchange = main.accept()
        exchange.begin()
        for _ in range(150):
            exchange.send(chunk("abcd", usage=None))
        reply.begin()
        told = events_of(reply.read())
        assert exchange.is_left()
        exchange.close()
    *sent, last, summed, done = told
    assert [one["choices"][0]["delta"]["content"] for one in sent] == ["abcd"] * 99  # and one is the request
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}]
    assert (summed["choices"], done) == ([], "[DONE]")
    assert summed["usage"] == {"prompt_tokens": 1, "completion_tokens": 99, "total_tokens": 100}
    assert {one["id"] for one in (*sent, last, summed)} == {"chatcmpl-1"}
    assert is_refused(gateway, "cut")
    record = eventually(lambda: next((one for one in cuts(gateway)), None), "a record of the cut")
    assert (record["result"], record["consumer"], record["facts"]) == (
        "deny", "free-caller", {"limit": "header-0", "tokens": "100"},
    )  # fmt: skip


def cuts(gateway: RunningGateway) -> Iterator[dict[str, Any]]:
    return (one for one in gateway.decisions() if one["reason"] == "tokens_used_up")


@pytest.mark.parametrize("asks", [True, False], ids=["asking for usage", "not asking"])
def test_what_is_cut_is_read_to_its_end_by_the_client_library(
    gateway: RunningGateway, main: Talker, asks: bool
) -> None:
    name = f"library-{asks}"
    talking = threading.Thread(target=talk, args=(main, 300, {"usage": None} if asks else {}))
    talking.start()
    client = openai.OpenAI(
        base_url=f"http://127.0.0.1:{gateway.client.port}",
        api_key=bearer("chatter")[1].removeprefix("Bearer "),
        max_retries=0,
        default_headers=dict([budget(name)]),
    )
    with closing(client):
        question: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "?"}]}
        read = list(client.chat.completions.create(**question, stream=True))
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**question)
    talking.join()
    finished = [choice.finish_reason for one in read for choice in one.choices if choice.finish_reason]
    assert finished == ["length"]
    usages = [one.usage for one in read if one.usage is not None]
    assert [one.total_tokens for one in usages] == ([100] if asks else [])


def talk(main: Talker, chunks: int, more: dict[str, object], begun: threading.Barrier | None = None) -> None:
    exchange = main.accept()
    if begun is not None:
        begun.wait(PATIENCE)
    exchange.begin()
    for _ in range(chunks):
        if not exchange.send(chunk("abcd", **more)):
            break
    exchange.send(DONE)
    exchange.end()


def test_a_client_that_goes_away_gets_back_what_was_not_streamed(gateway: RunningGateway, main: Talker) -> None:
    with asked(gateway.client, "/chat", FREE, budget("gone")) as (connection, reply):
        exchange = main.accept()
        exchange.begin()
        reply.begin()
        for _ in range(10):
            exchange.send(chunk("abcd"))
            assert reply.readline() + reply.readline() == chunk("abcd")
        connection.shutdown(socket.SHUT_RDWR)
    assert exchange.is_left()
    exchange.close()
    eventually(lambda: left(gateway, main, "gone") == 100 - 1 - 10, "what was not streamed is back")


def test_a_client_that_goes_before_it_is_answered_gets_all_back(gateway: RunningGateway, main: Talker) -> None:
    reserved = b'{"max_tokens":80}'
    with asked(gateway.client, "/reserving", FREE, budget("early"), body=reserved) as (connection, _):
        exchange = main.accept()
        assert is_refused(gateway, "early", "/reserving", reserved)
        connection.shutdown(socket.SHUT_RDWR)
    assert exchange.is_left()
    exchange.close()
    eventually(lambda: left(gateway, main, "early", "/reserving") == 100, "all is back")


def test_what_a_request_lets_its_answer_have_is_reserved_before_it_is_sent_on(
    gateway: RunningGateway, main: Talker
) -> None:
    body = b'{"max_tokens":80}'  # of 5 tokens itself
    with asked(gateway.client, "/reserving", FREE, budget("ahead"), body=body) as (_, reply):
        exchange = main.accept()
        assert is_refused(gateway, "ahead", "/reserving", b'{"max_tokens":12}')
        answer_with(exchange, b'{"usage":{"total_tokens":20}}')
        reply.begin()
        reply.read()
    eventually(lambda: left(gateway, main, "ahead", "/reserving") == 80, "what was not needed is back")


@pytest.mark.parametrize("body", [b'{"max_tokens":1,"max_tokens":9}', b"{", b"\xff"])
def test_a_request_that_two_readers_could_understand_differently_is_refused(
    gateway: RunningGateway, body: bytes
) -> None:
    with asked(gateway.client, "/reserving", FREE, budget("odd"), body=body) as (_, reply):
        reply.begin()
        assert (reply.status, json.loads(reply.read())["reason"]) == (400, "unreadable_body")


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_an_answer_that_is_an_error_costs_nothing(gateway: RunningGateway, main: Talker, status: int) -> None:
    with asked(gateway.client, "/chat", FREE, budget(f"error-{status}")) as (_, reply):
        exchange = main.accept()
        exchange.begin("application/json", status)
        exchange.send(b'{"usage":{"total_tokens":50}}')
        exchange.end()
        reply.begin()
        assert reply.status == status
        reply.read()
    assert left(gateway, main, f"error-{status}") == 100


def test_an_upstream_that_breaks_off_before_it_answers_costs_nothing(gateway: RunningGateway, main: Talker) -> None:
    with asked(gateway.client, "/chat", FREE, budget("broken")) as (_, reply):
        main.accept().close()
        reply.begin()
        assert reply.status == 503
        reply.read()
    eventually(lambda: left(gateway, main, "broken") == 100, "all is back")


def test_an_upstream_that_breaks_off_in_the_middle_costs_what_it_sent(gateway: RunningGateway, main: Talker) -> None:
    with asked(gateway.client, "/chat", FREE, budget("half")) as (_, reply):
        exchange = main.accept()
        exchange.begin()
        reply.begin()
        exchange.send(chunk("abcd"))
        assert reply.readline() + reply.readline() == chunk("abcd")
        exchange.close()
        with pytest.raises((ConnectionResetError, IncompleteRead)):
            reply.read()
    eventually(lambda: left(gateway, main, "half") == 100 - 2, "the rest is back")


def test_an_answer_that_nobody_here_can_read_does_not_pass_unmetered(gateway: RunningGateway, main: Talker) -> None:
    with asked(gateway.client, "/chat", FREE, budget("coded")) as (_, reply):
        exchange = main.accept()
        assert b"accept-encoding" not in exchange.request
        exchange.begin("text/event-stream\r\ncontent-encoding: gzip")
        exchange.send(b"whatever")
        exchange.end()
        reply.begin()
        assert (reply.status, json.loads(reply.read())["reason"]) == (502, "unreadable_answer")
    assert left(gateway, main, "coded") == 100


def test_a_stream_of_messages_that_is_cut_is_whole(gateway: RunningGateway, main: Talker) -> None:
    def event(kind: str, **more: object) -> bytes:
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **more}).encode())

    with asked(gateway.client, "/messages", FREE, budget("messages")) as (_, reply):
        exchange = main.accept()
        exchange.begin()
        exchange.send(event("message_start", message={"id": "m", "usage": {"input_tokens": 20, "output_tokens": 1}}))
        exchange.send(event("content_block_start", index=0, content_block={"type": "text", "text": ""}))
        for _ in range(150):
            exchange.send(event("content_block_delta", index=0, delta={"type": "text_delta", "text": "abcd"}))
        reply.begin()
        told = reply.read().decode()
        assert exchange.is_left()
        exchange.close()
    names = re.findall(r"^event: (.*)$", told, re.MULTILINE)
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert json.loads(told.split("\n\n")[-3].partition("data: ")[2])["delta"]["stop_reason"] == "max_tokens"
    assert is_refused(gateway, "messages", "/messages")


def test_a_stream_of_lines_that_is_cut_is_whole(gateway: RunningGateway, main: Talker) -> None:
    line = {"model": "m", "created_at": "now", "message": {"role": "assistant", "content": "abcd"}, "done": False}
    with asked(gateway.client, "/lines", FREE, budget("lines")) as (_, reply):
        exchange = main.accept()
        exchange.begin("application/x-ndjson")
        for _ in range(150):
            exchange.send(json.dumps(line).encode() + b"\n")
        reply.begin()
        told = [json.loads(one) for one in reply.read().splitlines()]
        assert exchange.is_left()
        exchange.close()
    assert [one["done"] for one in told] == [False] * 99 + [True]
    assert told[-1] == {
        "model": "m", "created_at": "now", "message": {"role": "assistant", "content": ""}, "done": True,
        "done_reason": "length", "prompt_eval_count": 1, "eval_count": 99,
    }  # fmt: skip


def test_the_first_of_ten_thousand_metered_events_is_there_before_the_last_is_sent(
    gateway: RunningGateway, main: Talker
) -> None:
    """By order and not by time. Each is edited as well, and what they came to is exact."""
    with asked(gateway.client, "/wide", FREE, budget("many")) as (_, reply):
        exchange = main.accept()
        exchange.begin()
        exchange.send(chunk("abcd"))
        reply.begin()
        first = json.loads((reply.readline() + reply.readline()).removeprefix(b"data: "))
        assert first["seen"] is True
        sender = threading.Thread(target=send_rest, args=(exchange,))
        sender.start()
        told = events_of(reply.read())
        sender.join(PATIENCE)
    assert (len(told), told[-1]) == (EVENTS, "[DONE]")  # and the first is read already
    assert all(one["seen"] for one in told[:-1])
    assert left(gateway, main, "many", "/wide") == 1_000_000 - EVENTS - 1  # which is the request


def send_rest(exchange: Exchange) -> None:
    for at in range(1, EVENTS, 100):
        exchange.send(chunk("abcd") * min(100, EVENTS - at))
    exchange.send(DONE)
    exchange.end()


def test_fifty_streams_at_once_spend_their_budget_and_not_a_token_more(gateway: RunningGateway, main: Talker) -> None:
    """A chunk is sent when its tokens have been charged, so what all of them got and what is left is the budget."""
    begun = threading.Barrier(STREAMS)  # nothing is sent before all have been let in
    talking = [threading.Thread(target=talk, args=(main, 100, {}, begun)) for _ in range(STREAMS)]
    for one in talking:
        one.start()
    with ThreadPoolExecutor(STREAMS) as pool:
        told = list(pool.map(lambda _: whole_stream(gateway, "/shared", "fifty"), range(STREAMS)))
    for one in talking:
        one.join(PATIENCE)
    ends = [finish_of(events) for events in told]
    spent = sum(1 + texts_of(events) for events in told)
    assert "length" in ends
    rest = 0 if spent == BUDGET else left(gateway, main, "fifty", "/shared")
    assert spent + rest == BUDGET
    assert rest < STREAMS  # each was refused for want of one chunk, not of a step


def whole_stream(gateway: RunningGateway, path: str, name: str) -> list[Any]:
    with asked(gateway.client, path, FREE, budget(name)) as (_, reply):
        reply.begin()
        assert reply.status == 200
        return events_of(reply.read())


def texts_of(events: list[Any]) -> int:
    return sum(bool(one["choices"][0]["delta"].get("content")) for one in events if one != "[DONE]")


def finish_of(events: list[Any]) -> str | None:
    return next((one["choices"][0]["finish_reason"] for one in reversed(events) if one != "[DONE]"), None)


@pytest.mark.parametrize("length", [0, 1, 65_536, 1_048_576, 10_485_760])
def test_a_metered_answer_of_any_length_passes_without_being_held(
    gateway: RunningGateway, main: Talker, length: int
) -> None:
    """Its beginning is there before its end is sent, though it is longer than what Envoy or the sidecar would hold."""
    with asked(gateway.client, "/wide", FREE, budget(f"length-{length}")) as (_, reply):
        exchange = main.accept()
        exchange.begin("application/json")
        exchange.send(b'{"a":"')
        reply.begin()
        assert reply.read(6) == b'{"a":"'
        sender = threading.Thread(target=send_long, args=(exchange, length))
        sender.start()
        assert len(reply.read()) == length + 2
        sender.join(PATIENCE)
    # What is too long to be read is counted by its length; the longest is beyond its budget by that.
    spent = 1 + (-(-(length + 8) // 4) if length + 8 > 1_048_576 else 0)
    if spent < 1_000_000:
        assert left(gateway, main, f"length-{length}", "/wide") == 1_000_000 - spent
    else:
        assert is_refused(gateway, f"length-{length}", "/wide")


def send_long(exchange: Exchange, length: int) -> None:
    for at in range(0, length, 65_536):
        exchange.send(b"x" * min(65_536, length - at))
    exchange.send(b'"}')
    exchange.end()
