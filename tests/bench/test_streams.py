"""The bench of streams runs, and what does not depend on the machine is held here."""

from __future__ import annotations

import json

import pytest

from tests.bench.streams import main


def test_the_bench_says_what_it_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--alone", "--events", "2000"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert min(said.values()) > 0


def test_one_question_to_the_counters_is_for_many_events(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--alone", "--events", "10000"])
    assert json.loads(capsys.readouterr().out)["events_a_question"] > 50
