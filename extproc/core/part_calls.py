"""One part of an aggregate: what its upstream is asked for, and what its answer comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from extproc.core.aggregation import Got, Missing, Result, written
from extproc.core.decision import HeaderEdits
from extproc.core.message import Request
from extproc.core.missing_parts import NOT_JSON, STATUS, TIMEOUT
from extproc.core.ports import Answer, Call, Expression
from extproc.core.specs import PartSpec
from extproc.core.strict_json import loads_strictly
from extproc.core.templates import Piece, filled, pieces_of, spelled

JSON: Final = "application/json"
# Without it any coding would do (RFC 9110 §12.5.3), and what is packed is not read.
PLAIN: Final = ("accept-encoding", "identity")
# Of the client's own headers, what names the request and its trace (W3C Trace Context, W3C Baggage, B3), and what Envoy
# has said of the client.
TRACE: Final = (
    "traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled",
    "x-b3-flags", "x-request-id",
)  # fmt: skip
OF_CLIENT: Final = ("x-forwarded-for", "x-forwarded-proto", "x-envoy-external-address")
Compile = Callable[[str], Expression]
Seen = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Part:
    """A part with its expressions compiled; `needs` are the parts that they read."""

    spec: PartSpec
    pieces: tuple[Piece, ...]
    path: tuple[Expression, ...]
    headers: Mapping[str, Expression]
    body: Expression | None
    when: Expression | None
    needs: frozenset[str]

    @staticmethod
    def of(spec: PartSpec, needs: frozenset[str], compiled: Compile) -> Part:
        pieces = pieces_of(spec.path)
        return Part(
            spec,
            pieces,
            tuple(compiled(piece.expression) for piece in pieces[:-1]),
            {name: compiled(text) for name, text in spec.headers.items()},
            compiled(spec.body) if spec.body else None,
            compiled(spec.when) if spec.when else None,
            needs,
        )

    def call(self, seen: Seen, passed_on: Iterable[tuple[str, str]], timeout: float) -> Call:
        """Raises UnfitValue, or CouldNotDecide for an expression that fails or a header that cannot be."""
        target = filled(self.pieces, [spelled(value.value(seen)) for value in self.path])
        own = {name: spelled(value.value(seen)) for name, value in self.headers.items()}
        HeaderEdits(set=tuple(own.items()))
        body = b"" if self.body is None else written(self.body.value(seen))
        typed = {} if self.body is None else {"content-type": JSON}
        fields = {**dict(passed_on), "accept": JSON, **dict([PLAIN]), **typed, **own}
        return Call(target, self.spec.method, tuple(fields.items()), body, timeout, self.spec.limit)


def passed_on(request: Request, credentials: Iterable[str]) -> list[tuple[str, str]]:
    """What of the client's request every part's upstream gets."""
    known = [(name, request.headers.get(name)) for name in (*TRACE, *OF_CLIENT, *credentials)]
    host = [("host", request.host)] if request.host else []
    return [*host, *((name, value) for name, value in known if value is not None)]


def result_of(part: PartSpec, answer: Answer) -> Result:
    accepted = answer.status in part.accepts
    if answer.status == HTTPStatus.GATEWAY_TIMEOUT and not accepted:
        return Missing(TIMEOUT)  # Envoy's own, whose clock is a little ahead of ours
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES and not accepted:
        return Missing(f"{STATUS}{answer.status}")
    text = answer.body.strip(b" \t\r\n")
    if not text:
        return Got(b"null", None)
    try:
        return Got(text, loads_strictly(text))
    except (ValueError, RecursionError):
        return Missing(NOT_JSON)
