"""Which requests were answered lately, and by whom, in the sidecar's own memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from extproc.core.feedback import WITHIN, Answered
from extproc.core.ports import Clock

MOST: Final = 100_000  # of some 300 bytes each; of more, the oldest can no longer be scored


class MemoryAnswers:
    def __init__(self, clock: Clock, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._answers: OrderedDict[str, tuple[float, Answered]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    async def remember(self, answers: Mapping[str, Answered]) -> None:
        now = self._clock.now()
        for request_id, answered in answers.items():
            self._answers.setdefault(request_id, (now, answered))
        while self._answers and (len(self._answers) > self._most or self._oldest() <= now - WITHIN):
            self._answers.popitem(last=False)

    async def claim(self, wanted: Sequence[tuple[str, str | None]]) -> Sequence[Answered | None]:
        return [self._claim(request_id, consumer) for request_id, consumer in wanted]

    def _claim(self, request_id: str, consumer: str | None) -> Answered | None:
        since, answered = self._answers.get(request_id, (0.0, None))
        if answered is None or since <= self._clock.now() - WITHIN or consumer not in (None, answered.consumer):
            return None
        del self._answers[request_id]
        return answered

    def _oldest(self) -> float:
        return next(iter(self._answers.values()))[0]
