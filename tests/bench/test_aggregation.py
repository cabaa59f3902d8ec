"""The bench of aggregates runs; what it says of times is the machine's, and is held nowhere."""

from __future__ import annotations

import json

import pytest

from tests.bench.aggregation import main, said


@pytest.mark.e2e
def test_the_bench_says_what_it_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rounds", "1", "--times", "3"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["part_ms"] >= 20
    assert told["to_the_part"] == pytest.approx(told["aggregate_ms"] / told["part_ms"])
    assert told["to_the_route"] == pytest.approx(told["aggregate_ms"] / told["route_ms"])


def test_medians_are_compared_and_not_what_is_rare() -> None:
    told = said({"aggregate": [0.02, 0.03, 9.0], "route": [0.02, 0.03, 0.04], "part": [0.01, 0.02, 0.03]})
    assert (told["aggregate_ms"], told["to_the_route"], told["to_the_part"]) == (30.0, 1.0, 1.5)
