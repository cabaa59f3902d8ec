"""docs/assurance.md: every test that it names is there."""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "assurance.md"


def test_every_test_that_the_page_names_is_there() -> None:
    named: list[tuple[str, str]] = []
    for line in PAGE.read_text("utf-8").splitlines():
        file = ""
        for path, name in re.findall(r"(tests/[\w/]+\.py)?(?:::(\w+))?", line):
            file = path or file
            named += [(file, name)] if name else []
    assert len(named) > 20
    assert [one for one in named if f"def {one[1]}(" not in (ROOT / one[0]).read_text("utf-8")] == []
