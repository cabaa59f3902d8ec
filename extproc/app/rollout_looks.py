"""What the leader does: it looks at what versions did, in time, and moves what is to move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from extproc.app.rollout_table import Measuring, RolloutTable
from extproc.core.errors import StoreUnavailable
from extproc.core.evidence import Evidence, Series
from extproc.core.guard import Trial
from extproc.core.ports import Events
from extproc.core.ramp import Seen, Stretch, look, needed, trial_of
from extproc.core.rollout import Rollout, Rules

BLIND: Final = "rollout_without_evidence"
SEEING: Final = "rollout_with_evidence"


class Witness(Protocol):
    """What versions did, as `EvidenceStore` tells it. Raises StoreUnavailable."""

    async def of(self, model: str, since: float, until: float) -> Mapping[str, Evidence]: ...

    async def series(self, model: str, since: float, until: float, step: float) -> Series: ...


async def seen_in(witness: Witness, model: str, stretch: Stretch) -> Mapping[str, Evidence]:
    return await witness.of(model, *stretch) if stretch[0] < stretch[1] else {}


class Looks:
    def __init__(self, table: RolloutTable, witness: Witness, events: Events, measuring: Measuring) -> None:
        self._table = table
        self._witness = witness
        self._events = events
        self._measuring = measuring
        self._trials: dict[str, Trial] = {}
        self._looked: dict[str, float] = {}
        self._blind: set[str] = set()

    def forget(self) -> None:
        """Who leads again knows nothing of what another leader saw meanwhile."""
        self._trials = {}

    async def look(self) -> None:
        """At each model whose interval is over. Raises StoreUnavailable."""
        now = self._table.clock.now()
        for model, rules in self._table.rules.items():
            moves = rules.guard is not None or rules.ramp is not None
            if moves and not 0 <= now - self._looked.get(model, 0.0) < rules.interval:
                self._looked[model] = now
                await self._look_at(rules, now)

    async def _look_at(self, rules: Rules, now: float) -> None:
        """A change that somebody else was quicker than is none: it is looked again at the next interval."""
        rollout = self._table.of(rules.model)
        known = self._trials.get(rules.model) or await self._table.store.trial(rules.model)
        trial = trial_of(rollout, known)
        seen = await self._seen(rules, rollout, trial, now)
        looked = look(rules, rollout, trial, seen, now)
        if looked.change is not None:
            await self._table.change(looked.rollout, looked.change, rollout.generation, leading=True)
        if looked.trial != trial and await self._table.store.keep(rules.model, looked.trial):
            self._trials[rules.model] = looked.trial
        if seen is not None:
            self._measuring.looked(rules.model)

    async def _seen(self, rules: Rules, rollout: Rollout, trial: Trial, now: float) -> Seen | None:
        """None where nobody can say what happened; where nothing is guarded, nobody need."""
        if rules.guard is None:
            return Seen({}, {}, {})
        wanted = needed(rules, rollout, trial, now)
        stretches = (wanted.window, wanted.batch, wanted.step)
        try:
            seen = Seen(*[await seen_in(self._witness, rules.model, stretch) for stretch in stretches])
        except StoreUnavailable as error:
            self._now_blind(rules.model, blind=True, error=str(error))
            return None
        self._now_blind(rules.model, blind=False)
        return seen

    def _now_blind(self, model: str, *, blind: bool, **fields: object) -> None:
        if blind != (model in self._blind):
            self._blind ^= {model}
            self._events.event(BLIND if blind else SEEING, model=model, **fields)
