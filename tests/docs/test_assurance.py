"""docs/assurance.md: every test that it names is there, and every row names one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.docs.blocks import ROOT

PAGE: Final = ROOT / "docs" / "assurance.md"
NAMED: Final = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[str]:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    return [line for line in lines if not line.startswith(("| row |", "|---"))]


def test_every_row_names_a_test() -> None:
    assert rows()
    assert [row for row in rows() if not NAMED.search(row.rpartition(" | ")[2])] == []


def test_every_test_that_is_named_is_there() -> None:
    named = [found for row in rows() for found in NAMED.findall(row)]
    assert [f"{file}::{name}" for file, name in named if not _has(ROOT / file, name)] == []


def _has(file: Path, name: str) -> bool:
    return file.is_file() and re.search(rf"^(async )?def {name}\(", file.read_text("utf-8"), re.MULTILINE) is not None
