"""What one request has reserved of its token budgets, and how that grows while its answer runs.

A budget is charged ahead, in steps: as long as what is reserved covers what was sent, no store is asked. So nobody
sends what no budget has agreed to, however many share it, and what was not used is given back at the end. The less is
left, the smaller the steps: what one answer holds and does not use is what another is cut for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from extproc.core.limits import UNKNOWN, Charge, Counter, CounterState, Hit, Settlement

STEP: Final = 64  # tokens that are reserved ahead of what is sent, at most


@dataclass(slots=True)
class Reservation:
    """`held` names what is held, as the charge that made it; `covered` is how much that is, counter by counter; `until`
    when the first of their windows ends, in seconds of the epoch. `base` is what windows before have been charged."""

    held: str
    covered: dict[Counter, int]
    until: int
    base: int = 0
    turns: int = 0
    asked: int = 0

    def covers(self, total: int) -> bool:
        return all(covered >= total - self.base for covered in self.covered.values())

    def charge(self, total: int, ahead: int = 0) -> Charge:
        """What must be asked for so that so much, and so much more, is covered. Each time is a question of its own."""
        self.asked += 1
        wanted = total - self.base + ahead
        hits = [Hit(one, wanted - had) for one, had in self.covered.items() if had < total - self.base]
        return Charge(tuple(hits), key=f"{self._name}/{self.asked}", holder=self._name)

    def grant(self, charge: Charge) -> None:
        """What was asked for has been given. Of a shadow as well: it refuses nobody, however much it holds."""
        for hit in charge.hits:
            self.covered[hit.counter] += hit.count

    def settlements(self, total: int) -> tuple[Settlement, ...]:
        amount = max(0, total - self.base)
        return tuple([Settlement(one, self._name, amount) for one in self.covered])

    def turn(self, total: int, now: int) -> None:
        """The window is over: what comes from here on is the next one's."""
        self.base, self.turns = total, self.turns + 1
        self.covered = dict.fromkeys(self.covered, 0)
        self.until = window_end(self.covered, now)

    @property
    def _name(self) -> str:
        return f"{self.held}~{self.turns}" if self.turns else self.held


def window_end(counters: Iterable[Counter], now: int) -> int:
    """When the first of their windows ends, in seconds of the epoch."""
    return min(one.limit.calendar.window(now).end for one in counters if one.limit.calendar is not None)


def ahead_of(states: Iterable[CounterState]) -> int:
    """How much more than is needed may be reserved the next time: a part of what was left, where that is known."""
    left = [one.remaining for one in states if not one.counter.limit.shadow and one.remaining != UNKNOWN]
    return min(STEP, min(left) // STEP) if left else STEP
