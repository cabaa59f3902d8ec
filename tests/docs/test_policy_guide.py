"""docs/policies.md: its policies work, its tests pass, its table is the surface."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import extproc
from tests.cli.commands import extproc as run
from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "policies.md"
FILES = {block.file: block.text for block in blocks(PAGE) if block.file}
POLICIES = {name: text for name, text in FILES.items() if name.startswith("policies/")}
SETTINGS = {
    "business_hours": "start: 8",
    "daily_trial": "requests: 5",
    "refuse_when": "condition: 'request.method == \"PUT\"'",
    "hide_errors": "",
    "stamp": "",
}
PASSING = {"shout": ""}  # not on a route that holds its answers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_the_gateway_of_the_guide_can_be_served(folder: Path) -> None:
    ended = run("check", "gateway.yaml", folder=folder)
    assert (ended.code, ended.errors) == (0, "")


def test_every_policy_of_the_guide_can_be_used(folder: Path) -> None:
    assert {Path(name).stem for name in POLICIES} == {*SETTINGS, *PASSING}
    for named in (SETTINGS, PASSING):
        uses = ", ".join(f"{{use: {name}, {settings}}}" for name, settings in named.items())
        text = FILES["gateway.yaml"].replace("{use: business_hours, start: 8}", uses)
        (folder / "all.yaml").write_text(text, "utf-8")
        ended = run("check", "all.yaml", folder=folder)
        assert (ended.code, ended.errors) == (0, "")


def test_the_tests_of_the_guide_pass(folder: Path) -> None:
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n", "utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert "4 passed" in ended.stdout


def test_the_guide_has_every_name_of_the_surface_and_no_other() -> None:
    table = PAGE.read_text("utf-8").partition("## Everything that `extproc` exports")[2]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(extproc.__all__)


def test_the_guide_has_every_phase() -> None:
    phases = set(re.findall(r"`Phase\.(\w+)`", PAGE.read_text("utf-8")))
    assert phases == {phase.name for phase in extproc.Phase}
