"""What the benchmark of credentials measures is what it says, and its table can be printed."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from extproc.core.decision import LocalReply
from extproc.core.message import Consumer
from tests.bench.credentials import Case, cases, measured, table

REFUSED = ("unknown", "misspelt")


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
async def test_a_case_checks_what_its_name_says(case: Case) -> None:
    assert isinstance(await case.check(), LocalReply if case.name.endswith(REFUSED) else Consumer)
    assert await case.least() is not None


async def test_every_case_has_its_row_with_a_ratio() -> None:
    found = await measured(cases(), rounds=1, calls=2)
    out = StringIO()
    Console(file=out, width=200).print(table(found))
    assert [row.name for row in found] == [case.name for case in cases()]
    assert all(row.name in out.getvalue() for row in found)
    assert all(row.ratio > 0 for row in found)
