"""`version.is` of a route: 410 once that version is gone, and in the record which version was asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from extproc import (
    API_STATUS,
    API_VERSION,
    Clock,
    Context,
    Continue,
    Decision,
    Phase,
    Policy,
    Ports,
    Request,
    VersionSpec,
    version_refused,
)


@dataclass(frozen=True, slots=True)
class VersionPolicy(Policy):
    spec: VersionSpec
    clock: Clock
    served: Continue

    name: ClassVar[str] = "version"
    Settings: ClassVar[type[VersionSpec]] = VersionSpec
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: VersionSpec, ports: Ports) -> Policy:
        version = settings.version
        facts = {API_VERSION: version.name, API_STATUS: version.status.value}
        return VersionPolicy(settings, ports.clock, Continue(facts=facts))

    async def on_request(self, request: Request, context: Context) -> Decision:
        version = self.spec.version
        reason = version.gone(self.clock.now()) if version.ends else ""
        if not reason:
            return self.served
        return replace(version_refused(version, reason, self.spec.successor_at), facts=self.served.facts)
