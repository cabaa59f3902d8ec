"""`extproc schema`: for editors, with the kinds that stand beside a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import BAD, GOOD, extproc, written

KIND = '''
from typing import ClassVar
from extproc import Phase, Policy, Ports, Settings

class SleepySettings(Settings):
    hours: int = 8
    """How many hours a night."""

class Sleepy(Policy):
    name: ClassVar[str] = "sleepy"
    Settings: ClassVar[type[SleepySettings]] = SleepySettings
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: SleepySettings, ports: Ports) -> Policy:
        return Sleepy()
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written(tmp_path, GOOD)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "sleepy.py").write_text(KIND)
    return tmp_path


def test_without_a_file_it_has_the_built_in_kinds(folder: Path) -> None:
    ended = extproc("schema", folder=folder)
    schema = json.loads(ended.output)
    assert (ended.code, ended.errors, schema["$id"]) == (0, "", "urn:extproc:gateway")
    assert "policy.transform" in schema["$defs"]
    assert "policy.sleepy" not in schema["$defs"]


@pytest.mark.parametrize("file", ["gateway.yaml", "-"])
def test_with_a_file_it_has_the_kinds_beside_it(folder: Path, file: str) -> None:
    schema = json.loads(extproc("schema", file, folder=folder, stdin=b"").output)
    hours = schema["$defs"]["policy.sleepy"]["properties"]["hours"]
    assert (hours["default"], hours["description"]) == (8, "How many hours a night.")
    assert schema["$defs"]["gateway.policy-use"]["properties"]["use"]["anyOf"][0]["enum"] == ["sleepy", "transform"]


def test_a_file_that_is_bad_still_has_a_schema(folder: Path) -> None:
    """Whoever edits it needs one the more."""
    written(folder, BAD)
    assert "policy.sleepy" in extproc("schema", "gateway.yaml", folder=folder).output


def test_a_kind_that_cannot_be_read_is_told(folder: Path) -> None:
    (folder / "policies" / "sleepy.py").write_text("1 +")
    ended = extproc("schema", "gateway.yaml", folder=folder)
    assert (ended.code, ended.output) == (1, "")
    assert ended.said[0].startswith("policies/sleepy.py:1:4: cannot be imported: SyntaxError")


def test_a_file_that_is_not_there_is_told(folder: Path) -> None:
    ended = extproc("schema", "nowhere/gateway.yaml", "--output", "json", folder=folder)
    assert (ended.code, json.loads(ended.output)["problems"][0]["message"]) == (1, "no such file")
