"""The benchmark of credentials, run too shortly to measure anything."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from extproc.core.decision import refusal
from extproc.core.message import Consumer
from tests.bench.credentials import BARE, CASES, Case, measured, table


def test_every_case_judges_as_it_says_and_is_compared_with_the_bare_one() -> None:
    costs = measured([make() for make in CASES], rounds=1, times=2)
    assert (costs[0].name, costs[0].ratio) == (BARE, 1.0)
    assert len({cost.name for cost in costs}) == len(CASES)
    output = Console(file=StringIO(), width=100)
    output.print(table(costs))
    assert all(cost.name in output.file.getvalue() for cost in costs)  # type: ignore[attr-defined]


def test_a_credential_that_is_refused_is_no_measurement() -> None:
    async def ask() -> object:
        return refusal(401, "unknown", "who")

    with pytest.raises(RuntimeError, match="not believed"):
        measured([Case("a", ask)], rounds=1, times=1)


def test_a_credential_that_is_believed_is_no_measurement_of_a_refusal() -> None:
    async def ask() -> object:
        return Consumer("acme")

    with pytest.raises(RuntimeError, match="is believed"):
        measured([Case("a", ask, refused=True)], rounds=1, times=1)
