"""Exit codes, usage, and what a command costs before it does anything."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from extproc.app.clock import SystemClock
from extproc.app.demo import make_credentials
from tests.cli.commands import BAD, GOOD, extproc, written

HEAVY = {"grpc", "google", "pydantic", "envoy_data_plane", "cel_expr_python", "uvicorn", "starlette", "yaml", "jwt"}
IMPORTS = """
import runpy, sys
sys.argv[1:] = {arguments!r}
try:
    runpy.run_module("extproc", run_name="__main__", alter_sys=True)
except SystemExit as ended:
    print("MODULES", ended.code, *sorted({{name.split(".")[0] for name in sys.modules}}))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["render"],
        ["audit"],
        ["audit", "a", "--severity", "worst"],
        ["audit", "a", "--ignore", "EX999"],
        ["plan"],
        ["schema", "a", "b"],
        ["serve"],
        ["nosuchcommand"],
        ["check", "a", "b"],
        ["check", "--nosuchoption", "a"],
        ["check", "a", "--output", "xml"],
        ["up"],
        ["up", "gateway.yaml", "--demo", "compose/demo"],
        ["up", "gateway.yaml", "--port", "0"],
        ["up", "gateway.yaml", "--port", "65536"],
        ["simulate", "gateway.yaml"],
        ["simulate", "-", "--traffic", "-"],
        ["simulate", "gateway.yaml", "--traffic", "-", "--set", "tiers.free.rate"],
        ["simulate", "gateway.yaml", "--traffic", "-", "--set", "=20/s"],
        ["usage", "acme"],
        ["usage", "--since", "soon"],
        ["usage", "--admin", "ftp://127.0.0.1"],
        ["usage", "--admin", "http://127.0.0.1", "--file", "gateway.yaml"],
        ["password", "hunter2"],
        ["healthcheck", "--admin", "9900"],
        ["healthcheck", "--admin", "127.0.0.1:0"],
        ["versions"],
        ["versions", "report"],
        ["keys"],
        ["keys", "create"],
        ["keys", "create", "--consumer", ""],
        ["keys", "create", "--consumer", "a", "--expires", "soon"],
        ["keys", "create", "--consumer", "a", "--scopes", "a b"],
        ["keys", "list", "--store", "keys.yaml"],
        ["keys", "list", "--store", "redis:///0"],
        ["keys", "list", "--store", "redis://:secret@127.0.0.1"],
        ["keys", "list", "--store", "file:keys.yaml", "--file", "gateway.yaml"],
        ["keys", "list", "--admin", "ftp://127.0.0.1"],
        ["keys", "rotate"],
        ["keys", "rotate", "key_0", "--overlap", "soon", "--store", "file:keys.yaml"],
        ["keys", "revoke"],
        ["rollout"],
        ["rollout", "set", "recommend"],
        ["rollout", "set", "recommend", "v2"],
        ["rollout", "set", "recommend", "v2=101"],
        ["rollout", "start"],
        ["rollout", "start", "recommend", "--generation", "-1"],
        ["rollout", "history"],
        ["rollout", "status", "--admin", "ftp://127.0.0.1"],
        ["rollout", "watch", "recommend", "--since", "1s"],
        ["demo"],
        ["demo", "credentials", "--fold"],
        ["demo", "token"],
        ["demo", "token", "--consumer", "acme"],
    ],
)
def test_wrong_usage_is_2_and_no_traceback(arguments: list[str], tmp_path: Path) -> None:
    ended = extproc(*arguments, folder=tmp_path)
    assert ended.code == 2
    assert "Usage" in ended.errors + ended.output
    assert "Traceback" not in ended.errors


def test_the_version_is_the_one_of_the_package(tmp_path: Path) -> None:
    ended = extproc("--version", folder=tmp_path)
    assert (ended.code, ended.output, ended.errors) == (0, f"extproc {version('envoy-extproc')}\n", "")


def test_up_says_what_to_write(tmp_path: Path) -> None:
    assert "write one of FILE and --demo FOLDER" in extproc("up", folder=tmp_path).errors


