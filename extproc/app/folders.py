"""Where a run keeps its files, and how a private one is written."""

from __future__ import annotations

from pathlib import Path
from typing import Final

WORK_FOLDER: Final = ".extproc"


def write_private(file: Path, text: str) -> None:
    """Whole or not at all, and readable by its owner alone from the first byte on."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
