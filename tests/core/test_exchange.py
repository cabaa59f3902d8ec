"""The ext_proc stream as a machine: exactly one reply per message, and what cannot follow is a violation."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from extproc.core.decision import CONTINUE, NO_EDITS, Continue, Decision, LocalReply, refusal
from extproc.core.errors import InvalidMutation, ProtocolViolation
from extproc.core.exchange import Exchange
from extproc.core.exchange_messages import (
    BodyReply,
    HeadersReply,
    ImmediateReply,
    Judge,
    Message,
    RequestHeaders,
    ResponseBody,
    ResponseHeaders,
)
from extproc.core.headers import Headers
from extproc.core.message import Response
from extproc.core.processing import BodyMode, Processing, Side
from tests.core.examples import sets
from tests.core.playbook import play

HEAD: Final = Response(200, Headers.of({"content-type": "application/json"}))
WHOLE: Final = replace(HEAD, body=b"{}")
REQUEST: Final = RequestHeaders(end=True)
HEADERS: Final = ResponseHeaders(HEAD, end=False)
BODILESS: Final = ResponseHeaders(HEAD, end=True)
BODY: Final = ResponseBody(b"{}")
GO_ON: Final = HeadersReply(of_request=True)
BODY_PLEASE: Final = HeadersReply(of_request=False)
REFUSED: Final = refusal(403, "no", "no")


def with_body() -> Exchange:
    return Exchange(Processing(response=Side(headers=True, body=BodyMode.BUFFERED)))


def headers_only() -> Exchange:
    return Exchange(Processing(response=Side(headers=True)))


def test_a_response_is_judged_with_its_body_where_the_mode_shows_one() -> None:
    edited = Continue(response=sets("x-a", "1"), body=b"[]")
    play(
        with_body(),
        (REQUEST, GO_ON),
        (HEADERS, BODY_PLEASE),
        (BODY, Judge(WHOLE)),
        (edited, BodyReply(sets("x-a", "1"), b"[]")),
    )


def test_a_response_is_judged_by_its_headers_where_the_mode_shows_no_body() -> None:
    play(
        headers_only(),
        (REQUEST, GO_ON),
        (HEADERS, Judge(HEAD)),
        (Continue(response=sets("x-a", "1")), HeadersReply(of_request=False, edits=sets("x-a", "1"))),
    )


def test_a_response_without_a_body_is_judged_by_its_headers_in_every_mode() -> None:
    play(with_body(), (REQUEST, GO_ON), (BODILESS, Judge(HEAD)), (CONTINUE, HeadersReply(of_request=False)))


def test_a_stream_may_open_with_the_response() -> None:
    play(headers_only(), (HEADERS, Judge(HEAD)), (CONTINUE, HeadersReply(of_request=False)))
    play(with_body(), (HEADERS, BODY_PLEASE), (BODY, Judge(WHOLE)), (CONTINUE, BodyReply()))


def test_a_request_with_a_body_is_waved_through_like_one_without() -> None:
    play(with_body(), (RequestHeaders(end=False), GO_ON), (BODILESS, Judge(HEAD)))


@pytest.mark.parametrize("decision", [REFUSED, refusal(503, "down", "later")])
def test_a_refusal_is_an_immediate_reply(decision: Decision) -> None:
    assert not isinstance(decision, Continue)
    play(headers_only(), (HEADERS, Judge(HEAD)), (decision, ImmediateReply(decision)))
    play(with_body(), (HEADERS, BODY_PLEASE), (BODY, Judge(WHOLE)), (decision, ImmediateReply(decision)))


def test_an_empty_body_is_shown_and_may_be_set() -> None:
    play(
        with_body(),
        (HEADERS, BODY_PLEASE),
        (ResponseBody(b""), Judge(replace(HEAD, body=b""))),
        (Continue(body=b""), BodyReply(NO_EDITS, b"")),
    )


def test_a_body_that_nobody_was_shown_cannot_be_replaced() -> None:
    play(headers_only(), (HEADERS, Judge(HEAD)), (Continue(body=b"x"), InvalidMutation))
    play(with_body(), (BODILESS, Judge(HEAD)), (Continue(body=b"x"), InvalidMutation))


def test_a_body_that_does_not_come_whole_is_a_violation() -> None:
    play(with_body(), (HEADERS, BODY_PLEASE), (ResponseBody(b"{", end=False), ProtocolViolation))


def test_a_new_body_comes_with_its_exact_length() -> None:
    assert BodyReply(NO_EDITS, b"12345").content_length == 5
    assert BodyReply(NO_EDITS, b"").content_length == 0
    assert BodyReply().content_length is None


LEGAL: Final[dict[str, tuple[Exchange, tuple[Message | Decision, ...]]]] = {
    "open": (with_body(), ()),
    "request seen": (with_body(), (REQUEST,)),
    "body due": (with_body(), (REQUEST, HEADERS)),
    "judging headers": (with_body(), (REQUEST, BODILESS)),
    "judging body": (with_body(), (REQUEST, HEADERS, BODY)),
    "done by headers": (headers_only(), (HEADERS, CONTINUE)),
    "done by body": (with_body(), (HEADERS, BODY, CONTINUE)),
    "done by a refusal": (with_body(), (HEADERS, BODY, REFUSED)),
}
MAY_FOLLOW: Final = {
    "open": {"request", "headers", "bodiless"},
    "request seen": {"headers", "bodiless"},
    "body due": {"body"},
    "judging headers": {"decision"},
    "judging body": {"decision"},
}
EVENTS: Final[dict[str, Message | Continue]] = {
    "request": REQUEST, "headers": HEADERS, "bodiless": BODILESS, "body": BODY, "decision": CONTINUE,
}  # fmt: skip


@pytest.mark.parametrize("state", LEGAL)
@pytest.mark.parametrize("event", EVENTS)
def test_in_every_state_what_may_not_follow_is_a_violation(state: str, event: str) -> None:
    start, before = LEGAL[state]
    exchange = Exchange(start._shown)
    for earlier in before:
        _feed(exchange, earlier)
    if event in MAY_FOLLOW.get(state, set()):
        _feed(exchange, EVENTS[event])
    else:
        with pytest.raises(ProtocolViolation):
            _feed(exchange, EVENTS[event])


def test_a_violation_says_what_came_when() -> None:
    with pytest.raises(ProtocolViolation, match="ResponseBody cannot follow in state OPEN"):
        play_out(with_body(), REQUEST, BODY)


def test_an_exchange_is_done_only_when_its_response_is_judged() -> None:
    exchange = with_body()
    for event in (REQUEST, HEADERS, BODY):
        exchange.receive(event)
        assert not exchange.finished
    exchange.decided(CONTINUE)
    assert exchange.finished


def play_out(exchange: Exchange, *events: Message | Decision) -> None:
    for event in events:
        _feed(exchange, event)


def _feed(exchange: Exchange, event: Message | Decision) -> None:
    if isinstance(event, Continue | LocalReply):
        exchange.decided(event)
    else:
        exchange.receive(event)
