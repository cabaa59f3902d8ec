"""`aggregate:` of a route: the one kind that answers in place of an upstream, when everything has let a request in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from extproc import AggregateSpec, Aggregator, Context, LocalReply, OwnAnswer, OwnStream, Phase, Policy, Ports, Request


def _phases(spec: AggregateSpec) -> frozenset[Phase]:
    return frozenset({Phase.REQUEST_BODY if spec.reads_body else Phase.FORWARD})


@dataclass(frozen=True, slots=True)
class Aggregate(Policy):
    aggregator: Aggregator

    name: ClassVar[str] = "aggregate"
    Settings: ClassVar[type[AggregateSpec]] = AggregateSpec
    phases: ClassVar[Any] = staticmethod(_phases)

    @staticmethod
    def build(settings: AggregateSpec, ports: Ports) -> Policy:
        return Aggregate(Aggregator.of(settings, ports))

    async def on_forward(  # type: ignore[override]  # the chain takes such an answer from this kind alone
        self, request: Request, context: Context
    ) -> LocalReply | OwnAnswer | OwnStream:
        return await self.aggregator.answer(request, context.consumer)
