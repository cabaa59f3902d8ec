"""Over any sequence of messages: one reply each, of the message's own kind, until one cannot follow."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.core.decision import CONTINUE, Continue, Decision, HeaderEdits, refusal
from extproc.core.errors import InvalidMutation, ProtocolViolation
from extproc.core.exchange import (
    BodyReply,
    Exchange,
    HeadersReply,
    ImmediateReply,
    Judge,
    Message,
    Reply,
    RequestHeaders,
    ResponseBody,
    ResponseHeaders,
    State,
)
from extproc.core.message import Response

MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(RequestHeaders, end=st.booleans()),
    st.builds(ResponseHeaders, response=st.just(Response(200)), end=st.booleans()),
    st.builds(ResponseBody, body=st.binary(max_size=3), end=st.sampled_from([True, True, True, False])),
)
DECISIONS: st.SearchStrategy[Decision] = st.sampled_from(
    [CONTINUE, Continue(body=b"new"), Continue(response=HeaderEdits(remove=("x-a",))), refusal(403, "no", "no")]
)


def is_of_its_kind(reply: Reply, message: Message) -> bool:
    if isinstance(reply, ImmediateReply):
        return not isinstance(message, RequestHeaders)
    if isinstance(reply, HeadersReply):
        return reply.of_request is isinstance(message, RequestHeaders) and not isinstance(message, ResponseBody)
    return isinstance(message, ResponseBody)


@settings(max_examples=500, deadline=None)
@given(st.booleans(), st.lists(st.tuples(MESSAGES, DECISIONS), max_size=8))
def test_every_message_gets_exactly_one_reply_of_its_own_kind(
    response_body: bool, turns: list[tuple[Message, Decision]]
) -> None:
    exchange, judged = Exchange(response_body=response_body), 0
    for message, decision in turns:
        done = exchange.state is State.DONE
        try:
            answer = exchange.receive(message)
            asked = isinstance(answer, Judge)
            judged += asked
            reply = exchange.decided(decision) if isinstance(answer, Judge) else answer
        except ProtocolViolation:
            assert exchange.state is State.DONE or not done
            break  # the caller aborts the stream: nothing follows a violation
        except InvalidMutation:
            assert isinstance(message, ResponseHeaders)
            assert decision == Continue(body=b"new")
            break
        assert not done, "nothing is answered after the response was judged"
        assert is_of_its_kind(reply, message)
        assert (exchange.state is State.DONE) is asked
        assert isinstance(reply, HeadersReply | BodyReply | ImmediateReply)
    assert judged <= 1


@settings(max_examples=300, deadline=None)
@given(st.lists(MESSAGES, max_size=8))
def test_no_sequence_but_a_judged_response_ends_an_exchange(messages: list[Message]) -> None:
    """An exchange that is done may close cleanly, on which Envoy lets the answer through."""
    exchange = Exchange(response_body=True)
    for message in messages:
        with suppress(ProtocolViolation):
            exchange.receive(message)
        assert exchange.state is not State.DONE
