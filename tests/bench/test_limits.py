"""The bench of limits runs, and what does not depend on the machine is held here."""

from __future__ import annotations

import json

import pytest

from tests.bench.limits import main, weight


def test_the_bench_says_what_it_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--times", "50", "--counters", "1000"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert min(said.values()) > 0
    assert said["redis_ratio"] == pytest.approx(said["redis_32_at_once_us"] / said["redis_bare_pipeline_us"])


async def test_a_million_counters_fit_into_three_hundred_megabytes() -> None:
    assert await weight(100_000) <= 300
