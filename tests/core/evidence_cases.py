"""Evidence of one request or one score, for tests that add it up."""

from __future__ import annotations

from collections.abc import Iterable

from extproc.core.evidence import Evidence, Growing, Seen, bucket_of


def summed(several: Iterable[Seen]) -> Evidence:
    growing = Growing()
    for one in several:
        growing.add(one)
    return growing.evidence


def seen(latency: float | None, *, error: bool = False, tokens: int = 0) -> Seen:
    """`latency` in seconds, None where nobody measured it."""
    return Seen(1, error, None if latency is None else bucket_of(latency), tokens)


def one_request(latency: float | None, *, error: bool = False, tokens: int = 0) -> Evidence:
    return summed([seen(latency, error=error, tokens=tokens)])


def one_score(score: float) -> Evidence:
    return summed([Seen(0, score=score)])
