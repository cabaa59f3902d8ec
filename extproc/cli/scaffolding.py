"""`extproc init`: the files of a new gateway, which run as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from extproc.config.schema import gateway_schema
from extproc.plugins.registry import discover

SCAFFOLD: Final = Path(__file__).with_name("scaffold")
SCHEMA: Final = "gateway.schema.json"
NEXT: Final = """\

next, in {folder}:
  extproc check gateway.yaml
  extproc up gateway.yaml                         the gateway, until Ctrl-C; and in other terminals:
  python3 -m http.server 3000 --bind 127.0.0.1    something for it to stand in front of
  curl -i http://127.0.0.1:8080/                  403, header_missing
  curl -i -H 'x-team: blue' http://127.0.0.1:8080/
  pytest                                          the policy's own test"""


class AlreadyThere(Exception):
    """A file that would be overwritten."""


def make_project(folder: Path) -> list[Path]:
    """The files, written where none of them was before. Raises AlreadyThere, OSError."""
    texts = {
        file.relative_to(SCAFFOLD): file.read_text("utf-8") for file in sorted(SCAFFOLD.rglob("*.*")) if _is_ours(file)
    }
    for name in [*texts, Path(SCHEMA)]:
        if (folder / name).exists():
            raise AlreadyThere(f"{folder / name} is there already: nothing was written")
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    schema = json.dumps(gateway_schema(discover(folder).settings), indent=2)
    (folder / SCHEMA).write_text(schema + "\n", encoding="utf-8")
    return sorted(folder / name for name in (*texts, Path(SCHEMA)))


def _is_ours(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts
