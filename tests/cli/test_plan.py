"""`extproc plan`: a table that nothing is cut from, and the same as JSON."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console

from extproc.app.project import read_project
from extproc.cli.output import UNBOUNDED
from extproc.cli.planning import described_plan, show
from extproc.plan import description
from tests.cli.commands import BAD, GOOD, extproc, written
from tests.docs.blocks import ROOT

EXAMPLES: Final = [ROOT / "compose/demo/gateway.yaml", *sorted(ROOT.glob("envoy/*.gateway.yaml"))]
VARIABLES: Final = {"JWKS_FILE": str(ROOT / "envoy" / "jwks.json")}
LONG: Final = GOOD.replace("path_prefix: /users", f"path_prefix: /{'long/' * 30}end").replace(
    "partners, limits", f"partners, authorize: 'request.path != \"{'x' * 90}\"', limits"
)


def shown(text: str, width: int, file: Path = Path("gateway.yaml")) -> str:
    out = io.StringIO()
    show(described_plan(read_project(file, VARIABLES, text).plan), Console(file=out, highlight=False, width=width))
    return out.getvalue()


def document(text: str, folder: Path) -> dict[str, Any]:
    ended = extproc("plan", "-", "--output", "json", folder=folder, stdin=text.encode())
    assert (ended.code, ended.errors) == (0, "")
    said: dict[str, Any] = json.loads(ended.output)
    return said


def test_in_a_pipe_a_route_is_one_line_however_long(tmp_path: Path) -> None:
    ended = extproc("plan", "-", folder=tmp_path, stdin=LONG.encode(), environment={"COLUMNS": ""})
    lines = ended.output.splitlines()
    assert (ended.code, ended.errors) == (0, "")
    assert lines[0].split() == ["route", "matches", "leads", "to", "sidecar", "calls", "judged", "by", "bounds"]
    users = re.split(r"  +", lines[1])
    assert users[:4] == ["users", f"/{'long/' * 30}end and below", "→ users", "1 ext_authz"]
    assert users[4] == f'authenticate partners ▸ authorize request.path != "{"x" * 90}" ▸ limit tier'
    assert re.split(r"  +", lines[2]) == [
        "status", "/status", "→ users", "2 ratelimit ext_proc",
        "limit 5/s per address ▸ the answer's body: transform", "15 s ▸ body 1 MiB",
    ]  # fmt: skip
    assert lines[3] == ""
    assert [line.split()[0] for line in lines[4:]] == ["routes", "tiers", "filters", "listeners", "revision"]
    assert lines[4].split(maxsplit=1)[1] == "2: 1 with 1 call to the sidecar, 1 with 2 calls to the sidecar"
    assert "\x1b" not in ended.output
    assert not [line for line in lines if line != line.rstrip()]


def test_columns_are_obeyed_in_a_pipe_too(tmp_path: Path) -> None:
    ended = extproc("plan", "-", folder=tmp_path, stdin=LONG.encode(), environment={"COLUMNS": "80"})
    table = ended.output.partition("\nroutes")[0].splitlines()
    assert max(map(len, table)) <= 80


def letters(text: str) -> Counter[str]:
    """What the table says, whatever line it stands in."""
    table = text.partition("\nroutes")[0]
    return Counter(letter for line in table.splitlines() for letter in line if letter not in " ─")


@pytest.mark.parametrize("widths", [(40, 60, 80, 100, 119), (120, 160, 240)], ids=["narrow", "wide"])
@pytest.mark.parametrize("text", [GOOD, LONG], ids=["short", "long"])
def test_nothing_is_cut_off_at_any_width(text: str, widths: tuple[int, ...]) -> None:
    tables = [shown(text, width) for width in widths]
    assert "…" not in "".join(tables)
    assert all(letters(table) == letters(tables[-1]) for table in tables)
    assert letters(tables[0]) >= letters("status /status users 1 authorize partners tier 15 s body MiB")


@pytest.mark.parametrize("width", [80, 160, UNBOUNDED])
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_has_a_plan(file: Path, width: int) -> None:
    text = file.read_text("utf-8")
    table = shown(text, width, file)
    for name in re.findall(r"- name: (\S+)\n    match", text):
        assert re.search(rf"^ ?{name}\b", table, re.MULTILINE)
    assert max(map(len, table.partition("\nroutes")[0].splitlines())) <= width


def test_programs_get_everything(tmp_path: Path) -> None:
    said = document(GOOD, tmp_path)
    status = said["routes"][1]
    assert [item["name"].rpartition(".")[2] for item in status["filters"]] == [
        "header_mutation", "buffer", "ratelimit", "ext_proc", "router",
    ]  # fmt: skip
    assert status["filters"][1]["why"] == "before every check, so that a body over the limit is 413 and costs no call"
    assert (status["calls"], status["services"]) == (2, ["ratelimit", "ext_proc"])
    assert said["totals"] == {"routes": 2, "routes_by_calls": {"0": 0, "1": 1, "2": 1, "3": 0}}
    revision = json.loads(extproc("check", "-", "-o", "json", folder=tmp_path, stdin=GOOD.encode()).output)["revision"]
    assert said["revision"] == revision


def test_every_name_of_the_json_is_documented() -> None:
    kinds = [kind for kind in vars(description).values() if isinstance(kind, type) and is_dataclass(kind)]
    names = {field.name for kind in kinds for field in fields(kind)}
    page = (ROOT / "docs" / "commands.md").read_text("utf-8").partition("## plan")[2].partition("## schema")[0]
    assert names >= {"revision", "timeout_seconds", "why", "routes_by_calls"}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


@pytest.mark.parametrize(("options", "stream"), [([], "errors"), (["-o", "json"], "output")])
def test_problems_are_told_as_check_tells_them(options: list[str], stream: str, tmp_path: Path) -> None:
    written(tmp_path, BAD)
    planned, checked = (extproc(command, "gateway.yaml", *options, folder=tmp_path) for command in ("plan", "check"))
    assert planned == checked
    assert "user" in getattr(planned, stream)


def test_a_locale_without_our_letters_is_no_reason_to_say_nothing(tmp_path: Path) -> None:
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = extproc("plan", "-", folder=tmp_path, stdin=GOOD.encode(), environment=environment)
    assert (ended.code, ended.errors) == (0, "")
    assert r"\u2192 users" in ended.output
