"""The file is what the compose specification allows, judged by its own JSON schema."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.compose.composition import FILE


def judged(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_file_is_what_the_specification_allows() -> None:
    ended = judged(FILE)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("    restart: unless-stopped", "    restarts: unless-stopped"),
        ("{condition: service_healthy}", "{condition: service_lively}"),
        ("  read_only: true", "  read_only: [yes]"),
        ("services:\n", "servises:\n"),
    ],
)
def test_a_file_that_it_does_not_allow_is_told(good: str, bad: str, tmp_path: Path) -> None:
    text = FILE.read_text()
    assert good in text
    broken = tmp_path / "docker-compose.yaml"
    broken.write_text(text.replace(good, bad))
    assert judged(broken).returncode == 1
