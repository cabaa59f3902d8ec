"""Why a part of an aggregate is not there: words for programs, in the answer and the record, and sentences for people.

A status is its own word, `status_503`.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

TIMEOUT: Final = "timeout"
TOO_LARGE: Final = "too_large"
NOT_JSON: Final = "not_json"
UNREACHABLE: Final = "unreachable"
UNFIT: Final = "unfit_value"
FAILED: Final = "expression_failed"
STATUS: Final = "status_"
OF_REQUEST: Final = frozenset({UNFIT, FAILED})  # the request's own fault, where no other part has a say
SENTENCES: Final[Mapping[str, str]] = {
    TIMEOUT: "it did not answer in time",
    TOO_LARGE: "its answer is too large",
    NOT_JSON: "its answer is no JSON",
    UNREACHABLE: "it could not be asked",
    UNFIT: "a value of this request does not fit into what it is asked for",
    FAILED: "what it is asked for could not be worked out",
}


class PartProblem(NamedTuple):
    """What a client gets where a part is missing without which there is no answer."""

    status: int
    reason: str
    detail: str
    part: str
    why: str


def problem_of(part: str, why: str, *, alone: bool) -> PartProblem:
    """`alone`: no other part has a say in what this one is asked for."""
    detail = f"the part {part}: {SENTENCES.get(why, f'its upstream answered {why.removeprefix(STATUS)}')}"
    if why == TIMEOUT:
        return PartProblem(HTTPStatus.GATEWAY_TIMEOUT.value, "part_timeout", detail, part, why)
    if alone and why in OF_REQUEST:
        return PartProblem(HTTPStatus.BAD_REQUEST.value, "unfit_request", detail, part, why)
    return PartProblem(HTTPStatus.BAD_GATEWAY.value, "part_failed", detail, part, why)
