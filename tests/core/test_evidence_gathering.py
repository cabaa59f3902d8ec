"""What waits to be saved is bounded, and what is given up is counted."""

from __future__ import annotations

from extproc.core.evidence import Told
from extproc.core.evidence_gathering import EvidenceGathering
from tests.core.evidence_cases import one_request, seen


def test_requests_of_one_second_and_version_are_one_sum() -> None:
    gathering = EvidenceGathering()
    for latency in (0.1, 0.2):
        gathering.add(Told("chat", "v1", 7), seen(latency))
    gathering.add(Told("chat", "v2", 7), seen(0.1))
    assert gathering.take() == {
        Told("chat", "v1", 7): one_request(0.1) + one_request(0.2), Told("chat", "v2", 7): one_request(0.1),
    }  # fmt: skip
    assert gathering.take() == {}


def test_while_nobody_takes_it_the_oldest_is_given_up_and_counted() -> None:
    gathering = EvidenceGathering(most=10)
    for second in range(100):
        gathering.add(Told("chat", "v1", second), seen(0.1))
        gathering.add(Told("chat", "v1", second), seen(0.1))
    assert len(gathering) == 10
    assert gathering.lost == 2 * 90
    assert min(told.second for told in gathering.take()) == 90
