"""Envoy's files of a plan, written so that a running Envoy never sees half of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from extproc.bootstrap.build import BOOTSTRAP, SECRETS, build_files
from extproc.bootstrap.render import render
from extproc.plan.model import Plan

Write = Callable[[Path, str], None]


def write_files(plan: Plan, folder: Path, write: Write) -> Path:
    """Everything that Envoy needs of a plan, in a folder of the operator's choice; the bootstrap is returned. Secrets
    of an earlier plan are removed: no file of theirs is referred to any more."""
    folder = folder.absolute()
    files = build_files(plan, folder)
    (folder / SECRETS).mkdir(parents=True, exist_ok=True)
    for place, data in files.items():
        write(folder / place, render(data))
    for left in set((folder / SECRETS).glob("*.yaml")) - {folder / place for place in files}:
        left.unlink()
    return folder / BOOTSTRAP


def write_whole(file: Path, text: str) -> None:
    """Whole or not at all, and readable by whoever the folder's owner wants Envoy to be: there is no secret in it."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
