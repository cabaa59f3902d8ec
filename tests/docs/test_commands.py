"""Every command that a page shows is run as it is written, in a folder in which the demo runs.

A page's `sh` blocks are run in their order, in one folder. Behind a command, `# 401` says which status its output has.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cli.commands import extproc
from tests.docs.blocks import ROOT, blocks
from tests.e2e.demo_gateway import Demo, running_demo

pytestmark = pytest.mark.e2e

PAGES: Final = sorted(
    page
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("envoy/*.md"), *ROOT.glob("compose/*.md"))
    if any(block.language == "sh" for block in blocks(page))
)
# Commands that a test cannot run inside a test, and what runs them.
ELSEWHERE: Final = {
    "make up": "tests/e2e/test_demo.py runs what the Makefile does",
    "make test": "it is this run",
    "make check": "CI runs it before the tests",
    "make bench": "tests/bench runs it, shorter",
    "extproc up": "tests/e2e/harness.py starts every gateway of the end-to-end tests so",
    "extproc serve": "tests/e2e/harness.py, where sidecar and Envoy are ended apart",
    "docker": "tests/compose/test_engine.py, where an engine answers",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A running demo, with the files of the repository that pages name beside it."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("compose", "envoy", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    with running_demo(folder) as running:
        yield running


def commands(page: Path) -> list[str]:
    """One a line; a line that ends in a backslash goes on."""
    found = []
    for block in blocks(page):
        if block.language == "sh":
            lines = block.text.replace("\\\n", " ").splitlines()
            found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return found


def is_run_elsewhere(command: str) -> bool:
    return any(command.startswith(name) for name in ELSEWHERE)


@pytest.fixture
def folder(demo: Demo) -> Iterator[Path]:
    """The demo's, as it was before when a page is done with it."""
    before = set(demo.folder.iterdir())
    yield demo.folder
    for made in set(demo.folder.iterdir()) - before:
        shutil.rmtree(made) if made.is_dir() else made.unlink()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_do_what_it_says(page: Path, folder: Path) -> None:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}", "NO_COLOR": "1", "HOME": str(folder),
        "COLUMNS": "160", "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    setting = ""
    for command in (command for command in commands(page) if not is_run_elsewhere(command)):
        if command.startswith(". "):  # a file of variables: for the commands behind it
            setting = f"{command}; "
            continue
        ended = subprocess.run(
            ["/bin/bash", "-c", setting + command], cwd=folder, env=environment, capture_output=True, text=True,
            timeout=120, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
        status = re.search(r"# (\d{3})\b", command)
        assert status is None or f" {status[1]} " in ended.stdout.splitlines()[0], f"{command}\n{ended.stdout}"


def test_every_command_has_an_example_in_some_page(tmp_path: Path) -> None:
    listed = extproc("--help", folder=tmp_path).output.partition("Commands:")[2]
    names = re.findall(r"^  (\w+) ", listed, re.MULTILINE)
    assert "check" in names
    shown = {
        name for page in PAGES for command in commands(page) for name in re.findall(r"(?:^|\| )extproc (\w+)", command)
    }
    assert set(names) <= shown


def test_what_is_run_elsewhere_is_shown_somewhere() -> None:
    every = [command for page in PAGES for command in commands(page)]
    assert [name for name in ELSEWHERE if not any(command.startswith(name) for command in every)] == []
