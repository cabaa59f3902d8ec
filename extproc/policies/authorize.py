"""`authorize: CEL`: whether this consumer may make this request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from extproc import (
    CONTINUE,
    Context,
    Decision,
    Expression,
    Phase,
    Policy,
    Ports,
    Request,
    refusal,
    variables,
)


@dataclass(frozen=True, slots=True)
class Authorize(Policy):
    condition: Expression

    name: ClassVar[str] = "authorize"
    Settings: ClassVar[type[str]] = str
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: str, ports: Ports) -> Policy:
        return Authorize(ports.expression(settings))

    async def on_request(self, request: Request, context: Context) -> Decision:
        if self.condition.holds(variables(request, context.route, context.consumer)):
            return CONTINUE
        return refusal(403, "not_authorized", "the caller may not make this request")
