"""Asks for the parts of an aggregate and puts the answer together. What it asks, it asks by its ports.

One deadline holds for all: each call gets what is left of it, so that nothing needs a timer here. Whoever stops waiting
for the answer ends its calls.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final

from extproc.core.aggregation import (
    PARTS,
    Aggregation,
    Got,
    Missing,
    Result,
    Skipped,
    composed,
    last_line,
    line_of,
    merged,
    named_parts,
    needs_of,
)
from extproc.core.decision import UNCACHED, LocalReply, refusal
from extproc.core.errors import AnswerTooLong, CouldNotDecide, NoAnswerInTime, ProviderUnavailable
from extproc.core.limits import NANOSECONDS
from extproc.core.message import Consumer, Request
from extproc.core.missing_parts import FAILED, TIMEOUT, TOO_LARGE, UNFIT, UNREACHABLE, PartProblem, problem_of
from extproc.core.own_answers import Begun, OwnAnswer, OwnStream
from extproc.core.part_calls import JSON, Part, Seen, passed_on, result_of
from extproc.core.ports import Call, Clock, Expression, Ports, Upstreams
from extproc.core.specs import AggregateSpec, Lines
from extproc.core.strict_json import loads_strictly
from extproc.core.templates import UnfitValue
from extproc.core.variables import variables

NDJSON: Final = "application/x-ndjson"
PARTIAL: Final = "x-aggregate-partial"
BODY: Final = "request.json"
UNWANTED: Final = re.compile(r"q=0(?:\.0{0,3})?")


@dataclass(frozen=True, slots=True)
class Aggregator:
    """Of one route."""

    spec: AggregateSpec
    parts: Mapping[str, Part]
    body: Expression | None
    clock: Clock
    upstreams: Upstreams

    @staticmethod
    def of(spec: AggregateSpec, ports: Ports) -> Aggregator:
        """Raises ValueError for an expression that does not compile."""
        needs = needs_of(spec)
        parts = {part.name: Part.of(part, needs[part.name], ports.expression) for part in spec.parts}
        body = ports.expression(spec.body) if spec.body else None
        return Aggregator(spec, parts, body, ports.clock, ports.upstreams)

    async def answer(self, request: Request, consumer: Consumer | None) -> LocalReply | OwnAnswer | OwnStream:
        """Raises Overloaded, or CouldNotDecide where the parts' own expression of the answer fails."""
        document = _document(request) if self.spec.reads_body else None
        if isinstance(document, LocalReply):
            return document
        run = _Run(self, request, consumer, {BODY: document} if self.spec.reads_body else {})
        if self._in_lines(request):
            return await self._streamed(run)
        async with aclosing(run.settled()) as settled:
            async for _ in settled:
                pass
        return self._refused(run.state) or self._whole(run)

    def planned(self, request: Request, consumer: Consumer | None) -> Iterator[tuple[Part, Call | Result | None]]:
        """Each part with what it would be asked, or why it would not; nothing where that depends on another's answer.
        Nothing is sent."""
        document = _document(request) if self.spec.reads_body else None
        run = _Run(self, request, consumer, {BODY: document} if self.spec.reads_body else {})
        for part in self.parts.values():
            yield part, None if part.needs else run.call(part)

    def _in_lines(self, request: Request) -> bool:
        if self.spec.lines is not Lines.ON_REQUEST:
            return self.spec.lines is Lines.ALWAYS
        return _names_lines(request.headers.get("accept") or "")

    def _whole(self, run: _Run) -> LocalReply | OwnAnswer:
        state, marker = run.state, self.spec.marker
        if self.body is None:
            made = merged(state, marker)
        else:
            made = composed(self.body.value(run.seen(named_parts(self.spec.body))), state, marker)
        if len(made) > self.spec.limit:
            return refusal(HTTPStatus.BAD_GATEWAY, "answer_too_large", "the parts are too large together")
        return OwnAnswer(made, _headers(JSON, state.missing), _facts(state.missing))

    async def _streamed(self, run: _Run) -> LocalReply | OwnStream:
        """Begins when the first part is settled: until then, an answer can still be refused as a whole."""
        facts = dict[str, str]()
        lines = self._lines(run, facts)
        first = await anext(lines)
        refused = self._refused(run.state)
        if refused is not None:
            await lines.aclose()
            return refused
        return OwnStream(Begun(first, lines), (*_headers(NDJSON, {}), *self.spec.said), facts)

    async def _lines(self, run: _Run, facts: dict[str, str]) -> AsyncGenerator[bytes]:
        state = run.state
        async with aclosing(run.settled()) as settled:
            async for name in settled:
                got = state.value(name)
                if got is not None:
                    yield line_of(name, got, default=not isinstance(state.results[name], Got))
        facts.update(_facts(state.missing))
        problem = self._problem(state)
        yield last_line(state.missing, None if problem is None else problem._asdict())

    def _refused(self, state: Aggregation) -> LocalReply | None:
        """What is answered where a part is missing without which there is no answer."""
        problem = self._problem(state)
        if problem is None:
            return None
        status, reason, detail, part, why = problem
        return replace(refusal(status, reason, detail, part=part, why=why), facts={"part": part, "why": why})

    def _problem(self, state: Aggregation) -> PartProblem | None:
        name = state.failed
        return None if name is None else problem_of(name, state.missing[name], alone=not self.parts[name].needs)


