"""A conversation with an Exchange, written top to bottom: what goes in, what must come out.

A message or a decision goes in; a reply, a question or the type of an error comes out. Both sides are spelled as lines,
so that pytest's own diff shows the first line that went another way.
"""

from __future__ import annotations

from extproc.core.decision import Continue, LocalReply
from extproc.core.errors import ExtprocError
from extproc.core.exchange import Exchange
from extproc.core.exchange_messages import Judge, Message, Question, Replies, Reply

In = Message | Continue | LocalReply
Out = Reply | Question | type[ExtprocError]


def play(exchange: Exchange, *turns: tuple[In, Out]) -> None:
    happened = [(event, _turn(exchange, event)) for event, _ in turns]
    assert _spelled(happened) == _spelled(list(turns))


def _turn(exchange: Exchange, event: In) -> Out:
    try:
        if isinstance(event, Continue | LocalReply):
            return exchange.decided(event)
        return _one(exchange.receive(event))
    except ExtprocError as error:
        return type(error)


def _one(answer: Replies | Question) -> Reply | Question:
    if not isinstance(answer, tuple):
        return answer
    (reply,) = answer
    return reply


def _spelled(turns: list[tuple[In, Out]]) -> list[str]:
    lines = []
    for event, answer in turns:
        lines += [f">> {_line(event)}", f"<< {_line(answer)}"]
    return lines


def _line(side: In | Out) -> str:
    """Bodies are left out of every repr on purpose; a test must see them."""
    if isinstance(side, type):
        return side.__name__
    shown = side.message if isinstance(side, Judge) else side
    body = getattr(shown, "body", None)
    return f"{side!r}" if body is None else f"{side!r} with {body!r}"
