"""Feedback that waits is bounded, in all and for each consumer."""

from __future__ import annotations

from extproc.core.feedback import EARLY, MOST_CONSUMERS, MOST_OF_ONE, MOST_PENDING, Feedback, Pending

NOW = 1_790_000_040.0


def said(number: int, consumer: str | None = "acme") -> Feedback:
    return Feedback(f"id-{number}", 0.5, consumer)


def test_one_consumer_has_its_part_of_a_minute_and_no_more() -> None:
    pending = Pending()
    taken = [pending.offer(said(number), NOW) for number in range(1_000)]
    assert taken == [True] * MOST_OF_ONE + [False] * (1_000 - MOST_OF_ONE)
    assert pending.offer(said(1, "bolt"), NOW)
    assert pending.offer(said(2_000), NOW + 60)


def test_names_that_are_made_up_have_a_bound_of_their_own() -> None:
    pending = Pending()
    for number in range(MOST_CONSUMERS + 10):
        pending.offer(said(number, f"c{number}"), NOW)
        pending.take()
    assert not pending.offer(said(1, "somebody new"), NOW)
    assert pending.offer(said(1, "c1"), NOW)
    assert pending.offer(said(1, None), NOW)


def test_all_together_are_bounded_and_what_is_said_again_is_one() -> None:
    pending = Pending()
    for number in range(MOST_PENDING + 100):
        pending.offer(said(number, None), NOW)
    assert len(pending) == MOST_PENDING
    pending.take()
    for _ in range(3):
        pending.offer(said(1), NOW)
    assert len(pending) == 1


def test_a_guessed_id_keeps_nobody_out() -> None:
    pending = Pending()
    pending.offer(Feedback("id", 0.0, "mallory"), NOW)
    pending.offer(Feedback("id", 1.0, "acme"), NOW)
    assert {feedback.consumer for _, feedback in pending.take()} == {"mallory", "acme"}


def test_what_came_too_early_is_tried_for_some_seconds() -> None:
    pending = Pending()
    pending.offer(said(1), NOW)
    assert pending.give_back(pending.take(), NOW + EARLY - 1) == 0
    assert len(pending) == 1
    assert pending.give_back(pending.take(), NOW + EARLY) == 1
    assert len(pending) == 0
