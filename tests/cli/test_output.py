"""`--output json`: the same result for programs, findings included."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from extproc.app.clock import SystemClock
from extproc.app.demo import make_credentials
from extproc.cli.failures import Exit, reported
from extproc.cli.output import Output
from extproc.core.problems import InvalidConfig, Problem
from tests.cli.commands import BAD, GOOD, extproc, written

FINDINGS = [
    {
        "file": "gateway.yaml",
        "line": 3,
        "column": 16,
        "path": "tiers.free.rate",
        "message": "a rate is from 1 to 1000000000; to refuse everybody write authorize: 'false'",
        "hint": "",
    },
    {
        "file": "gateway.yaml",
        "line": 6,
        "column": 49,
        "path": "routes[0].upstream",
        "message": "there is no upstream 'user'",
        "hint": "did you mean users?",
    },
]


def test_a_good_file_is_ok_for_programs_too(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    ended = extproc("check", "gateway.yaml", "--output", "json", folder=tmp_path)
    said = json.loads(ended.output)
    assert (ended.code, ended.errors) == (0, "")
    assert re.fullmatch("[0-9a-f]{16}", said.pop("revision"))
    assert said == {"ok": True, "routes": 2}


@pytest.mark.parametrize("command", ["check", "render"])
def test_findings_are_a_result_and_come_as_json(command: str, tmp_path: Path) -> None:
    written(tmp_path, BAD)
    ended = extproc(command, "gateway.yaml", "-o", "json", folder=tmp_path)
    assert (ended.code, ended.errors) == (1, "")
    assert json.loads(ended.output) == {"ok": False, "problems": FINDINGS}


def test_the_problems_of_several_files_are_one_result(capsys: pytest.CaptureFixture[str]) -> None:
    errors = [InvalidConfig([Problem(file, 1, 1, "", "é")]) for file in ("a.yaml", "b.yaml")]
    with pytest.raises(SystemExit) as ended, reported(Output.JSON):
        raise ExceptionGroup("both", errors)
    assert ended.value.code == Exit.FINDINGS
    said = json.loads(capsys.readouterr().out)
    assert [(one["file"], one["message"]) for one in said["problems"]] == [("a.yaml", "é"), ("b.yaml", "é")]


def test_what_could_not_be_run_stays_a_sentence(tmp_path: Path) -> None:
    options = ["--consumer", "acme", "--tier", "free", "--output", "json"]
    ended = extproc("demo", "token", *options, folder=tmp_path)
    assert (ended.code, ended.output) == (3, "")
    assert ended.said == ["extproc: no demo has been started here: there is no .extproc/demo-signing-key.pem"]


def test_a_token_is_a_member_of_an_object(tmp_path: Path) -> None:
    make_credentials(tmp_path, SystemClock())
    options = ["--consumer", "acme", "--tier", "free", "--folder", ".", "--output", "json"]
    ended = extproc("demo", "token", *options, folder=tmp_path)
    assert list(json.loads(ended.output)) == ["token"]


def test_a_bootstrap_is_the_same_as_json_and_as_yaml(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    as_json, as_yaml = (extproc("render", "gateway.yaml", "-o", output, folder=tmp_path) for output in ("json", "text"))
    assert json.loads(as_json.output) == yaml.safe_load(as_yaml.output)
