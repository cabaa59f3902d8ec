"""`extproc init`: what it writes runs as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.cli.commands import extproc

WRITTEN = {
    "gateway.yaml", "gateway.schema.json", "pytest.ini", "policies/require_header.py", "tests/test_require_header.py",
}  # fmt: skip


def files_in(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_it_writes_a_gateway_a_policy_and_its_test(tmp_path: Path) -> None:
    ended = extproc("init", "x", folder=tmp_path)
    assert (ended.code, ended.errors) == (0, "")
    assert files_in(tmp_path / "x") == WRITTEN
    assert [line for line in ended.output.splitlines() if line.startswith("x/")] == sorted(
        f"x/{name}" for name in WRITTEN
    )


def test_what_it_writes_passes_check_plan_explain_and_its_own_test(tmp_path: Path) -> None:
    extproc("init", "x", folder=tmp_path)
    assert extproc("check", "x/gateway.yaml", folder=tmp_path).output.startswith("x/gateway.yaml: ok (1 route,")
    assert "require_header" in extproc("plan", "x/gateway.yaml", folder=tmp_path).output
    explained = extproc("explain", "x/gateway.yaml", "--path", "/", folder=tmp_path)
    assert "refuse 403 header_missing  by require_header, x/gateway.yaml:" in explained.output
    for arguments, place in ((["x"], tmp_path), ([], tmp_path / "x")):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        ended = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 0, ended.stdout
        assert "4 passed" in ended.stdout


def test_the_schema_beside_it_knows_its_policy(tmp_path: Path) -> None:
    extproc("init", "x", folder=tmp_path)
    first = (tmp_path / "x" / "gateway.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=gateway.schema.json"
    assert "require_header" in (tmp_path / "x" / "gateway.schema.json").read_text()
    assert (
        extproc("schema", "x/gateway.yaml", folder=tmp_path).output
        == (tmp_path / "x" / "gateway.schema.json").read_text()
    )


def test_it_overwrites_nothing(tmp_path: Path) -> None:
    extproc("init", "x", folder=tmp_path)
    (tmp_path / "x" / "gateway.yaml").write_text("mine")
    for name in WRITTEN - {"gateway.yaml"}:
        (tmp_path / "x" / name).unlink()
    ended = extproc("init", "x", folder=tmp_path)
    assert (ended.code, ended.output) == (3, "")
    assert ended.said == ["extproc: x/gateway.yaml is there already: nothing was written"]
    assert files_in(tmp_path / "x") == {"gateway.yaml"}


def test_it_may_fill_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    ended = extproc("init", ".", "--output", "json", folder=tmp_path)
    assert (ended.code, sorted(json.loads(ended.output)["created"])) == (0, sorted(WRITTEN))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a file")
    ended = extproc("init", "x", folder=tmp_path)
    assert (ended.code, "Traceback" in ended.errors) == (3, False)
