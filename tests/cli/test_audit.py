"""`extproc audit` as an operator runs it."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Final

import pytest

from extproc.audit.rule import Finding
from tests.cli.commands import GOOD, extproc, written
from tests.docs.blocks import ROOT

WEAK: Final = (
    "static_resources:\n  listeners: []\nadmin:\n  address:\n    socket_address: {address: 0.0.0.0, port_value: 9901}\n"
)
ADMIN: Final = "bootstrap.yaml:4:3: high EX801 admin.address: Whoever reaches the admin address can stop Envoy"


def test_a_finding_is_a_line_with_its_place_and_what_to_do_below(tmp_path: Path) -> None:
    written(tmp_path, WEAK, "bootstrap.yaml")
    ended = extproc("audit", "bootstrap.yaml", folder=tmp_path)
    first, below, second, more, last = ended.output.splitlines()
    assert (ended.code, ended.errors) == (1, "")
    assert first.startswith(ADMIN)
    assert below.startswith("    Bind admin to 127.0.0.1, or to a Unix socket. (https://")
    assert second.startswith("bootstrap.yaml:1:1: medium EX802 overload_manager: ")
    assert more.startswith("    Add overload_manager")
    assert last == "bootstrap.yaml: 1 high, 1 medium"


def test_what_to_do_stands_once_below_all_findings_of_a_rule(tmp_path: Path) -> None:
    routes = "".join(f"  - {{name: {name}, authenticate: none}}\n" for name in "abc")
    ended = extproc("audit", "-", folder=tmp_path, stdin=b"routes:\n" + routes.encode())
    assert [line.partition(" ")[0] for line in ended.output.splitlines()] == ["-:2:5:", "-:3:5:", "-:4:5:", "", "-:"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 1),
        (["--severity", "high"], 1),
        (["--ignore", "EX801"], 1),
        (["--ignore", "EX801", "--severity", "high"], 0),
        (["--ignore", "EX801", "--ignore", "EX802"], 0),
    ],
)
def test_it_ends_with_1_where_something_is_left(options: list[str], code: int, tmp_path: Path) -> None:
    ended = extproc("audit", "-", *options, folder=tmp_path, stdin=WEAK.encode())
    assert ended.code == code
    assert (ended.output == "-: nothing found\n") is (code == 0)


def test_json_is_a_bootstrap_too_and_json_is_what_programs_get(tmp_path: Path) -> None:
    text = json.dumps({"admin": {"address": {"socketAddress": {"address": "::", "portValue": 1}}}}, indent=2)
    ended = extproc("audit", "-", "--output", "json", folder=tmp_path, stdin=text.encode())
    said = json.loads(ended.output)
    assert (ended.code, ended.errors) == (1, "")
    assert {key: said[key] for key in ("ok", "file", "kind")} == {"ok": False, "file": "-", "kind": "envoy"}
    assert said["totals"] == {"high": 1, "medium": 1, "low": 0}
    assert said["findings"][0] | {"weakens": "", "mend": "", "reference": ""} == {
        "rule": "EX801", "severity": "high", "line": 3, "column": 5, "path": "admin.address",
        "weakens": "", "mend": "", "reference": "",
    }  # fmt: skip


def test_a_gateway_file_is_read_with_its_variables(tmp_path: Path) -> None:
    text = GOOD.replace("0.0.0.0:8080", "${WHERE:=0.0.0.0:8080}")
    findings = []
    for environment in ({}, {"WHERE": "127.0.0.1:8080"}):
        ended = extproc("audit", "-", "-o", "json", folder=tmp_path, stdin=text.encode(), environment=environment)
        said = json.loads(ended.output)
        assert said["kind"] == "gateway"
        findings.append({one["rule"] for one in said["findings"]})
    assert findings == [{"EX102", "EX105"}, {"EX102"}]


def test_what_render_writes_has_nothing_that_matters(tmp_path: Path) -> None:
    bootstrap = extproc("render", "-", "-o", "json", folder=tmp_path, stdin=GOOD.encode()).output
    ended = extproc("audit", "-", "--severity", "medium", folder=tmp_path, stdin=bootstrap.encode())
    assert (ended.code, ended.output) == (0, "-: nothing found\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [", "extproc: file:2:1: not YAML"),
        (b"{}", "extproc: file is neither a gateway file (no routes) nor an Envoy configuration"),
        (b"just text", "extproc: file is neither"),
        (b"- routes", "extproc: file is neither"),
        (b"", "extproc: file:1:1: is empty"),
        (b"\xff\xfe", "extproc: file is not UTF-8 text"),
        (b"admin: {}\nadmin: {}\n", "extproc: file:2:1: admin: duplicate key 'admin'"),
        (b"static_resources: &a {}\nadmin: {<<: *a}\n", "extproc: file:2:9: admin.<<: a key must be plain text"),
    ],
)
def test_what_cannot_be_judged_is_3_and_a_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    ended = extproc("audit", "file", folder=tmp_path)
    assert (ended.code, ended.output) == (3, "")
    assert ended.errors.startswith(said)
    assert "Traceback" not in ended.errors


def test_a_file_that_is_not_there_is_3(tmp_path: Path) -> None:
    ended = extproc("audit", "nowhere.yaml", folder=tmp_path)
    assert (ended.code, ended.said) == (3, ["extproc: nowhere.yaml: No such file or directory"])


@pytest.mark.parametrize(
    ("rule", "said"), [("EX8001", "there is no rule 'EX8001': did you mean EX80"), ("nonsense", "there is no rule")]
)
def test_a_rule_that_there_is_not_is_wrong_usage(rule: str, said: str, tmp_path: Path) -> None:
    ended = extproc("audit", "-", "--ignore", rule, folder=tmp_path, stdin=WEAK.encode())
    assert ended.code == 2
    assert said in " ".join(re.sub(r"[│\s]+", " ", ended.errors).split())


def test_every_name_of_the_json_is_documented() -> None:
    page = (ROOT / "docs" / "commands.md").read_text("utf-8").partition("## audit")[2].partition("\n## ")[0]
    names = {"ok", "file", "kind", "totals", "findings", *(field.name for field in fields(Finding))}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
