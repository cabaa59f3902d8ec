"""Ten thousand conversations: one legal reply to each message, in whatever pieces a body comes (ACCEPTANCE 36)."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Final

import pytest

from extproc.core.decision import CONTINUE, Continue, Decision, HeaderEdits, refusal
from extproc.core.errors import InvalidMutation, ProtocolViolation
from extproc.core.exchange import Exchange
from extproc.core.exchange_messages import (
    Edit,
    ImmediateReply,
    Judge,
    Message,
    Reply,
    RequestBody,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from extproc.core.half import MAX_CHUNK
from extproc.core.message import Response
from extproc.core.processing import BodyMode, Processing, Side
from tests.core.sequences import Envoy, conversation, disturbed, modes, seeded

SEQUENCES: Final = 10_000
DECISIONS: Final[tuple[Decision, ...]] = (
    CONTINUE, CONTINUE, CONTINUE, Continue(request=HeaderEdits(remove=("x-a",))), refusal(403, "no", "no"),
)  # fmt: skip


class Editor:
    """Holds back every other piece, and gives it with the next: no byte may be lost by it, nor come twice."""

    def __init__(self) -> None:
        self.kept = b""
        self.given = b""

    def gives(self, asked: Edit) -> bytes:
        held = self.kept + asked.chunk
        if not asked.end and len(held) % 2:
            self.kept = held
            return b""
        self.kept, self.given = b"", self.given + held
        return held


class Driven:
    """An exchange, led by messages and by chance."""

    def __init__(self, shown: Processing, chance: random.Random) -> None:
        self.exchange = Exchange(shown)
        self.chance = chance
        self.editors = {True: Editor(), False: Editor()}
        sides = {True: shown.request, False: shown.response}
        self.lock_step = {half: side.body is not BodyMode.FULL_DUPLEX for half, side in sides.items()}

    def replies_to(self, message: Message) -> tuple[Reply, ...]:
        asked = self.exchange.receive(message)
        if isinstance(asked, tuple):
            return asked
        if isinstance(asked, Judge):
            return (self.exchange.decided(self.chance.choice(DECISIONS)),)
        if self.lock_step[asked.of_request]:
            return self.exchange.edited(asked.chunk)
        return self.exchange.edited(self.editors[asked.of_request].gives(asked))


@pytest.mark.parametrize("tenth", range(10))
def test_every_message_that_may_come_gets_exactly_the_replies_that_envoy_takes(tenth: int) -> None:
    for seed in range(tenth * SEQUENCES // 10, (tenth + 1) * SEQUENCES // 10):
        chance = seeded(seed)
        shown = modes(chance)
        driven, envoy, over = Driven(shown, chance), Envoy(shown), False
        messages = conversation(chance, shown)
        for index, message in enumerate(messages):
            assert not driven.exchange.finished or index == 0 or _may_be_late(message), (seed, messages, index)
            replies = driven.replies_to(message)
            assert envoy.takes(message, replies), (seed, messages, index, replies)
            over = any(isinstance(reply, ImmediateReply) for reply in replies)
            if over:
                break
        assert driven.exchange.finished or not messages, (seed, messages)
        if not over:
            for of_request, editor in driven.editors.items():
                assert envoy.bodies[of_request] == editor.given + editor.kept, (seed, messages)
                assert not editor.kept, (seed, messages)


def _may_be_late(message: Message) -> bool:
    """Pieces behind an end, and trailers where there may be none: nothing is judged by them."""
    return isinstance(message, RequestBody | ResponseBody | RequestTrailers | ResponseTrailers)


@pytest.mark.parametrize("tenth", range(10))
def test_a_message_that_may_not_come_is_a_violation_or_gets_what_envoy_takes(tenth: int) -> None:
    for seed in range(tenth * SEQUENCES // 10, (tenth + 1) * SEQUENCES // 10):
        chance = seeded(seed)
        shown = modes(chance)
        driven, envoy = Driven(shown, chance), Envoy(shown)
        messages = disturbed(chance, conversation(chance, shown))
        try:
            for message in messages:
                replies = driven.replies_to(message)
                assert envoy.takes(message, replies), (seed, messages, message, replies)
        except ProtocolViolation:
            continue  # the caller aborts the stream: nothing follows a violation


@pytest.mark.parametrize("side", [Side(headers=True, body=mode, trailers=True) for mode in BodyMode])
def test_an_exchange_that_ends_early_is_never_finished(side: Side) -> None:
    """A finished one may close cleanly, on which Envoy lets the rest through."""
    for seed in range(200):
        chance = seeded(seed)
        shown = Processing(response=side)
        messages = conversation(chance, shown)
        for length in range(len(messages)):
            driven = Driven(shown, chance)
            with suppress(ProtocolViolation):
                for message in messages[:length]:
                    driven.replies_to(message)
            refused = driven.exchange._over
            headers_alone = side.body is BodyMode.NONE and length > 0
            ended = any(getattr(message, "end", False) for message in messages[:length])
            assert driven.exchange.finished is (refused or ended or headers_alone), (messages, length)


@pytest.mark.parametrize("mode", [BodyMode.NONE, BodyMode.STREAMED, BodyMode.FULL_DUPLEX])
def test_a_body_cannot_be_replaced_where_only_headers_are_judged(mode: BodyMode) -> None:
    shown = Processing(response=Side(headers=True, body=mode, trailers=mode is BodyMode.FULL_DUPLEX))
    exchange = Exchange(shown)
    first = conversation(seeded(1), shown)[0]
    exchange.receive(first)
    with pytest.raises(InvalidMutation):
        exchange.decided(Continue(body=b"new"))


def test_what_is_longer_than_envoy_takes_leaves_in_several_pieces() -> None:
    exchange = duplex()
    exchange.receive(ResponseBody(b"x", end=True))
    replies = exchange.edited(b"x" * (2 * MAX_CHUNK + 1))
    assert [(len(reply.chunk), reply.end) for reply in replies] == [  # type: ignore[union-attr]
        (MAX_CHUNK, False), (MAX_CHUNK, False), (1, True),
    ]  # fmt: skip


def test_a_body_may_be_ended_early_and_what_comes_after_is_dropped() -> None:
    exchange = duplex()
    exchange.receive(ResponseBody(b"one", end=False))
    (reply,) = exchange.edited(b"the end", end=True)
    assert reply.end  # type: ignore[union-attr]
    assert exchange.finished
    assert exchange.receive(ResponseBody(b"two", end=False)) == ()
    assert exchange.receive(ResponseTrailers()) == ()
    assert exchange.finished


def test_in_lock_step_a_body_cannot_be_ended_early() -> None:
    exchange = begun(Side(headers=True, body=BodyMode.STREAMED))
    exchange.receive(ResponseBody(b"one", end=False))
    with pytest.raises(ProtocolViolation):
        exchange.edited(b"the end", end=True)


def duplex() -> Exchange:
    return begun(Side(headers=True, body=BodyMode.FULL_DUPLEX, trailers=True))


def begun(side: Side) -> Exchange:
    exchange = Exchange(Processing(response=side))
    exchange.receive(ResponseHeaders(Response(200), end=False))
    exchange.decided(CONTINUE)
    return exchange
