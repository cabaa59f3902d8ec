"""How a judgement of limits is told: the structured fields of draft-ietf-httpapi-ratelimit-headers-10, and a 429."""

from __future__ import annotations

import json
import re

from extproc.core.limits import NANOSECONDS, Counter, CounterState
from extproc.core.rate_limit import rate_limit_headers, rate_limited
from tests.core.examples import limit

ITEM = re.compile(r'"([^"\\]+)"((?:;[a-z]+=[0-9]+)+)')


def state(name: str, *, allowed: bool = True, remaining: int = 0, wait: int = 0, burst: int = 10) -> CounterState:
    counter = Counter(limit(count=10, period=1, burst=burst, name=name), ("acme",))
    return CounterState(counter, allowed, remaining, reset=wait, retry_after=0 if allowed else wait)


def read(field: str) -> dict[str, dict[str, int]]:
    """A list of strings with parameters that are whole numbers (RFC 9651 §3.1)."""
    items = [ITEM.fullmatch(member) for member in field.split(", ")]
    return {
        item[1]: {name: int(value) for name, value in re.findall(r";([a-z]+)=([0-9]+)", item[2])}
        for item in items
        if item is not None
    }


def test_every_judged_limit_is_told_in_order() -> None:
    states = (state("tier", remaining=9, wait=NANOSECONDS // 10), state("consumer-1", remaining=3, burst=25))
    assert rate_limit_headers(states) == (
        ("ratelimit-policy", '"tier";q=10;w=1, "consumer-1";q=30;w=3'),
        ("ratelimit", '"tier";r=9;t=1, "consumer-1";r=3;t=0'),
    )


def test_the_fields_are_structured_lists() -> None:
    policy, level = (value for _, value in rate_limit_headers((state("a", remaining=2), state("b"))))
    assert read(policy) == {"a": {"q": 10, "w": 1}, "b": {"q": 10, "w": 1}}
    assert read(level) == {"a": {"r": 2, "t": 0}, "b": {"r": 0, "t": 0}}


def test_a_refusal_names_the_limit_that_takes_longest_to_recover() -> None:
    states = (
        state("first", allowed=False, wait=2 * NANOSECONDS),
        state("slowest", allowed=False, wait=3 * NANOSECONDS + 1),
        state("fine", remaining=8, wait=9 * NANOSECONDS),
    )
    reply = rate_limited(states)
    fields = dict(reply.headers)
    assert (reply.status, reply.reason) == (429, "rate_limited")
    assert fields["retry-after"] == "4"
    assert fields["ratelimit"] == '"first";r=0;t=2, "slowest";r=0;t=4, "fine";r=8;t=9'
    assert len(read(fields["ratelimit-policy"])) == 3
    problem = json.loads(reply.body)
    assert (problem["limit"], problem["retry_after"]) == ("slowest", 4)
    assert problem["detail"] == "the limit slowest is used up"
