"""The least that an ext_proc stream must show of an exchange, and what Envoy would reject or break without a word."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from extproc.core.policy import Phase
from extproc.core.processing import MAX_SHOWN, BodyMode, Processing, Side

OF_REQUESTS: Final = frozenset({Phase.FORWARD, Phase.REQUEST_BODY})
OF_RESPONSES: Final = frozenset({Phase.RESPONSE, Phase.RESPONSE_BODY, Phase.RESPONSE_STREAM})
WHOLE_AND_IN_PIECES: Final = (
    "one policy of this route edits the answer whole, another as it passes: Envoy shows it in one way alone"
)
METERED_PIECES: Final = "answers are metered as they pass: edit events, or write meter: none"
WHOLE_OF_NO_END: Final = "on a route with stream: true an answer may never end, and this policy waits for all of it"
NOTHING_FORWARDED: Final = "a redirect forwards no request, and this policy edits what is forwarded"
NOTHING_ANSWERED: Final = (
    "an aggregate's answer is put together behind the policies, and this one edits answers: write merge.body instead"
)
# With the trailers: of a message that has those and no body, Envoy would show the headers alone, and let it pass.
WHOLE: Final = Side(headers=True, body=BodyMode.BUFFERED, trailers=True)
TOO_LARGE: Final = (
    f"this policy is shown whole bodies, which take one message each: a body_limit of at most {MAX_SHOWN // 1024**2}MiB"
)


def processing_of(phases: AbstractSet[Phase]) -> Processing:
    """Of a route whose policies need to see these. STREAMED is never chosen: in lock-step a piece cannot wait for the
    end of an event that it holds the beginning of."""
    return Processing(_request(phases), _response(phases))


def _request(phases: AbstractSet[Phase]) -> Side:
    if not phases & OF_REQUESTS:
        return Side()
    return WHOLE if Phase.REQUEST_BODY in phases else Side(headers=True)


def _response(phases: AbstractSet[Phase]) -> Side:
    if Phase.RESPONSE_STREAM in phases:
        return Side(headers=True, body=BodyMode.FULL_DUPLEX, trailers=True)
    if Phase.RESPONSE_BODY in phases:
        return WHOLE
    return Side(headers=Phase.RESPONSE in phases)


def flaw(
    own: AbstractSet[Phase],
    all_phases: AbstractSet[Phase],
    *,
    stream: bool,
    redirect: bool,
    limit: int,
    aggregate: bool = False,
) -> str:
    """What is wrong with a policy of such phases on such a route; empty where nothing is."""
    if Phase.RESPONSE_BODY in own and Phase.RESPONSE_STREAM in all_phases:
        return WHOLE_AND_IN_PIECES
    if Phase.RESPONSE_BODY in own and stream:
        return WHOLE_OF_NO_END
    if own & OF_REQUESTS and redirect:
        return NOTHING_FORWARDED
    if own & OF_RESPONSES and aggregate:
        return NOTHING_ANSWERED
    if Phase.REQUEST_BODY in own and limit > MAX_SHOWN:
        return TOO_LARGE
    return ""
