"""Where the expected bootstraps are, and how one is made."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from extproc.app.project import read_project
from extproc.bootstrap.build import build_bootstrap
from extproc.bootstrap.render import render

ROOT: Final = Path(__file__).parents[2]
DEMO: Final = ROOT / "compose" / "demo" / "gateway.yaml"
DEMO_OUTPUT: Final = ROOT / "envoy" / "demo.bootstrap.yaml"
VARIABLES: Final = {"JWKS_FILE": str(ROOT / "envoy" / "jwks.json")}  # the demo makes its own when it starts
FOLDERS: Final = (ROOT / "tests" / "golden", ROOT / "envoy")
INPUT: Final = ".gateway.yaml"
OUTPUT: Final = ".bootstrap.yaml"
REWRITE: Final = os.environ.get("EXTPROC_WRITE_GOLDEN") == "1"  # noqa: TID251 - asked for by `make golden`


def cases() -> list[Path]:
    return [DEMO, *sorted(file for folder in FOLDERS for file in folder.glob(f"*{INPUT}"))]


def name_of(case: Path) -> str:
    return "demo" if case == DEMO else case.name.removesuffix(INPUT)


def expected_file(case: Path) -> Path:
    return DEMO_OUTPUT if case == DEMO else case.with_name(name_of(case) + OUTPUT)


@cache
def bootstrap_of(case: Path) -> dict[str, Any]:
    return build_bootstrap(read_project(case, VARIABLES).plan)


def rendered(case: Path) -> str:
    return render(bootstrap_of(case))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A new case is a new file: every test that asks for `case` meets all of them."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases(), ids=name_of)
