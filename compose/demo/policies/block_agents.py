"""`use: block_agents`: refuse clients by the name that they give themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from extproc import CONTINUE, Context, Decision, Phase, Policy, Ports, Request, Settings, refusal


class BlockAgentsSettings(Settings):
    """What an operator writes beside `use: block_agents`."""

    names: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class BlockAgents(Policy):
    """Holds what a route needs: the names in lower case, made once and not for every request."""

    names: tuple[str, ...]

    name: ClassVar[str] = "block_agents"
    Settings: ClassVar[type[BlockAgentsSettings]] = BlockAgentsSettings
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: BlockAgentsSettings, ports: Ports) -> Policy:
        return BlockAgents(tuple(name.lower() for name in settings.names))

    async def on_request(self, request: Request, context: Context) -> Decision:
        agent = (request.headers.get("user-agent") or "").lower()
        blocked = next((name for name in self.names if name in agent), None)
        if blocked is None:
            return CONTINUE
        return refusal(403, "blocked_agent", f"clients that call themselves {blocked} are not served")
