"""The fenced blocks of a Markdown page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FENCE: Final = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE: Final = re.compile(r"# (?P<name>[\w./-]+\.\w+)\n")


@dataclass(frozen=True, slots=True)
class Block:
    """`file` is the name in its first line, `# policies/x.py`, where it has one."""

    page: str
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        named = FILE.match(self.text)
        return named["name"] if named else None


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    name = str(page.relative_to(ROOT))
    return [
        Block(name, text.count("\n", 0, found.start()) + 2, found["language"], found["text"])
        for found in FENCE.finditer(text)
    ]