@dataclass(slots=True)
class _Run:
    """One request's."""

    of: Aggregator
    request: Request
    consumer: Consumer | None
    more: Seen
    state: Aggregation = field(init=False)
    _started: int = field(init=False)
    _left: int = field(init=False)

    def __post_init__(self) -> None:
        self.state = Aggregation(self.of.spec.parts, {name: part.needs for name, part in self.of.parts.items()})
        self._started = self.of.clock.monotonic()
        self._left = self.of.spec.limit

    async def settled(self) -> AsyncGenerator[str]:
        """Each part as it is settled. Whoever leaves early ends what is still asked."""
        asked: dict[asyncio.Future[Result], str] = {}
        with self.of.upstreams.entered():
            try:
                self._begin(self.state.begin(), asked)
                while asked:
                    done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                    for landed in [one for one in asked if one in done]:
                        name = asked.pop(landed)
                        # A call that somebody else ended is not our own end, which would leave Envoy without an answer.
                        result = Missing(UNREACHABLE) if landed.cancelled() else self._within_size(landed.result())
                        self._begin(self.state.settle(name, result), asked)
                        yield name
                        if self.state.failed is not None:
                            return
            finally:
                for one in asked:
                    one.cancel()
                await asyncio.gather(*asked, return_exceptions=True)

    def seen(self, names: frozenset[str]) -> Seen:
        more = {**self.more, PARTS: self.state.values(names)}
        return variables(self.request, self.of.spec.route, self.consumer, more=more)

    def _begin(self, names: Sequence[str], asked: dict[asyncio.Future[Result], str]) -> None:
        for name in names:
            asked[asyncio.ensure_future(self._result(self.of.parts[name]))] = name

    def _within_size(self, result: Result) -> Result:
        """Of all parts together, those that come first."""
        if isinstance(result, Got):
            if len(result.text) > self._left:
                return Missing(TOO_LARGE)
            self._left -= len(result.text)
        return result

    async def _result(self, part: Part) -> Result:
        call = self.call(part)
        if not isinstance(call, Call):
            return call
        return await self._asked(part, call) if call.timeout > 0 else Missing(TIMEOUT)

    def call(self, part: Part) -> Call | Result:
        """What is sent for a part whose turn it is, or what it comes to without that."""
        try:
            seen = self.seen(part.needs)
            if part.when is not None and not part.when.holds(seen):
                return Skipped()
            return part.call(
                seen, passed_on(self.request, self.of.spec.forwarded), min(part.spec.timeout, self._remaining())
            )
        except UnfitValue:
            return Missing(UNFIT)
        except CouldNotDecide:
            return Missing(FAILED)

    async def _asked(self, part: Part, call: Call) -> Result:
        try:
            answer = await self.of.upstreams.send(self.of.spec.route, part.spec, call, self.consumer)
        except NoAnswerInTime:
            return Missing(TIMEOUT)
        except AnswerTooLong:
            return Missing(TOO_LARGE)
        except ProviderUnavailable:
            return Missing(UNREACHABLE)
        return result_of(part.spec, answer)

    def _remaining(self) -> float:
        return self.of.spec.deadline - (self.of.clock.monotonic() - self._started) / NANOSECONDS


def _names_lines(accept: str) -> bool:
    """With any weight but none (RFC 9110 §12.4.2); `*/*` does not name them. By hand: a pattern would go back and forth
    over a header that a client made for that."""
    for media_range in accept.split(","):
        media_type, *parameters = (text.strip().lower() for text in media_range.split(";"))
        if media_type == NDJSON:
            return not any(UNWANTED.fullmatch(parameter) for parameter in parameters)
    return False


def _document(request: Request) -> Any:
    """The request's body as JSON, nothing where it has none; or why it is refused."""
    if not request.body:
        return None
    if (request.headers.get("content-encoding") or "identity").lower() != "identity":
        return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_body", "this content-encoding is not taken here")
    try:
        return loads_strictly(request.body)
    except (ValueError, RecursionError):
        detail = "the body is no JSON that all readers understand alike"
        return refusal(HTTPStatus.BAD_REQUEST, "malformed_body", detail)


def _headers(media_type: str, missing: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Put together for one caller: it is nobody else's answer."""
    partial = ((PARTIAL, ", ".join(missing)),) if missing else ()
    return (("content-type", media_type), *UNCACHED, *partial)


def _facts(missing: Mapping[str, str]) -> Mapping[str, str]:
    return {"missing": ", ".join(f"{name}: {why}" for name, why in missing.items())} if missing else {}
