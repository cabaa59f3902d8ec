"""Where the expected bootstraps are, and how one is made."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path, PurePath
from typing import Any, Final

import pytest

from extproc.app.project import read_project
from extproc.bootstrap.build import BOOTSTRAP, build_files
from extproc.bootstrap.render import render
from extproc.plan.model import Plan
from tests.certificates import write_folder

ROOT: Final = Path(__file__).parents[2]
DEMO: Final = ROOT / "compose" / "demo" / "gateway.yaml"
DEMO_OUTPUT: Final = ROOT / "envoy" / "demo.bootstrap.yaml"
INTO: Final = PurePath("/var/lib/extproc/envoy")  # where the bootstraps say that the files beside them are
FOLDERS: Final = (ROOT / "tests" / "golden", ROOT / "envoy")
INPUT: Final = ".gateway.yaml"
OUTPUT: Final = ".bootstrap.yaml"
SECRETS: Final = ".secrets.yaml"
REWRITE: Final = os.environ.get("EXTPROC_WRITE_GOLDEN") == "1"  # noqa: TID251 - asked for by `make golden`


def cases() -> list[Path]:
    return [DEMO, *sorted(file for folder in FOLDERS for file in folder.glob(f"*{INPUT}"))]


def name_of(case: Path) -> str:
    return "demo" if case == DEMO else case.name.removesuffix(INPUT)


def expected_file(case: Path) -> Path:
    return DEMO_OUTPUT if case == DEMO else case.with_name(name_of(case) + OUTPUT)


@cache
def certificates() -> Path:
    """Made anew in every run: no key is kept among the examples."""
    folder = Path(tempfile.mkdtemp(prefix="golden-"))
    atexit.register(shutil.rmtree, folder)
    write_folder(folder / "tls")
    write_folder(folder / "clients")
    return folder


@cache
def variables() -> dict[str, str]:
    """The demo makes its own key set when it starts."""
    return {"JWKS_FILE": str(ROOT / "envoy" / "jwks.json"), "CERTIFICATES": str(certificates())}


@cache
def plan_of(case: Path) -> Plan:
    return read_project(case, variables()).plan


@cache
def bootstrap_of(case: Path) -> dict[str, Any]:
    return files_of(case, INTO)[BOOTSTRAP]


def files_of(case: Path, folder: PurePath) -> dict[PurePath, dict[str, Any]]:
    return build_files(plan_of(case), folder)


def rendered(case: Path) -> str:
    return render(bootstrap_of(case))


def secrets(case: Path) -> str:
    """All that stands beside the bootstrap, file by file, in one text."""
    files = {place: data for place, data in files_of(case, INTO).items() if place != BOOTSTRAP}
    text = "".join(f"# {place}\n{render(data)}" for place, data in files.items())
    return text.replace(str(certificates()), "${CERTIFICATES}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A new case is a new file: every test that asks for `case` meets all of them."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases(), ids=name_of)
