"""Which values the labels of a decision may have: names in the plan in force, and a bounded number of reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

UNKNOWN: Final = "unknown"
OTHER: Final = "other"
# Reasons are written in code, and a policy that makes one up per request must not fill the monitoring. The first bound
# leaves the other policies their room; authentication alone, with all its kinds, has more than thirty of its own.
REASONS_OF_A_POLICY: Final = 64
REASONS: Final = 256


@dataclass(slots=True)
class Labels:
    """`routes`, `policies` and `versions` are the plan's; the reasons are all that were given since the start."""

    routes: frozenset[str] = frozenset()
    policies: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset()
    _reasons: dict[str, set[str]] = field(default_factory=dict)

    def route(self, name: str) -> str:
        return name if name in self.routes else UNKNOWN

    def policy(self, name: str) -> str:
        """Empty stays empty: no policy refused or failed."""
        return name if not name or name in self.policies else UNKNOWN

    def reason(self, policy: str, reason: str) -> str:
        """By the policy that gave it, as `policy` spells that."""
        given = self._reasons.setdefault(policy, set())
        if reason in given:
            return reason
        if len(given) >= REASONS_OF_A_POLICY or sum(map(len, self._reasons.values())) >= REASONS:
            return OTHER
        given.add(reason)
        return reason
