"""Evidence as whole numbers by short names: what a store adds up field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from extproc.core.evidence import BUCKETS, Evidence

REQUESTS, ERRORS, TOKENS, SCORES, SCORE_SUM, SCORE_SQUARES = "requests", "errors", "tokens", "scores", "sum", "squares"
MILLIONTHS: Final = 1_000_000  # of a score, which is added up exactly wherever it is kept
LARGEST: Final = 2**62


def numbers_of(evidence: Evidence) -> dict[str, int]:
    """Those that are not 0; a bucket is called by its number."""
    numbers = {
        REQUESTS: evidence.requests,
        ERRORS: evidence.errors,
        TOKENS: evidence.tokens,
        SCORES: evidence.scores,
        SCORE_SUM: round(evidence.score_sum * MILLIONTHS),
        SCORE_SQUARES: round(evidence.score_squares * MILLIONTHS),
        **{str(bucket): count for bucket, count in enumerate(evidence.latencies)},
    }
    return {name: max(-LARGEST, min(number, LARGEST)) for name, number in numbers.items() if number}


def evidence_of(numbers: Mapping[str, int]) -> Evidence:
    return Evidence(
        requests=numbers.get(REQUESTS, 0),
        errors=numbers.get(ERRORS, 0),
        latencies=tuple([numbers.get(str(bucket), 0) for bucket in range(BUCKETS)]),
        tokens=numbers.get(TOKENS, 0),
        scores=numbers.get(SCORES, 0),
        score_sum=numbers.get(SCORE_SUM, 0) / MILLIONTHS,
        score_squares=numbers.get(SCORE_SQUARES, 0) / MILLIONTHS,
    )
