"""Whether two versions of a model say the same: what is asked of both, and how alike their answers are.

Nothing of an answer leaves here but how alike the two are: what a model says may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from extproc.core.errors import CouldNotDecide
from extproc.core.message import Consumer, Request, Response
from extproc.core.ports import Answer, Expression
from extproc.core.strict_json import loads_strictly
from extproc.core.variables import variables

NOTHING: Final = object()  # what an expression that failed has to say


@dataclass(frozen=True, slots=True)
class Comparison:
    """A request as the upstream gets it, for the version that was chosen and for its model's shadow."""

    model: str
    chosen: str
    route: str
    request: Request = field(repr=False)
    consumer: Consumer | None = field(default=None, repr=False)

    @property
    def weight(self) -> int:
        """About how many bytes it takes to keep."""
        headers = sum(len(name) + len(value) for name, value in self.request.headers)
        return headers + len(self.request.path) + len(self.request.query) + len(self.request.body or b"")


class Agreement(StrEnum):
    """`undecided`: neither answer has what is asked for. `unanswered`: one of the two is none."""

    AGREE = "agree"
    DIFFER = "differ"
    UNDECIDED = "undecided"
    UNANSWERED = "unanswered"


class Told(NamedTuple):
    """What one version said, and how long it took (nanoseconds). No answer: there was none in time."""

    version: str
    answer: Answer | None
    duration: int


class Compared(NamedTuple):
    comparison: Comparison
    chosen: Told
    shadow: Told
    fields: Mapping[str, Agreement]


def compare(
    fields: Mapping[str, Expression], comparison: Comparison, chosen: Answer | None, shadow: Answer | None
) -> Mapping[str, Agreement]:
    if chosen is None or shadow is None:
        return dict.fromkeys(fields, Agreement.UNANSWERED)
    one, other = _seen(comparison, chosen), _seen(comparison, shadow)
    return {name: _alike(_said(expression, one), _said(expression, other)) for name, expression in fields.items()}


def _alike(one: object, other: object) -> Agreement:
    """As JSON has it: true is not 1."""
    if one is NOTHING and other is NOTHING:
        return Agreement.UNDECIDED
    return Agreement.AGREE if isinstance(one, bool) is isinstance(other, bool) and one == other else Agreement.DIFFER


def _said(expression: Expression, seen: Mapping[str, object]) -> object:
    try:
        return expression.value(seen)
    except CouldNotDecide:
        return NOTHING


def _seen(comparison: Comparison, answer: Answer) -> Mapping[str, object]:
    response = Response(answer.status, answer.headers, answer.body)
    return variables(comparison.request, comparison.route, comparison.consumer, response, _json(answer.body))


def _json(body: bytes) -> object:
    try:
        return loads_strictly(body)
    except ValueError:
        return None
