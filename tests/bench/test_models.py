"""The bench of models runs; what does not depend on the machine is held here."""

from __future__ import annotations

import json

import pytest

from tests.bench.models import main

pytestmark = pytest.mark.e2e


def test_the_bench_says_what_it_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--times", "50", "--requests", "20", "--percent", "100"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert min(said.values()) > 0
    assert said["shadow_ratio"] == pytest.approx(said["shadowed_p50_ms"] / said["alone_p50_ms"])
    assert {"choice_remembered_us", "choice_drawn_us", "choice_pin_us", "choice_rule_us"} <= set(said)
