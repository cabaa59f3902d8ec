"""`use: require_header`: only requests that say something, in a header, pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from extproc import Context, Continue, Decision, HeaderName, Phase, Policy, Ports, Request, Settings, refusal


class RequireHeaderSettings(Settings):
    """What is written beside `use: require_header`; `extproc check` holds it to these types."""

    header: HeaderName


@dataclass(frozen=True, slots=True)
class RequireHeader(Policy):
    """One of these is built for each route that uses it, when the file is loaded."""

    header: str

    name: ClassVar[str] = "require_header"
    Settings: ClassVar[type[RequireHeaderSettings]] = RequireHeaderSettings
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: RequireHeaderSettings, ports: Ports) -> Policy:
        return RequireHeader(settings.header)

    async def on_request(self, request: Request, context: Context) -> Decision:
        value = request.headers.get(self.header)
        if not value:
            return refusal(403, "header_missing", f"say who you are in {self.header}")
        return Continue(facts={self.header: value})  # a fact stands in the decision's record
