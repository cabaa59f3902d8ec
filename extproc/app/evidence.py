"""Where evidence goes: gathered in memory as Envoy tells of it, saved a second later, and never waited for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Final

from extproc.app.saving import saved_again_and_again
from extproc.config.model import MEMORY
from extproc.core.ended import Ended
from extproc.core.errors import StoreUnavailable
from extproc.core.evidence import Evidence, Seen, Series, Sums, Told
from extproc.core.evidence_gathering import EvidenceGathering
from extproc.core.ports import AnswerStore, Clock, Events, EvidenceStore, ShareTable
from extproc.core.specs import HUNDREDTHS
from extproc.plan.model import Plan, SidecarPlan
from extproc.services.ended_requests import Watched
from extproc.stores.answered_memory import MemoryAnswers
from extproc.stores.answered_redis import RedisAnswers
from extproc.stores.evidence_memory import MemoryEvidence
from extproc.stores.evidence_redis import RedisEvidence
from extproc.stores.redis_connection import PATIENT, RedisConnection

SAVE_EVERY: Final = 1.0  # seconds: what a sidecar that is killed forgets
EVIDENCE: Final = "evidence"  # the store's name in events and in what is said of it
EVIDENCE_UNSAVED: Final = "evidence_cannot_be_saved"
EVIDENCE_SAVED_AGAIN: Final = "evidence_saved_again"


def watched(plan: Plan) -> Watched:
    return Watched(
        versions={name: frozenset(version.name for version in model.versions) for name, model in plan.models.items()},
        scores={name: score.header for name, score in plan.scores.items() if score.header},
        streams=frozenset(route.name for route in plan.routes if route.stream),
        settles=plan.settles,
    )


def open_evidence(plan: SidecarPlan, clock: Clock, events: Events) -> MemoryEvidence | RedisEvidence:
    """Where the counters are."""
    if plan.counters == MEMORY:
        return MemoryEvidence(clock)
    return RedisEvidence(RedisConnection(plan.counters, EVIDENCE, events, PATIENT), clock)


def open_answers(store: MemoryEvidence | RedisEvidence, clock: Clock) -> AnswerStore:
    """Where the evidence is, over the same connection."""
    return RedisAnswers(store.connection) if isinstance(store, RedisEvidence) else MemoryAnswers(clock)


def assigned_shares(plan: Plan, table: ShareTable) -> dict[tuple[str, str], float]:
    """By model and version, from 0 to 1: what the file says, or where somebody moves it, what is now."""
    shares: dict[tuple[str, str], float] = {}
    for name, model in plan.models.items():
        moved = table.of(name)
        versions = moved.applied_to(model.versions) if moved else model.versions
        shares |= {(name, version.name): version.weight / (100 * HUNDREDTHS) for version in versions}
    return shares


class EvidenceKept:
    """One for each sidecar, and an EvidenceStore for whoever reads: what this sidecar has gathered is saved before."""

    def __init__(
        self,
        store: EvidenceStore,
        versions: Mapping[str, Collection[str]],
        clock: Clock,
        events: Events,
        measure: Callable[[str, str, Seen], None],
        gathering: EvidenceGathering | None = None,
    ) -> None:
        """`versions` are each model's. `measure` is told the model, the version and what was seen of it, when it is
        heard; it must return at once."""
        self._store = store
        self._versions = versions
        self._clock = clock
        self._events = events
        self._measure = measure
        self._gathering = EvidenceGathering() if gathering is None else gathering
        self._waiting: tuple[Sums, str] | None = None  # a batch that is told until it is heard, under one name
        self._saving = asyncio.Lock()
        self._failing = False

    def ended(self, ended: Ended) -> None:
        for version, seen in ended.seen():
            self.gather(Told(ended.model, version, ended.second), seen)

    def told(self, told: Told, seen: Seen) -> None:
        """By somebody who has read names in an answer: those that the plan does not hold are nobody's."""
        if told.version in self._versions.get(told.model, ()):
            self.gather(told, seen)

    def gather(self, told: Told, seen: Seen) -> None:
        self._gathering.add(told, seen)
        self._measure(told.model, told.version, seen)

    @property
    def lost(self) -> int:
        """Requests that were given up because nobody would take them."""
        return self._gathering.lost

    async def tend(self) -> None:
        """Runs until it is cancelled."""
        await saved_again_and_again(self._store, self.save, SAVE_EVERY)

    def knows(self, model: str) -> bool:
        return model in self._versions

    async def lately(self, model: str, window: int) -> Mapping[str, Evidence]:
        """Raises StoreUnavailable."""
        now = self._clock.now()
        return await self.of(model, now - window, now)

    async def of(self, model: str, since: float, until: float) -> Mapping[str, Evidence]:
        """Raises StoreUnavailable."""
        await self.save()
        return await self._store.of(model, since, until)

    async def series(self, model: str, since: float, until: float, step: float) -> Series:
        """Raises StoreUnavailable, and ValueError."""
        await self.save()
        return await self._store.series(model, since, until, step)

    async def save(self) -> None:
        """One at a time: a batch has one name for as long as it takes."""
        async with self._saving:
            while batch := self._next():
                try:
                    await self._store.add(*batch)
                except StoreUnavailable:
                    self._now(failing=True)
                    return
                self._waiting = None
                self._now(failing=False)

    def _next(self) -> tuple[Sums, str] | None:
        if self._waiting is None and (sums := self._gathering.take()):
            self._waiting = (sums, secrets.token_hex(8))
        return self._waiting

    def _now(self, *, failing: bool) -> None:
        if failing != self._failing:
            self._failing = failing
            self._events.event(EVIDENCE_UNSAVED if failing else EVIDENCE_SAVED_AGAIN)
