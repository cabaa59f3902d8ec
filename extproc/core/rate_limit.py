"""How a judgement of limits is told to the client: draft-ietf-httpapi-ratelimit-headers-10, and a 429.

Only limits that can refuse are told, and only what is known of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from extproc.core.decision import LocalReply, refusal
from extproc.core.limits import UNKNOWN, CounterState, Judged, Kind

JITTER: Final = 10  # of the time to wait, a tenth more at most: not everybody who was refused comes back at once
LONGEST_JITTER: Final = 60  # seconds
LIMIT: Final = "limit"  # the fact of a record that names the limit which refused
Headers = tuple[tuple[str, str], ...]


def rate_limit_headers(states: Sequence[CounterState], *, legacy: bool = False) -> Headers:
    """RateLimit-Policy and RateLimit: two structured lists with every limit that was judged. `legacy` adds the fields
    of the drafts before, of the limit that has least left, as many clients know them."""
    told = [state for state in states if state.remaining != UNKNOWN and not state.counter.limit.shadow]
    if not told:
        return ()
    policies = ", ".join([state.counter.limit.policy for state in told])
    levels = ", ".join([_level(state) for state in told])
    fields = (("ratelimit-policy", policies), ("ratelimit", levels))
    return (*fields, *_legacy(told)) if legacy else fields


def _level(state: CounterState) -> str:
    """Nobody knows when a slot will be free again."""
    limit = state.counter.limit
    level = f'"{limit.name}";r={state.remaining}'
    return level if limit.kind is Kind.CONCURRENCY else f"{level};t={state.reset_seconds}"


def _legacy(told: Sequence[CounterState]) -> Headers:
    least = min(told, key=lambda state: (state.remaining, -state.reset))
    return (
        ("x-ratelimit-limit", str(least.counter.limit.quota)),
        ("x-ratelimit-remaining", str(least.remaining)),
        ("x-ratelimit-reset", str(least.reset_seconds)),
    )


def rate_limited(
    states: Sequence[CounterState], *, legacy: bool = False, chance: float = 0.0, judged: Judged | None = None
) -> LocalReply:
    """The refusal, of which the limit that takes longest to recover says when to come back. `chance`, from 0 to below
    1, is how much of the jitter is added: nobody is told to come earlier than it helps. The record names the limit."""
    slowest = max((state for state in states if state.refuses), key=lambda state: state.retry_after)
    name, seconds = slowest.counter.limit.name, slowest.retry_after_seconds
    seconds += int(chance * (1 + min(max(1, seconds // JITTER), LONGEST_JITTER)))
    fields = {**dict(rate_limit_headers(states, legacy=legacy)), "retry-after": str(seconds)}
    reply = refusal(
        HTTPStatus.TOO_MANY_REQUESTS.value,
        "rate_limited",
        f"the limit {name} is used up",
        headers=fields,
        limit=name,
        remaining=slowest.remaining,
        reset=slowest.reset_seconds,
        retry_after=seconds,
    )
    return replace(reply, facts={LIMIT: name}, judged=judged)
