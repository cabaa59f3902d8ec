"""Feedback becomes evidence of the version that answered: once, of its own requests, and whenever it comes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from extproc.app.evidence import EvidenceKept
from extproc.app.feedback import COUNTED, REFUSED, UNKNOWN, FeedbackKept
from extproc.core.ended import Ended
from extproc.core.errors import StoreUnavailable
from extproc.core.feedback import EARLY, MOST_ANSWERS_A_SECOND, MOST_OF_ONE, Answered, Feedback
from extproc.core.ports import AnswerStore
from extproc.stores.answered_memory import MemoryAnswers
from extproc.stores.evidence_memory import MemoryEvidence
from extproc.testing import FakeClock
from tests.stores.key_stores import FakeEvents

NOW = 1_790_000_000


class Away:
    def __init__(self, inner: AnswerStore, times: int) -> None:
        self.inner, self.times = inner, times

    async def remember(self, answers: Mapping[str, Answered]) -> None:
        self.times -= 1
        if self.times >= 0:
            raise StoreUnavailable("away")
        await self.inner.remember(answers)

    async def claim(self, wanted: Sequence[tuple[str, str | None]]) -> Sequence[Answered | None]:
        return await self.inner.claim(wanted)


class Rig:
    """Feedback over stores in memory, and what became of it."""

    def __init__(self, away: int = 0) -> None:
        self.clock = FakeClock(seconds=float(NOW))
        self.results: Counter[str] = Counter()
        self.answers = MemoryAnswers(self.clock)
        store = Away(self.answers, away)
        self.evidence = EvidenceKept(
            MemoryEvidence(self.clock), {"chat": {"v1", "v2"}}, self.clock, FakeEvents(), lambda *_: None
        )  # fmt: skip
        self.feedback = FeedbackKept(store, self.evidence, {"chat"}, self.clock, self.measure)

    def measure(self, result: str, count: int) -> None:
        self.results[result] += count

    def ended(self, request_id: str, consumer: str = "acme", model: str = "chat", status: int = 200) -> None:
        self.feedback.ended(
            Ended(model, "v1", NOW, status, request_id=request_id, consumer=consumer)
        )  # fmt: skip

    async def scores(self) -> tuple[int, float]:
        found = (await self.evidence.of("chat", NOW, NOW + 1)).get("v1")
        return (found.scores, found.score_sum) if found else (0, 0.0)


async def test_a_score_is_of_the_version_that_answered_and_of_the_second_in_which_it_was_asked() -> None:
    rig = Rig()
    rig.ended("id")
    await rig.feedback.match()
    rig.clock.advance(60)
    assert rig.feedback.offer(Feedback("id", 0.25, "acme"))
    await rig.feedback.match()
    assert await rig.scores() == (1, 0.25)
    assert +rig.results == {COUNTED: 1}


async def test_feedback_that_comes_before_envoy_has_told_waits_for_it() -> None:
    rig = Rig()
    rig.feedback.offer(Feedback("id", 1.0, "acme"))
    await rig.feedback.match()
    rig.clock.advance(2)
    rig.ended("id")
    await rig.feedback.match()
    assert await rig.scores() == (1, 1.0)


async def test_a_request_is_scored_once() -> None:
    rig = Rig()
    rig.ended("id")
    for score in (1.0, 0.0, 0.0):
        rig.feedback.offer(Feedback("id", score, None))
        await rig.feedback.match()
    rig.clock.advance(EARLY)
    await rig.feedback.match()
    assert await rig.scores() == (1, 1.0)
    assert +rig.results == {COUNTED: 1, UNKNOWN: 1}


@pytest.mark.parametrize(
    "feedback", [Feedback("id", 0.0, "mallory"), Feedback("another", 0.0, "acme"), Feedback("id", 0.0, "")]
)
async def test_a_guess_and_somebody_elses_request_count_for_nothing(feedback: Feedback) -> None:
    rig = Rig()
    rig.ended("id")
    rig.feedback.offer(feedback)
    await rig.feedback.match()
    rig.clock.advance(EARLY)
    await rig.feedback.match()
    assert await rig.scores() == (0, 0.0)
    assert +rig.results == {UNKNOWN: 1}


async def test_of_another_model_and_of_what_no_version_answered_nothing_is_remembered() -> None:
    rig = Rig()
    rig.ended("other", model="other")
    rig.feedback.ended(Ended("chat", "v1", NOW, 403, from_upstream=False, request_id="refused", consumer="acme"))
    await rig.feedback.match()
    assert len(rig.answers) == 0


async def test_a_flood_moves_nothing_beyond_its_part() -> None:
    rig = Rig()
    for number in range(300):
        rig.ended(f"id-{number}")
    taken = [rig.feedback.offer(Feedback(f"id-{number}", 0.0, "acme")) for number in range(300)]
    await rig.feedback.match()
    assert sum(taken) == MOST_OF_ONE
    assert await rig.scores() == (MOST_OF_ONE, 0.0)
    assert rig.results[REFUSED] == 300 - MOST_OF_ONE


async def test_while_the_store_is_away_a_bounded_number_is_kept_and_counted_later() -> None:
    rig = Rig(away=2)
    for number in range(10_000):
        rig.ended(f"id-{number}")
    rig.feedback.offer(Feedback("id-0", 0.5, "acme"))
    for _ in range(3):
        await rig.feedback.match()
        rig.ended("later")
    assert await rig.scores() == (1, 0.5)
    assert len(rig.answers) == MOST_ANSWERS_A_SECOND - 1
