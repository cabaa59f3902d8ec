"""`extproc password`: what is typed or piped in, and its hash alone comes out."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from argon2.low_level import Type, verify_secret

from tests.cli.commands import extproc


def verifies(line: str, password: str) -> bool:
    return verify_secret(line.encode(), password.encode(), Type.ID)


@pytest.mark.parametrize(
    "given", [b"p\xc3\xa4ss: word\n", b"p\xc3\xa4ss: word\r\n", b"p\xc3\xa4ss: word", b"p\xc3\xa4ss: word\nmore\n"]
)
def test_the_hash_of_the_first_line_is_printed_alone(given: bytes, tmp_path: Path) -> None:
    ended = extproc("password", folder=tmp_path, stdin=given)
    assert (ended.code, ended.errors) == (0, "")
    (line,) = ended.output.splitlines()
    assert line.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert verifies(line, "p\xe4ss: word")


def test_as_json_it_is_what_a_file_of_users_takes(tmp_path: Path) -> None:
    ended = extproc("password", "--output", "json", folder=tmp_path, stdin=b"hunter2\n")
    assert verifies(json.loads(ended.output)["password"], "hunter2")


@pytest.mark.parametrize("given", [b"", b"\n", b"x" * 1000, b"a\x00b\n", b"\xff\xfe\n"])
def test_what_nobody_could_send_is_wrong_usage_and_not_quoted(given: bytes, tmp_path: Path) -> None:
    ended = extproc("password", folder=tmp_path, stdin=given)
    assert (ended.code, ended.output) == (2, "")
    assert "a password" in ended.errors
    assert "Traceback" not in ended.errors
    assert "xxx" not in ended.errors


def test_in_a_terminal_it_asks_twice_and_shows_nothing(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "extproc", "password"], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs,
        cwd=tmp_path, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        shown = b""
        for _ in range(2):
            while not shown.endswith(b": "):
                shown += os.read(ours, 1024)
            shown += b"|"
            os.write(ours, b"hunter2\n")
        output, _ = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    assert b"hunter2" not in shown
    assert verifies(output.decode().strip(), "hunter2")