@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_bad_file_starts_nothing(command: str, tmp_path: Path) -> None:
    written(tmp_path, BAD)
    ended = extproc(command, "gateway.yaml", folder=tmp_path)
    assert ended.code == 1
    assert ended.said[-1] == "2 problems, nothing was started"


def test_serve_reads_standard_input_as_its_help_says(tmp_path: Path) -> None:
    ended = extproc("serve", "-", folder=tmp_path, stdin=BAD.encode())
    assert (ended.code, ended.said[0].split(":")[0]) == (1, "-")
    assert len(ended.said) == 3


def test_an_address_that_is_taken_is_3_and_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sockets = tmp_path / "run"
        written(tmp_path, GOOD + f"sidecar: {{admin: '127.0.0.1:{port}', address: 'unix:{sockets}'}}\n")
        ended = extproc("serve", "gateway.yaml", folder=tmp_path)
    assert (ended.code, ended.output) == (3, "")
    assert ended.said == [f"extproc: 127.0.0.1:{port} cannot be used: Address already in use"]


def test_a_token_without_a_demo_is_3_and_a_sentence(tmp_path: Path) -> None:
    ended = extproc("demo", "token", "--consumer", "acme", "--tier", "free", folder=tmp_path)
    assert (ended.code, ended.output) == (3, "")
    assert ended.said == ["extproc: no demo has been started here: there is no .extproc/demo-signing-key.pem"]
    (tmp_path / ".extproc").mkdir()
    (tmp_path / ".extproc" / "demo-signing-key.pem").write_text("no key")
    broken = extproc("demo", "token", "--consumer", "acme", "--tier", "free", folder=tmp_path)
    assert broken.said == ["extproc: .extproc/demo-signing-key.pem is not a signing key: start the demo again"]


def test_a_token_of_a_running_demo_is_printed_alone(tmp_path: Path) -> None:
    make_credentials(tmp_path, SystemClock())
    options = ["--consumer", "acme", "--tier", "free", "--scope", "a:read", "--scope", "b:read", "--folder", "."]
    ended = extproc("demo", "token", *options, folder=tmp_path)
    assert (ended.code, ended.errors) == (0, "")
    payload = ended.output.strip().split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["sub"], claims["tier"], claims["scope"]) == ("acme", "free", "a:read b:read")


def imported_by(*arguments: str, folder: Path) -> set[str]:
    program = IMPORTS.format(arguments=list(arguments))
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    code, *modules = ended.stdout.splitlines()[-1].removeprefix("MODULES ").split()
    assert code == "0"
    assert "typer" in modules
    return set(modules)


def test_help_is_instant_for_it_imports_nothing_heavy(tmp_path: Path) -> None:
    assert not HEAVY & imported_by("--help", folder=tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        *(["init"], ["check"], ["plan"], ["explain"], ["schema"], ["render"], ["audit"], ["serve"], ["up"]),
        *(["healthcheck"], ["password"], ["simulate"], ["usage"]),
        *(["demo", "credentials"], ["demo", "token"]),
        *(["keys", "create"], ["keys", "list"], ["keys", "rotate"], ["keys", "revoke"]),
        ["versions", "report"],
        *(
            ["rollout", "status"],
            ["rollout", "set"],
            ["rollout", "start"],
            ["rollout", "pause"],
            ["rollout", "promote"],
        ),
        *(["rollout", "rollback"], ["rollout", "history"], ["rollout", "watch"]),
    ],
)
def test_the_help_of_a_command_imports_nothing_that_only_running_it_needs(command: list[str], tmp_path: Path) -> None:
    # Pydantic is typer's own doing: it validates parameters with it.
    assert HEAVY & imported_by(*command, "--help", folder=tmp_path) <= {"pydantic"}


def test_help_lists_every_command(tmp_path: Path) -> None:
    ended = extproc("--help", folder=tmp_path)
    assert ended.code == 0
    for command in (
        "init",
        "check",
        "plan",
        "explain",
        "simulate",
        "usage",
        "schema",
        "render",
        "password",
        "audit",
        "serve",
        "up",
        "healthcheck",
        "demo",
        "keys",
        "rollout",
        "versions",
    ):
        assert f"\n  {command} " in ended.output
