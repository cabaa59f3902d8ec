"""How a judgement of limits is told to the client: draft-ietf-httpapi-ratelimit-headers-10, and a 429."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from extproc.core.decision import LocalReply, refusal
from extproc.core.limits import CounterState


def rate_limit_headers(states: Sequence[CounterState]) -> tuple[tuple[str, str], ...]:
    """RateLimit-Policy and RateLimit: two structured lists with every limit that was judged."""
    policies = [state.counter.limit.policy for state in states]
    levels = [f'"{state.counter.limit.name}";r={state.remaining};t={state.reset_seconds}' for state in states]
    return (("ratelimit-policy", ", ".join(policies)), ("ratelimit", ", ".join(levels)))


def rate_limited(states: Sequence[CounterState]) -> LocalReply:
    """The refusal, of which the limit that takes longest to recover says when to come back."""
    slowest = max((state for state in states if not state.allowed), key=lambda state: state.retry_after)
    seconds, name = slowest.retry_after_seconds, slowest.counter.limit.name
    fields = {**dict(rate_limit_headers(states)), "retry-after": str(seconds)}
    detail = f"the limit {name} is used up"
    return refusal(
        HTTPStatus.TOO_MANY_REQUESTS.value, "rate_limited", detail, headers=fields, limit=name, retry_after=seconds
    )
