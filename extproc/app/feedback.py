"""Feedback on its way to evidence: matched with the requests that it is of, some seconds later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from extproc.app.evidence import SAVE_EVERY, EvidenceKept
from extproc.core.ended import Ended
from extproc.core.errors import StoreUnavailable
from extproc.core.evidence import Seen, Told
from extproc.core.feedback import MOST_ANSWERS_A_SECOND, Answered, Feedback, Pending
from extproc.core.ports import AnswerStore, Clock

COUNTED: Final = "counted"
REFUSED: Final = "refused"  # too much of it
UNKNOWN: Final = "unknown"  # of no request that was answered lately, of somebody else's, or said before
RESULTS: Final = (COUNTED, REFUSED, UNKNOWN)


class FeedbackKept:
    """One for each sidecar. `models` are those that take feedback."""

    def __init__(
        self,
        store: AnswerStore,
        evidence: EvidenceKept,
        models: Collection[str],
        clock: Clock,
        measure: Callable[[str, int], None],
    ) -> None:
        """`measure` is told what became of how much feedback."""
        self._store = store
        self._evidence = evidence
        self._models = models
        self._clock = clock
        self._measure = measure
        self._answers: dict[str, Answered] = {}
        self._pending = Pending()

    def ended(self, ended: Ended) -> None:
        if ended.model in self._models and ended.counts and len(self._answers) < MOST_ANSWERS_A_SECOND:
            answered = Answered(ended.model, ended.version, ended.second, ended.consumer)
            self._answers.setdefault(ended.request_id, answered)

    def offer(self, feedback: Feedback) -> bool:
        taken = self._pending.offer(feedback, self._clock.now())
        if not taken:
            self._measure(REFUSED, 1)
        return taken

    async def tend(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await asyncio.sleep(SAVE_EVERY)
            await self.match()

    async def match(self) -> None:
        """What the store does not answer for is tried again, as long as feedback may come too early."""
        answers, self._answers = self._answers, {}
        waiting = self._pending.take()
        left = waiting
        try:
            await self._store.remember(answers)
            left = await self._count(waiting)
        except StoreUnavailable:
            self._answers = dict([*answers.items(), *self._answers.items()][:MOST_ANSWERS_A_SECOND])
        self._measure(UNKNOWN, self._pending.give_back(left, self._clock.now()))

    async def _count(self, waiting: list[tuple[float, Feedback]]) -> list[tuple[float, Feedback]]:
        """Those of which nobody knows the request yet."""
        claimed = await self._store.claim([(feedback.request_id, feedback.consumer) for _, feedback in waiting])
        left = []
        for item, answered in zip(waiting, claimed, strict=True):
            if answered is None:
                left.append(item)
                continue
            told = Told(answered.model, answered.version, answered.second)
            self._evidence.gather(told, Seen(0, score=item[1].score))
            self._measure(COUNTED, 1)
        return left
